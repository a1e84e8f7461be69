//! Which rows make a batch, and their values in the form that a step reads.
//!
//! The order of an epoch is a function of the seed, the stage and the epoch, so any step's batch can be
//! made without those before it.

use crate::ir::Array;
use crate::kernels::random::Generator;
use crate::readers::{Field, Rows, Values};

/// The random stream of the orders of epochs; streams of graphs are small numbers.
const ORDER_STREAM: u64 = u64::MAX;

/// The rows of a split in the order of one epoch.
#[derive(Clone, Debug)]
pub struct Order {
    rows: Vec<u32>,
}

impl Order {
    /// As they stand.
    pub fn in_order(rows: &Rows) -> Order {
        Order { rows: (0..rows.len()).map(|i| rows.row(i) as u32).collect() }
    }

    /// Shuffled (Fisher-Yates) for this epoch, from 0.
    pub fn shuffled(rows: &Rows, seed: u64, epoch: u64) -> Order {
        let mut order = Order::in_order(rows);
        let random = Generator::new(seed, ORDER_STREAM, epoch, 0);
        for i in (1..order.rows.len()).rev() {
            let draw = u64::from(random.bits(2 * i as u64)) << 32 | u64::from(random.bits(2 * i as u64 + 1));
            // The high part of a 64 x 64 bit product: uniform to within 2^-32 for any table that fits memory.
            let j = ((u128::from(draw) * (i as u128 + 1)) >> 64) as usize;
            order.rows.swap(i, j);
        }
        order
    }

    /// The rows of batch `index` of this size; the last batch may have fewer.
    pub fn batch(&self, index: usize, size: usize) -> &[u32] {
        let start = (index * size).min(self.rows.len());
        let end = (start + size).min(self.rows.len());
        &self.rows[start..end]
    }
}

/// Writes the values of these rows, one after the other, as f32.
pub fn fill(field: &Field, rows: &[u32], out: &mut [f32]) {
    let width = field.shape.elements();
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
        let from = *row as usize * width;
        match &field.values {
            Values::U8 { data, scale } => {
                for (o, byte) in out.iter_mut().zip(&data[from..from + width]) {
                    *o = f32::from(*byte) * scale;
                }
            }
            Values::F32(data) => out.copy_from_slice(&data[from..from + width]),
            Values::I32(data) => {
                for (o, value) in out.iter_mut().zip(&data[from..from + width]) {
                    *o = *value as f32;
                }
            }
        }
    }
}

/// As [`fill`], for a field of indices.
pub fn fill_indices(field: &Field, rows: &[u32], out: &mut [i32]) {
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
        }
    }
}

/// The values of these rows for the reference evaluator, one array per row. They are rounded to f32 first,
/// as the compiled code sees them.
pub fn arrays(field: &Field, rows: &[u32]) -> Vec<Array> {
    let width = field.shape.elements();
    let mut values = vec![0f32; width * rows.len()];
    fill(field, rows, &mut values);
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
