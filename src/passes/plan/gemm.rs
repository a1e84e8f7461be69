//! A contraction as a strided matrix product: labels fall into batch, rows, columns and summed ones; labels
//! that lie next to each other in memory become one.

use super::zeros;
use crate::ir::kernel::Contraction;
use crate::ir::plan::{BufferId, Cut, Extent, Gemm, Matrix, WriteMode};

/// An operand in memory: for each of its labels the step in elements.
#[derive(Clone, Debug)]
pub struct Operand {
    /// Which buffer.
    pub buffer: BufferId,
    /// From the buffer's start.
    pub offset: i64,
    /// The steps, in the order of the operand's labels.
    pub strides: Vec<i64>,
    /// The step from one example to the next; 0 where all examples share the value.
    pub example: i64,
    /// It may be mostly zeros.
    pub zeros: bool,
}

/// A loop of a contraction: extent and the steps in `a`, `b`, `c`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Loop {
    extent: Extent,
    steps: [i64; 3],
}

/// Which loops a label belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Batch,
    Rows,
    Columns,
    Summed,
}

/// Over which examples a contraction adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// None: there is a result per example, or one for all.
    None,
    /// Those of a tile, into a slot.
    Tile,
    /// All of the batch at once.
    Batch,
}

/// The matrix product of a contraction. `over_examples` says that there is a value per example. `None` if no side of the product is larger than 1: then a
/// loop nest serves better.
pub fn gemm(
    spec: &Contraction,
    extents: &[(u8, usize)],
    [a, b, c]: [&Operand; 3],
    over_examples: bool,
    sum: Sum,
) -> Option<Gemm> {
    let sums = sum != Sum::None;
    let step = |labels: &[u8], operand: &Operand, label: u8| {
        // A label that occurs twice in one operand walks its diagonal.
        labels.iter().zip(&operand.strides).filter(|(l, _)| **l == label).map(|(_, s)| *s).sum::<i64>()
    };
    let mut loops: [Vec<Loop>; 4] = Default::default();
    if over_examples {
        let steps = [a.example, b.example, if sums { 0 } else { c.example }];
        let role = role(a.example != 0, b.example != 0, !sums);
        loops[role as usize].push(Loop { extent: Extent::Examples(1), steps });
    }
    for (label, extent) in extents {
        if *extent == 1 {
            continue;
        }
        let steps = [step(&spec.a, a, *label), step(&spec.b, b, *label), step(&spec.out, c, *label)];
        let role = role(spec.a.contains(label), spec.b.contains(label), spec.out.contains(label));
        loops[role as usize].push(Loop { extent: Extent::Const(*extent), steps });
    }
    let [mut outer, rows, columns, summed] = loops;
    let (m, more) = merge(rows, [0, 2]);
    outer.extend(more);
    let (n, more) = merge(columns, [1, 2]);
    outer.extend(more);
    let (k, more) = merge(summed, [0, 1]);
    outer.extend(more);
    if m.extent == Extent::Const(1) && n.extent == Extent::Const(1) {
        return None;
    }
    // Loops over examples stand outermost: their order in memory.
    outer.sort_by_key(|l| std::cmp::Reverse(l.steps[2].abs().max(l.steps[0].abs())));
    let matrix = |operand: &Operand, row: i64, column: i64| Matrix {
        buffer: operand.buffer,
        offset: operand.offset,
        row,
        column,
    };
    let gemm = Gemm {
        outer: outer.iter().map(|l| (l.extent, l.steps)).collect(),
        m: m.extent,
        n: n.extent,
        k: k.extent,
        a: matrix(a, m.steps[0], k.steps[0]),
        b: matrix(b, k.steps[1], n.steps[1]),
        c: matrix(c, m.steps[2], n.steps[2]),
        mode: if sum == Sum::Tile { WriteMode::Slot } else { WriteMode::Overwrite },
        cut: None,
        sparse: a.zeros,
    };
    let gemm = if gemm.c.column != 1 && gemm.c.row == 1 {
        Gemm { sparse: b.zeros, ..transposed(gemm) }
    } else {
        gemm
    };
    Some(Gemm { sparse: gemm.sparse && zeros::can_be_left_out(&gemm), ..gemm })
}

/// How a product over the whole batch is dealt out: where the rows are the examples, so that each worker reads its own
/// part of the weights.
pub fn dealt_out(gemm: &Gemm) -> Cut {
    let results = |(_, [_, _, step]): &(Extent, [i64; 3])| *step != 0;
    match gemm.m {
        Extent::Const(_) => Cut::Rows,
        Extent::Examples(_) if gemm.outer.first().is_some_and(results) => Cut::Outer,
        Extent::Examples(_) => Cut::Columns,
    }
}

fn role(in_a: bool, in_b: bool, in_c: bool) -> Role {
    match (in_a, in_b, in_c) {
        (true, false, true) => Role::Rows,
        (false, true, true) => Role::Columns,
        (true, true, true) | (false, false, true) => Role::Batch,
        (_, _, false) => Role::Summed,
    }
}

/// `c^T = b^T a^T`: so that rows of the result are contiguous.
fn transposed(gemm: Gemm) -> Gemm {
    let flip = |m: Matrix| Matrix { row: m.column, column: m.row, ..m };
    let outer = gemm.outer.iter().map(|(extent, [a, b, c])| (*extent, [*b, *a, *c])).collect();
    Gemm {
        outer,
        m: gemm.n,
        n: gemm.m,
        k: gemm.k,
        a: flip(gemm.b),
        b: flip(gemm.a),
        c: flip(gemm.c),
        mode: gemm.mode,
        cut: gemm.cut,
        sparse: gemm.sparse,
    }
}

/// Merges loops that are one run of memory in both of these operands; returns the longest and the rest.
fn merge(mut loops: Vec<Loop>, operands: [usize; 2]) -> (Loop, Vec<Loop>) {
    let [p, q] = operands;
    loops.sort_by_key(|l| (std::cmp::Reverse(l.steps[q].abs()), std::cmp::Reverse(l.steps[p].abs())));
    let mut merged: Vec<Loop> = Vec::new();
    for inner in loops {
        match (merged.last_mut(), inner.extent) {
            (Some(last), Extent::Const(extent))
                if [p, q].iter().all(|o| last.steps[*o] == inner.steps[*o] * extent as i64) =>
            {
                last.extent = match last.extent {
                    Extent::Const(n) => Extent::Const(n * extent),
                    Extent::Examples(n) => Extent::Examples(n * extent),
                };
                last.steps = inner.steps;
            }
            _ => merged.push(inner),
        }
    }
    let size = |l: &Loop| match l.extent {
        Extent::Const(n) => n,
        // How many examples a tile has is not known here; a dozen or so.
        Extent::Examples(n) => n * 12,
    };
    let best = (0..merged.len()).max_by_key(|i| (size(&merged[*i]), *i));
    match best {
        Some(best) => {
            let longest = merged.remove(best);
            (longest, merged)
        }
        None => (Loop { extent: Extent::Const(1), steps: [0, 0, 0] }, merged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operand(strides: &[i64], example: i64) -> Operand {
        Operand { buffer: BufferId(0), offset: 0, strides: strides.to_vec(), example, zeros: false }
    }

    /// `x[k] w[k, m] -> y[m]` for each example: the examples are the rows.
    #[test]
    fn a_dense_layer_is_one_product_over_the_tile() {
        let spec = Contraction { a: vec![0], b: vec![0, 1], out: vec![1] };
        let (x, w, y) = (operand(&[1], 20), operand(&[7, 1], 0), operand(&[1], 7));
        let gemm = gemm(&spec, &[(0, 20), (1, 7)], [&x, &w, &y], true, Sum::None).unwrap();
        assert_eq!((gemm.m, gemm.n, gemm.k), (Extent::Examples(1), Extent::Const(7), Extent::Const(20)));
        assert_eq!((gemm.a.row, gemm.a.column, gemm.c.row, gemm.c.column), (20, 1, 7, 1));
        assert!(gemm.outer.is_empty());
    }

    /// `x[t, k] w[k, m] -> y[t, m]`: positions and examples are the rows together.
    #[test]
    fn positions_and_examples_merge() {
        let spec = Contraction { a: vec![2, 0], b: vec![0, 1], out: vec![2, 1] };
        let (x, w, y) = (operand(&[20, 1], 100), operand(&[7, 1], 0), operand(&[7, 1], 35));
        let gemm = gemm(&spec, &[(0, 20), (1, 7), (2, 5)], [&x, &w, &y], true, Sum::None).unwrap();
        assert_eq!((gemm.m, gemm.n, gemm.k), (Extent::Examples(5), Extent::Const(7), Extent::Const(20)));
    }

    /// The weight gradient of a dense layer, summed over the batch: the examples are summed.
    #[test]
    fn a_weight_gradient_sums_over_examples() {
        let spec = Contraction { a: vec![0], b: vec![1], out: vec![0, 1] };
        let (x, g, w) = (operand(&[1], 20), operand(&[1], 7), operand(&[7, 1], 0));
        let gemm = gemm(&spec, &[(0, 20), (1, 7)], [&x, &g, &w], true, Sum::Tile).unwrap();
        assert_eq!((gemm.m, gemm.n, gemm.k), (Extent::Const(20), Extent::Const(7), Extent::Examples(1)));
        assert_eq!(gemm.mode, WriteMode::Slot);
    }

    /// Attention scores: heads and examples are separate products.
    #[test]
    fn heads_are_outer_loops() {
        let spec = Contraction { a: vec![0, 1, 2], b: vec![0, 3, 2], out: vec![0, 1, 3] };
        let (q, k, s) = (operand(&[40, 8, 1], 160), operand(&[40, 8, 1], 160), operand(&[25, 5, 1], 100));
        let gemm = gemm(&spec, &[(0, 4), (1, 5), (2, 8), (3, 5)], [&q, &k, &s], true, Sum::None).unwrap();
        assert_eq!(
            gemm.outer,
            vec![(Extent::Examples(1), [160, 160, 100]), (Extent::Const(4), [40, 40, 25])]
        );
        assert_eq!((gemm.b.row, gemm.b.column), (1, 8));
    }
}
