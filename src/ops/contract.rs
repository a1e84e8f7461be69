//! `contract`: sums of products of two tensors over shared labels (an einsum of two inputs).

use super::common::need_f32;
use super::{broadcast, reshape};
use crate::ir::kernel::Contraction;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{Shape, Type};

/// The sum of products that a formula such as `n k, k m -> n m` describes.
pub fn contract(b: &mut Builder, x: NodeId, y: NodeId, formula: &str) -> NodeId {
    b.add(&OP, &[x, y], Attrs::none().text("formula", formula))
}

/// The matrix product of the last two axes of `x` and `y`; the axes before them are equal.
pub fn matmul(b: &mut Builder, x: NodeId, y: NodeId) -> NodeId {
    let lead: Vec<String> = (0..b.shape(x).rank().saturating_sub(2)).map(|i| format!("b{i} ")).collect();
    let lead = lead.concat();
    contract(b, x, y, &format!("{lead}n k, {lead}k m -> {lead}n m"))
}

/// The labels of a formula: of both inputs and of the result.
struct Formula<'a> {
    x: Vec<&'a str>,
    y: Vec<&'a str>,
    out: Vec<&'a str>,
}

impl<'a> Formula<'a> {
    fn parse(text: &'a str) -> Result<Formula<'a>, Mismatch> {
        let wrong = |why: String| {
            Mismatch::of(&[], why).help("a formula names every axis: `n k, k m -> n m` is the matrix product")
        };
        let parts = text.split_once("->").and_then(|(inputs, out)| Some((inputs.split_once(',')?, out)));
        let Some(((x, y), out)) = parts.filter(|((_, y), out)| !y.contains(',') && !out.contains("->"))
        else {
            return Err(wrong(format!("`{text}` is not of the form `labels, labels -> labels`")));
        };
        let labels = |part: &'a str| part.split_whitespace().collect::<Vec<_>>();
        let formula = Formula { x: labels(x), y: labels(y), out: labels(out) };
        for list in [&formula.x, &formula.y, &formula.out] {
            if let Some(twice) = list.iter().enumerate().find(|(i, label)| list[..*i].contains(label)) {
                return Err(wrong(format!("the label `{}` stands twice in one tensor in `{text}`", twice.1)));
            }
        }
        if let Some(new) = formula.out.iter().find(|l| !formula.x.contains(l) && !formula.y.contains(l)) {
            return Err(wrong(format!(
                "the label `{new}` of the result stands in neither input in `{text}`"
            )));
        }
        Ok(formula)
    }

    /// All labels: those of the result, then those that are summed.
    fn all(&self) -> Vec<&'a str> {
        let mut all = self.out.clone();
        for label in self.x.iter().chain(&self.y) {
            if !all.contains(label) {
                all.push(label);
            }
        }
        all
    }

    /// The extent of a label.
    fn extent(&self, label: &str, x: &Shape, y: &Shape) -> usize {
        let find = |labels: &[&str], shape: &Shape| labels.iter().position(|l| *l == label).map(|i| shape[i]);
        find(&self.x, x).or_else(|| find(&self.y, y)).unwrap_or(1)
    }
}

fn shape(sig: &Signature) -> Result<Type, Mismatch> {
    let formula = Formula::parse(sig.attrs.get_text("formula"))?;
    let [x, y] = sig.inputs else { return Err(Mismatch::of(&[], "contract takes two inputs")) };
    for (i, labels) in [(0, &formula.x), (1, &formula.y)] {
        need_f32(sig, i)?;
        let rank = sig.inputs[i].shape.rank();
        if labels.len() != rank {
            let message = format!("{} has {rank} axes, the formula names {}", sig.inputs[i], labels.len());
            return Err(Mismatch::of(&[i], message));
        }
    }
    for (i, label) in formula.x.iter().enumerate() {
        let Some(j) = formula.y.iter().position(|l| l == label) else { continue };
        let (m, n) = (x.shape[i], y.shape[j]);
        if m != n {
            let message = format!("the axes `{label}` of {x} and {y} differ: {m} and {n}");
            return Err(Mismatch::of(&[0, 1], message));
        }
    }
    let extents: Vec<i64> =
        formula.out.iter().map(|label| formula.extent(label, &x.shape, &y.shape) as i64).collect();
    Ok(Type::f32(super::common::shape_of(&extents)?))
}

fn kernel(sig: &Signature, _: &Type) -> Kernel {
    let Ok(formula) = Formula::parse(sig.attrs.get_text("formula")) else {
        unreachable!("the shape rule has read the formula")
    };
    let all = formula.all();
    let numbers = |labels: &[&str]| {
        labels.iter().filter_map(|label| all.iter().position(|l| l == label)).map(|i| i as u8).collect()
    };
    Kernel::Contract(Contraction {
        a: numbers(&formula.x),
        b: numbers(&formula.y),
        out: numbers(&formula.out),
    })
}

fn grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let [x, y] = b.graph[node].inputs[..] else { return Vec::new() };
    let text = b.graph[node].attrs.get_text("formula").to_string();
    let Ok(formula) = Formula::parse(&text) else { return Vec::new() };
    let dx = towards(b, g, &formula.out, y, &formula.y, x, &formula.x);
    let dy = towards(b, g, &formula.out, x, &formula.x, y, &formula.y);
    vec![Some(dx), Some(dy)]
}

/// The gradient of the input `to`: `g` times the `other` input, summed over what `to` does not have, and
/// repeated along axes of `to` that neither of them has (the op has summed over those alone).
fn towards(
    b: &mut Builder,
    g: NodeId,
    g_labels: &[&str],
    other: NodeId,
    other_labels: &[&str],
    to: NodeId,
    to_labels: &[&str],
) -> NodeId {
    let known = |label: &&&str| g_labels.contains(*label) || other_labels.contains(*label);
    let kept: Vec<&str> = to_labels.iter().filter(known).copied().collect();
    let formula = format!("{}, {} -> {}", g_labels.join(" "), other_labels.join(" "), kept.join(" "));
    let product = contract(b, g, other, &formula);
    let shape = b.shape(to).clone();
    let missing: Vec<usize> = (0..to_labels.len()).filter(|i| !kept.contains(&to_labels[*i])).collect();
    let ones = reshape(b, product, &super::common::with_ones(&shape, &missing));
    broadcast(b, ones, &shape)
}

/// For each label, the step that one more of it makes in a tensor with these labels.
fn steps(all: &[&str], labels: &[&str], shape: &Shape) -> Vec<usize> {
    let strides = shape.strides();
    all.iter().map(|label| labels.iter().position(|l| l == label).map_or(0, |i| strides[i])).collect()
}

fn reference(call: &RefCall) -> Array {
    let [x, y] = call.inputs else { unreachable!("contract takes two inputs") };
    let Ok(formula) = Formula::parse(call.attrs.get_text("formula")) else {
        unreachable!("the shape rule has read the formula")
    };
    let all = formula.all();
    let extents: Vec<usize> = all.iter().map(|label| formula.extent(label, &x.shape, &y.shape)).collect();
    let (sx, sy) = (steps(&all, &formula.x, &x.shape), steps(&all, &formula.y, &y.shape));
    let (out, summed) = extents.split_at(formula.out.len());
    let mut data = Vec::with_capacity(call.ty.shape.elements());
    results(out, summed, [&sx, &sy], [&x.data, &y.data], &mut data);
    Array::new(call.ty.shape.clone(), data)
}

/// Elements of a result that are summed side by side, each in its own order: an addition waits for the one before it.
const SIDE_BY_SIDE: usize = 8;

/// Appends the results over labels of extents `out`, each summed over labels of extents `summed`; both inputs have steps
/// for all of these labels.
fn results(out: &[usize], summed: &[usize], [sx, sy]: [&[usize]; 2], [x, y]: [&[f64]; 2], to: &mut Vec<f64>) {
    let [count, rest @ ..] = out else {
        return to.extend(sums::<1>(summed, [sx, sy], [x, y], [0, 0]));
    };
    let (next, steps) = ([sx[0], sy[0]], [&sx[1..], &sy[1..]]);
    let at = |i: usize| [&x[i * next[0]..], &y[i * next[1]..]];
    if !rest.is_empty() {
        return (0..*count).for_each(|i| results(rest, summed, steps, at(i), to));
    }
    let blocks = count / SIDE_BY_SIDE;
    for i in 0..blocks {
        to.extend(sums::<SIDE_BY_SIDE>(summed, steps, at(i * SIDE_BY_SIDE), next));
    }
    for i in blocks * SIDE_BY_SIDE..*count {
        to.extend(sums::<1>(summed, steps, at(i), next));
    }
}

/// Sums of products over all labels of these extents, of N results that stand so far apart in the inputs.
fn sums<const N: usize>(
    extents: &[usize],
    [sx, sy]: [&[usize]; 2],
    [x, y]: [&[f64]; 2],
    [next_x, next_y]: [usize; 2],
) -> [f64; N] {
    let product = |x: &[f64], y: &[f64], i: usize| x[i * next_x] * y[i * next_y];
    let [count, rest @ ..] = extents else {
        return std::array::from_fn(|i| product(x, y, i));
    };
    let mut totals = [-0.0; N];
    for k in 0..*count {
        let (x, y) = (&x[k * sx[0]..], &y[k * sy[0]..]);
        if rest.is_empty() {
            totals.iter_mut().enumerate().for_each(|(i, total)| *total += product(x, y, i));
        } else {
            let parts = sums::<N>(rest, [&sx[1..], &sy[1..]], [x, y], [next_x, next_y]);
            totals.iter_mut().zip(parts).for_each(|(total, part)| *total += part);
        }
    }
    totals
}

fn cases() -> Vec<Case> {
    let case = |x: &[usize], y: &[usize], formula: &str| {
        Case::f32(&[x, y], Attrs::none().text("formula", formula)).tolerance(2e-5)
    };
    let mut cases: Vec<Case> =
        super::common::SIZES.iter().map(|n| case(&[*n], &[*n, 3], "k, k m -> m")).collect();
    cases.extend([
        case(&[7, 9], &[9, 8], "n k, k m -> n m"),
        case(&[17, 5], &[9, 5], "n k, m k -> n m"),
        case(&[5, 17], &[5, 9], "k n, k m -> m n"),
        case(&[33], &[33], "k, k ->"),
        case(&[7], &[9], "n, m -> n m"),
        case(&[7], &[7], "n, n -> n"),
        case(&[], &[5], ", k -> k"),
        case(&[2, 4, 3], &[2, 3, 5], "b n k, b k m -> b n m"),
        case(&[4, 2, 3], &[5, 2, 3], "q h d, k h d -> h q k"),
        case(&[3, 4], &[5, 4], "extra k, m k -> m"),
        case(&[3, 4], &[2, 5], "n k, m j -> n m"),
        case(&[2, 3, 4], &[4, 3], "a j k, k j -> a"),
        case(&[16], &[16, 9], "k, k m -> m").levels(&[Level::Each, Level::Once]),
        case(&[3, 16], &[16, 9], "n k, k m -> n m").levels(&[Level::Each, Level::Once]),
        case(&[16, 9], &[16], "k m, k -> m").levels(&[Level::Once, Level::Each]),
        case(&[8, 9], &[9, 7], "n k, k m -> n m").levels(&[Level::Once, Level::Once]),
    ]);
    cases
}

/// The record.
pub static OP: Op = Op {
    name: "contract",
    doc: "The sum of products of two tensors over shared labels.\n\n\
          `x: f32[..], y: f32[..] -> f32[..]`\n\n\
          The formula gives each axis a label. Axes of one label run together; labels that are missing \
          in the result are summed. So `n k, k m -> n m` is the matrix product, `n, m -> n m` the \
          outer product.\n\n\
          Example: `contract([[1, 2], [3, 4]], [5, 6], formula: \"n k, k -> n\") = [17, 39]`\n\n\
          Source: Einstein's summation convention.",
    attrs: &[AttrSpec { name: "formula", kind: AttrKind::Text, doc: "the labels: `x, y -> result`" }],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape,
    grad: Grad::Rule(grad),
    lower: Lower::Kernel(kernel),
    reference,
    cases,
};
