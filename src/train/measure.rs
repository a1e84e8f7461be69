//! Metrics over a whole split, exact whatever the batches are.
//!
//! The graph of a measurement is cut at its sums over the batch, and where `batch` collects the values of all
//! examples. Each batch gives its sums, which are added in f64 in the order of the rows, and its values; at the
//! end the reference evaluator computes the rest of the graph from the totals. So a mean is a mean over the split,
//! and `exp` of a mean is taken once.

use std::collections::HashMap;

use super::machine::{Feed, MachineOptions, Task, Variables};
use super::measured::Measured;
use crate::base::Diagnostic;
use crate::interp::{Env, Value, evaluate_with};
use crate::ir::experiment::Measure;
use crate::ir::kernel::{Kernel, Source};
use crate::ir::op::Moment;
use crate::ir::{Array, Computation, NodeId};
use crate::readers::Table;
use crate::ty::Type;

/// Examples in a batch of a measurement.
const BATCH: usize = 256;

/// A measurement that is ready to run.
pub struct Gauge<'a> {
    measure: &'a Measure,
    task: Task,
    /// What brings examples together, in the order of the task's outputs: sums over the batch, and batches.
    sums: Vec<NodeId>,
    /// The node that counts examples, where there is one.
    sizes: Vec<NodeId>,
    batch: usize,
}

impl<'a> Gauge<'a> {
    /// Compiles the part that runs over the rows.
    ///
    /// # Errors
    /// Faults of the compiler, and too little memory.
    pub fn new(
        measure: &'a Measure,
        tables: &[Table],
        types: &[Type],
        options: &MachineOptions,
    ) -> Result<Gauge<'a>, Diagnostic> {
        let Cut { sums, sizes, partial } = cut(measure);
        let batch = batch_size(measure, tables);
        let task = Task::new(&partial, types, batch, options)?;
        Ok(Gauge { measure, task, sums, sizes, batch })
    }

    /// The value over the split. `step` is that of training, for graphs that ask.
    pub fn run(
        &mut self,
        variables: &mut Variables,
        types: &[Type],
        tables: &[Table],
        moment: Moment,
    ) -> Measured {
        let split = &tables[self.measure.rows.table].splits[self.measure.rows.split].rows;
        let rows: Vec<u32> = (0..split.len()).map(|i| split.row(i) as u32).collect();
        let graph = &self.measure.computation.graph;
        let mut totals: Vec<Array> =
            self.sums.iter().map(|id| Array::from_fn(&graph[*id].ty.shape, |_| 0.0)).collect();
        let collects = |id: NodeId| graph.kernel(id) == Some(Kernel::Batch);
        for (number, batch) in rows.chunks(self.batch).enumerate() {
            let fields = &self.measure.inputs;
            let at = |i: usize| (&tables[fields[i].table].fields[fields[i].field], batch);
            let feed = Feed { inputs: fields.len(), at: &at };
            // Random numbers differ from batch to batch.
            let seed = moment.seed ^ (number as u64).wrapping_mul(0xd134_2543_de82_ef95);
            self.task.run(variables, &feed, Moment { seed, batch: batch.len() as u64, ..moment });
            for (i, (id, total)) in self.sums.iter().zip(&mut totals).enumerate() {
                let part = if collects(*id) {
                    let row = total.data.len() / rows.len();
                    let first = number * self.batch;
                    &mut total.data[first * row..(first + batch.len()) * row]
                } else {
                    &mut total.data[..]
                };
                self.task.output(i).add_to(part);
            }
        }
        let mut given: HashMap<NodeId, Array> = self.sums.iter().copied().zip(totals).collect();
        for id in &self.sizes {
            given.insert(*id, Array::scalar(rows.len() as f64));
        }
        let arrays = variables.arrays(types);
        let env =
            Env { variables: &arrays, inputs: &[], moment: Moment { batch: rows.len() as u64, ..moment } };
        let target = self.measure.computation.outputs[0].1;
        match evaluate_with(graph, &given, &[target], &env).as_slice() {
            [Value::Once(value)] => Measured(value.clone()),
            _ => Measured::from(f64::NAN),
        }
    }
}

/// The graph of a measurement, cut at its sums over the batch.
pub struct Cut {
    sums: Vec<NodeId>,
    sizes: Vec<NodeId>,
    /// What runs over the rows: its outputs are the sums.
    pub partial: Computation,
}

/// Cuts a measurement.
pub fn cut(measure: &Measure) -> Cut {
    let graph = &measure.computation.graph;
    let needed = needed(&measure.computation);
    let kernels = graph.ids().filter(|id| needed[id.index()]).map(|id| (id, graph.kernel(id)));
    let (mut sums, mut sizes) = (Vec::new(), Vec::new());
    for (id, kernel) in kernels {
        match kernel {
            Some(Kernel::BatchSum | Kernel::Batch) => sums.push(id),
            Some(Kernel::Source(Source::BatchSize)) => sizes.push(id),
            _ => {}
        }
    }
    // Of a batch, its examples' own values are wanted.
    let outputs = sums.iter().map(|id| match graph.kernel(*id) {
        Some(Kernel::Batch) => (format!("batch {id}"), graph[*id].inputs[0]),
        _ => (format!("sum {id}"), *id),
    });
    let outputs = outputs.collect();
    Cut { sums, sizes, partial: Computation { graph: graph.clone(), outputs, updates: Vec::new() } }
}

/// Examples in a batch of a measurement.
pub fn batch_size(measure: &Measure, tables: &[Table]) -> usize {
    BATCH.min(tables[measure.rows.table].splits[measure.rows.split].rows.len().max(1))
}

/// The nodes that the outputs need.
fn needed(computation: &Computation) -> Vec<bool> {
    let mut needed = vec![false; computation.graph.len()];
    for root in computation.roots() {
        needed[root.index()] = true;
    }
    for (id, node) in computation.graph.iter().rev() {
        if needed[id.index()] {
            node.inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    needed
}
