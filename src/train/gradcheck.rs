//! Gradients by automatic differentiation against central differences, in f64, of the user's own loss.

use std::collections::HashMap;

use super::batches::{Order, arrays};
use super::machine::Variables;
use super::run::seed;
use crate::base::Diagnostic;
use crate::interp::{Env, Value, evaluate, evaluate_holding};
use crate::ir::experiment::Experiment;
use crate::ir::op::Moment;
use crate::ir::{Array, Graph, NodeId};
use crate::kernels::random::Generator;
use crate::ops;
use crate::readers::Table;
use crate::ty::Type;

/// What was found for one parameter.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its path.
    pub path: String,
    /// How many elements it has.
    pub elements: usize,
    /// How many of them were checked.
    pub checked: usize,
    /// The largest error, relative to the largest gradient of the parameter.
    pub error: f64,
    /// The element with that error, with both gradients.
    pub worst: Worst,
}

/// An element and its two gradients.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worst {
    /// Row-major position.
    pub element: usize,
    /// By automatic differentiation.
    pub derived: f64,
    /// By differences.
    pub measured: f64,
}

/// What to check.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many examples.
    pub batch: usize,
    /// At most this many elements of each parameter, evenly spread.
    pub elements: usize,
}

/// How far at most each parameter is moved from its first value before gradients are compared.
const MOVED: f64 = 0.05;

/// Distance of the two evaluations.
const STEP: f64 = 1e-6;

/// Checks a stage's loss near the given values of the variables: every parameter is moved a little by chance.
///
/// # Errors
/// A loss or a gradient that is not there: a fault of the checker.
pub fn stage(
    experiment: &Experiment,
    index: usize,
    tables: &[Table],
    variables: &Variables,
    options: &Options,
    seen: &mut dyn FnMut(&Checked),
) -> Result<(), Diagnostic> {
    let stage = &experiment.stages[index];
    let seed = seed(experiment, index);
    let mut count = options.batch;
    let mut orders = Vec::new();
    for (i, from) in stage.batches.iter().enumerate() {
        let rows = &tables[from.rows.table].splits[from.rows.split].rows;
        let shuffled = || Order::shuffled(rows, seed.wrapping_add(i as u64), 0);
        let order = if from.in_order { Order::in_order(rows) } else { shuffled() };
        count = count.min(rows.len());
        orders.push((from.rows.table, order));
    }
    let rows = |table: usize| {
        orders.iter().find(|(t, _)| *t == table).map_or(&[][..], |(_, order)| order.batch(0, count))
    };
    let inputs: Vec<Vec<Array>> =
        (stage.inputs.iter()).map(|at| arrays(&tables[at.table].fields[at.field], rows(at.table))).collect();
    let moment = Moment { seed, step: 1, example: 0, batch: count as u64 };
    let types: Vec<Type> = experiment.variables.iter().map(|v| v.ty.clone()).collect();
    let mut values = variables.arrays(&types);
    for (id, _) in &stage.trained {
        // A bias of 0 over an empty part of an image stands just on the kink of relu: move off it.
        let random = Generator::new(seed, u64::MAX, 0, u64::from(id.0));
        for (i, value) in values[id.0 as usize].data.iter_mut().enumerate() {
            *value += MOVED * (2.0 * f64::from(random.uniform(i as u64)) - 1.0);
        }
    }
    let env = Env { variables: &values, inputs: &inputs, moment };
    let last = stage.objectives.iter().map(|objective| objective.loss).max();
    let last = last.ok_or_else(|| Diagnostic::internal("gradcheck", "the stage has no loss"))?;
    let held = stopped(&stage.step.graph, last, &env);
    let scalar = |values: &[Array], node: NodeId| {
        let env = Env { variables: values, inputs: &inputs, moment };
        evaluate_holding(&stage.step.graph, &held, &[node], &env)[0].arrays()[0].data[0]
    };
    let gradients: Vec<NodeId> = stage.trained.iter().map(|(_, node)| *node).collect();
    let derived = evaluate(&stage.step.graph, &gradients, &env);
    for ((id, _), derived) in stage.trained.iter().zip(derived) {
        let derived = &derived.arrays()[0].data;
        let objective = stage.objectives.iter().find(|objective| objective.trained.contains(id));
        let missing = || Diagnostic::internal("gradcheck", "a trained parameter without an objective");
        let loss = objective.ok_or_else(missing)?.loss;
        let at = id.0 as usize;
        let elements = derived.len();
        let checked = elements.min(options.elements);
        let mut pairs = Vec::with_capacity(checked);
        for i in 0..checked {
            let element = i * elements / checked;
            let old = values[at].data[element];
            let step = STEP * old.abs().max(1.0);
            values[at].data[element] = old + step;
            let above = scalar(&values, loss);
            values[at].data[element] = old - step;
            let below = scalar(&values, loss);
            values[at].data[element] = old;
            pairs.push(Worst {
                element,
                derived: derived[element],
                measured: (above - below) / (2.0 * step),
            });
        }
        seen(&judge(experiment.variable(*id).path.clone(), elements, &pairs));
    }
    Ok(())
}

/// The values of all `stop_gradient` nodes before the loss: for the gradient they are constants, so they must
/// not follow when a parameter is moved.
fn stopped(graph: &Graph, loss: NodeId, env: &Env) -> HashMap<NodeId, Value> {
    let stops = graph.iter().filter(|(id, node)| *id < loss && ops::find("stop_gradient") == Some(node.op));
    let stops: Vec<NodeId> = stops.map(|(id, _)| id).collect();
    let values = evaluate(graph, &stops, env);
    stops.into_iter().zip(values).collect()
}

fn judge(path: String, elements: usize, pairs: &[Worst]) -> Checked {
    // Differences of a loss near 1 in steps of 1e-6 are good to about 1e-10.
    const FLOOR: f64 = 1e-4;
    let scale = pairs.iter().map(|p| p.derived.abs().max(p.measured.abs())).fold(FLOOR, f64::max);
    let error = |p: &Worst| {
        let error = (p.derived - p.measured).abs() / scale;
        if error.is_nan() { f64::INFINITY } else { error }
    };
    let worst = pairs.iter().max_by(|a, b| error(a).total_cmp(&error(b))).copied().unwrap_or_default();
    Checked { path, elements, checked: pairs.len(), error: error(&worst), worst }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_element_counts_relative_to_the_largest_gradient() {
        let pair = |element, derived, measured| Worst { element, derived, measured };
        let judged = |pairs: &[Worst]| judge("w".into(), 9, pairs);
        let found = judged(&[pair(0, 4.0, 4.0), pair(3, 1.0, 1.5), pair(5, 0.0, 0.1)]);
        assert_eq!((found.worst.element, found.error, found.checked), (3, 0.125, 3));
        assert!(judged(&[pair(0, 1.0, f64::NAN)]).error.is_infinite());
        assert!(judged(&[pair(0, 0.0, 1e-12)]).error < 1e-7, "what is next to nothing is no error");
    }
}
