//! `scan`: a loop over axis 0 with carried values.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::{argument, reshape, scan_gradient, slice_axis};
use crate::ir::kernel::Scan;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Body, Builder, Case, Grad, Kernel, Level, LevelRule, Lower,
    Mismatch, NodeId, Op, RefCall, Signature,
};
use crate::ty::{DType, Shape, Type};

/// A loop of `body` over axis 0 of `sequences`.
pub fn scan(b: &mut Builder, inputs: &[NodeId], sequences: usize, reverse: bool, body: Arc<Body>) -> NodeId {
    b.add(&OP, inputs, attrs(sequences, reverse, body))
}

/// The arguments of the op.
pub fn attrs(sequences: usize, reverse: bool, body: Arc<Body>) -> Attrs {
    Attrs::none().int("sequences", sequences as i64).flag("reverse", reverse).body("body", body)
}

/// What all steps give at one place of their rows, `[t, ..]`.
pub fn stacked(b: &mut Builder, scan: NodeId, row: usize) -> NodeId {
    let body = b.graph[scan].attrs.get_body("body").clone();
    let (_, starts) = body.layout();
    let part = &body.graph[body.rows[row]].ty.shape;
    let count = b.shape(scan)[0];
    let columns = slice_axis(b, scan, 1, starts[row], part.elements());
    let shape: Vec<usize> = [count].into_iter().chain(part.iter().copied()).collect();
    reshape(b, columns, &Shape::of(&shape))
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let body = sig.attrs.get_body("body");
    let wrong = |why: String| Err(Mismatch::of(&[], why));
    let sequences = match usize::try_from(sig.attrs.get_int("sequences")) {
        Ok(n) if n >= 1 && n <= sig.inputs.len() => n,
        _ => return wrong(format!("a loop runs over at least one of its {} inputs", sig.inputs.len())),
    };
    if sequences + body.carries.len() > sig.inputs.len() {
        return wrong(format!("{} carries need as many first values", body.carries.len()));
    }
    let mut count = None;
    for (i, ty) in sig.inputs[..sequences].iter().enumerate() {
        let Some(extent) = ty.shape.first() else {
            return Err(Mismatch::of(&[i], "a loop runs over axis 0, which a scalar does not have"));
        };
        if *extent != *count.get_or_insert(*extent) {
            let message = format!("axis 0 of {} and of {} differ", sig.inputs[0], ty);
            return Err(Mismatch::of(&[i, 0], message).help("a loop runs over sequences of one length"));
        }
    }
    for (id, index) in body.arguments() {
        let found = &body.graph[id].ty;
        let wanted = match sig.inputs.get(index) {
            Some(ty) if index < sequences => Type::new(ty.dtype, Shape::of(&ty.shape[1..])),
            Some(ty) => (*ty).clone(),
            None => return wrong(format!("the body reads argument {index}, which the loop does not have")),
        };
        if *found != wanted {
            return Err(Mismatch::of(&[index], format!("the body takes {found}, not {wanted}")));
        }
    }
    for (i, next) in body.carries.iter().enumerate() {
        let (first, next) = (sig.inputs[sequences + i], &body.graph[*next].ty);
        if first != next || first.dtype != DType::F32 {
            let message = format!("a carry is {first} before a step and {next} after it");
            return Err(Mismatch::of(&[sequences + i], message));
        }
    }
    if body.rows.is_empty() {
        return wrong("a loop gives at least one value to the outside".into());
    }
    if let Some(row) = body.rows.iter().find(|row| body.graph[**row].ty.dtype != DType::F32) {
        return wrong(format!("a step gives numbers (f32) to the outside, not {}", body.graph[*row].ty));
    }
    let (width, _) = body.layout();
    super::common::shape_of(&[count.unwrap_or(1) as i64, width as i64]).map(Type::f32)
}

/// Step after step, node after node.
fn reference(call: &RefCall) -> Array {
    let body = call.attrs.get_body("body");
    let sequences = call.attrs.get_int("sequences") as usize;
    let (count, width) = (call.ty.shape[0], call.ty.shape[1]);
    // Large carries are handed on, not copied.
    let outer: Vec<Rc<Array>> =
        call.inputs[sequences..].iter().map(|input| Rc::new((*input).clone())).collect();
    let (carries, others) = outer.split_at(body.carries.len());
    let mut carries = carries.to_vec();
    let mut result = vec![0.0; count * width];
    let arguments: HashMap<NodeId, usize> = body.arguments().collect();
    for turn in 0..count {
        let at = if call.attrs.get_bool("reverse") { count - 1 - turn } else { turn };
        let mut values: Vec<Rc<Array>> = Vec::with_capacity(body.graph.len());
        for (id, node) in body.graph.iter() {
            let value = match arguments.get(&id).copied() {
                Some(index) if index < sequences => {
                    let size = node.ty.shape.elements();
                    let data = call.inputs[index].data[at * size..(at + 1) * size].to_vec();
                    Rc::new(Array::new(node.ty.shape.clone(), data))
                }
                Some(index) if index < sequences + carries.len() => carries[index - sequences].clone(),
                Some(index) => others[index - sequences - carries.len()].clone(),
                None => {
                    let inputs: Vec<&Array> =
                        node.inputs.iter().map(|input| &*values[input.index()]).collect();
                    let call =
                        RefCall { inputs: &inputs, attrs: &node.attrs, ty: &node.ty, moment: call.moment };
                    Rc::new((node.op.reference)(&call))
                }
            };
            values.push(value);
        }
        let row = body.rows.iter().flat_map(|node| &values[node.index()].data);
        result[at * width..(at + 1) * width].iter_mut().zip(row).for_each(|(to, from)| *to = *from);
        carries = body.carries.iter().map(|node| values[node.index()].clone()).collect();
    }
    Array::new(call.ty.shape.clone(), result)
}

/// `h' = tanh(x + h * w)`, gives `h' * x` and `h'`; with a matrix, `h' = tanh(x + h @ w)`.
fn cell(n: usize, levels: [Level; 3], matrix: bool) -> Arc<Body> {
    let mut b = Builder::default();
    let (row, square) = (Type::f32(Shape::of(&[n])), Type::f32(Shape::of(&[n, n])));
    let each = *levels.iter().max().unwrap_or(&Level::Once);
    let x = argument(&mut b, 0, &row, levels[0]);
    let h = argument(&mut b, 1, &row, each);
    let w = argument(&mut b, 2, if matrix { &square } else { &row }, levels[2]);
    let product =
        if matrix { super::contract(&mut b, h, w, "k, k m -> m") } else { super::mul(&mut b, h, w) };
    let sum = super::add(&mut b, x, product);
    let next = super::tanh(&mut b, sum);
    let given = super::mul(&mut b, next, x);
    Arc::new(Body { graph: b.graph, carries: vec![next], rows: vec![given, next] })
}

/// Two sequences, one of them indices, two carries, of which one only changes places with the other, a value
/// from outside that is not a parameter, and a step that gives what it was given.
fn mixed() -> Arc<Body> {
    let mut b = Builder::default();
    let (two, rows) = (Type::f32(Shape::of(&[2, 3])), Type::f32(Shape::of(&[3])));
    let x = argument(&mut b, 0, &two, Level::Each);
    let m = argument(&mut b, 1, &rows, Level::Once);
    let p = argument(&mut b, 2, &rows, Level::Each);
    let q = argument(&mut b, 3, &rows, Level::Each);
    let w = argument(&mut b, 4, &two, Level::Each);
    let product = super::contract(&mut b, x, w, "a k, a k -> k");
    let scaled = super::mul(&mut b, product, m);
    let new = super::sigmoid(&mut b, scaled);
    let sum = super::add(&mut b, new, q);
    let half = super::scale(&mut b, sum, 0.5);
    let total = super::sum(&mut b, x, &[0, 1]);
    Arc::new(Body { graph: b.graph, carries: vec![q, half], rows: vec![half, total, p, m] })
}

fn cases() -> Vec<Case> {
    use Level::{Each, Once};
    let small = |t: usize, n: usize, levels: [Level; 3], reverse: bool, matrix: bool| {
        let w: &[usize] = if matrix { &[n, n] } else { &[n] };
        let case = Case::f32(&[&[t, n], &[n], w], attrs(1, reverse, cell(n, levels, matrix)));
        case.levels(&levels).range(-1.0, 1.0)
    };
    vec![
        small(1, 1, [Each, Each, Each], false, false),
        small(5, 3, [Each, Once, Once], false, false),
        small(4, 17, [Each, Each, Once], true, false),
        small(3, 4, [Each, Once, Once], false, true),
        small(6, 2, [Once, Once, Once], true, true),
        small(2, 3, [Each, Each, Each], true, true),
        Case::f32(&[&[4, 2, 3], &[4, 3], &[3], &[3], &[2, 3]], attrs(2, false, mixed()))
            .levels(&[Each, Once, Once, Each, Each]),
        Case::f32(&[&[3, 2, 3], &[3, 3], &[3], &[3], &[2, 3]], attrs(2, true, mixed()))
            .levels(&[Each, Once, Each, Once, Each]),
    ]
}

/// The record.
pub static OP: Op = Op {
    name: "scan",
    doc: "A loop over axis 0 of some sequences, with values that are carried from step to step.\n\n\
          `(sequences: any[t, ..].., first values of the carries.., values from outside..) -> f32[t, width]`\n\n\
          The body computes one step from the step's part of each sequence, the carries and the values from \
          outside: what the carries are after it, and a row of the result, which stands where the step's \
          part of the sequences stands. With `reverse` the last step comes first.\n\n\
          Example: `scan([1, 2, 3], 0, sequences: 1, reverse: false, body: \"\
          %0 = argument {index: 0, each: false} : once f32; \
          %1 = argument {index: 1, each: false} : once f32; \
          %2 = add %0, %1 : once f32; \
          output carry 0 = %2; output row 0 = %2\") = [[1], [3], [6]]`\n\n\
          Source of the gradient: Werbos, Backpropagation through time, 1990.",
    attrs: &[
        AttrSpec {
            name: "sequences",
            kind: AttrKind::Int,
            doc: "how many inputs, from the first on, are sequences",
        },
        AttrSpec { name: "reverse", kind: AttrKind::Bool, doc: "from the last step to the first" },
        AttrSpec { name: "body", kind: AttrKind::Body, doc: "one step" },
    ],
    arity: Arity::AtLeast(1),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(scan_gradient::grad),
    lower: Lower::Kernel(|sig, ty| {
        Kernel::Scan(Scan {
            body: sig.attrs.get_body("body").clone(),
            count: ty.shape[0],
            sequences: sig.attrs.get_int("sequences") as usize,
            reverse: sig.attrs.get_bool("reverse"),
        })
    }),
    reference,
    cases,
};
