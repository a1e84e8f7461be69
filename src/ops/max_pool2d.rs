//! `max_pool2d`, its gradient, and `max_pool2d_pick`, the gradient of that.

use super::common::{need_f32, same_shape};
use super::window::{DILATION, HIGH, LOW, STRIDE, Windows, for_each_tap, image, image_shape, pair};
use crate::ir::kernel::{Leaf, Window};
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// The largest element of each window of these extents, channel by channel.
pub fn max_pool2d(b: &mut Builder, x: NodeId, size: [usize; 2], windows: &Windows) -> NodeId {
    b.add(&OP, &[x], windows.attrs().sizes("size", &size))
}

/// The gradient of the input of a [`max_pool2d`].
pub fn max_pool2d_grad(b: &mut Builder, x: NodeId, g: NodeId, size: [usize; 2], windows: &Windows) -> NodeId {
    b.add(&GRAD, &[x, g], windows.attrs().sizes("size", &size))
}

/// The element of `v` at the place of the largest element of `x`, for each window.
pub fn max_pool2d_pick(b: &mut Builder, x: NodeId, v: NodeId, size: [usize; 2], windows: &Windows) -> NodeId {
    b.add(&PICK, &[x, v], windows.attrs().sizes("size", &size))
}

/// The windows of a pool over input 0.
pub fn pool(sig: &Signature) -> Result<Window, Mismatch> {
    let windows = Windows::read(sig.attrs)?;
    let (input, channels) = image(sig, 0)?;
    let window = windows.over(input, channels, pair(sig.attrs, "size", 1)?)?;
    windows.need_contents(&window)?;
    Ok(window)
}

/// The windows of a pool that the shape rule has accepted, over an input of this shape.
pub fn known_pool(shape: &Shape, attrs: &Attrs) -> Window {
    let ty = Type::f32(shape.clone());
    pool(&Signature { inputs: &[&ty], attrs })
        .unwrap_or_else(|bad| unreachable!("the shape rule has accepted this: {}", bad.message))
}

/// The shape rule of a pool.
pub fn pooled(sig: &Signature) -> Result<Type, Mismatch> {
    let window = pool(sig)?;
    Ok(Type::f32(image_shape(window.output, window.channels)?))
}

/// Size and windows of a node.
pub fn settings(b: &Builder, node: NodeId) -> ([usize; 2], Windows) {
    let attrs = &b.graph[node].attrs;
    (pair(attrs, "size", 1).unwrap_or([1; 2]), Windows::read(attrs).unwrap_or_default())
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let (size, windows) = settings(b, node);
    let x = b.graph[node].inputs[0];
    vec![Some(max_pool2d_grad(b, x, g, size, &windows))]
}

fn grad_shape(sig: &Signature) -> Result<Type, Mismatch> {
    let pooled = pooled(sig)?;
    need_f32(sig, 1)?;
    if sig.inputs[1].shape != pooled.shape {
        let message = format!("the pool gives {pooled}, its gradient is {}", sig.inputs[1]);
        return Err(Mismatch::of(&[1, 0], message));
    }
    Ok(sig.inputs[0].clone())
}

fn grad_grad(b: &mut Builder, node: NodeId, u: NodeId) -> Vec<Option<NodeId>> {
    let (size, windows) = settings(b, node);
    let x = b.graph[node].inputs[0];
    vec![None, Some(max_pool2d_pick(b, x, u, size, &windows))]
}

fn pick_shape(sig: &Signature) -> Result<Type, Mismatch> {
    need_f32(sig, 1)?;
    same_shape(sig, &[0, 1])?;
    pooled(sig)
}

fn pick_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let (size, windows) = settings(b, node);
    let x = b.graph[node].inputs[0];
    vec![None, Some(max_pool2d_grad(b, x, g, size, &windows))]
}

/// For each element of the result, where in the input the first maximum of its window stands.
fn places(x: &Array, attrs: &Attrs) -> Vec<usize> {
    let window = known_pool(&x.shape, attrs);
    let channels = window.channels;
    let mut places: Vec<Option<usize>> = vec![None; window.output[0] * window.output[1] * channels];
    for_each_tap(&window, |out, at, _| {
        for c in 0..channels {
            let (place, candidate) = (&mut places[out * channels + c], at * channels + c);
            if place.is_none_or(|best| x.data[candidate] > x.data[best]) {
                *place = Some(candidate);
            }
        }
    });
    places.into_iter().flatten().collect()
}

/// The elements of one array at the places of the maxima of another.
fn picked(call: &RefCall, from: &Array) -> Array {
    let places = places(call.inputs[0], call.attrs);
    Array::new(call.ty.shape.clone(), places.into_iter().map(|place| from.data[place]).collect())
}

fn grad_reference(call: &RefCall) -> Array {
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for (place, g) in places(call.inputs[0], call.attrs).into_iter().zip(&call.inputs[1].data) {
        result.data[place] += g;
    }
    result
}

/// Input shapes, window sizes and windows of pools.
pub fn samples() -> Vec<([usize; 3], [usize; 2], Windows)> {
    let plain = Windows::default();
    let stride = |n: usize| Windows { stride: [n; 2], ..plain };
    vec![
        ([1, 1, 1], [1, 1], plain),
        ([4, 4, 1], [2, 2], stride(2)),
        ([6, 8, 3], [2, 2], stride(2)),
        ([7, 9, 2], [2, 2], stride(2)),
        ([4, 4, 17], [2, 2], stride(2)),
        ([3, 3, 32], [3, 3], plain),
        ([5, 6, 3], [3, 2], plain),
        ([5, 5, 2], [3, 3], Windows { stride: [2, 2], low: [1, 1], high: [1, 1], ..plain }),
        ([4, 5, 2], [2, 3], Windows { low: [0, 1], high: [1, 2], ..plain }),
        ([7, 7, 2], [2, 3], Windows { dilation: [3, 2], ..plain }),
        ([6, 7, 2], [2, 2], Windows { stride: [2, 2], high: [-1, -3], ..plain }),
        ([1, 16, 3], [1, 4], Windows { stride: [1, 4], ..plain }),
    ]
}

/// The extents `[rows, columns, channels]` that a pool of a sample gives.
pub fn result(x: [usize; 3], size: [usize; 2], windows: &Windows) -> Option<[usize; 3]> {
    let window = windows.over([x[0], x[1]], x[2], size).ok()?;
    Some([window.output[0], window.output[1], x[2]])
}

fn cases(inputs: fn([usize; 3], [usize; 3]) -> Vec<[usize; 3]>) -> Vec<Case> {
    let case = |(x, size, windows): ([usize; 3], [usize; 2], Windows)| {
        let shapes = inputs(x, result(x, size, &windows)?);
        let shapes: Vec<&[usize]> = shapes.iter().map(|shape| shape.as_slice()).collect();
        Some(Case::f32(&shapes, windows.attrs().sizes("size", &size)))
    };
    with_shared(samples().into_iter().filter_map(case).collect())
}

/// One more case, with values that are the same for all examples.
pub fn with_shared(mut cases: Vec<Case>) -> Vec<Case> {
    if let Some(case) = cases.get(2) {
        cases.push(case.clone().levels(&vec![Level::Once; case.inputs.len()]));
    }
    cases
}

/// The attribute for the extents of a pool's windows.
pub const SIZE: AttrSpec =
    AttrSpec { name: "size", kind: AttrKind::Ints, doc: "rows and columns of a window" };

/// The record of `max_pool2d`.
pub static OP: Op = Op {
    name: "max_pool2d",
    doc: "The largest element of each window of an image, channel by channel.\n\n\
          `x: f32[h, w, c] -> f32[oh, ow, c]`\n\n\
          Padding never wins. Where elements are equal the gradient goes to the first, row by row.\n\n\
          Example: `max_pool2d([[[1], [5]], [[3], [2]]], stride: [1, 1], low: [0, 0], high: [0, 0], \
          dilation: [1, 1], size: [1, 2]) = [[[5]], [[3]]]`\n\n\
          Source: Ranzato et al., Unsupervised learning of invariant feature hierarchies, 2007.",
    attrs: &[STRIDE, LOW, HIGH, DILATION, SIZE],
    arity: Arity::Exactly(1),
    level: LevelRule::Join,
    shape: pooled,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(|sig, _| Kernel::Leaf(Leaf::MaxPool(known_pool(&sig.inputs[0].shape, sig.attrs)))),
    reference: |call| picked(call, call.inputs[0]),
    cases: || cases(|x, _| vec![x]),
};

/// The record of `max_pool2d_grad`.
pub static GRAD: Op = Op {
    name: "max_pool2d_grad",
    doc: "The gradient of the input of a `max_pool2d`.\n\n\
          `x: f32[h, w, c], g: f32[oh, ow, c] -> f32[h, w, c]`\n\n\
          Each element of `g` is added where its window has its first maximum.\n\n\
          Example: `max_pool2d_grad([[[1], [5]], [[3], [2]]], [[[10]], [[20]]], stride: [1, 1], low: \
          [0, 0], high: [0, 0], dilation: [1, 1], size: [1, 2]) = [[[0], [10]], [[20], [0]]]`",
    attrs: &[STRIDE, LOW, HIGH, DILATION, SIZE],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: grad_shape,
    grad: Grad::Rule(grad_grad),
    lower: Lower::Kernel(|sig, _| {
        Kernel::Leaf(Leaf::MaxPoolInput(known_pool(&sig.inputs[0].shape, sig.attrs)))
    }),
    reference: grad_reference,
    cases: || cases(|x, out| vec![x, out]),
};

/// The record of `max_pool2d_pick`.
pub static PICK: Op = Op {
    name: "max_pool2d_pick",
    doc: "For each window the element of `v` at the place of the first maximum of `x`.\n\n\
          `x: f32[h, w, c], v: f32[h, w, c] -> f32[oh, ow, c]`\n\n\
          The gradient of `max_pool2d_grad`.\n\n\
          Example: `max_pool2d_pick([[[1], [5]], [[3], [2]]], [[[6], [7]], [[8], [9]]], stride: [1, \
          1], low: [0, 0], high: [0, 0], dilation: [1, 1], size: [1, 2]) = [[[7]], [[8]]]`",
    attrs: &[STRIDE, LOW, HIGH, DILATION, SIZE],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: pick_shape,
    grad: Grad::Rule(pick_grad),
    lower: Lower::Kernel(|sig, _| {
        Kernel::Leaf(Leaf::MaxPoolPick(known_pool(&sig.inputs[0].shape, sig.attrs)))
    }),
    reference: |call| picked(call, call.inputs[1]),
    cases: || cases(|x, _| vec![x, x]),
};
