//! Which rows make a batch, and their values in the form that a step reads.
//!
//! The order of an epoch is a function of the seed, the stage and the epoch, so any step's batch can be
//! made without those before it.

use super::machine::{Feed, Task, Variables};
use crate::exec;
use crate::ir::Array;
use crate::ir::experiment::Stage;
use crate::ir::op::Moment;
use crate::kernels::bytes;
use crate::kernels::random::Generator;
use crate::readers::{Field, Rows, Table, Values};

/// The random stream of the orders of epochs; streams of graphs are small numbers.
const ORDER_STREAM: u64 = u64::MAX;

/// The rows of a split in the order of one epoch.
#[derive(Clone, Debug, Default)]
pub struct Order {
    rows: Vec<u32>,
}

impl Order {
    /// As they stand.
    pub fn in_order(rows: &Rows) -> Order {
        let mut order = Order::default();
        order.reset(rows);
        order
    }

    /// Shuffled (Fisher-Yates) for this epoch, from 0. Windows over a text begin at a place of the epoch's own.
    pub fn shuffled(rows: &Rows, seed: u64, epoch: u64) -> Order {
        let mut order = Order::in_order(rows);
        order.shuffle(rows.slack(), seed, epoch);
        order
    }

    fn reset(&mut self, rows: &Rows) {
        self.rows.clear();
        self.rows.extend((0..rows.len()).map(|i| rows.row(i) as u32));
    }

    /// Moves the rows by up to `slack`, then changes their order.
    fn shuffle(&mut self, slack: usize, seed: u64, epoch: u64) {
        let random = Generator::new(seed, ORDER_STREAM, epoch, 0);
        let below = |i: usize, count: usize| {
            // The high part of a 64 x 64 bit product: uniform to within 2^-32 for any table that fits memory.
            ((u128::from(random.bits64(i as u64)) * count as u128) >> 64) as usize
        };
        if slack > 0 {
            let moved = below(0, slack + 1) as u32;
            self.rows.iter_mut().for_each(|row| *row += moved);
        }
        for i in (1..self.rows.len()).rev() {
            self.rows.swap(i, below(i, i + 1));
        }
    }

    /// The rows of batch `index` of this size; the last batch may have fewer.
    pub fn batch(&self, index: usize, size: usize) -> &[u32] {
        let start = (index * size).min(self.rows.len());
        let end = (start + size).min(self.rows.len());
        &self.rows[start..end]
    }
}

/// The rows of a stage's steps: those of one step at a time.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    tables: &'a [Table],
    stage: &'a Stage,
    seed: u64,
    /// For each `batch` statement its epoch and the order in it.
    orders: Vec<(Option<u64>, Order)>,
    /// For each input of the graph the `batch` statement that feeds it.
    from: Vec<usize>,
    /// For each `batch` statement the number of the batch in its epoch.
    index: Vec<usize>,
    /// How many examples the step has.
    examples: usize,
}

impl<'a> Batches<'a> {
    /// The batches of a stage with its seed; [`Batches::seek`] leads to a step.
    pub fn new(tables: &'a [Table], stage: &'a Stage, seed: u64) -> Batches<'a> {
        let source = |table: usize| stage.batches.iter().position(|b| b.rows.table == table).unwrap_or(0);
        Batches {
            tables,
            stage,
            seed,
            orders: vec![(None, Order::default()); stage.batches.len()],
            from: stage.inputs.iter().map(|input| source(input.table)).collect(),
            index: vec![0; stage.batches.len()],
            examples: 0,
        }
    }

    fn split(&self, batch: usize) -> &'a Rows {
        let at = self.stage.batches[batch].rows;
        &self.tables[at.table].splits[at.split].rows
    }

    /// Goes to a step, from 1; returns its number of examples. A source shorter than the first starts over,
    /// and all inputs of a step have as many examples as the shortest batch.
    pub fn seek(&mut self, step: u64) -> usize {
        for (i, batch) in self.stage.batches.iter().enumerate() {
            let rows = self.split(i);
            let per_epoch = batch.per_epoch(rows.len()) as u64;
            let epoch = (step - 1) / per_epoch;
            self.index[i] = ((step - 1) % per_epoch) as usize;
            let (known, order) = &mut self.orders[i];
            if *known != Some(epoch) {
                order.reset(rows);
                if !batch.in_order {
                    order.shuffle(rows.slack(), self.seed.wrapping_add(i as u64), epoch);
                }
                *known = Some(epoch);
            }
        }
        self.examples = (0..self.index.len()).map(|batch| self.all_rows(batch).len()).min().unwrap_or(0);
        self.examples
    }

    fn all_rows(&self, batch: usize) -> &[u32] {
        self.orders[batch].1.batch(self.index[batch], self.stage.batches[batch].size)
    }

    /// The field of an input of the graph and its rows at this step.
    pub fn input(&self, input: usize) -> (&'a Field, &[u32]) {
        let at = self.stage.inputs[input];
        let field = &self.tables[at.table].fields[at.field];
        (field, &self.all_rows(self.from[input])[..self.examples])
    }

    /// Makes the step with a task.
    pub fn run(&self, task: &mut Task, variables: &mut Variables, moment: Moment) {
        let at = |input| self.input(input);
        task.run(variables, &Feed { inputs: self.stage.inputs.len(), at: &at }, moment);
    }

    /// The data of the step for the reference evaluator.
    pub fn arrays(&self) -> Vec<Vec<Array>> {
        (0..self.stage.inputs.len())
            .map(|input| {
                let (field, rows) = self.input(input);
                arrays(field, rows)
            })
            .collect()
    }

    /// How many steps from the first have full batches.
    pub fn full(&self) -> usize {
        let full = self.stage.batches.iter().enumerate().map(|(i, b)| self.split(i).len() / b.size);
        full.min().unwrap_or(0)
    }
}

/// Writes the values of these rows, one after the other: as f32, or as they are where they are indices.
pub fn fill(field: &Field, rows: &[u32], out: exec::Values) {
    match out {
        exec::Values::Floats(out) => fill_floats(field, rows, out),
        exec::Values::Indices(out) => fill_indices(field, rows, out),
    }
}

fn fill_floats(field: &Field, rows: &[u32], out: &mut [f32]) {
    let width = field.shape.elements();
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
        let from = *row as usize * width;
        match &field.values {
            Values::U8 { data, scale } => bytes::floats(&data[from..from + width], *scale, out),
            Values::F32(data) => out.copy_from_slice(&data[from..from + width]),
            Values::I32(data) => floats(&data[from..from + width], out),
            Values::Windows { tokens, shift } => {
                let from = *row as usize + shift;
                floats(&tokens[from..from + width], out);
            }
        }
    }
}

fn floats(values: &[i32], out: &mut [f32]) {
    for (o, value) in out.iter_mut().zip(values) {
        *o = *value as f32;
    }
}

fn fill_indices(field: &Field, rows: &[u32], out: &mut [i32]) {
    let width = field.shape.elements();
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
        let from = *row as usize * width;
        match &field.values {
            Values::I32(data) => out.copy_from_slice(&data[from..from + width]),
            Values::U8 { data, .. } => {
                for (o, byte) in out.iter_mut().zip(&data[from..from + width]) {
                    *o = i32::from(*byte);
                }
            }
            Values::F32(data) => {
                for (o, value) in out.iter_mut().zip(&data[from..from + width]) {
                    *o = *value as i32;
                }
            }
            Values::Windows { tokens, shift } => {
                let from = *row as usize + shift;
                out.copy_from_slice(&tokens[from..from + width]);
            }
        }
    }
}

/// The values of these rows for the reference evaluator, one array per row. They are rounded to f32 first,
/// as the compiled code sees them.
pub fn arrays(field: &Field, rows: &[u32]) -> Vec<Array> {
    let width = field.shape.elements();
    let mut values = vec![0f32; width * rows.len()];
    fill_floats(field, rows, &mut values);
    values
        .chunks_exact(width)
        .map(|row| Array::new(field.shape.clone(), row.iter().map(|v| f64::from(*v)).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_a_permutation_of_its_own() {
        let rows = Rows::Range(10..110);
        let order = |seed, epoch| Order::shuffled(&rows, seed, epoch).rows;
        let mut sorted = order(0, 0);
        sorted.sort_unstable();
        assert_eq!(sorted, (10..110).collect::<Vec<u32>>());
        assert_eq!(order(0, 3), order(0, 3));
        assert_ne!(order(0, 0), order(0, 1));
        assert_ne!(order(0, 0), order(1, 0));
    }

    #[test]
    fn the_last_batch_is_what_is_left() {
        let order = Order::in_order(&Rows::Range(0..10));
        assert_eq!(order.batch(2, 4), &[8, 9]);
        assert_eq!(order.batch(3, 4), &[] as &[u32]);
    }
}
