//! What a kernel costs: floating-point operations, counted as the field counts them (a multiply-add is two).

use crate::ir::kernel::{Conv, ConvPool, Leaf};
use crate::ir::plan::{Extent, Instr, Nest, Routine};
use crate::kernels::winograd;

/// Of a loop nest, for one example.
pub fn nest(nest: &Nest) -> u64 {
    let extent = |d: &Extent| match d {
        Extent::Const(n) | Extent::Examples(n) => *n as u64,
    };
    let first_outer =
        nest.body.iter().position(|i| matches!(i, Instr::Reduced(..))).unwrap_or(nest.body.len());
    let count = |body: &[Instr]| body.iter().filter(|i| matches!(i, Instr::Apply(..))).count() as u64;
    let output_dims = nest.dims.len() - nest.reduced;
    let outputs: u64 = nest.dims[..output_dims].iter().map(extent).product();
    let points: u64 = outputs * nest.dims[output_dims..].iter().map(extent).product::<u64>();
    let reductions = nest.body.iter().filter(|i| matches!(i, Instr::Reduced(..))).count() as u64;
    points * (count(&nest.body[..first_outer]) + reductions) + outputs * count(&nest.body[first_outer..])
}

/// Of a call of a hand-written kernel, as [`leaf`].
pub fn routine(routine: &Routine, elements: usize) -> u64 {
    match routine {
        Routine::Leaf(op) => leaf(op, elements),
        Routine::ConvPoolForward { spec, winograd } => {
            let dense = needed(spec);
            if *winograd { in_winograd(&dense) } else { convolution(&dense) }
        }
        // One element of a window carries gradient.
        Routine::ConvPoolInputGradient(spec) | Routine::ConvPoolWeightGradient(spec) => {
            convolution(&needed(spec)) / spec.taps() as u64
        }
        Routine::LumpedConvInput { conv, .. } | Routine::BiasedConv { conv, winograd: false, .. } => {
            convolution(conv)
        }
        Routine::Winograd(conv) | Routine::BiasedConv { conv, winograd: true, .. } => in_winograd(conv),
        Routine::WinogradWeights { conv, .. } => 4 * winograd::weights_elements(conv) as u64,
        Routine::TurnedWeights(_) => 0,
    }
}

/// What a call of a hand-written kernel costs where nothing is left out, if that differs from its op's.
pub fn dense(routine: &Routine) -> Option<u64> {
    match routine {
        Routine::ConvPoolForward { spec, .. }
        | Routine::ConvPoolInputGradient(spec)
        | Routine::ConvPoolWeightGradient(spec) => Some(convolution(&spec.conv)),
        Routine::Winograd(conv)
        | Routine::BiasedConv { conv, .. }
        | Routine::LumpedConvInput { conv, .. } => Some(convolution(conv)),
        Routine::WinogradWeights { .. } | Routine::TurnedWeights(_) => Some(0),
        Routine::Leaf(Leaf::WinogradWeight(conv)) => Some(convolution(conv)),
        Routine::Leaf(_) => None,
    }
}

/// A convolution in Winograd's form, in whole tiles of four results.
fn in_winograd(conv: &Conv) -> u64 {
    let tiles = conv.window.output.iter().map(|n| n.div_ceil(2)).product::<usize>();
    (2 * tiles * winograd::weights_elements(conv)) as u64
}

/// The convolution without what no window of the maximum reads.
fn needed(spec: &ConvPool) -> Conv {
    let mut conv = spec.conv;
    conv.window.output = [0, 1].map(|d| spec.pooled[d] * spec.pool[d]);
    conv
}

/// Of a hand-written kernel with this many elements in its result, for one example.
pub fn leaf(leaf: &Leaf, elements: usize) -> u64 {
    let elements = elements as u64;
    match leaf {
        Leaf::Conv(conv) | Leaf::ConvInput(conv) | Leaf::ConvWeight(conv) => convolution(conv),
        Leaf::Winograd { conv, .. } | Leaf::WinogradWeight(conv) => in_winograd(conv),
        Leaf::ConvPool { spec, .. } | Leaf::ConvPoolGradient(spec, _) => convolution(&spec.conv),
        Leaf::MaxPool(w)
        | Leaf::MaxPoolInput(w)
        | Leaf::MaxPoolPick(w)
        | Leaf::SumPool(w)
        | Leaf::SumPoolInput(w) => {
            (w.output[0] * w.output[1] * w.channels * w.kernel[0] * w.kernel[1]) as u64
        }
        Leaf::ArgMax { outer, n, inner, .. } => (outer * n * inner) as u64,
        Leaf::ArgSort { outer, n, .. } => (outer * n) as u64 * u64::from(n.ilog2() + 1),
        Leaf::CumSum { .. } => elements,
        Leaf::ScatterAdd { width, count, .. } => (width * count) as u64,
        Leaf::Gather { .. } => 0,
        Leaf::Random { .. } => elements,
    }
}

fn convolution(conv: &Conv) -> u64 {
    let w = &conv.window;
    let taps = w.kernel[0] * w.kernel[1] * (w.channels / conv.groups);
    2 * (w.output[0] * w.output[1] * conv.out_channels * taps) as u64
}
