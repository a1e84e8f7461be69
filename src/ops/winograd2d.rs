//! `winograd2d`: `conv2d`, or the gradient of its image, in Winograd's form, and `winograd2d_weight_grad`: that of its
//! weights; made by a pass where they are faster.

use super::common::need_f32;
use super::conv2d::{conv_of, for_each_product, known, weight_gradient, weights_type};
use super::window::{HIGH, LOW, Windows, image, image_shape, pair, signed};
use crate::ir::kernel::{Conv, Leaf};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::Type;

/// A convolution without strides and gaps of the image `x[h, w, cin]`. Weights are `w[kh, kw, cin, cout]`, or if
/// `turned` `w[kh, kw, cout, cin]`, used from the last tap to the first.
pub fn winograd2d(b: &mut Builder, [x, w]: [NodeId; 2], conv: &Conv, turned: bool) -> NodeId {
    b.add(&OP, &[x, w], attrs(conv.window.pad, high(conv)).flag("turned", turned))
}

/// The gradient of the weights `[kh, kw, cin, cout]` of a convolution without strides and gaps, from its image and the
/// gradient of its result.
pub fn winograd2d_weight_grad(b: &mut Builder, [x, g]: [NodeId; 2], conv: &Conv) -> NodeId {
    b.add(&WEIGHT_GRAD, &[x, g], attrs(conv.window.pad, high(conv)))
}

/// The padding behind the image.
fn high(conv: &Conv) -> [i64; 2] {
    let w = &conv.window;
    [0, 1].map(|d| (w.output[d] + w.kernel[d]) as i64 - 1 - (w.input[d] + w.pad[d]) as i64)
}

fn attrs(low: [usize; 2], high: [i64; 2]) -> Attrs {
    Attrs::none().sizes("low", &low).ints("high", high)
}

fn conv(sig: &Signature) -> Result<Conv, Mismatch> {
    need_f32(sig, 1)?;
    let (input, channels) = image(sig, 0)?;
    let [kh, kw, cin, cout] = sig.inputs[1].shape[..] else {
        let message =
            format!("weights [rows, columns, channels, channels] are needed here, not {}", sig.inputs[1]);
        return Err(Mismatch::of(&[1], message));
    };
    let [cin, cout] = if sig.attrs.get_bool("turned") { [cout, cin] } else { [cin, cout] };
    if cin != channels {
        return Err(Mismatch::of(
            &[1, 0],
            format!("the image has {channels} channels, the weights take {cin}"),
        ));
    }
    with_form(sig, input, channels, [kh, kw], cout)
}

fn conv_of_weight_grad(sig: &Signature) -> Result<Conv, Mismatch> {
    let ((input, channels), (output, cout)) = (image(sig, 0)?, image(sig, 1)?);
    let (low, high) = (pair(sig.attrs, "low", 0)?, signed(sig.attrs, "high")?);
    let mut kernel = [0; 2];
    for d in 0..2 {
        let size = (input[d] + low[d] + 1) as i64 + high[d] - output[d] as i64;
        kernel[d] = usize::try_from(size).unwrap_or(0);
    }
    with_form(sig, input, channels, kernel, cout)
}

/// The convolution with windows of this size, if it has the form.
fn with_form(
    sig: &Signature,
    input: [usize; 2],
    channels: usize,
    kernel: [usize; 2],
    out_channels: usize,
) -> Result<Conv, Mismatch> {
    let [kh, kw] = kernel;
    if kh != kw || ![3, 5].contains(&kh) {
        return Err(Mismatch::of(&[1], format!("windows of {kh}x{kw} do not have this form")));
    }
    let plain = Attrs::none().sizes("stride", &[1, 1]).sizes("dilation", &[1, 1]);
    let padded = ["low", "high"].iter().fold(plain, |attrs, name| match sig.attrs.get(name) {
        Some(value) => attrs.with(name, value.clone()),
        None => attrs,
    });
    let window = Windows::read(&padded)?.over(input, channels, kernel)?;
    Ok(Conv { window, out_channels, groups: 1 })
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let conv = conv(sig)?;
    Ok(Type::f32(image_shape(conv.window.output, conv.out_channels)?))
}

fn weight_grad_shape(sig: &Signature) -> Result<Type, Mismatch> {
    weights_type(&conv_of_weight_grad(sig)?)
}

fn weight_grad_reference(call: &RefCall) -> Array {
    weight_gradient(&conv_of(conv_of_weight_grad, call), call)
}

fn reference(call: &RefCall) -> Array {
    let conv = conv_of(conv, call);
    let (x, w) = (&call.inputs[0].data, &call.inputs[1].data);
    let (cin, cout) = (conv.window.channels, conv.out_channels);
    let last = conv.window.kernel[0] * conv.window.kernel[1] - 1;
    let turned = call.attrs.get_bool("turned");
    let weight = |k: usize| {
        let (tap, channel, out) = (k / (cin * cout), k / cout % cin, k % cout);
        if turned { ((last - tap) * cout + out) * cin + channel } else { k }
    };
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for_each_product(&conv, |o, i, k| result.data[o] += x[i] * w[weight(k)]);
    result
}

/// Images, channels, windows and padding before and behind.
type Sample = ([usize; 2], [usize; 2], usize, [usize; 2], [i64; 2]);

const SAMPLES: [Sample; 7] = [
    ([3, 3], [1, 1], 3, [0, 0], [0, 0]),
    ([4, 7], [3, 17], 3, [1, 1], [1, 1]),
    ([6, 5], [17, 4], 3, [2, 0], [0, 2]),
    ([8, 8], [16, 33], 3, [1, 1], [1, 1]),
    ([9, 6], [2, 3], 3, [1, 1], [-1, 0]),
    ([6, 9], [3, 8], 5, [2, 2], [2, 2]),
    ([5, 8], [4, 2], 5, [0, 0], [0, 0]),
];

fn weight_grad_cases() -> Vec<Case> {
    let case = |([h, w], [cin, cout], kernel, low, high): Sample| {
        let behind = |d: usize| [h, w][d] as i64 + low[d] as i64 + high[d] - kernel as i64 + 1;
        let [oh, ow] = [0, 1].map(|d| behind(d) as usize);
        let case = Case::f32(&[&[h, w, cin], &[oh, ow, cout]], attrs(low, high));
        case.tolerance(5e-5).not_differentiable()
    };
    SAMPLES.into_iter().map(case).collect()
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, (image, [cin, cout], kernel, low, high)) in SAMPLES.into_iter().enumerate() {
        for turned in [false, true] {
            let [a, b] = if turned { [cout, cin] } else { [cin, cout] };
            let attrs = attrs(low, high).flag("turned", turned);
            let case = Case::f32(&[&[image[0], image[1], cin], &[kernel, kernel, a, b]], attrs);
            let case = case.tolerance(5e-5).not_differentiable();
            cases.push(if i % 3 == 0 { case } else { case.levels(&[Level::Each, Level::Once]) });
        }
    }
    cases
}

/// The record.
pub static OP: Op = Op {
    name: "winograd2d",
    doc: "A convolution without strides and gaps, with fewer products.\n\n\
          `x: f32[h, w, cin], w: f32[k, k, cin, cout] -> f32[oh, ow, cout]`, with `k` 3 or 5\n\n\
          Made by the compiler of `conv2d` and of its image's gradient, for which weights are `turned`: \
          `[k, k, cout, cin]`, used from the last tap to the first.\n\n\
          Example: `winograd2d([[[1], [2]]], [[[[0]], [[0]], [[0]]], [[[1]], [[2]], [[3]]], [[[0]], [[0]], \
          [[0]]]], low: [1, 1], high: [1, 1], turned: false) = [[[8], [5]]]`\n\n\
          Source: Lavin and Gray, Fast algorithms for convolutional neural networks, 2016.",
    attrs: &[
        LOW,
        HIGH,
        AttrSpec {
            name: "turned",
            kind: AttrKind::Bool,
            doc: "whether the weights are those of the convolution of which this is the image's gradient",
        },
    ],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape,
    grad: Grad::Late,
    lower: Lower::Kernel(|sig, _| {
        Kernel::Leaf(Leaf::Winograd { conv: known(conv, sig), turned: sig.attrs.get_bool("turned") })
    }),
    reference,
    cases,
};

/// The record of `winograd2d_weight_grad`.
pub static WEIGHT_GRAD: Op = Op {
    name: "winograd2d_weight_grad",
    doc: "The gradient of the weights of a convolution without strides and gaps, with fewer products.\n\n\
          `x: f32[h, w, cin], g: f32[oh, ow, cout] -> f32[k, k, cin, cout]`, with `k` 3 or 5\n\n\
          Made by the compiler of `conv2d_weight_grad`.\n\n\
          Example: `winograd2d_weight_grad([[[1], [2]]], [[[1], [10]]], low: [1, 1], high: [1, 1]) = [[[[0]], [[0]], [[0]]], \
          [[[10]], [[21]], [[2]]], [[[0]], [[0]], [[0]]]]`\n\n\
          Source: Lavin and Gray, Fast algorithms for convolutional neural networks, 2016.",
    attrs: &[LOW, HIGH],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: weight_grad_shape,
    grad: Grad::Late,
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::WinogradWeight(known(conv_of_weight_grad, sig)))),
    reference: weight_grad_reference,
    cases: weight_grad_cases,
};
