//! Bias and ReLU behind a convolution are done to its results before they are stored, where a loop nest does nothing else.

use super::merge::reads;
use crate::ir::Level;
use crate::ir::kernel::{Conv, Leaf, Scalar};
use crate::ir::plan::{
    Buffer, BufferId, Extent, Instr, LeafCall, Nest, PlannedKernel, Routine, Work, WriteMode,
};

/// Joins such nests with their convolutions; `kept` are the buffers that are read after the step.
pub fn join(mut kernels: Vec<PlannedKernel>, buffers: &[Buffer], kept: &[BufferId]) -> Vec<PlannedKernel> {
    let mut readers = vec![Vec::new(); buffers.len()];
    for (at, kernel) in kernels.iter().enumerate() {
        reads(kernel).iter().for_each(|b| readers[b.0 as usize].push(at));
    }
    // What is a part of another buffer, or has parts, may be read through those.
    let mut in_parts = vec![false; buffers.len()];
    for (part, buffer) in buffers.iter().enumerate() {
        if let Some((of, _)) = buffer.within {
            in_parts[part] = true;
            in_parts[of.0 as usize] = true;
        }
    }
    let alone = |b: BufferId| !in_parts[b.0 as usize];
    let mut gone = vec![false; kernels.len()];
    for at in 0..kernels.len() {
        let Some((conv, winograd)) = convolution(&kernels[at]) else { continue };
        let Work::Leaf(LeafCall { inputs, outputs, .. }) = &kernels[at].work else { continue };
        let (result, [reader]) = (outputs[0], readers[outputs[0].0 as usize].as_slice()) else { continue };
        let Work::Nest(nest) = &kernels[*reader].work else { continue };
        let Some(Found { bias, relu, output }) = bias_and_relu(nest, result, conv, buffers) else { continue };
        if kept.contains(&result) || !alone(result) || !alone(output) {
            continue;
        }
        let inputs = inputs.iter().copied().chain([bias]).collect();
        let routine = Routine::BiasedConv { conv: *conv, winograd, relu };
        let call = LeafCall { routine, inputs, outputs: vec![output], mode: WriteMode::Overwrite };
        let (first, second) = (&kernels[at], &kernels[*reader]);
        // It runs where the nest ran: there the bias is known.
        kernels[*reader] = PlannedKernel {
            work: Work::Leaf(call),
            nodes: first.nodes.iter().chain(&second.nodes).copied().collect(),
            span: first.span,
            name: format!("{} {}", first.name, second.name),
            flops: first.flops + second.flops,
            dense: first.dense + second.dense,
            choice: format!("fused with bias{}; {}", if relu { ", ReLU" } else { "" }, first.choice),
        };
        gone[at] = true;
    }
    kernels.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(kernel, _)| kernel).collect()
}

/// A convolution, and whether it is in Winograd's form.
fn convolution(kernel: &PlannedKernel) -> Option<(&Conv, bool)> {
    let Work::Leaf(LeafCall { routine, mode: WriteMode::Overwrite, .. }) = &kernel.work else { return None };
    match routine {
        Routine::Leaf(Leaf::Conv(conv)) => Some((conv, false)),
        Routine::Winograd(conv) => Some((conv, true)),
        Routine::Leaf(_)
        | Routine::BiasedConv { .. }
        | Routine::ConvPoolForward { .. }
        | Routine::ConvPoolInputGradient(_)
        | Routine::ConvPoolWeightGradient(_)
        | Routine::LumpedConvInput { .. }
        | Routine::WinogradWeights { .. }
        | Routine::TurnedWeights(_) => None,
    }
}

struct Found {
    bias: BufferId,
    relu: bool,
    output: BufferId,
}

/// What the nest does, if that is to add a number of each channel to every result, and to take ReLU or not.
fn bias_and_relu(nest: &Nest, result: BufferId, conv: &Conv, buffers: &[Buffer]) -> Option<Found> {
    let ([store], 0) = (nest.stores.as_slice(), nest.reduced) else { return None };
    let (value, relu) = match &nest.body[store.value] {
        Instr::Apply(Scalar::Max, args) => {
            let zero = |i: &usize| matches!(nest.body[*i], Instr::Const(x) if x.to_bits() == 0);
            let at = args.iter().position(zero)?;
            (args[1 - at], true)
        }
        _ => (store.value, false),
    };
    let Instr::Apply(Scalar::Add, args) = &nest.body[value] else { return None };
    let load = |i: usize| match nest.body[i] {
        Instr::Load(load) if !nest.loads[load].sum_slots => Some(&nest.loads[load].access),
        _ => None,
    };
    let (first, second) = (load(args[0])?, load(args[1])?);
    let (x, bias) = if first.buffer == result { (first, second) } else { (second, first) };
    // Every result, where it stood.
    let extents = |dim: &Extent| match dim {
        Extent::Const(n) | Extent::Examples(n) => *n,
    };
    let elements = |b: BufferId| buffers[b.0 as usize].ty.shape.elements();
    let all = nest.dims.iter().map(extents).product::<usize>();
    let same = x.buffer == result
        && (x.offset, store.access.offset, store.mode) == (0, 0, WriteMode::Overwrite)
        && x.strides == store.access.strides
        && all == conv.output_elements()
        && all == elements(store.access.buffer)
        && buffers[result.0 as usize].level == buffers[store.access.buffer.0 as usize].level;
    let channel = |(dim, stride): (&Extent, &i64)| {
        *dim == Extent::Const(conv.out_channels) && conv.out_channels > 1 && *stride == 1
    };
    let by_channel = nest.dims.iter().zip(&x.strides).map(|pair| i64::from(channel(pair)));
    let of_channels = buffers[bias.buffer.0 as usize].level == Level::Once
        && bias.offset == 0
        && elements(bias.buffer) == conv.out_channels
        && bias.strides.iter().copied().eq(by_channel)
        && bias.strides.contains(&1);
    (same && of_channels).then_some(Found { bias: bias.buffer, relu, output: store.access.buffer })
}
