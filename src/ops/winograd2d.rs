//! `winograd2d`: `conv2d`, or the gradient of its image, in Winograd's form; made by a pass where that is faster.

use super::common::need_f32;
use super::conv2d::for_each_product;
use super::window::{HIGH, LOW, Windows, image, image_shape};
use crate::ir::kernel::{Conv, Leaf};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::kernels::winograd;
use crate::ty::Type;

/// A convolution without strides and gaps of the image `x[h, w, cin]`. Weights are `w[kh, kw, cin, cout]`, or if
/// `turned` `w[kh, kw, cout, cin]`, used from the last tap to the first.
pub fn winograd2d(b: &mut Builder, [x, w]: [NodeId; 2], conv: &Conv, turned: bool) -> NodeId {
    let window = &conv.window;
    let high = [0, 1]
        .map(|d| (window.output[d] + window.kernel[d]) as i64 - 1 - (window.input[d] + window.pad[d]) as i64);
    b.add(&OP, &[x, w], attrs(window.pad, high, turned))
}

fn attrs(low: [usize; 2], high: [i64; 2], turned: bool) -> Attrs {
    Attrs::none().sizes("low", &low).ints("high", high).flag("turned", turned)
}

fn conv(sig: &Signature) -> Result<Conv, Mismatch> {
    need_f32(sig, 1)?;
    let plain = Attrs::none().sizes("stride", &[1, 1]).sizes("dilation", &[1, 1]);
    let padded = ["low", "high"].iter().fold(plain, |attrs, name| match sig.attrs.get(name) {
        Some(value) => attrs.with(name, value.clone()),
        None => attrs,
    });
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
    let window = Windows::read(&padded)?.over(input, channels, [kh, kw])?;
    let conv = Conv { window, out_channels: cout, groups: 1 };
    if !winograd::has_form(&conv) {
        return Err(Mismatch::of(&[1], format!("windows of {kh}x{kw} do not have this form")));
    }
    Ok(conv)
}

/// The convolution of a node that the shape rule has accepted.
fn known(sig: &Signature) -> Conv {
    conv(sig).unwrap_or_else(|bad| unreachable!("the shape rule has accepted this: {}", bad.message))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let conv = conv(sig)?;
    Ok(Type::f32(image_shape(conv.window.output, conv.out_channels)?))
}

fn reference(call: &RefCall) -> Array {
    let types: Vec<Type> = call.inputs.iter().map(|array| Type::f32(array.shape.clone())).collect();
    let conv = known(&Signature { inputs: &types.iter().collect::<Vec<_>>(), attrs: call.attrs });
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

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, (image, [cin, cout], kernel, low, high)) in [
        ([3, 3], [1, 1], 3, [0, 0], [0, 0]),
        ([4, 7], [3, 17], 3, [1, 1], [1, 1]),
        ([6, 5], [17, 4], 3, [2, 0], [0, 2]),
        ([8, 8], [16, 33], 3, [1, 1], [1, 1]),
        ([9, 6], [2, 3], 3, [1, 1], [-1, 0]),
        ([6, 9], [3, 8], 5, [2, 2], [2, 2]),
        ([5, 8], [4, 2], 5, [0, 0], [0, 0]),
    ]
    .into_iter()
    .enumerate()
    {
        for turned in [false, true] {
            let [a, b] = if turned { [cout, cin] } else { [cin, cout] };
            let attrs = attrs(low, high, turned);
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
        Kernel::Leaf(Leaf::Winograd { conv: known(sig), turned: sig.attrs.get_bool("turned") })
    }),
    reference,
    cases,
};
