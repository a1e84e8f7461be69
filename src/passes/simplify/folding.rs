//! Constants: what is computed of them is one, and one that is moved about is a repeated one.

use super::Site;
use crate::ir::kernel::{Kernel, Source};
use crate::ir::op::Moment;
use crate::ir::{Array, Node, NodeId, RefCall};
use crate::ops;
use crate::ty::{DType, Shape, Type};

/// An elementwise function of constants.
pub fn fold(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let value = site.facts.known(id)?;
    let computed = matches!(site.facts.kernel(id), Some(Kernel::Map(_)));
    (computed && site.b.ty(id).dtype == DType::F32).then(|| ops::constant_like(site.b, id, value))
}

/// `transpose(broadcast(constant))`: the constant, repeated.
pub fn moved_constant(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let value = site.facts.known(id)?;
    let input = *site.b.graph[id].inputs.first()?;
    let direct = matches!(site.facts.kernel(input), Some(Kernel::Source(Source::Constant(_))));
    let repeated = direct && matches!(site.facts.kernel(id), Some(Kernel::View(_)));
    (!repeated && site.b.ty(id).dtype == DType::F32).then(|| ops::constant_like(site.b, id, value))
}

/// The value of an elementwise op at these numbers, unless f32 would give another one: where it is infinite,
/// vanishes, or where the difference of numbers that are close to each other depends on their rounding.
pub fn value(node: &Node, inputs: &[f64]) -> Option<f64> {
    let exact = apply(node, inputs);
    let rounded: Vec<f64> = inputs.iter().map(|x| f64::from(*x as f32)).collect();
    let short = f64::from(apply(node, &rounded) as f32);
    let agree = (exact - short).abs() <= 4.0 * f64::from(f32::EPSILON) * exact.abs();
    (exact.is_finite() && short.is_finite() && agree).then_some(exact)
}

fn apply(node: &Node, inputs: &[f64]) -> f64 {
    let arrays: Vec<Array> = inputs.iter().map(|x| Array::scalar(*x)).collect();
    let arrays: Vec<&Array> = arrays.iter().collect();
    let ty = Type::new(node.ty.dtype, Shape::scalar());
    let moment = Moment { seed: 0, step: 1, example: 0, batch: 1 };
    (node.op.reference)(&RefCall { inputs: &arrays, attrs: &node.attrs, ty: &ty, moment }).data[0]
}
