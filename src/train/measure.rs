//! Measurements over a whole split, exactly, however it is cut into batches.
//!
//! The graph of a measurement is cut at its sums over the batch. What lies before the cut is a computation
//! that runs batch by batch; the sums are added in f64. What lies behind it (a division by the number of
//! examples, an `exp`, a root) is evaluated once, by the interpreter, with the sums over the whole split.

use std::collections::HashMap;

use super::machine::{Machine, Variables};
use super::{Make, mix};
use crate::base::Diagnostic;
use crate::interp::{Env, Value, evaluate_with};
use crate::ir::experiment::{Experiment, Measure};
use crate::ir::kernel::Source;
use crate::ir::op::Moment;
use crate::ir::{Array, Computation, Graph, Kernel, NodeId};
use crate::readers::Table;

/// Most examples in a batch of a measurement.
const BATCH: usize = 256;

/// A measurement that is ready to be made, again and again.
pub struct Meter<'a> {
    measure: &'a Measure,
    rows: Vec<u32>,
    value: NodeId,
    /// The sums over the batch that the value needs.
    sums: Vec<NodeId>,
    /// Nodes that stand for the number of examples.
    sizes: Vec<NodeId>,
    /// Computes the sums; none where there are none.
    machine: Option<Machine>,
    batch: usize,
}

impl<'a> Meter<'a> {
    /// Cuts the graph and makes the part before the cut runnable.
    ///
    /// # Errors
    /// When that does not compile or does not fit into memory.
    pub fn new(measure: &'a Measure, tables: &[Table], make: &Make) -> Result<Meter<'a>, Diagnostic> {
        let fault = |text: &str| Diagnostic::internal("measure", format!("`{}`: {text}", measure.name));
        let graph = &measure.computation.graph;
        let value = measure.computation.outputs.first().ok_or_else(|| fault("nothing is measured"))?.1;
        let split = tables.get(measure.rows.table).and_then(|table| table.splits.get(measure.rows.split));
        let rows = &split.ok_or_else(|| fault("the split is not there"))?.rows;
        let rows: Vec<u32> = (0..rows.len()).map(|i| rows.row(i) as u32).collect();
        let (sums, sizes) = cut(graph, value);
        let batch = BATCH.min(rows.len()).max(1);
        let machine = if sums.is_empty() {
            None
        } else {
            let outputs = sums.iter().enumerate().map(|(i, node)| (sum_name(i), *node)).collect();
            let part = Computation { graph: graph.clone(), outputs, updates: Vec::new() };
            Some(make(&part, batch)?)
        };
        Ok(Meter { measure, rows, value, sums, sizes, machine, batch })
    }

    /// The value over the whole split; `moment` says where the run stands.
    pub fn measure(
        &mut self,
        experiment: &Experiment,
        tables: &[Table],
        variables: &mut Variables,
        moment: Moment,
    ) -> f64 {
        let graph = &self.measure.computation.graph;
        let mut totals: Vec<Array> =
            self.sums.iter().map(|id| Array::from_fn(&graph[*id].ty.shape, |_| 0.0)).collect();
        if let Some(machine) = &mut self.machine {
            for (number, rows) in self.rows.chunks(self.batch).enumerate() {
                for (input, at) in self.measure.inputs.iter().enumerate() {
                    machine.feed(input, &tables[at.table].fields[at.field], rows);
                }
                // Every batch has random numbers of its own.
                let seed = mix(moment.seed ^ mix(number as u64));
                machine.run(variables, Moment { seed, batch: rows.len() as u64, ..moment });
                for (i, total) in totals.iter_mut().enumerate() {
                    machine.add_output(&sum_name(i), &mut total.data);
                }
            }
        }
        let mut given: HashMap<NodeId, Array> = self.sums.iter().copied().zip(totals).collect();
        for id in &self.sizes {
            given.insert(*id, Array::scalar(self.rows.len() as f64));
        }
        let arrays = if reads_variables(graph, self.value, &given) {
            variables.arrays(&experiment.variables)
        } else {
            Vec::new()
        };
        let moment = Moment { batch: self.rows.len() as u64, example: 0, ..moment };
        let env = Env { variables: &arrays, inputs: &[], moment };
        match evaluate_with(graph, &given, &[self.value], &env).pop() {
            Some(Value::Once(array)) => array.data.first().copied().unwrap_or(f64::NAN),
            Some(Value::Each(_)) | None => f64::NAN,
        }
    }
}

fn sum_name(i: usize) -> String {
    format!("sum {i}")
}

/// The nodes that `value` needs, not looking beyond those where `stop` says so.
fn needed(graph: &Graph, value: NodeId, mut stop: impl FnMut(NodeId) -> bool) -> Vec<NodeId> {
    let mut wanted = vec![false; graph.len()];
    wanted[value.index()] = true;
    let mut found = Vec::new();
    for (id, node) in graph.iter().rev() {
        if wanted[id.index()] {
            found.push(id);
            if !stop(id) {
                node.inputs.iter().for_each(|input| wanted[input.index()] = true);
            }
        }
    }
    found.reverse();
    found
}

/// Sums over the batch, and nodes that are the batch's size, as `value` needs them.
fn cut(graph: &Graph, value: NodeId) -> (Vec<NodeId>, Vec<NodeId>) {
    let is_sum = |id| graph.kernel(id) == Some(Kernel::BatchSum);
    let nodes = needed(graph, value, is_sum);
    let sizes = nodes.iter().filter(|id| graph.kernel(**id) == Some(Kernel::Source(Source::BatchSize)));
    (nodes.iter().filter(|id| is_sum(**id)).copied().collect(), sizes.copied().collect())
}

fn reads_variables(graph: &Graph, value: NodeId, given: &HashMap<NodeId, Array>) -> bool {
    let nodes = needed(graph, value, |id| given.contains_key(&id));
    let is_variable = |id: &NodeId| matches!(graph.kernel(*id), Some(Kernel::Source(Source::Variable(_))));
    nodes.iter().any(is_variable)
}
