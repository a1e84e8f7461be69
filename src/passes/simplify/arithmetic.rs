//! Elementwise algebra with neutral elements and signs.

use super::Site;
use crate::ir::NodeId;
use crate::ir::kernel::{Kernel, Scalar};
use crate::ops;

impl Site<'_> {
    /// The arguments of a node, if it is this function.
    pub fn arguments<const N: usize>(&self, id: NodeId, scalar: Scalar) -> Option<[NodeId; N]> {
        match self.facts.kernel(id) {
            Some(Kernel::Map(found)) if *found == scalar => self.b.graph[id].inputs[..].try_into().ok(),
            _ => None,
        }
    }

    /// Whether all elements are this number.
    pub fn is(&self, id: NodeId, value: f64) -> bool {
        self.facts.known(id) == Some(value)
    }

    /// `x`, where the node is `-x`.
    fn negated(&self, id: NodeId) -> Option<NodeId> {
        self.arguments(id, Scalar::Neg).map(|[x]| x)
    }
}

/// `x + 0 = x`, `x + (-y) = x - y`
pub fn add(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let [x, y] = site.arguments(id, Scalar::Add)?;
    if site.is(x, 0.0) {
        return Some(y);
    }
    if site.is(y, 0.0) {
        return Some(x);
    }
    match (site.negated(x), site.negated(y)) {
        (_, Some(y)) => Some(ops::sub(site.b, x, y)),
        (Some(x), None) => Some(ops::sub(site.b, y, x)),
        (None, None) => None,
    }
}

/// `x - 0 = x`, `0 - x = -x`, `x - (-y) = x + y`
pub fn sub(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let [x, y] = site.arguments(id, Scalar::Sub)?;
    if site.is(y, 0.0) {
        return Some(x);
    }
    if site.is(x, 0.0) {
        return Some(ops::neg(site.b, y));
    }
    site.negated(y).map(|y| ops::add(site.b, x, y))
}

/// `x * 1 = x`, `x * -1 = -x`
pub fn mul(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let [x, y] = site.arguments(id, Scalar::Mul)?;
    for (x, factor) in [(x, y), (y, x)] {
        if site.is(factor, 1.0) {
            return Some(x);
        }
        if site.is(factor, -1.0) {
            return Some(ops::neg(site.b, x));
        }
    }
    None
}

/// `x / 1 = x`; a division by a power of two is a product, to the last bit.
pub fn div(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let [x, y] = site.arguments(id, Scalar::Div)?;
    let divisor = site.facts.known(y)?;
    if divisor == 1.0 {
        return Some(x);
    }
    let fraction_bits = divisor.to_bits() & ((1 << 52) - 1);
    let in_range = (1e-30..1e30).contains(&divisor.abs());
    (fraction_bits == 0 && in_range).then(|| ops::scale(site.b, x, 1.0 / divisor))
}

/// `x ^ 1 = x`, `x ^ 2 = x * x`
pub fn pow(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let [x, exponent] = site.arguments(id, Scalar::Pow)?;
    match site.facts.known(exponent) {
        Some(1.0) => Some(x),
        Some(2.0) => Some(ops::square(site.b, x)),
        _ => None,
    }
}

/// `-(-x) = x`, `not not x = x`
pub fn twice(site: &mut Site, id: NodeId) -> Option<NodeId> {
    [Scalar::Neg, Scalar::Not].into_iter().find_map(|scalar| {
        let [inner] = site.arguments(id, scalar)?;
        let [x] = site.arguments(inner, scalar)?;
        Some(x)
    })
}

/// A condition that is known, or two alternatives that are one.
pub fn select(site: &mut Site, id: NodeId) -> Option<NodeId> {
    let [condition, x, y] = site.arguments(id, Scalar::Select)?;
    if x == y {
        return Some(x);
    }
    site.facts.known(condition).map(|value| if value != 0.0 { x } else { y })
}

/// `x and true = x`, `x and false = false`, `x or false = x`, `x or true = true`
pub fn logic(site: &mut Site, id: NodeId) -> Option<NodeId> {
    for (scalar, neutral) in [(Scalar::And, 1.0), (Scalar::Or, 0.0)] {
        let Some([x, y]) = site.arguments(id, scalar) else { continue };
        for (x, known) in [(x, y), (y, x)] {
            if let Some(value) = site.facts.known(known) {
                return Some(if value == neutral { x } else { known });
            }
        }
    }
    None
}
