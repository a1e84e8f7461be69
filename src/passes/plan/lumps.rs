//! Gradients of pixels of which only the sum counts (`kernels/lumps.rs`): those of the result of a layer over images that
//! may hold nothing but zeros in places, where all that reads them is the gradient of that layer's weights and sums over
//! pixels, perhaps behind what is the same for all such pixels.

use super::merge::{reads, writes};
use crate::ir::kernel::{Combine, Conv, Leaf, Scalar};
use crate::ir::plan::{
    Access, Buffer, BufferId, Extent, Instr, LeafCall, Nest, PlannedKernel, Routine, Work, WriteMode,
};
use crate::kernels::lumps;

/// A layer that reads some images.
#[derive(Clone, Copy, PartialEq)]
struct Layer {
    images: BufferId,
    conv: Conv,
}

/// Tells such kernels; `kept` are the buffers that are read after the step.
pub fn find(kernels: &mut [PlannedKernel], buffers: &[Buffer], kept: &[BufferId]) {
    let (mut readers, mut writers) = (vec![Vec::new(); buffers.len()], vec![Vec::new(); buffers.len()]);
    for (at, kernel) in kernels.iter().enumerate() {
        reads(kernel).iter().for_each(|b| readers[b.0 as usize].push(at));
        writes(kernel).iter().for_each(|b| writers[b.0 as usize].push(at));
    }
    let mut elsewhere = vec![false; buffers.len()];
    kept.iter().for_each(|b| elsewhere[b.0 as usize] = true);
    for (part, buffer) in buffers.iter().enumerate() {
        if let Some((of, _)) = buffer.within {
            elsewhere[part] = true;
            elsewhere[of.0 as usize] = true;
        }
    }
    for at in 0..kernels.len() {
        let Work::Leaf(LeafCall { routine, outputs, mode: WriteMode::Overwrite, .. }) = &kernels[at].work
        else {
            continue;
        };
        let Routine::Leaf(Leaf::ConvInput(conv)) = *routine else { continue };
        let graph = Graph { kernels, buffers, readers: &readers, writers: &writers, elsewhere: &elsewhere };
        let Some(Layer { images, conv: layer }) = graph.layer(outputs[0]) else { continue };
        if let (true, Work::Leaf(call)) = (lumps::applies(&conv, &layer), &mut kernels[at].work) {
            call.routine = Routine::LumpedConvInput { conv, layer };
            call.inputs.push(images);
            let sum = "pixels that come of nothing but zeros of the images get only their sum";
            kernels[at].choice = format!("dense, without im2col; {sum}");
        }
    }
}

/// Kernels and who reads and writes each buffer.
struct Graph<'a> {
    kernels: &'a [PlannedKernel],
    buffers: &'a [Buffer],
    readers: &'a [Vec<usize>],
    writers: &'a [Vec<usize>],
    /// Buffers that are also read after the step, or through others.
    elsewhere: &'a [bool],
}

impl Graph<'_> {
    /// The layer whose result this is the gradient of, if only sums over its pixels count.
    fn layer(&self, gradient: BufferId) -> Option<Layer> {
        let [reader] = self.of(gradient)? else { return self.sums(gradient) };
        let Work::Nest(nest) = &self.kernels[*reader].work else { return self.sums(gradient) };
        let ([store], 0) = (nest.stores.as_slice(), nest.reduced) else { return None };
        let layer = self.sums(store.access.buffer)?;
        let place = &store.access;
        let stands = |access: &Access| (access.offset, &access.strides) == (place.offset, &place.strides);
        let alike = nest.loads.iter().all(|load| {
            let of = load.access.buffer;
            !load.sum_slots && stands(&load.access) && (of == gradient || self.results(of, &layer))
        });
        (alike && linear(nest, store.value, gradient) && store.mode == WriteMode::Overwrite).then_some(layer)
    }

    /// Who reads a buffer, if nobody else does.
    fn of(&self, buffer: BufferId) -> Option<&[usize]> {
        let at = buffer.0 as usize;
        (!self.elsewhere[at]).then_some(self.readers[at].as_slice())
    }

    /// The layer, if all that reads the gradient are that of its weights and sums over all pixels.
    fn sums(&self, gradient: BufferId) -> Option<Layer> {
        let mut layer = None;
        for reader in self.of(gradient)? {
            match &self.kernels[*reader].work {
                Work::Leaf(LeafCall { routine, inputs, .. })
                    if inputs[0] != gradient && inputs[1..] == [gradient] =>
                {
                    let Routine::Leaf(Leaf::ConvWeight(conv)) = *routine else { return None };
                    let this = Layer { images: inputs[0], conv };
                    if *layer.get_or_insert(this) != this {
                        return None;
                    }
                }
                Work::Nest(nest) if sums_pixels(nest, self.buffers, gradient) => {}
                Work::Leaf(_) | Work::Nest(_) | Work::Gemm(_) | Work::Loop(_) => return None,
            }
        }
        layer
    }

    /// Whether the buffer holds the results of the layer, which are the same over all zeros.
    fn results(&self, buffer: BufferId, layer: &Layer) -> bool {
        let [writer] = self.writers[buffer.0 as usize][..] else { return false };
        let Work::Leaf(LeafCall { routine, inputs, .. }) = &self.kernels[writer].work else { return false };
        let conv = match routine {
            Routine::Leaf(Leaf::Conv(conv)) | Routine::BiasedConv { conv, winograd: false, .. } => conv,
            _ => return false,
        };
        inputs[0] == layer.images && *conv == layer.conv
    }
}

/// Whether a value of a nest is the gradient times what does not depend on it.
fn linear(nest: &Nest, value: usize, gradient: BufferId) -> bool {
    let zero = |at: usize| matches!(nest.body[at], Instr::Const(0.0));
    // For each instruction whether it is (`true`), or does not depend on the gradient (`false`).
    let mut found: Vec<Option<bool>> = Vec::with_capacity(nest.body.len());
    for instr in &nest.body {
        found.push(match instr {
            Instr::Load(load) => Some(nest.loads[*load].access.buffer == gradient),
            Instr::Const(_) => Some(false),
            Instr::Coordinate(_) | Instr::Reduced(..) => None,
            Instr::Apply(scalar, args) => {
                let parts = args.iter().map(|arg| found[*arg]).collect::<Option<Vec<bool>>>();
                parts.and_then(|parts| match (scalar, &parts[..]) {
                    (_, parts) if parts.iter().all(|part| !part) => Some(false),
                    (Scalar::Neg, _) | (Scalar::Mul, [true, false] | [false, true]) => Some(true),
                    (Scalar::Select, [false, yes, no]) => {
                        ((*yes || zero(args[1])) && (*no || zero(args[2]))).then_some(true)
                    }
                    _ => None,
                })
            }
        });
    }
    found[value] == Some(true)
}

/// Whether a nest adds up nothing but this buffer, for each channel over all pixels.
fn sums_pixels(nest: &Nest, buffers: &[Buffer], gradient: BufferId) -> bool {
    let ([load], [store]) = (nest.loads.as_slice(), nest.stores.as_slice()) else { return false };
    let [rows, columns, channels] = buffers[gradient.0 as usize].ty.shape[..] else { return false };
    let sum = match &nest.body[store.value] {
        Instr::Reduced(Combine::Sum, value) => matches!(nest.body[*value], Instr::Load(_)),
        _ => false,
    };
    let (outputs, reduced) = nest.dims.split_at(nest.dims.len() - nest.reduced);
    let (of_outputs, of_reduced) = load.access.strides.split_at(outputs.len());
    let by_channel = outputs.iter().zip(of_outputs).all(|(extent, stride)| match extent {
        Extent::Const(n) => *stride == 1 && *n == channels && channels > 1,
        Extent::Examples(_) => true,
    });
    // Of examples the stride is the buffer's own.
    let pixels = reduced.iter().zip(of_reduced).filter_map(|(extent, stride)| match extent {
        Extent::Const(n) => Some((*n, *stride)),
        Extent::Examples(_) => None,
    });
    let (mut count, mut last) = (1, 0);
    for (n, stride) in pixels {
        count *= n;
        last += (n as i64 - 1) * stride;
    }
    let all = count == rows * columns && last == ((rows * columns - 1) * channels) as i64;
    let whole = load.access.buffer == gradient && load.access.offset == 0 && !load.sum_slots;
    sum && by_channel && all && whole
}
