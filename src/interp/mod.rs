//! Floor 4: the f64 reference evaluator: the specification of what a graph means.
//!
//! [`evaluate`] computes nodes one after the other with the naive reference of their ops: once for the batch
//! at level `Once`, once for each example at level `Each`. [`Session`] trains with it, step by step: that is
//! `--interpret`, and what the compiled code is compared with.

mod leaves;
mod session;

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::LazyLock;
use std::thread::ScopedJoinHandle;

use crate::ir::op::Moment;
use crate::ir::{Array, Graph, Level, LevelRule, NodeId, RefCall};

pub use session::{Session, initial_value};

/// What a graph is evaluated in.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The variables, by their number.
    pub variables: &'a [Array],
    /// For each input of the graph, the value of every example of the batch.
    pub inputs: &'a [Vec<Array>],
    /// Seed, step and number of examples; `example` is set by the evaluator.
    pub moment: Moment,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One for the whole batch.
    Once(Array),
    /// One for each example.
    Each(Vec<Array>),
}

impl Value {
    /// What an example sees.
    pub fn of(&self, example: usize) -> &Array {
        match self {
            Value::Once(value) => value,
            Value::Each(values) => &values[example],
        }
    }

    /// All arrays: one, or one per example.
    pub fn arrays(&self) -> &[Array] {
        match self {
            Value::Once(value) => std::slice::from_ref(value),
            Value::Each(values) => values,
        }
    }
}

/// The values of some nodes, in their order.
///
/// # Panics
/// When the environment does not have the variables, inputs or examples that the graph asks for.
pub fn evaluate(graph: &Graph, targets: &[NodeId], env: &Env) -> Vec<Value> {
    evaluate_with(graph, &HashMap::new(), targets, env)
}

/// As [`evaluate`], with the values of some `Once` nodes given: neither they nor what only they need is
/// computed. So sums over a whole split can be put in the place of sums over one batch.
///
/// # Panics
/// As [`evaluate`].
pub fn evaluate_with(
    graph: &Graph,
    given: &HashMap<NodeId, Array>,
    targets: &[NodeId],
    env: &Env,
) -> Vec<Value> {
    let given = given.iter().map(|(id, value)| (*id, Value::Once(value.clone()))).collect();
    evaluate_holding(graph, &given, targets, env)
}

/// As [`evaluate_with`], for nodes of both levels. So the values at which a `stop_gradient` stands can be
/// held while parameters are moved.
///
/// # Panics
/// As [`evaluate`].
pub fn evaluate_holding(
    graph: &Graph,
    held: &HashMap<NodeId, Value>,
    targets: &[NodeId],
    env: &Env,
) -> Vec<Value> {
    walk(graph, held, targets, env, &mut |_, _| {})
}

/// As [`evaluate_with`], showing the value of each computed node to `seen`, in the graph's order. That is
/// how the first operation with a result that is not finite is found.
///
/// # Panics
/// As [`evaluate`].
pub fn watch(
    graph: &Graph,
    given: &HashMap<NodeId, Array>,
    targets: &[NodeId],
    env: &Env,
    seen: &mut dyn FnMut(NodeId, &Value),
) -> Vec<Value> {
    let given = given.iter().map(|(id, value)| (*id, Value::Once(value.clone()))).collect();
    walk(graph, &given, targets, env, seen)
}

fn walk(
    graph: &Graph,
    given: &HashMap<NodeId, Value>,
    targets: &[NodeId],
    env: &Env,
    seen: &mut dyn FnMut(NodeId, &Value),
) -> Vec<Value> {
    let mut uses = count_uses(graph, given, targets);
    let mut values: Vec<Option<Value>> = vec![None; graph.len()];
    for (id, value) in given {
        values[id.index()] = Some(value.clone());
    }
    for (id, node) in graph.iter().filter(|(id, _)| !given.contains_key(id)) {
        if uses[id.index()] == 0 {
            continue;
        }
        let value = compute(graph, id, &values, env);
        seen(id, &value);
        values[id.index()] = Some(value);
        for input in &node.inputs {
            uses[input.index()] -= 1;
            if uses[input.index()] == 0 {
                values[input.index()] = None;
            }
        }
    }
    targets.iter().map(|id| values[id.index()].clone().expect("targets are kept")).collect()
}

/// How often each node's value is asked for; 0 where it is not needed.
fn count_uses(graph: &Graph, given: &HashMap<NodeId, Value>, targets: &[NodeId]) -> Vec<usize> {
    let mut uses = vec![0; graph.len()];
    targets.iter().for_each(|id| uses[id.index()] += 1);
    for (id, node) in graph.iter().rev() {
        if uses[id.index()] > 0 && !given.contains_key(&id) {
            node.inputs.iter().for_each(|input| uses[input.index()] += 1);
        }
    }
    uses
}

/// The value of a node whose inputs have values.
fn compute(graph: &Graph, id: NodeId, values: &[Option<Value>], env: &Env) -> Value {
    let node = &graph[id];
    let inputs: Vec<&Value> =
        node.inputs.iter().map(|i| values[i.index()].as_ref().expect("inputs come first")).collect();
    if let Some(value) = leaves::value(graph, id, env) {
        return value;
    }
    let batch = env.moment.batch as usize;
    let call = |example: usize, arrays: &[&Array]| {
        let moment = Moment { example: example as u64, ..env.moment };
        (node.op.reference)(&RefCall { inputs: arrays, attrs: &node.attrs, ty: &node.ty, moment })
    };
    let sums_examples = node.op.level == LevelRule::Once && !node.inputs.is_empty();
    match node.level {
        Level::Once if sums_examples => {
            let all: Vec<&Array> = (0..batch).map(|example| inputs[0].of(example)).collect();
            Value::Once(call(0, &all))
        }
        Level::Once => {
            let arrays: Vec<&Array> = inputs.iter().map(|value| value.of(0)).collect();
            Value::Once(call(0, &arrays))
        }
        Level::Each => Value::Each(for_each(batch, node.ty.shape.elements(), |example| {
            let arrays: Vec<&Array> = inputs.iter().map(|value| value.of(example)).collect();
            call(example, &arrays)
        })),
    }
}

/// The results for all examples, spread over threads where that is worth it.
fn for_each(batch: usize, elements: usize, one: impl Fn(usize) -> Array + Sync) -> Vec<Array> {
    const WORTH: usize = 20_000;
    static THREADS: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));
    if batch < 2 || batch * elements < WORTH || *THREADS < 2 {
        return (0..batch).map(one).collect();
    }
    let part = batch.div_ceil(*THREADS);
    let one = &one;
    std::thread::scope(|scope| {
        let work = |first: usize| move || (first..batch.min(first + part)).map(one).collect::<Vec<_>>();
        let workers: Vec<_> = (0..batch).step_by(part).map(|first| scope.spawn(work(first))).collect();
        let joined =
            |worker: ScopedJoinHandle<Vec<Array>>| worker.join().unwrap_or_else(|p| resume_unwind(p));
        workers.into_iter().flat_map(joined).collect()
    })
}
