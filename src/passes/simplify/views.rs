//! Moves of elements: reshapes, and views (repeats, transposes, slices, reversals) in a row.

use super::Site;
use crate::ir::kernel::{Kernel, View, ViewAxis};
use crate::ir::{Builder, NodeId};
use crate::ops;
use crate::ty::Shape;

/// A move that moves nothing; a list of one; a reduction over no axes; padding by nothing.
pub fn identity(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let [x] = site.b.graph[id].inputs[..] else { return None };
    let same_shape = site.b.shape(x) == site.b.shape(id);
    let nothing = match site.facts.kernel(id)? {
        Kernel::Reshape | Kernel::Concat(_) | Kernel::Pad { .. } => same_shape,
        Kernel::View(view) => same_shape && is_identity(view, site.b.shape(x)),
        Kernel::Reduce(_, axes) => axes.is_empty(),
        Kernel::Source(_) | Kernel::Map(_) | Kernel::Iota(_) | Kernel::Contract(_) => false,
        Kernel::BatchSum | Kernel::Batch | Kernel::Example | Kernel::Leaf(_) | Kernel::Scan(_) => false,
    };
    nothing.then_some(x)
}

/// `reshape(reshape(x))`: one of them.
pub fn reshape(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let inner = site.b.graph[id].inputs.first().copied()?;
    let both =
        site.facts.kernel(id) == Some(&Kernel::Reshape) && site.facts.kernel(inner) == Some(&Kernel::Reshape);
    let shape = site.b.shape(id).clone();
    both.then(|| ops::reshape(site.b, site.b.graph[inner].inputs[0], &shape))
}

/// Two views in a row, where one op does the same.
pub fn view(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let inner = site.b.graph[id].inputs.first().copied()?;
    let (after, before) = (site.facts.view(id)?, site.facts.view(inner)?);
    let whole = compose(before, after);
    let x = site.b.graph[inner].inputs[0];
    let to = site.b.shape(id).clone();
    make(site.b, x, &whole, &to)
}

/// `broadcast(reshape(x))`, where the reshape only puts axes of 1 in front: the repeat does so itself.
pub fn leading(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let inner = site.b.graph[id].inputs.first().copied()?;
    let view = site.facts.view(id)?;
    if site.facts.kernel(inner) != Some(&Kernel::Reshape) {
        return None;
    }
    let (x, to) = (site.b.graph[inner].inputs[0], site.b.shape(id));
    let (from, kept) = (site.b.shape(x), site.b.shape(inner));
    let new = kept.rank().checked_sub(from.rank())?;
    let in_front = kept[..new].iter().all(|n| *n == 1) && kept[new..] == from[..];
    let is_repeat = clean(view, to) == clean(&repeat(kept, to)?, to);
    let to = to.clone();
    (in_front && is_repeat).then(|| ops::broadcast(site.b, x, &to))
}

/// An elementwise function of repeated tensors: computed before they are repeated. Constants fit anywhere.
pub fn hoist(site: &mut Site, id: NodeId) -> Option<NodeId> {
    if !matches!(site.facts.kernel(id), Some(Kernel::Map(_))) {
        return None;
    }
    let inputs = site.b.graph[id].inputs.clone();
    let first = *inputs.iter().find(|input| site.facts.known(**input).is_none())?;
    let to = site.b.shape(id).clone();
    let common = clean(site.facts.view(first)?, &to);
    let small = site.b.shape(site.b.graph[first].inputs[0]).clone();
    let is_repeat = repeat(&small, &to).is_some_and(|view| clean(&view, &to) == common);
    if small.elements() >= to.elements() || !is_repeat {
        return None;
    }
    let alike = |input: NodeId| {
        let view = site.facts.view(input).filter(|view| clean(view, &to) == common);
        view.is_some() && *site.b.shape(site.b.graph[input].inputs[0]) == small
    };
    let number =
        |input: NodeId| site.facts.known(input).filter(|_| site.b.ty(input).dtype == crate::ty::DType::F32);
    if !inputs.iter().all(|input| number(*input).is_some() || alike(*input)) {
        return None;
    }
    let mut before = Vec::new();
    for input in inputs {
        before.push(match site.facts.known(input) {
            Some(value) => {
                let value = ops::constant(site.b, value);
                ops::broadcast(site.b, value, &small)
            }
            None => site.b.graph[input].inputs[0],
        });
    }
    let (op, attrs) = (site.b.graph[id].op, site.b.graph[id].attrs.clone());
    let result = site.b.try_add(op, &before, attrs).ok()?;
    Some(ops::broadcast(site.b, result, &to))
}

/// The view that reads `before` through `after`.
fn compose(before: &View, after: &View) -> View {
    let axis = |axis: &ViewAxis| {
        let mut whole = ViewAxis { base: axis.base, terms: Vec::new() };
        for (middle, factor) in &axis.terms {
            let outer = &after.axes[*middle];
            whole.base += factor * outer.base;
            whole.terms.extend(outer.terms.iter().map(|(axis, f)| (*axis, factor * f)));
        }
        whole
    };
    View { axes: before.axes.iter().map(axis).collect() }
}

/// A view in a form in which equal views look equal: terms in order, without those that are always 0.
pub fn clean(view: &View, to: &Shape) -> View {
    let axis = |axis: &ViewAxis| {
        let mut terms: Vec<(usize, i64)> = Vec::new();
        for (at, factor) in &axis.terms {
            match terms.iter_mut().find(|(known, _)| known == at) {
                Some((_, sum)) => *sum += factor,
                None => terms.push((*at, *factor)),
            }
        }
        terms.retain(|(at, factor)| *factor != 0 && to[*at] > 1);
        terms.sort_unstable();
        ViewAxis { base: axis.base, terms }
    };
    View { axes: view.axes.iter().map(axis).collect() }
}

fn is_identity(view: &View, shape: &Shape) -> bool {
    let axis = |i| ViewAxis { base: 0, terms: vec![(i, 1)] };
    let identity = View { axes: (0..shape.rank()).map(axis).collect() };
    clean(view, shape) == clean(&identity, shape)
}

/// The view that `broadcast` from one shape to another is, where there is one.
fn repeat(from: &Shape, to: &Shape) -> Option<View> {
    let lead = to.rank().checked_sub(from.rank())?;
    let axis = |i: usize| match (from[i], to[i + lead]) {
        (m, n) if m == n => Some(ViewAxis { base: 0, terms: vec![(i + lead, 1)] }),
        (1, _) => Some(ViewAxis { base: 0, terms: Vec::new() }),
        _ => None,
    };
    Some(View { axes: (0..from.rank()).map(axis).collect::<Option<_>>()? })
}

/// For each axis of the result the axis of the input, where a view only reorders axes.
fn permutation(view: &View, from: &Shape, to: &Shape) -> Option<Vec<usize>> {
    let mut source = vec![None; to.rank()];
    let mut ones = Vec::new();
    for (i, axis) in view.axes.iter().enumerate() {
        match (axis.base, &axis.terms[..]) {
            (0, [(at, 1)]) => source[*at] = Some(i),
            (0, []) if from[i] == 1 => ones.push(i),
            _ => return None,
        }
    }
    let mut ones = ones.into_iter();
    let all: Option<Vec<usize>> = source.into_iter().map(|axis| axis.or_else(|| ones.next())).collect();
    let all = all.filter(|_| ones.next().is_none())?;
    all.iter().zip(to.iter()).all(|(axis, n)| from[*axis] == *n).then_some(all)
}

/// Start and stride of each axis, where a view only takes a part.
fn part(view: &View, to: &Shape) -> Option<(Vec<usize>, Vec<usize>)> {
    if view.axes.len() != to.rank() {
        return None;
    }
    let axis = |(i, axis): (usize, &ViewAxis)| match axis.terms[..] {
        [] if to[i] == 1 => Some((axis.base as usize, 1)),
        [(at, step)] if at == i && step > 0 => Some((axis.base as usize, step as usize)),
        _ => None,
    };
    let parts: Option<Vec<(usize, usize)>> = view.axes.iter().enumerate().map(axis).collect();
    Some(parts?.into_iter().unzip())
}

/// One op that moves the elements of `x` as a view does, where there is one.
pub fn make(b: &mut Builder, x: NodeId, view: &View, to: &Shape) -> Option<NodeId> {
    let from = b.shape(x).clone();
    let view = clean(view, to);
    if repeat(&from, to).is_some_and(|repeat| clean(&repeat, to) == view) {
        return Some(ops::broadcast(b, x, to));
    }
    if let Some(permutation) = permutation(&view, &from, to) {
        return Some(ops::transpose(b, x, &permutation));
    }
    part(&view, to).map(|(start, stride)| ops::slice(b, x, &start, to, &stride))
}
