//! The values that are there when a step starts: fields of the batch and variables.

use super::{Env, Value};
use crate::ir::kernel::{Kernel, Source};
use crate::ir::{Graph, NodeId};

/// The value of an input or a variable; none for all other nodes.
pub fn value(graph: &Graph, id: NodeId, env: &Env) -> Option<Value> {
    if !graph[id].inputs.is_empty() {
        return None;
    }
    let value = match graph.kernel(id)? {
        Kernel::Source(Source::Input(index)) => {
            let examples = env.inputs.get(index).unwrap_or_else(|| panic!("{id}: there is no input {index}"));
            assert_eq!(examples.len(), env.moment.batch as usize, "{id}: examples of input {index}");
            Value::Each(examples.clone())
        }
        Kernel::Source(Source::Variable(variable)) => {
            let value = env.variables.get(variable.0 as usize);
            Value::Once(value.unwrap_or_else(|| panic!("{id}: there is no variable {}", variable.0)).clone())
        }
        _ => return None,
    };
    let shape = &graph[id].ty.shape;
    for array in value.arrays() {
        assert_eq!(array.shape, *shape, "{id}: the shape of a value given for it");
    }
    Some(value)
}
