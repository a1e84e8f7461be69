//! Which rows a step sees, and how their fields reach the inputs of a graph.

use crate::ir::Array;
use crate::kernels::random::Generator;
use crate::readers::{Field, Rows, Values};
use crate::ty::DType;

/// The rows of a split, pass after pass, each pass in an order of its own.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The split in its own order.
    rows: Vec<u32>,
    /// The order of this pass.
    order: Vec<u32>,
    /// Seed and stream of the shuffles; none where the rows come in order.
    shuffle: Option<(u64, u64)>,
    pass: u64,
    next: usize,
}

impl Stream {
    /// Starts before the first pass. `stream` tells the batches of a stage apart.
    pub fn new(rows: &Rows, in_order: bool, seed: u64, stream: u64) -> Stream {
        let rows: Vec<u32> = (0..rows.len()).map(|i| rows.row(i) as u32).collect();
        let shuffle = (!in_order).then_some((seed, stream));
        let mut stream = Stream { order: rows.clone(), rows, shuffle, pass: 0, next: 0 };
        stream.arrange();
        stream
    }

    /// Where it stands: the pass and the number of rows of it that are gone.
    pub fn position(&self) -> (u64, usize) {
        (self.pass, self.next)
    }

    /// Goes to a position.
    pub fn seek(&mut self, (pass, next): (u64, usize)) {
        self.pass = pass;
        self.next = next;
        self.arrange();
    }

    /// Appends the next rows of this pass: `count` of them, or what is left of it.
    pub fn batch(&mut self, count: usize, out: &mut Vec<u32>) {
        if self.next == self.order.len() {
            self.seek((self.pass + 1, 0));
        }
        let end = (self.next + count).min(self.order.len());
        out.extend_from_slice(&self.order[self.next..end]);
        self.next = end;
    }

    /// Appends just `count` rows, from the next pass where this one ends.
    pub fn exactly(&mut self, count: usize, out: &mut Vec<u32>) {
        let wanted = out.len() + count;
        while out.len() < wanted && !self.rows.is_empty() {
            self.batch(wanted - out.len(), out);
        }
    }

    /// Orders the rows of this pass: the shuffle of Fisher and Yates, from the split's own order.
    fn arrange(&mut self) {
        self.order.copy_from_slice(&self.rows);
        let Some((seed, stream)) = self.shuffle else { return };
        let random = Generator::new(seed, stream, self.pass, u64::MAX);
        for i in (1..self.order.len()).rev() {
            let bits = u64::from(random.bits(i as u64));
            self.order.swap(i, ((bits * (i as u64 + 1)) >> 32) as usize);
        }
    }
}

/// Whether a field is read as whole numbers.
pub fn is_index(field: &Field) -> bool {
    match field.dtype {
        DType::Index(_) => true,
        DType::F32 | DType::Bool => false,
    }
}

/// Writes the values of some rows one after the other.
pub fn fill(field: &Field, rows: &[u32], out: &mut [f32]) {
    let n = field.shape.elements();
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(n)) {
        let range = *row as usize * n..(*row as usize + 1) * n;
        match &field.values {
            Values::U8 { data, scale } => {
                out.iter_mut().zip(&data[range]).for_each(|(o, v)| *o = f32::from(*v) * scale);
            }
            Values::F32(data) => out.copy_from_slice(&data[range]),
            Values::I32(data) => out.iter_mut().zip(&data[range]).for_each(|(o, v)| *o = *v as f32),
        }
    }
}

/// Writes the whole numbers of some rows one after the other.
pub fn fill_index(field: &Field, rows: &[u32], out: &mut [i32]) {
    let n = field.shape.elements();
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(n)) {
        let range = *row as usize * n..(*row as usize + 1) * n;
        match &field.values {
            Values::U8 { data, .. } => {
                out.iter_mut().zip(&data[range]).for_each(|(o, v)| *o = i32::from(*v));
            }
            Values::F32(data) => out.iter_mut().zip(&data[range]).for_each(|(o, v)| *o = *v as i32),
            Values::I32(data) => out.copy_from_slice(&data[range]),
        }
    }
}

/// The values of some rows for the interpreter: the very numbers that compiled code sees.
pub fn arrays(field: &Field, rows: &[u32]) -> Vec<Array> {
    let n = field.shape.elements();
    let one = |row: &u32| {
        let data: Vec<f64> = if is_index(field) {
            let mut values = vec![0; n];
            fill_index(field, &[*row], &mut values);
            values.into_iter().map(f64::from).collect()
        } else {
            let mut values = vec![0.0; n];
            fill(field, &[*row], &mut values);
            values.into_iter().map(f64::from).collect()
        };
        Array::new(field.shape.clone(), data)
    };
    rows.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(stream: &mut Stream, size: usize) -> Vec<Vec<u32>> {
        let mut batches = Vec::new();
        let first = stream.position().0 + u64::from(stream.position().1 == stream.rows.len());
        loop {
            let mut rows = Vec::new();
            stream.batch(size, &mut rows);
            batches.push(rows);
            if stream.position() == (first, stream.rows.len()) {
                return batches;
            }
        }
    }

    #[test]
    fn a_pass_has_every_row_once_and_a_short_last_batch() {
        let mut stream = Stream::new(&Rows::Range(5..15), false, 1, 0);
        let first = pass(&mut stream, 4);
        let second = pass(&mut stream, 4);
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let mut sorted = first.concat();
        sorted.sort_unstable();
        assert_eq!(sorted, (5..15).collect::<Vec<_>>());
        assert_ne!(first, second, "each pass has its own order");
        assert_ne!(first.concat(), sorted, "a pass is shuffled");
    }

    #[test]
    fn a_stream_goes_on_from_a_position_as_if_never_left() {
        let mut stream = Stream::new(&Rows::Range(0..10), false, 7, 3);
        let mut rows = Vec::new();
        stream.exactly(13, &mut rows);
        let at = stream.position();
        let (mut first, mut again) = (Vec::new(), Vec::new());
        stream.exactly(20, &mut first);
        let mut other = Stream::new(&Rows::Range(0..10), false, 7, 3);
        other.seek(at);
        other.exactly(20, &mut again);
        assert_eq!(first, again);
    }

    #[test]
    fn in_order_means_the_order_of_the_split() {
        let mut stream = Stream::new(&Rows::List(vec![4, 2, 9]), true, 7, 3);
        let mut rows = Vec::new();
        stream.exactly(5, &mut rows);
        assert_eq!(rows, [4, 2, 9, 4, 2]);
    }
}
