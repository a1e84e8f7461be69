//! The kernels with every access checked beforehand and the instruction set chosen: for tests.

use super::conv::{self, Batch, Conv, Window};
use super::isa::Isa;
use super::scratch::Scratch;

fn check_window(window: &Window) {
    let positive = [window.input, window.output, window.kernel, window.stride, window.dilation];
    assert!(positive.iter().flatten().all(|x| *x > 0) && window.channels > 0);
}

fn check_conv(conv: &Conv) {
    check_window(&conv.window);
    assert!(
        conv.window.channels.is_multiple_of(conv.groups) && conv.out_channels.is_multiple_of(conv.groups)
    );
}

/// The examples as a pointer, if all of them are inside and none overlaps the next.
fn reads(batch: Batch<&[f32]>, examples: usize, elements: usize) -> Batch<*const f32> {
    assert!(examples == 0 || (examples - 1) * batch.stride + elements <= batch.start.len());
    Batch { start: batch.start.as_ptr(), stride: batch.stride }
}

/// As [`reads`], for a result.
fn writes(batch: Batch<&mut [f32]>, examples: usize, elements: usize) -> Batch<*mut f32> {
    assert!(examples == 0 || (examples - 1) * batch.stride + elements <= batch.start.len());
    assert!(batch.stride >= elements);
    Batch { start: batch.start.as_mut_ptr(), stride: batch.stride }
}

/// [`conv::forward`]
pub fn conv_forward(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    x: Batch<&[f32]>,
    w: &[f32],
    y: Batch<&mut [f32]>,
    scratch: &mut Scratch,
) {
    check_conv(conv);
    assert!(w.len() >= conv.weight_elements());
    let x = reads(x, examples, conv.window.input_elements());
    let y = writes(y, examples, conv.output_elements());
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { conv::forward_on(isa, conv, examples, x, w.as_ptr(), y, scratch) }
}

/// [`conv::input_gradient`]
pub fn conv_input_gradient(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    g: Batch<&[f32]>,
    w: &[f32],
    dx: Batch<&mut [f32]>,
    scratch: &mut Scratch,
) {
    check_conv(conv);
    assert!(w.len() >= conv.weight_elements());
    let g = reads(g, examples, conv.output_elements());
    let dx = writes(dx, examples, conv.window.input_elements());
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { conv::input_gradient_on(isa, conv, examples, g, w.as_ptr(), dx, scratch) }
}

/// [`conv::weight_gradient`]
#[allow(clippy::too_many_arguments)]
pub fn conv_weight_gradient(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    x: Batch<&[f32]>,
    g: Batch<&[f32]>,
    dw: &mut [f32],
    accumulate: bool,
    scratch: &mut Scratch,
) {
    check_conv(conv);
    assert!(dw.len() >= conv.weight_elements());
    let x = reads(x, examples, conv.window.input_elements());
    let g = reads(g, examples, conv.output_elements());
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { conv::weight_gradient_on(isa, conv, examples, x, g, dw.as_mut_ptr(), accumulate, scratch) }
}
