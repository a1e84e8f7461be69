//! Reductions over axes along which nothing changes.

use super::Site;
use super::views::{clean, make};
use crate::ir::NodeId;
use crate::ir::kernel::{Combine, Kernel, View, ViewAxis};
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
    // The same view without the repeated axes; what stands behind one of them moves up.
    let position = |axis: usize| axis - constant.iter().filter(|gone| **gone < axis).count();
    let part = |part: &ViewAxis| ViewAxis {
        base: part.base,
        terms: part.terms.iter().map(|(at, factor)| (position(*at), *factor)).collect(),
    };
    let narrow = View { axes: view.axes.iter().map(part).collect() };
    let kept: Vec<usize> =
        (0..wide.rank()).filter(|axis| !constant.contains(axis)).map(|i| wide[i]).collect();
    let source = site.b.graph[input].inputs[0];
    let x = moved(site, source, &narrow, &Shape::of(&kept))?;
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
