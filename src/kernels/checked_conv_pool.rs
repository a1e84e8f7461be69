//! The kernels of [`super::conv_pool`] with every access checked beforehand and the instruction set
//! chosen: for tests.

use super::checked::{check_conv, reads, writes};
use super::conv::Batch;
use super::conv_pool::{ConvPool, MAX_TAPS, NONE, forward_on, input_weights_elements, prepare_input_weights};
use super::conv_pool_gradient::{input_gradient_on, weight_gradient_on};
use super::isa::Isa;
use super::scratch::Scratch;
use super::winograd;

pub(super) fn check_shape(shape: &ConvPool) {
    check_conv(&shape.conv);
    assert!(shape.supported() && shape.taps() <= MAX_TAPS && shape.pooled.iter().all(|x| *x > 0));
}

/// What the bytes must be for offsets to stay inside.
fn taps<'a>(shape: &ConvPool, examples: usize, which: Batch<&'a [u8]>) -> Batch<*const u8> {
    let elements = shape.pooled_elements();
    assert!(examples == 0 || (examples - 1) * which.stride + elements <= which.start.len());
    for example in 0..examples {
        let which: &'a [u8] = &which.start[example * which.stride..][..elements];
        assert!(which.iter().all(|tap| *tap == NONE || usize::from(*tap) < shape.taps()));
    }
    Batch { start: which.start.as_ptr(), stride: which.stride }
}

/// The places for `which`, checked.
pub(super) fn places(shape: &ConvPool, examples: usize, which: Batch<&mut [u8]>) -> Batch<*mut u8> {
    let elements = shape.pooled_elements();
    assert!(examples == 0 || (examples - 1) * which.stride + elements <= which.start.len());
    assert!(which.stride >= elements);
    Batch { start: which.start.as_mut_ptr(), stride: which.stride }
}

/// A bias or none, checked.
pub(super) fn bias_of(shape: &ConvPool, bias: Option<&[f32]>) -> *const f32 {
    bias.map_or(std::ptr::null(), |bias| {
        assert!(bias.len() >= shape.conv.out_channels);
        bias.as_ptr()
    })
}

/// [`super::conv_pool::forward`]
#[allow(clippy::too_many_arguments)]
pub fn forward(
    isa: Isa,
    shape: &ConvPool,
    examples: usize,
    x: Batch<&[f32]>,
    w: &[f32],
    bias: Option<&[f32]>,
    y: Batch<&mut [f32]>,
    which: Batch<&mut [u8]>,
    scratch: &mut Scratch,
) {
    check_shape(shape);
    assert!(w.len() >= shape.conv.weight_elements());
    let x = reads(x, examples, shape.conv.window.input_elements());
    let y = writes(y, examples, shape.pooled_elements());
    let which = places(shape, examples, which);
    let bias = bias_of(shape, bias);
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe { forward_on(isa, shape, examples, x, w.as_ptr(), bias, y, which, scratch) }
}

/// [`super::conv_pool::weight_gradient`]
#[allow(clippy::too_many_arguments)]
pub fn weight_gradient(
    isa: Isa,
    shape: &ConvPool,
    examples: usize,
    x: Batch<&[f32]>,
    g: Batch<&[f32]>,
    which: Batch<&[u8]>,
    dw: &mut [f32],
    dbias: Option<&mut [f32]>,
    accumulate: bool,
    scratch: &mut Scratch,
) {
    check_shape(shape);
    assert!(dw.len() >= shape.conv.weight_elements());
    let x = reads(x, examples, shape.conv.window.input_elements());
    let g = reads(g, examples, shape.pooled_elements());
    let which = taps(shape, examples, which);
    let dbias = dbias.map_or(std::ptr::null_mut(), |dbias| {
        assert!(dbias.len() >= shape.conv.out_channels);
        dbias.as_mut_ptr()
    });
    let dw = dw.as_mut_ptr();
    // SAFETY: all operands are as long as they must be, references do not overlap, and taps exist.
    unsafe { weight_gradient_on(isa, shape, examples, x, g, which, dw, dbias, accumulate, scratch) }
}

/// [`super::conv_pool::input_gradient`], with the weights as they are.
#[allow(clippy::too_many_arguments)]
pub fn input_gradient(
    isa: Isa,
    shape: &ConvPool,
    examples: usize,
    g: Batch<&[f32]>,
    which: Batch<&[u8]>,
    w: &[f32],
    dx: Batch<&mut [f32]>,
    scratch: &mut Scratch,
) {
    check_shape(shape);
    assert!(w.len() >= shape.conv.weight_elements());
    let g = reads(g, examples, shape.pooled_elements());
    let which = taps(shape, examples, which);
    let dx = writes(dx, examples, shape.conv.window.input_elements());
    let mut weights = vec![0.0; input_weights_elements(shape)];
    // SAFETY: all operands are as long as they must be, references do not overlap, and taps exist.
    unsafe {
        prepare_input_weights(shape, w.as_ptr(), weights.as_mut_ptr());
        input_gradient_on(isa, shape, examples, g, which, weights.as_ptr(), dx, scratch);
    }
}

/// [`winograd::forward`], with the weights as they are.
#[allow(clippy::too_many_arguments)]
pub fn winograd_forward(
    isa: Isa,
    shape: &ConvPool,
    examples: usize,
    x: Batch<&[f32]>,
    w: &[f32],
    bias: Option<&[f32]>,
    y: Batch<&mut [f32]>,
    which: Batch<&mut [u8]>,
    scratch: &mut Scratch,
) {
    check_shape(shape);
    assert!(winograd::applies(shape) && w.len() >= shape.conv.weight_elements());
    let x = reads(x, examples, shape.conv.window.input_elements());
    let y = writes(y, examples, shape.pooled_elements());
    let which = places(shape, examples, which);
    let bias = bias_of(shape, bias);
    let mut weights = vec![0.0; winograd::weights_elements(&shape.conv)];
    // SAFETY: all operands are as long as they must be, and references do not overlap.
    unsafe {
        winograd::prepare_weights_on(isa, &shape.conv, false, w.as_ptr(), weights.as_mut_ptr(), scratch);
        winograd::forward_on(isa, shape, examples, x, weights.as_ptr(), bias, y, which, scratch);
    }
}
