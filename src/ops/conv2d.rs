//! `conv2d`, `conv2d_input_grad`, `conv2d_weight_grad`: convolution of one image, and its two transposes.
//!
//! Each is linear in both inputs, and the gradients of each are the other two; so derivatives of any order
//! stay within the family.

use super::common::need_f32;
use super::window::{DILATION, HIGH, LOW, STRIDE, Windows, for_each_tap, image, image_shape, pair};
use crate::ir::kernel::{Conv, Leaf};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// The convolution of an image `x[h, w, cin]` with windows `w[kh, kw, cin / groups, cout]`.
pub fn conv2d(b: &mut Builder, x: NodeId, w: NodeId, windows: &Windows, groups: usize) -> NodeId {
    b.add(&OP, &[x, w], windows.attrs().int("groups", groups as i64))
}

/// The gradient of the image `[h, w, cin]` from that of the result and the weights.
pub fn conv2d_input_grad(
    b: &mut Builder,
    g: NodeId,
    w: NodeId,
    windows: &Windows,
    groups: usize,
    size: [usize; 2],
) -> NodeId {
    b.add(&INPUT_GRAD, &[g, w], windows.attrs().int("groups", groups as i64).sizes("size", &size))
}

/// The gradient of the weights `[kh, kw, cin / groups, cout]` from the image and the gradient of the result.
pub fn conv2d_weight_grad(
    b: &mut Builder,
    x: NodeId,
    g: NodeId,
    windows: &Windows,
    groups: usize,
    size: [usize; 2],
) -> NodeId {
    b.add(&WEIGHT_GRAD, &[x, g], windows.attrs().int("groups", groups as i64).sizes("size", &size))
}

/// The padding `(low, high)` with which a stride of 1 keeps the extents, and a stride `s` leaves
/// `ceil(extent / s)` windows; an odd element of padding stands at the end.
pub fn same_padding(
    input: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> ([usize; 2], [usize; 2]) {
    let total = [0, 1].map(|i| {
        let span = (kernel[i] - 1) * dilation[i] + 1;
        ((input[i].div_ceil(stride[i]) - 1) * stride[i] + span).saturating_sub(input[i])
    });
    (total.map(|n| n / 2), total.map(|n| n - n / 2))
}

fn groups(attrs: &Attrs) -> Result<usize, Mismatch> {
    let groups = attrs.get_int("groups");
    match usize::try_from(groups) {
        Ok(groups) if groups > 0 => Ok(groups),
        _ => Err(Mismatch::of(&[], format!("groups is {groups}; it is at least 1"))),
    }
}

/// Extents of the windows, channels of a group and of the result.
fn weights(sig: &Signature, input: usize) -> Result<([usize; 2], usize, usize), Mismatch> {
    need_f32(sig, input)?;
    match sig.inputs[input].shape[..] {
        [kh, kw, part, out] => Ok(([kh, kw], part, out)),
        _ => {
            let message = format!(
                "weights [rows, columns, channels of a group, channels of the result] are needed here, not {}",
                sig.inputs[input]
            );
            Err(Mismatch::of(&[input], message))
        }
    }
}

/// That the channels can be cut into the groups.
fn need_groups(groups: usize, channels: usize, what: &str, input: usize) -> Result<(), Mismatch> {
    if channels.is_multiple_of(groups) {
        return Ok(());
    }
    let message = format!("the {channels} channels of the {what} cannot be cut into {groups} equal groups");
    Err(Mismatch::of(&[input], message))
}

/// That the image of the result is that which the windows make.
fn need_output(conv: &Conv, size: [usize; 2], channels: usize, input: usize) -> Result<(), Mismatch> {
    if (size, channels) == (conv.window.output, conv.out_channels) {
        return Ok(());
    }
    let [h, w] = conv.window.output;
    let message = format!(
        "the convolution gives [{h}, {w}, {}], its gradient has [{}, {}, {channels}]",
        conv.out_channels, size[0], size[1]
    );
    Err(Mismatch::of(&[input], message))
}

pub(super) fn conv(sig: &Signature) -> Result<Conv, Mismatch> {
    let (windows, groups) = (Windows::read(sig.attrs)?, groups(sig.attrs)?);
    let (input, channels) = image(sig, 0)?;
    let (kernel, part, out_channels) = weights(sig, 1)?;
    if part.checked_mul(groups) != Some(channels) {
        let needs = if groups == 1 { String::new() } else { format!(" in each of {groups} groups") };
        let message = format!("the image has {channels} channels, the weights take {part}{needs}");
        return Err(Mismatch::of(&[1, 0], message));
    }
    need_groups(groups, out_channels, "result", 1)?;
    Ok(Conv { window: windows.over(input, channels, kernel)?, out_channels, groups })
}

fn conv_of_input_grad(sig: &Signature) -> Result<Conv, Mismatch> {
    let (windows, groups) = (Windows::read(sig.attrs)?, groups(sig.attrs)?);
    let (output, channels) = image(sig, 0)?;
    let (kernel, part, out_channels) = weights(sig, 1)?;
    need_groups(groups, out_channels, "result", 1)?;
    let window = windows.over(pair(sig.attrs, "size", 1)?, part.saturating_mul(groups), kernel)?;
    let conv = Conv { window, out_channels, groups };
    need_output(&conv, output, channels, 0)?;
    Ok(conv)
}

fn conv_of_weight_grad(sig: &Signature) -> Result<Conv, Mismatch> {
    let (windows, groups) = (Windows::read(sig.attrs)?, groups(sig.attrs)?);
    let (input, channels) = image(sig, 0)?;
    let (output, out_channels) = image(sig, 1)?;
    need_groups(groups, channels, "image", 0)?;
    need_groups(groups, out_channels, "result", 1)?;
    let window = windows.over(input, channels, pair(sig.attrs, "size", 1)?)?;
    let conv = Conv { window, out_channels, groups };
    need_output(&conv, output, out_channels, 1)?;
    Ok(conv)
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let conv = conv(sig)?;
    Ok(Type::f32(image_shape(conv.window.output, conv.out_channels)?))
}

fn input_grad_shape(sig: &Signature) -> Result<Type, Mismatch> {
    let window = conv_of_input_grad(sig)?.window;
    Ok(Type::f32(image_shape(window.input, window.channels)?))
}

fn weight_grad_shape(sig: &Signature) -> Result<Type, Mismatch> {
    weights_type(&conv_of_weight_grad(sig)?)
}

/// The type of a convolution's weights.
pub(super) fn weights_type(conv: &Conv) -> Result<Type, Mismatch> {
    let [kh, kw] = conv.window.kernel;
    let extents = [kh, kw, conv.window.channels / conv.groups, conv.out_channels].map(|n| n as i64);
    Ok(Type::f32(super::common::shape_of(&extents)?))
}

/// The convolution of a node that the shape rule has accepted.
pub(super) fn known(rule: fn(&Signature) -> Result<Conv, Mismatch>, sig: &Signature) -> Conv {
    rule(sig).unwrap_or_else(|bad| unreachable!("the shape rule has accepted this: {}", bad.message))
}

/// The convolution of a reference call.
pub(super) fn conv_of(rule: fn(&Signature) -> Result<Conv, Mismatch>, call: &RefCall) -> Conv {
    let types: Vec<Type> = call.inputs.iter().map(|array| Type::f32(array.shape.clone())).collect();
    known(rule, &Signature { inputs: &types.iter().collect::<Vec<_>>(), attrs: call.attrs })
}

/// Windows and groups of a node.
fn settings(b: &Builder, node: NodeId) -> (Windows, usize) {
    let attrs = &b.graph[node].attrs;
    (Windows::read(attrs).unwrap_or_default(), groups(attrs).unwrap_or(1))
}

/// The first two extents of a node's shape.
fn size(b: &Builder, node: NodeId) -> [usize; 2] {
    [b.shape(node)[0], b.shape(node)[1]]
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let [x, w] = b.graph[node].inputs[..] else { return Vec::new() };
    let (windows, groups) = settings(b, node);
    let (image, kernel) = (size(b, x), size(b, w));
    let dx = conv2d_input_grad(b, g, w, &windows, groups, image);
    let dw = conv2d_weight_grad(b, x, g, &windows, groups, kernel);
    vec![Some(dx), Some(dw)]
}

fn input_grad_grad(b: &mut Builder, node: NodeId, u: NodeId) -> Vec<Option<NodeId>> {
    let [g, w] = b.graph[node].inputs[..] else { return Vec::new() };
    let (windows, groups) = settings(b, node);
    let kernel = size(b, w);
    let dg = conv2d(b, u, w, &windows, groups);
    let dw = conv2d_weight_grad(b, u, g, &windows, groups, kernel);
    vec![Some(dg), Some(dw)]
}

fn weight_grad_grad(b: &mut Builder, node: NodeId, u: NodeId) -> Vec<Option<NodeId>> {
    let [x, g] = b.graph[node].inputs[..] else { return Vec::new() };
    let (windows, groups) = settings(b, node);
    let image = size(b, x);
    let dx = conv2d_input_grad(b, g, u, &windows, groups, image);
    let dg = conv2d(b, x, u, &windows, groups);
    vec![Some(dx), Some(dg)]
}

/// Calls a function for every product of a convolution, with the positions of its factors and its sum:
/// `result[o] += x[i] * w[k]`.
pub(super) fn for_each_product(conv: &Conv, mut f: impl FnMut(usize, usize, usize)) {
    let (channels, out_channels) = (conv.window.channels, conv.out_channels);
    let (part, out_part) = (channels / conv.groups, out_channels / conv.groups);
    for_each_tap(&conv.window, |out, at, tap| {
        for group in 0..conv.groups {
            for c in 0..part {
                let (i, k) = (at * channels + group * part + c, (tap * part + c) * out_channels);
                for o in group * out_part..(group + 1) * out_part {
                    f(out * out_channels + o, i, k + o);
                }
            }
        }
    });
}

fn reference(call: &RefCall) -> Array {
    let conv = conv_of(conv, call);
    let (x, w) = (&call.inputs[0].data, &call.inputs[1].data);
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for_each_product(&conv, |o, i, k| result.data[o] += x[i] * w[k]);
    result
}

fn input_grad_reference(call: &RefCall) -> Array {
    let conv = conv_of(conv_of_input_grad, call);
    let (g, w) = (&call.inputs[0].data, &call.inputs[1].data);
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for_each_product(&conv, |o, i, k| result.data[i] += g[o] * w[k]);
    result
}

fn weight_grad_reference(call: &RefCall) -> Array {
    weight_gradient(&conv_of(conv_of_weight_grad, call), call)
}

/// The gradient of a convolution's weights, from its image and the gradient of its result.
pub(super) fn weight_gradient(conv: &Conv, call: &RefCall) -> Array {
    let (x, g) = (&call.inputs[0].data, &call.inputs[1].data);
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for_each_product(conv, |o, i, k| result.data[k] += x[i] * g[o]);
    result
}

/// Extents of images and weights over all settings: `(image, weights, windows, groups)`.
fn samples() -> Vec<([usize; 3], [usize; 4], Windows, usize)> {
    let plain = Windows::default();
    let padded = |n: usize| Windows { low: [n; 2], high: [n as i64; 2], ..plain };
    let stride = |n: usize| Windows { stride: [n; 2], ..plain };
    vec![
        ([1, 1, 1], [1, 1, 1, 1], plain, 1),
        ([3, 3, 1], [3, 3, 1, 1], plain, 1),
        ([7, 8, 3], [3, 3, 3, 4], plain, 1),
        ([5, 5, 2], [1, 1, 2, 9], plain, 1),
        ([4, 4, 1], [3, 3, 1, 32], plain, 1),
        ([3, 4, 33], [2, 2, 33, 2], plain, 1),
        ([3, 3, 4], [2, 2, 4, 17], padded(1), 1),
        ([5, 6, 2], [3, 3, 2, 3], padded(1), 1),
        ([4, 5, 2], [2, 3, 2, 3], Windows { low: [0, 1], high: [1, 2], ..plain }, 1),
        ([7, 9, 2], [3, 3, 2, 3], stride(2), 1),
        ([6, 6, 2], [3, 2, 2, 2], Windows { stride: [2, 3], low: [1, 0], high: [0, 2], ..plain }, 1),
        ([3, 3, 2], [2, 2, 2, 2], stride(5), 1),
        ([7, 7, 2], [3, 3, 2, 3], Windows { dilation: [2, 3], ..plain }, 1),
        ([6, 7, 2], [3, 2, 2, 3], Windows { high: [-1, -2], ..plain }, 1),
        ([6, 7, 1], [3, 2, 1, 2], Windows { dilation: [2, 1], stride: [2, 1], ..padded(2) }, 1),
        ([4, 5, 4], [3, 3, 2, 6], padded(1), 2),
        ([5, 5, 3], [3, 3, 1, 3], Windows { stride: [2, 2], ..padded(1) }, 3),
        ([4, 4, 3], [2, 2, 1, 6], plain, 3),
        ([1, 17, 3], [1, 4, 3, 5], plain, 1),
    ]
}

/// The cases of a member of the family: which tensors it takes, of these of the forward convolution, and
/// whether it has the attribute `size`.
fn cases(inputs: fn(Shape, Shape, Shape) -> [Shape; 2], size: fn(&Conv) -> Option<[usize; 2]>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (x, w, windows, groups) in samples() {
        let Ok(window) = windows.over([x[0], x[1]], x[2], [w[0], w[1]]) else { continue };
        let conv = Conv { window, out_channels: w[3], groups };
        let out = [window.output[0], window.output[1], w[3]];
        let [first, second] = inputs(Shape::of(&x), Shape::of(&w), Shape::of(&out));
        let mut attrs = windows.attrs().int("groups", groups as i64);
        if let Some(size) = size(&conv) {
            attrs = attrs.sizes("size", &size);
        }
        cases.push(Case::f32(&[&first, &second], attrs).tolerance(2e-5));
    }
    cases
}

/// The same cases again with weights that are the same for all examples, as in training.
fn with_shared_weights(mut cases: Vec<Case>) -> Vec<Case> {
    let shared: Vec<Case> =
        cases.iter().step_by(3).map(|case| case.clone().levels(&[Level::Each, Level::Once])).collect();
    cases.extend(shared);
    cases
}

const GROUPS: AttrSpec = AttrSpec {
    name: "groups",
    kind: AttrKind::Int,
    doc: "into how many parts the channels are cut; part `i` of the result sees part `i` of the image \
          only",
};
const IMAGE_SIZE: AttrSpec =
    AttrSpec { name: "size", kind: AttrKind::Ints, doc: "rows and columns of the image" };
const WINDOW_SIZE: AttrSpec =
    AttrSpec { name: "size", kind: AttrKind::Ints, doc: "rows and columns of a window" };

/// The record of `conv2d`.
pub static OP: Op = Op {
    name: "conv2d",
    doc: "The convolution of one image with a set of windows.\n\n\
          `x: f32[h, w, cin], w: f32[kh, kw, cin / groups, cout] -> f32[oh, ow, cout]`\n\n\
          Each element of the result is the sum of products of one window of the image with one \
          filter; filters are not turned round. The image is padded by zeros, and `oh = floor((low + h \
          + high - dilation (kh - 1) - 1) / stride) + 1`.\n\n\
          Example: `conv2d([[[1], [2]], [[3], [4]]], [[[[1]], [[10]]]], stride: [1, 1], low: [0, 0], \
          high: [0, 0], dilation: [1, 1], groups: 1) = [[[21]], [[43]]]`\n\n\
          Source: LeCun et al., Gradient-based learning applied to document recognition, 1998; \
          Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016.",
    attrs: &[STRIDE, LOW, HIGH, DILATION, GROUPS],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::Conv(known(conv, sig)))),
    reference,
    cases: || with_shared_weights(cases(|x, w, _| [x, w], |_| None)),
};

/// The record of `conv2d_input_grad`.
pub static INPUT_GRAD: Op = Op {
    name: "conv2d_input_grad",
    doc: "The gradient of the image of a `conv2d`; also called transposed convolution.\n\n\
          `g: f32[oh, ow, cout], w: f32[kh, kw, cin / groups, cout] -> f32[h, w, cin]`\n\n\
          The attributes are those of the `conv2d`, and `size` is that of its image.\n\n\
          Example: `conv2d_input_grad([[[1]], [[2]]], [[[[1]], [[10]]]], stride: [1, 1], low: [0, 0], \
          high: [0, 0], dilation: [1, 1], groups: 1, size: [2, 2]) = [[[1], [10]], [[2], [20]]]`\n\n\
          Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning, 2016.",
    attrs: &[STRIDE, LOW, HIGH, DILATION, GROUPS, IMAGE_SIZE],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: input_grad_shape,
    grad: Grad::Rule(input_grad_grad),
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::ConvInput(known(conv_of_input_grad, sig)))),
    reference: input_grad_reference,
    cases: || with_shared_weights(cases(|_, w, out| [out, w], |conv| Some(conv.window.input))),
};

/// The record of `conv2d_weight_grad`.
pub static WEIGHT_GRAD: Op = Op {
    name: "conv2d_weight_grad",
    doc: "The gradient of the weights of a `conv2d`.\n\n\
          `x: f32[h, w, cin], g: f32[oh, ow, cout] -> f32[kh, kw, cin / groups, cout]`\n\n\
          The attributes are those of the `conv2d`, and `size` is that of its windows.\n\n\
          Example: `conv2d_weight_grad([[[1], [2]], [[3], [4]]], [[[1]], [[2]]], stride: [1, 1], low: \
          [0, 0], high: [0, 0], dilation: [1, 1], groups: 1, size: [1, 2]) = [[[[7]], [[10]]]]`",
    attrs: &[STRIDE, LOW, HIGH, DILATION, GROUPS, WINDOW_SIZE],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: weight_grad_shape,
    grad: Grad::Rule(weight_grad_grad),
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::ConvWeight(known(conv_of_weight_grad, sig)))),
    reference: weight_grad_reference,
    cases: || cases(|x, _, out| [x, out], |conv| Some(conv.window.kernel)),
};
