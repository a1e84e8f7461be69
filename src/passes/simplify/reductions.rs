//! Reductions over axes along which nothing changes.

use super::Site;
use super::views::{clean, make};
use crate::ir::kernel::{Combine, Kernel, Scalar, View, ViewAxis};
use crate::ir::{Level, NodeId};
use crate::ops;
use crate::ty::Shape;

/// Sums over repeated axes become a factor; maxima and minima over them vanish.
pub fn repeated(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Some(Kernel::Reduce(combine, axes)) = site.facts.kernel(id).cloned() else { return None };
    let input = site.b.graph[id].inputs[0];
    let wide = site.b.shape(input).clone();
    let view = clean(site.facts.view(input)?, &wide);
    let moves = |axis: usize| view.axes.iter().any(|part| part.terms.iter().any(|(at, _)| *at == axis));
    let constant: Vec<usize> = axes.iter().copied().filter(|axis| !moves(*axis)).collect();
    if constant.is_empty() {
        return None;
    }
    let position = |axis: usize| axis - constant.iter().filter(|gone| **gone < axis).count();
    let x = narrowed(site, input, &constant)?;
    let rest: Vec<usize> =
        axes.iter().filter(|axis| !constant.contains(axis)).map(|axis| position(*axis)).collect();
    let b = &mut *site.b;
    match combine {
        Combine::Sum => {
            let count: usize = constant.iter().map(|axis| wide[*axis]).product();
            let sum = ops::sum(b, x, &rest);
            Some(ops::scale(b, sum, count as f64))
        }
        Combine::Max | Combine::Min if rest.is_empty() => Some(x),
        Combine::Max => Some(ops::reduce_max(b, x, &rest)),
        Combine::Min => Some(ops::reduce_min(b, x, &rest)),
    }
}

/// A reduction over the axis that a reshape made of the leading ones goes over those.
pub fn merged(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Some(Kernel::Reduce(combine, axes)) = site.facts.kernel(id).cloned() else { return None };
    let reshaped = site.b.graph[id].inputs[0];
    if site.facts.kernel(reshaped) != Some(&Kernel::Reshape) {
        return None;
    }
    let axes = leading(site, reshaped, &axes)?;
    let x = site.b.graph[reshaped].inputs[0];
    Some(match combine {
        Combine::Sum => ops::sum(site.b, x, &axes),
        Combine::Max => ops::reduce_max(site.b, x, &axes),
        Combine::Min => ops::reduce_min(site.b, x, &axes),
    })
}

/// Whether nothing changes along these axes of a value.
pub(super) fn still(site: &Site, id: NodeId, axes: &[usize]) -> bool {
    match site.facts.kernel(id) {
        _ if axes.is_empty() => true,
        Some(Kernel::View(view)) => {
            let view = clean(view, site.b.shape(id));
            !view.axes.iter().any(|part| part.terms.iter().any(|(at, _)| axes.contains(at)))
        }
        Some(Kernel::Reshape) => {
            let input = site.b.graph[id].inputs[0];
            leading(site, id, axes).is_some_and(|axes| still(site, input, &axes))
        }
        _ => false,
    }
}

/// A value without these axes, along which nothing changes.
pub(super) fn narrowed(site: &mut Site, id: NodeId, axes: &[usize]) -> Option<NodeId> {
    if axes.is_empty() {
        return Some(id);
    }
    let input = *site.b.graph[id].inputs.first()?;
    if site.facts.kernel(id) == Some(&Kernel::Reshape) {
        let axes = leading(site, id, axes)?;
        return narrowed(site, input, &axes);
    }
    // The same view without the repeated axes; what stands behind one of them moves up.
    let wide = site.b.shape(id).clone();
    let view = clean(site.facts.view(id)?, &wide);
    let position = |axis: usize| axis - axes.iter().filter(|gone| **gone < axis).count();
    let part = |part: &ViewAxis| ViewAxis {
        base: part.base,
        terms: part.terms.iter().map(|(at, factor)| (position(*at), *factor)).collect(),
    };
    let narrow = View { axes: view.axes.iter().map(part).collect() };
    let kept: Vec<usize> = (0..wide.rank()).filter(|axis| !axes.contains(axis)).map(|i| wide[i]).collect();
    moved(site, input, &narrow, &Shape::of(&kept))
}

/// The axes in front that a reshape merged or split into these, which are all those in front.
fn leading(site: &Site, id: NodeId, axes: &[usize]) -> Option<Vec<usize>> {
    let (to, from) = (site.b.shape(id), site.b.shape(site.b.graph[id].inputs[0]));
    let in_front = axes.iter().enumerate().all(|(i, axis)| i == *axis);
    let lead = (from.rank() + axes.len()).checked_sub(to.rank())?;
    let same = in_front && from[lead..] == to[axes.len()..];
    same.then(|| (0..lead).collect())
}

/// One op that makes this view of `x`, after axes of extent 1 have been left out of `x` where that helps.
fn moved(site: &mut Site, x: NodeId, view: &View, to: &Shape) -> Option<NodeId> {
    if let Some(whole) = make(site.b, x, view, to) {
        return Some(whole);
    }
    let from = site.b.shape(x).clone();
    let kept: Vec<usize> = (0..from.rank()).filter(|axis| from[*axis] > 1).collect();
    let small = Shape::of(&kept.iter().map(|axis| from[*axis]).collect::<Vec<_>>());
    let view = View { axes: kept.iter().map(|axis| view.axes[*axis].clone()).collect() };
    let x = ops::reshape(site.b, x, &small);
    make(site.b, x, &view, to)
}

/// A reduction over extents of 1 only gives the axes up.
pub fn single(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Some(Kernel::Reduce(_, axes)) = site.facts.kernel(id) else { return None };
    let input = site.b.graph[id].inputs[0];
    let ones = axes.iter().all(|axis| site.b.shape(input)[*axis] == 1);
    let to = site.b.shape(id).clone();
    ones.then(|| ops::reshape(site.b, input, &to))
}

/// `batch_sum(x + y) = batch_sum(x) + batch_sum(y)` where one of them is a product or a leaf, which then adds up the
/// examples itself: else it would have to be kept for each. So it is with weights that are used twice in a step.
pub fn parted(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let Some(Kernel::BatchSum) = site.facts.kernel(id) else { return None };
    let parts: [NodeId; 2] = site.arguments(site.b.graph[id].inputs[0], Scalar::Add)?;
    let product =
        |part: &NodeId| matches!(site.facts.kernel(*part), Some(Kernel::Contract(_) | Kernel::Leaf(_)));
    let each = |part: &NodeId| site.b.graph[*part].level == Level::Each;
    if !parts.iter().all(each) || !parts.iter().any(product) {
        return None;
    }
    let [x, y] = parts.map(|part| ops::batch_sum(site.b, part));
    Some(ops::add(site.b, x, y))
}
