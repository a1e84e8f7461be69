//! `sum_pool2d` and its gradient; an average pool is a sum divided by a count.

use super::max_pool2d::{SIZE, known_pool, pooled, result, samples, settings, with_shared};
use super::window::{DILATION, HIGH, LOW, STRIDE, Windows, for_each_tap, image, image_shape, pair};
use crate::ir::kernel::{Leaf, Window};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Builder, Case, Grad, Kernel, LevelRule, Lower, Mismatch, NodeId, Op,
    RefCall, Signature,
};
use crate::ty::Type;

/// The sum of each window of these extents, channel by channel.
pub fn sum_pool2d(b: &mut Builder, x: NodeId, size: [usize; 2], windows: &Windows) -> NodeId {
    b.add(&OP, &[x], windows.attrs().sizes("size", &size))
}

/// The gradient of the input `[h, w, c]` of a [`sum_pool2d`].
pub fn sum_pool2d_grad(
    b: &mut Builder,
    g: NodeId,
    size: [usize; 2],
    windows: &Windows,
    input: [usize; 2],
) -> NodeId {
    b.add(&GRAD, &[g], windows.attrs().sizes("size", &size).sizes("input", &input))
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let (size, windows) = settings(b, node);
    let x = b.shape(b.graph[node].inputs[0]);
    let input = [x[0], x[1]];
    vec![Some(sum_pool2d_grad(b, g, size, &windows, input))]
}

fn reference(call: &RefCall) -> Array {
    let x = call.inputs[0];
    let window = known_pool(&x.shape, call.attrs);
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for_each_tap(&window, |out, at, _| {
        for c in 0..window.channels {
            result.data[out * window.channels + c] += x.data[at * window.channels + c];
        }
    });
    result
}

/// The windows of the pool whose gradient this is.
fn pool_of_grad(sig: &Signature) -> Result<Window, Mismatch> {
    let windows = Windows::read(sig.attrs)?;
    let (output, channels) = image(sig, 0)?;
    let window = windows.over(pair(sig.attrs, "input", 1)?, channels, pair(sig.attrs, "size", 1)?)?;
    windows.need_contents(&window)?;
    if window.output != output {
        let [h, w] = window.output;
        let message = format!("the pool gives [{h}, {w}, {channels}], its gradient is {}", sig.inputs[0]);
        return Err(Mismatch::of(&[0], message));
    }
    Ok(window)
}

fn grad_shape(sig: &Signature) -> Result<Type, Mismatch> {
    let window = pool_of_grad(sig)?;
    Ok(Type::f32(image_shape(window.input, window.channels)?))
}

fn known(sig: &Signature) -> Window {
    pool_of_grad(sig).unwrap_or_else(|bad| unreachable!("the shape rule has accepted this: {}", bad.message))
}

fn grad_grad(b: &mut Builder, node: NodeId, u: NodeId) -> Vec<Option<NodeId>> {
    let (size, windows) = settings(b, node);
    vec![Some(sum_pool2d(b, u, size, &windows))]
}

fn grad_reference(call: &RefCall) -> Array {
    let g = call.inputs[0];
    let window = known_pool(&call.ty.shape, call.attrs);
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for_each_tap(&window, |out, at, _| {
        for c in 0..window.channels {
            result.data[at * window.channels + c] += g.data[out * window.channels + c];
        }
    });
    result
}

fn cases() -> Vec<Case> {
    let case =
        |(x, size, w): ([usize; 3], [usize; 2], Windows)| Case::f32(&[&x], w.attrs().sizes("size", &size));
    with_shared(samples().into_iter().map(case).collect())
}

fn grad_cases() -> Vec<Case> {
    let case = |(x, size, windows): ([usize; 3], [usize; 2], Windows)| {
        let attrs = windows.attrs().sizes("size", &size).sizes("input", &x[..2]);
        Some(Case::f32(&[&result(x, size, &windows)?], attrs))
    };
    samples().into_iter().filter_map(case).collect()
}

const INPUT: AttrSpec =
    AttrSpec { name: "input", kind: AttrKind::Ints, doc: "rows and columns of the pool's input" };

/// The record of `sum_pool2d`.
pub static OP: Op = Op {
    name: "sum_pool2d",
    doc: "The sum of each window of an image, channel by channel; padding counts as 0.\n\n\
          `x: f32[h, w, c] -> f32[oh, ow, c]`\n\n\
          Example: `sum_pool2d([[[1], [5]], [[3], [2]]], stride: [1, 1], low: [0, 0], high: [0, 0], \
          dilation: [1, 1], size: [1, 2]) = [[[6]], [[5]]]`",
    attrs: &[STRIDE, LOW, HIGH, DILATION, SIZE],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: pooled,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::SumPool(known_pool(&sig.inputs[0].shape, sig.attrs)))),
    reference,
    cases,
};

/// The record of `sum_pool2d_grad`.
pub static GRAD: Op = Op {
    name: "sum_pool2d_grad",
    doc: "The gradient of the input of a `sum_pool2d`.\n\n\
          `g: f32[oh, ow, c] -> f32[h, w, c]`\n\n\
          Each element of the result is the sum of `g` over the windows it lies in.\n\n\
          Example: `sum_pool2d_grad([[[1], [2]]], stride: [1, 1], low: [0, 0], high: [0, 0], dilation: \
          [1, 1], size: [1, 2], input: [1, 3]) = [[[1], [3], [2]]]`",
    attrs: &[STRIDE, LOW, HIGH, DILATION, SIZE, INPUT],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: grad_shape,
    grad: Grad::Rule(grad_grad),
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::SumPoolInput(known(sig)))),
    reference: grad_reference,
    cases: grad_cases,
};
