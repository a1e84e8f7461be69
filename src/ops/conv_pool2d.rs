//! `conv_pool2d` and its gradients: convolution, bias, ReLU and maxima of windows as one operation.
//!
//! Passes make them of `conv2d`, `max_pool2d` and what stands between, after gradients have been taken. Where
//! the maxima stand decides which few elements of the convolution carry gradient; the gradients take the
//! operation's own inputs, and a plan remembers the places instead of finding them again.

use super::conv2d::{conv, for_each_product};
use super::window::{DILATION, HIGH, LOW, STRIDE, Windows, image_shape, pair};
use crate::ir::kernel::{Conv, ConvPool, Gradient, Leaf};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::Type;

/// `max_pool(relu(conv2d(x, w) + bias))` with the inputs `[x, w, bias]`.
pub fn conv_pool2d(
    b: &mut Builder,
    inputs: [NodeId; 3],
    spec: &ConvPool,
    windows: &Windows,
    winograd: bool,
) -> NodeId {
    b.add(&OP, &inputs, attrs(spec, windows).flag("winograd", winograd))
}

/// The gradient of one input of a [`conv_pool2d`] with the inputs `[x, w, bias]`, from that of its result.
pub fn conv_pool2d_grad(
    b: &mut Builder,
    of: Gradient,
    [x, w, bias]: [NodeId; 3],
    g: NodeId,
    spec: &ConvPool,
    windows: &Windows,
) -> NodeId {
    let op = match of {
        Gradient::Input => &INPUT_GRAD,
        Gradient::Weight => &WEIGHT_GRAD,
        Gradient::Bias => &BIAS_GRAD,
    };
    b.add(op, &[x, w, bias, g], attrs(spec, windows))
}

fn attrs(spec: &ConvPool, windows: &Windows) -> Attrs {
    windows.attrs().sizes("pool", &spec.pool).flag("relu", spec.relu)
}

/// The operation that a signature `x, w, bias, ..` names.
fn spec(sig: &Signature) -> Result<ConvPool, Mismatch> {
    let conv = conv_of(sig.inputs, sig.attrs)?;
    let pool = pair(sig.attrs, "pool", 1)?;
    let output = conv.window.output;
    if (0..2).any(|d| pool[d] > output[d]) {
        let message = format!("windows of {pool:?} do not fit into a result of {output:?}");
        return Err(Mismatch::of(&[0], message));
    }
    let bias = &sig.inputs[2].shape;
    if bias[..] != [conv.out_channels] {
        let message = format!("the bias is {bias}, the result has {} channels", conv.out_channels);
        return Err(Mismatch::of(&[2, 1], message));
    }
    Ok(ConvPool::new(conv, pool, sig.attrs.get_bool("relu")))
}

fn conv_of(inputs: &[&Type], attrs: &Attrs) -> Result<Conv, Mismatch> {
    let windows = Windows::read(attrs)?;
    let attrs = windows.attrs().int("groups", 1);
    conv(&Signature { inputs: &inputs[..2], attrs: &attrs })
}

/// The operation of a node that the shape rule has accepted.
fn known(sig: &Signature) -> ConvPool {
    spec(sig).unwrap_or_else(|bad| unreachable!("the shape rule has accepted this: {}", bad.message))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let spec = spec(sig)?;
    Ok(Type::f32(image_shape(spec.pooled, spec.conv.out_channels)?))
}

/// The gradient of input `of`, whose shape it has.
fn grad_shape(sig: &Signature, of: usize) -> Result<Type, Mismatch> {
    let pooled = shape(sig)?;
    if sig.inputs[3] != &pooled {
        let message = format!("the result is {pooled}, its gradient {}", sig.inputs[3]);
        return Err(Mismatch::of(&[3, 0], message));
    }
    Ok(sig.inputs[of].clone())
}

/// What the reference finds: the pooled values, and for each of them the element of the convolution that
/// is its (first) maximum, where gradient flows to it.
fn pooled(call: &RefCall) -> (ConvPool, Vec<f64>, Vec<Option<usize>>) {
    let types: Vec<Type> = call.inputs.iter().map(|array| Type::f32(array.shape.clone())).collect();
    let spec = known(&Signature { inputs: &types.iter().collect::<Vec<_>>(), attrs: call.attrs });
    let (conv, channels) = (&spec.conv, spec.conv.out_channels);
    let [x, w, bias] = [0, 1, 2].map(|i| &call.inputs[i].data);
    let [rows, columns] = conv.window.output;
    let mut sums = vec![0.0; rows * columns * channels];
    for_each_product(conv, |o, i, k| sums[o] += x[i] * w[k]);
    let [high, wide] = spec.pooled;
    let (mut values, mut places) = (Vec::new(), Vec::new());
    for (y, x) in (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))) {
        for (c, bias) in bias.iter().enumerate() {
            let taps = (0..spec.pool[0]).flat_map(|dy| (0..spec.pool[1]).map(move |dx| (dy, dx)));
            let at = taps
                .map(|(dy, dx)| ((y * spec.pool[0] + dy) * columns + x * spec.pool[1] + dx) * channels + c)
                .reduce(|best, at| if sums[at] > sums[best] { at } else { best })
                .unwrap_or_else(|| unreachable!("a window has a tap"));
            let value = sums[at] + bias;
            let flows = !spec.relu || value > 0.0;
            values.push(if flows { value } else { 0.0 });
            places.push(flows.then_some(at));
        }
    }
    (spec, values, places)
}

fn reference(call: &RefCall) -> Array {
    let (_, values, _) = pooled(call);
    Array::new(call.ty.shape.clone(), values)
}

/// The gradient of the convolution's result.
fn spread(call: &RefCall) -> (ConvPool, Vec<f64>) {
    let (spec, _, places) = pooled(call);
    let [rows, columns] = spec.conv.window.output;
    let mut spread = vec![0.0; rows * columns * spec.conv.out_channels];
    for (place, g) in places.into_iter().zip(&call.inputs[3].data) {
        if let Some(at) = place {
            spread[at] += g;
        }
    }
    (spec, spread)
}

fn input_reference(call: &RefCall) -> Array {
    let (spec, g) = spread(call);
    let w = &call.inputs[1].data;
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for_each_product(&spec.conv, |o, i, k| result.data[i] += g[o] * w[k]);
    result
}

fn weight_reference(call: &RefCall) -> Array {
    let (spec, g) = spread(call);
    let x = &call.inputs[0].data;
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for_each_product(&spec.conv, |o, i, k| result.data[k] += x[i] * g[o]);
    result
}

fn bias_reference(call: &RefCall) -> Array {
    let (spec, g) = spread(call);
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    g.iter().enumerate().for_each(|(o, g)| result.data[o % spec.conv.out_channels] += g);
    result
}

/// Image, weights `[kh, kw, cin, cout]`, windows, pooling windows.
type Setting = ([usize; 3], [usize; 4], Windows, [usize; 2]);

fn samples() -> Vec<Setting> {
    let plain = Windows::default();
    let padded = |n: usize| Windows { low: [n; 2], high: [n as i64; 2], ..plain };
    vec![
        ([3, 3, 1], [2, 2, 1, 1], plain, [2, 2]),
        ([8, 9, 1], [3, 3, 1, 32], plain, [2, 2]),
        ([7, 7, 3], [3, 3, 3, 17], plain, [2, 2]),
        ([6, 6, 16], [3, 3, 16, 33], padded(1), [2, 2]),
        ([9, 8, 2], [5, 5, 2, 9], padded(2), [3, 3]),
        ([10, 9, 3], [5, 5, 3, 17], padded(2), [2, 2]),
        ([9, 7, 2], [3, 2, 2, 15], Windows { stride: [2, 1], low: [1, 0], ..plain }, [2, 3]),
        ([9, 9, 4], [3, 3, 4, 16], Windows { dilation: [2, 2], ..plain }, [2, 1]),
        ([1, 12, 3], [1, 3, 3, 8], plain, [1, 2]),
    ]
}

fn cases(gradient: bool, winograd: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for (i, (x, w, windows, pool)) in samples().into_iter().enumerate() {
        let Ok(window) = windows.over([x[0], x[1]], x[2], [w[0], w[1]]) else { continue };
        let out_channels = w[3];
        let conv = Conv { window, out_channels, groups: 1 };
        let square = [[3, 3], [5, 5]].contains(&window.kernel);
        let fits = square && pool == [2, 2] && window.stride == [1, 1] && window.dilation == [1, 1];
        for relu in [false, true] {
            let spec = ConvPool::new(conv, pool, relu);
            let [high, wide] = spec.pooled;
            let (bias, g) = ([out_channels], [high, wide, out_channels]);
            let inputs: [&[usize]; 4] = [&x, &w, &bias, &g];
            let mut attrs = attrs(&spec, &windows);
            if !gradient {
                attrs = attrs.flag("winograd", winograd && fits);
            }
            let case = Case::f32(&inputs[..if gradient { 4 } else { 3 }], attrs);
            let case = case.tolerance(5e-5).not_differentiable();
            cases.push(match i % 3 {
                0 => case,
                _ => case.levels(&[Level::Each, Level::Once, Level::Once, Level::Each]),
            });
        }
    }
    cases
}

const POOL: AttrSpec =
    AttrSpec { name: "pool", kind: AttrKind::Ints, doc: "rows and columns of a window of the maximum" };
const RELU: AttrSpec =
    AttrSpec { name: "relu", kind: AttrKind::Bool, doc: "whether results below 0 are replaced by 0" };
const WINOGRAD: AttrSpec = AttrSpec {
    name: "winograd",
    kind: AttrKind::Bool,
    doc: "computed in Winograd's form, with fewer products",
};

/// The record of `conv_pool2d`.
pub static OP: Op = Op {
    name: "conv_pool2d",
    doc: "The maximum of windows side by side of `relu(conv2d(x, w) + bias)`.\n\n\
          `x: f32[h, w, cin], w: f32[kh, kw, cin, cout], bias: f32[cout] -> f32[ph, pw, cout]`\n\n\
          Made by the compiler of the parts that a spec names. What no window of the maximum reads is \
          not computed.\n\n\
          Example: `conv_pool2d([[[1], [-2], [3]], [[3], [4], [-5]]], [[[[1]]]], [1], stride: [1, 1], low: \
          [0, 0], high: [0, 0], dilation: [1, 1], pool: [2, 2], relu: true, winograd: false) = [[[5]]]`\n\n\
          Source: Lavin and Gray, Fast algorithms for convolutional neural networks, 2016, for the \
          form with fewer products.",
    attrs: &[STRIDE, LOW, HIGH, DILATION, POOL, RELU, WINOGRAD],
    arity: Arity::Exactly(3),
    level: LevelRule::Join,
    shape,
    grad: Grad::Late,
    lower: Lower::Kernel(|sig, _| {
        let winograd = sig.attrs.get_bool("winograd");
        Kernel::Leaf(Leaf::ConvPool { spec: known(sig), winograd })
    }),
    reference,
    cases: || [cases(false, false), cases(false, true)].concat(),
};

/// The record of `conv_pool2d_input_grad`.
pub static INPUT_GRAD: Op = Op {
    name: "conv_pool2d_input_grad",
    doc: "The gradient of the image of a `conv_pool2d`.\n\n\
          `x: f32[h, w, cin], w: f32[kh, kw, cin, cout], bias: f32[cout], g: f32[ph, pw, cout] -> \
          f32[h, w, cin]`\n\n\
          Only the elements that are maxima carry gradient.\n\n\
          Example: `conv_pool2d_input_grad([[[1], [-2], [3]], [[3], [4], [-5]]], [[[[2]]]], [1], [[[10]]], \
          stride: [1, 1], low: [0, 0], high: [0, 0], dilation: [1, 1], pool: [2, 2], relu: true) = [[[0], \
          [0], [0]], [[0], [20], [0]]]`",
    attrs: &[STRIDE, LOW, HIGH, DILATION, POOL, RELU],
    arity: Arity::Exactly(4),
    level: LevelRule::Join,
    shape: |sig| grad_shape(sig, 0),
    grad: Grad::Late,
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::ConvPoolGradient(known(sig), Gradient::Input))),
    reference: input_reference,
    cases: || cases(true, false),
};

/// The record of `conv_pool2d_weight_grad`.
pub static WEIGHT_GRAD: Op = Op {
    name: "conv_pool2d_weight_grad",
    doc: "The gradient of the weights of a `conv_pool2d`.\n\n\
          `x: f32[h, w, cin], w: f32[kh, kw, cin, cout], bias: f32[cout], g: f32[ph, pw, cout] -> \
          f32[kh, kw, cin, cout]`\n\n\
          Only the elements that are maxima carry gradient.\n\n\
          Example: `conv_pool2d_weight_grad([[[1], [-2], [3]], [[3], [4], [-5]]], [[[[2]]]], [1], \
          [[[10]]], stride: [1, 1], low: [0, 0], high: [0, 0], dilation: [1, 1], pool: [2, 2], relu: true) = \
          [[[[40]]]]`",
    attrs: &[STRIDE, LOW, HIGH, DILATION, POOL, RELU],
    arity: Arity::Exactly(4),
    level: LevelRule::Join,
    shape: |sig| grad_shape(sig, 1),
    grad: Grad::Late,
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::ConvPoolGradient(known(sig), Gradient::Weight))),
    reference: weight_reference,
    cases: || cases(true, false),
};

/// The record of `conv_pool2d_bias_grad`.
pub static BIAS_GRAD: Op = Op {
    name: "conv_pool2d_bias_grad",
    doc: "The gradient of the bias of a `conv_pool2d`.\n\n\
          `x: f32[h, w, cin], w: f32[kh, kw, cin, cout], bias: f32[cout], g: f32[ph, pw, cout] -> f32[cout]`\n\n\
          Example: `conv_pool2d_bias_grad([[[1], [-2], [3]], [[3], [4], [-5]]], [[[[2]]]], [1], [[[10]]], \
          stride: [1, 1], low: [0, 0], high: [0, 0], dilation: [1, 1], pool: [2, 2], relu: true) = [10]`",
    attrs: &[STRIDE, LOW, HIGH, DILATION, POOL, RELU],
    arity: Arity::Exactly(4),
    level: LevelRule::Join,
    shape: |sig| grad_shape(sig, 2),
    grad: Grad::Late,
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::ConvPoolGradient(known(sig), Gradient::Bias))),
    reference: bias_reference,
    cases: || cases(true, false),
};
