//! The kernels with every access checked beforehand and the instruction set chosen: for tests.

use super::conv::{self, Batch, Conv, Window};
use super::isa::Isa;
use super::lumps::{self, Over};
use super::scratch::Scratch;
use super::{conv_gradient, pool, rows, winograd, winograd_plain, winograd_weights};

fn check_window(window: &Window) {
    let positive = [window.input, window.output, window.kernel, window.stride, window.dilation];
    assert!(positive.iter().flatten().all(|x| *x > 0) && window.channels > 0);
}

pub(super) fn check_conv(conv: &Conv) {
    check_window(&conv.window);
    assert!(
        conv.window.channels.is_multiple_of(conv.groups) && conv.out_channels.is_multiple_of(conv.groups)
    );
}

/// The examples as a pointer, if all of them are inside and none overlaps the next.
pub(super) fn reads(batch: Batch<&[f32]>, examples: usize, elements: usize) -> Batch<*const f32> {
    assert!(examples == 0 || (examples - 1) * batch.stride + elements <= batch.start.len());
    Batch { start: batch.start.as_ptr(), stride: batch.stride }
}

/// As [`reads`], for a result.
pub(super) fn writes(batch: Batch<&mut [f32]>, examples: usize, elements: usize) -> Batch<*mut f32> {
    assert!(examples == 0 || (examples - 1) * batch.stride + elements <= batch.start.len());
    assert!(batch.stride >= elements);
    Batch { start: batch.start.as_mut_ptr(), stride: batch.stride }
}

/// [`conv::forward`] alone.
pub fn conv_forward(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    x: Batch<&[f32]>,
    w: &[f32],
    y: Batch<&mut [f32]>,
    scratch: &mut Scratch,
) {
    conv_forward_with(isa, conv, examples, x, w, y, None, false, scratch);
}

/// [`conv::forward`], with a bias and ReLU or without.
#[allow(clippy::too_many_arguments)]
pub fn conv_forward_with(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    x: Batch<&[f32]>,
    w: &[f32],
    y: Batch<&mut [f32]>,
    bias: Option<&[f32]>,
    relu: bool,
    scratch: &mut Scratch,
) {
    check_conv(conv);
    assert!(w.len() >= conv.weight_elements());
    assert!(bias.is_none_or(|bias| bias.len() >= conv.out_channels));
    let x = reads(x, examples, conv.window.input_elements());
    let y = writes(y, examples, conv.output_elements());
    let epilogue = conv::Epilogue { bias: bias.map(<[f32]>::as_ptr), relu };
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { conv::forward_on(isa, conv, examples, x, w.as_ptr(), y, epilogue, scratch) }
}

/// [`winograd_plain::forward`], from the weights as they are.
#[allow(clippy::too_many_arguments)]
pub fn conv_forward_in_winograd(
    isa: Isa,
    conv: &Conv,
    turned: bool,
    examples: usize,
    x: Batch<&[f32]>,
    w: &[f32],
    y: Batch<&mut [f32]>,
    bias: Option<&[f32]>,
    relu: bool,
    scratch: &mut Scratch,
) {
    check_conv(conv);
    assert!(winograd::has_form(conv) && w.len() >= conv.weight_elements());
    assert!(bias.is_none_or(|bias| bias.len() >= conv.out_channels));
    let epilogue = conv::Epilogue { bias: bias.map(<[f32]>::as_ptr), relu };
    let x = reads(x, examples, conv.window.input_elements());
    let y = writes(y, examples, conv.output_elements());
    let mut weights = vec![0.0; winograd::weights_elements(conv)];
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe {
        winograd::prepare_weights_on(isa, conv, turned, w.as_ptr(), weights.as_mut_ptr(), scratch);
        winograd_plain::forward_on(isa, conv, examples, x, weights.as_ptr(), y, epilogue, scratch);
    }
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
    unsafe { conv_gradient::input_gradient_on(isa, conv, examples, g, w.as_ptr(), dx, None, scratch) }
}

/// [`conv::lumped_input_gradient`]
#[allow(clippy::too_many_arguments)]
pub fn conv_lumped_input_gradient(
    isa: Isa,
    conv: &Conv,
    examples: usize,
    g: Batch<&[f32]>,
    w: &[f32],
    dx: Batch<&mut [f32]>,
    (layer, images): (&Conv, Batch<&[f32]>),
    scratch: &mut Scratch,
) {
    check_conv(conv);
    check_conv(layer);
    assert!(lumps::applies(conv, layer) && w.len() >= conv.weight_elements());
    let g = reads(g, examples, conv.output_elements());
    let dx = writes(dx, examples, conv.window.input_elements());
    let over = Over { images: reads(images, examples, layer.window.input_elements()), layer };
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { conv_gradient::input_gradient_on(isa, conv, examples, g, w.as_ptr(), dx, Some(over), scratch) }
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
    unsafe {
        conv_gradient::weight_gradient_on(isa, conv, examples, x, g, dw.as_mut_ptr(), accumulate, scratch)
    }
}

/// [`winograd_weights::weight_gradient`]
#[allow(clippy::too_many_arguments)]
pub fn conv_weight_gradient_in_winograd(
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
    assert!(winograd::has_form(conv) && dw.len() >= conv.weight_elements());
    let x = reads(x, examples, conv.window.input_elements());
    let g = reads(g, examples, conv.output_elements());
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe {
        winograd_weights::weight_gradient_on(isa, conv, examples, x, g, dw.as_mut_ptr(), accumulate, scratch);
    }
}

/// [`pool::max_pool`] or, with `sum`, [`pool::sum_pool`].
pub fn pool(isa: Isa, w: &Window, sum: bool, examples: usize, x: Batch<&[f32]>, y: Batch<&mut [f32]>) {
    check_window(w);
    let x = reads(x, examples, w.input_elements());
    let y = writes(y, examples, w.windows() * w.channels);
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe {
        if sum {
            pool::sum_pool(isa, w, examples, x, y);
        } else {
            pool::max_pool(isa, w, examples, x, y);
        }
    }
}

/// [`pool::max_pool_gradient`]
pub fn max_pool_gradient(
    isa: Isa,
    w: &Window,
    examples: usize,
    x: Batch<&[f32]>,
    g: Batch<&[f32]>,
    dx: Batch<&mut [f32]>,
) {
    check_window(w);
    let x = reads(x, examples, w.input_elements());
    let g = reads(g, examples, w.windows() * w.channels);
    let dx = writes(dx, examples, w.input_elements());
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { pool::max_pool_gradient(isa, w, examples, x, g, dx) }
}

/// [`pool::max_pool_pick`]
pub fn max_pool_pick(
    isa: Isa,
    w: &Window,
    examples: usize,
    x: Batch<&[f32]>,
    v: Batch<&[f32]>,
    y: Batch<&mut [f32]>,
) {
    check_window(w);
    let x = reads(x, examples, w.input_elements());
    let v = reads(v, examples, w.input_elements());
    let y = writes(y, examples, w.windows() * w.channels);
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { pool::max_pool_pick(isa, w, examples, x, v, y) }
}

/// [`pool::sum_pool_gradient`]
pub fn sum_pool_gradient(isa: Isa, w: &Window, examples: usize, g: Batch<&[f32]>, dx: Batch<&mut [f32]>) {
    check_window(w);
    let g = reads(g, examples, w.windows() * w.channels);
    let dx = writes(dx, examples, w.input_elements());
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { pool::sum_pool_gradient(isa, w, examples, g, dx) }
}

/// [`rows::arg_extreme`]
pub fn arg_extreme([outer, n, inner]: [usize; 3], min: bool, x: &[f32], out: &mut [i32]) {
    assert!(x.len() >= outer * n * inner && out.len() >= outer * inner);
    // SAFETY: both are as long as they must be.
    unsafe { rows::arg_extreme(outer, n, inner, min, x.as_ptr(), out.as_mut_ptr()) }
}

/// [`rows::gather`]
pub fn gather(width: usize, table: &[f32], index: &[i32], out: &mut [f32]) {
    assert!(table.len() >= width && out.len() >= index.len() * width);
    let (table_at, to) = (table.as_ptr(), out.as_mut_ptr());
    // SAFETY: the table has at least one row, and the result one for each index.
    unsafe { rows::gather(table.len() / width, width, index.len(), table_at, index.as_ptr(), to) }
}

/// [`rows::scatter_add`]
pub fn scatter_add(width: usize, index: &[i32], values: &[f32], out: &mut [f32]) {
    assert!(out.len() >= width && values.len() >= index.len() * width);
    let (from, to) = (values.as_ptr(), out.as_mut_ptr());
    // SAFETY: the result has at least one row, and the values one for each index.
    unsafe { rows::scatter_add(out.len() / width, width, index.len(), index.as_ptr(), from, to) }
}
