//! Which way of computing was chosen for a kernel, and why: what `nnc plan` tells people.

use super::lowered::Lowered;
use crate::ir::NodeId;
use crate::ir::kernel::{Conv, ConvPool, Kernel, Leaf};
use crate::ir::plan::{Cut, Gemm, Routine, Work, WriteMode};
use crate::kernels::winograd;
use crate::passes::conv_pool;

/// Of the kernels of a step whose way of computing is not told yet.
pub fn tell(lowered: &Lowered, kernels: &mut [crate::ir::plan::PlannedKernel]) {
    let convolves = lowered.kernels.iter().any(|kernel| matches!(kernel, Kernel::Leaf(Leaf::Conv(_))));
    let refusals = if convolves { conv_pool::refusals(lowered.computation) } else { Vec::new() };
    for kernel in kernels.iter_mut().filter(|kernel| kernel.choice.is_empty()) {
        let Some(root) = kernel.nodes.last() else { continue };
        kernel.choice = match &kernel.work {
            Work::Nest(_) => continue,
            Work::Loop(work) => format!("a loop of {} steps", work.count),
            Work::Gemm(gemm) => product(gemm),
            Work::Leaf(call) => match &call.routine {
                Routine::Leaf(leaf) => dense(lowered, *root, leaf, &refusals),
                other => routine(other),
            },
        };
    }
}

fn product(gemm: &Gemm) -> String {
    let sum = match (gemm.mode, gemm.cut) {
        (_, Some(Cut::Outer)) => {
            " over the whole batch, in parts that are dealt out to the workers: each tile would read all weights again"
        }
        (_, Some(Cut::Columns)) => {
            " over the whole batch, columns cut over the workers: each tile would read all weights again"
        }
        (_, Some(Cut::Rows)) => {
            " over the whole batch, rows cut over the workers: partial sums would be larger"
        }
        (WriteMode::Overwrite, None) => "",
        (WriteMode::Slot, None) => ", added over the examples",
    };
    let zeros = if gemm.sparse { "; zeros of the data left out where there are many" } else { "" };
    format!("matrix product by register tiles{sum}{zeros}")
}

/// A convolution that computes everything, and why.
fn dense(lowered: &Lowered, root: NodeId, leaf: &Leaf, refusals: &[(NodeId, &'static str)]) -> String {
    let reason = |conv: NodeId| refusals.iter().find(|(id, _)| *id == conv).map(|(_, reason)| *reason);
    let gradient = || {
        let maxima = lowered
            .inputs(root)
            .iter()
            .any(|input| matches!(lowered.kernel(*input), Kernel::Leaf(Leaf::MaxPoolInput(_))));
        let why =
            if maxima { "it is not that of one joined convolution" } else { "it is not that of a maximum" };
        format!("dense, without im2col: {why}")
    };
    match leaf {
        Leaf::Conv(_) => match reason(root) {
            Some(reason) => format!("dense, without im2col: {reason}"),
            None => "dense, without im2col".to_string(),
        },
        Leaf::ConvInput(_) | Leaf::ConvWeight(_) => gradient(),
        Leaf::WinogradWeight(conv) => in_winograd(conv),
        Leaf::ConvPool { .. }
        | Leaf::ConvPoolGradient(..)
        | Leaf::Winograd { .. }
        | Leaf::MaxPool(_)
        | Leaf::MaxPoolInput(_)
        | Leaf::MaxPoolPick(_)
        | Leaf::SumPool(_)
        | Leaf::SumPoolInput(_)
        | Leaf::ArgMax { .. }
        | Leaf::ArgSort { .. }
        | Leaf::CumSum { .. }
        | Leaf::Gather { .. }
        | Leaf::ScatterAdd { .. }
        | Leaf::Random { .. } => String::new(),
    }
}

/// Of a kernel that the planner makes of several ops.
pub fn routine(routine: &Routine) -> String {
    match routine {
        Routine::Leaf(_) | Routine::BiasedConv { .. } | Routine::LumpedConvInput { .. } => String::new(),
        Routine::ConvPoolForward { spec, winograd: true } => {
            format!("{}; {}", fused(spec), in_winograd(&spec.conv))
        }
        Routine::ConvPoolForward { spec, winograd: false } => {
            let why = match (winograd::applies(spec), winograd::pays(spec)) {
                (false, _) => "Winograd's form is for 3x3 and 5x5 with stride 1 under 2x2",
                (true, false) => "too few channels or windows for Winograd's form",
                (true, true) => "Winograd's form is turned off",
            };
            format!("{}; direct: {why}", fused(spec))
        }
        Routine::ConvPoolInputGradient(spec) | Routine::ConvPoolWeightGradient(spec) => {
            let relu = if spec.relu { ", and none of those below 0" } else { "" };
            format!("sparse: one element of {} has gradient{relu}", spec.taps())
        }
        Routine::Winograd(conv) => in_winograd(conv),
        Routine::WinogradWeights { .. } => "once per step, for all examples".to_string(),
        Routine::TurnedWeights(_) => "once per step, so that rows of weights are contiguous".to_string(),
    }
}

fn in_winograd(conv: &Conv) -> String {
    let [rows, columns] = conv.window.kernel;
    format!("Winograd: {} products for {}", winograd::places(conv), 4 * rows * columns)
}

fn fused(spec: &ConvPool) -> String {
    let relu = if spec.relu { ", ReLU" } else { "" };
    let [h, w] = spec.pool;
    format!("fused with bias{relu} and {h}x{w} maximum")
}
