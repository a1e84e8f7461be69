//! Elementwise functions, reductions and products.

use nnc::ops;
use nnc::ty::{DType, Shape};

use super::Draw;

impl Draw {
    pub fn unary(&mut self) {
        let x = self.small();
        let which = self.random.below(13);
        let positive = if (9..12).contains(&which) { self.positive(x) } else { x };
        let b = &mut self.b;
        let (node, bound) = match which {
            0 => (ops::tanh(b, x), 1.0),
            1 => (ops::sigmoid(b, x), 1.0),
            2 => (ops::sin(b, x), 1.0),
            3 => (ops::cos(b, x), 1.0),
            4 => (ops::exp(b, x), 2.8),
            5 => (ops::erf(b, x), 1.0),
            6 => (ops::neg(b, x), 1.0),
            7 => (ops::square(b, x), 1.0),
            8 => (ops::scale(b, x, 2.5), 2.5),
            9 => (ops::log(b, positive), 1.0),
            10 => (ops::sqrt(b, positive), 1.3),
            11 => (ops::rsqrt(b, positive), 1.5),
            _ => (ops::one_minus(b, x), 2.0),
        };
        self.push(node, bound);
    }

    pub fn unary_with_kinks(&mut self) {
        let (x, bound) = self.any();
        let which = self.random.below(4);
        let b = &mut self.b;
        let node = match which {
            0 => ops::relu(b, x),
            1 => ops::abs(b, x),
            2 => ops::stop_gradient(b, x),
            _ => ops::neg(b, x),
        };
        self.push(node, bound);
    }

    pub fn binary(&mut self) {
        let (x, y, bx, by) = self.pair();
        let which = self.random.below(6);
        let (node, bound) = match which {
            0 | 1 => (ops::add(&mut self.b, x, y), bx + by),
            2 => (ops::sub(&mut self.b, x, y), bx + by),
            3 => (ops::mul(&mut self.b, x, y), bx * by),
            4 => {
                let y = self.positive(y);
                (ops::div(&mut self.b, x, y), 2.0 * bx)
            }
            _ => {
                let (x, y) = (self.positive(x), self.tame(y, by, 1.0));
                (ops::pow(&mut self.b, x, y), 2.0)
            }
        };
        self.push(node, bound);
    }

    pub fn choose(&mut self) {
        let (x, y, bx, by) = self.pair();
        let which = self.random.below(5);
        let b = &mut self.b;
        let node = match which {
            0 => ops::maximum(b, x, y),
            1 => ops::minimum(b, x, y),
            2 => {
                let less = ops::lt(b, x, y);
                ops::select(b, less, y, x)
            }
            3 => {
                let (near, zero) = (ops::le(b, x, y), ops::zeros_like(b, y));
                let positive = ops::gt(b, y, zero);
                let both = ops::and(b, near, positive);
                let either = ops::or(b, both, near);
                let not = ops::not(b, either);
                let number = ops::cast(b, not, DType::F32);
                ops::add(b, number, x)
            }
            _ => {
                let equal = ops::eq(b, x, y);
                ops::select(b, equal, x, y)
            }
        };
        self.push(node, bx.max(by) + 1.0);
    }

    pub fn some_axes(&mut self, rank: usize) -> Vec<usize> {
        (0..rank).filter(|_| self.chance(50)).collect()
    }

    pub fn reduce(&mut self) {
        let (x, bound) = self.any();
        let axes = self.some_axes(self.b.shape(x).rank());
        let count: usize = axes.iter().map(|axis| self.b.shape(x)[*axis]).product();
        if self.chance(50) {
            let node = ops::mean(&mut self.b, x, &axes);
            self.push(node, bound);
        } else {
            let node = ops::sum(&mut self.b, x, &axes);
            self.push(node, bound * count as f64);
        }
    }

    pub fn extremes(&mut self) {
        let (x, bound) = self.any();
        let rank = self.b.shape(x).rank();
        let axes = self.some_axes(rank);
        if rank > 0 && self.chance(30) {
            let axis = self.random.below(rank);
            let place = ops::argmax(&mut self.b, x, axis);
            let size = self.b.shape(x)[axis];
            let hot = ops::one_hot(&mut self.b, place, size);
            return self.push(hot, 1.0);
        }
        let node = if self.chance(50) {
            ops::reduce_max(&mut self.b, x, &axes)
        } else {
            ops::reduce_min(&mut self.b, x, &axes)
        };
        self.push(node, bound);
    }

    pub fn contract(&mut self) {
        let (x, bound) = self.any();
        let shape = self.b.shape(x).clone();
        let Some(inner) = shape.last().copied() else { return };
        let x = self.tame(x, bound, 3.0);
        let m = self.size();
        let lead: String = (1..shape.rank()).map(|i| format!("a{i} ")).collect();
        let which = self.random.below(4);
        let (partner, formula) = match which {
            0 => (self.variable(&Shape::of(&[inner, m])), format!("{lead}k, k m -> {lead}m")),
            1 => (self.leaf(&Shape::of(&[m, inner])), format!("{lead}k, m k -> {lead}m")),
            2 => (self.leaf(&shape), format!("{lead}k, {lead}k -> {lead}")),
            _ => (self.leaf(&shape), format!("{lead}k, {lead}k -> k")),
        };
        let node = ops::contract(&mut self.b, x, partner, &formula);
        let summed = if which == 3 { shape.elements() / inner } else { inner };
        self.push(node, 6.0 * summed as f64);
    }
}
