//! Which values may be mostly zeros: what the data holds, and what truth values and whole numbers make of it.
//!
//! How many zeros there are is only known when the data is there: the kernel looks, batch by batch
//! (`kernels/sparse.rs`). Here stands which products are worth the look.

use super::lowered::Lowered;
use crate::ir::NodeId;
use crate::ir::kernel::{Kernel, Leaf, Scalar, Source};
use crate::ir::plan::{Extent, Gemm};
use crate::kernels::sparse;

/// For each node whether it may be mostly zeros.
pub fn likely(lowered: &Lowered) -> Vec<bool> {
    let mut likely = Vec::with_capacity(lowered.kernels.len());
    for id in lowered.computation.graph.ids() {
        likely.push(keeps(lowered, id, &likely));
    }
    likely
}

/// Whether a node may be mostly zeros if those before it are.
fn keeps(lowered: &Lowered, id: NodeId, likely: &[bool]) -> bool {
    let of = |input: usize| likely[lowered.inputs(id)[input].index()];
    match lowered.kernel(id) {
        Kernel::Source(Source::Input(_)) => true,
        Kernel::Source(_) => false,
        Kernel::View(_) | Kernel::Reshape | Kernel::Pad { .. } | Kernel::Batch | Kernel::Example => of(0),
        Kernel::Concat(_) => (0..lowered.inputs(id).len()).all(of),
        Kernel::Leaf(Leaf::MaxPool(_) | Leaf::SumPool(_)) => of(0),
        Kernel::Map(scalar) => match scalar {
            Scalar::Eq => true,
            Scalar::Mul => of(0) || of(1),
            Scalar::Add | Scalar::Sub => of(0) && of(1),
            Scalar::Div | Scalar::Neg | Scalar::Abs | Scalar::Sign | Scalar::Sqrt => of(0),
            Scalar::Floor | Scalar::Trunc | Scalar::Tanh | Scalar::Sin | Scalar::And => of(0),
            Scalar::Pow
            | Scalar::Min
            | Scalar::Max
            | Scalar::Exp
            | Scalar::Log
            | Scalar::Rsqrt
            | Scalar::Sigmoid
            | Scalar::Erf
            | Scalar::Cos
            | Scalar::Lt
            | Scalar::Le
            | Scalar::Or
            | Scalar::Not
            | Scalar::Select => false,
        },
        Kernel::Reduce(..)
        | Kernel::Iota(_)
        | Kernel::Contract(_)
        | Kernel::BatchSum
        | Kernel::Leaf(_)
        | Kernel::Scan(_) => false,
    }
}

/// Whether the kernel can leave out zeros of the left factor.
pub fn can_be_left_out(gemm: &Gemm) -> bool {
    let wide = matches!(gemm.n, Extent::Const(n) if n >= sparse::COLUMNS);
    let tall = !matches!(gemm.m, Extent::Const(m) if m < sparse::ROWS);
    let in_lines = gemm.a.row == 1 || gemm.a.column == 1;
    wide && tall && in_lines && gemm.b.column == 1 && gemm.c.column == 1
}
