//! Loops over an axis.

use std::sync::Arc;

use nnc::ir::{Body, Builder, Level, NodeId};
use nnc::ops;
use nnc::ty::{Shape, Type};

use super::{Draw, Kind};

impl Draw {
    /// A recurrent cell over a node: sequences and first values of either level, matrices and rows from outside.
    pub fn recurrence(&mut self) {
        let (smooth, (x, bound)) = (self.kind == Kind::Smooth, self.any());
        let x = self.tame(x, bound, 1.0);
        let all = self.b.shape(x).elements();
        let n = [5, 4, 3, 2].into_iter().find(|n| all.is_multiple_of(*n)).unwrap_or(1);
        let count = all / n;
        if count > if smooth { 6 } else { 40 } {
            return;
        }
        let x = ops::reshape(&mut self.b, x, &Shape::of(&[count, n]));
        let matrix = self.leaf(&Shape::of(&[n, n]));
        let row = self.leaf(&Shape::of(&[n]));
        let first =
            if self.chance(50) { ops::zeros_like(&mut self.b, row) } else { self.leaf(&Shape::of(&[n])) };
        let (two, mixed, reverse) = (self.chance(60), self.chance(40), self.chance(40));
        let mut inputs = vec![x];
        let second = if self.chance(40) { self.leaf(&Shape::of(&[count, n])) } else { x };
        inputs.push(second);
        inputs.push(first);
        if two {
            inputs.push(row);
        }
        inputs.extend([matrix, row]);
        let level = |id: &NodeId| self.b.graph[*id].level;
        let levels: Vec<Level> = inputs.iter().map(level).collect();
        let top = levels.iter().copied().max().unwrap_or(Level::Once);

        let mut b = Builder::default();
        let (part, square) = (Type::f32(Shape::of(&[n])), Type::f32(Shape::of(&[n, n])));
        let xt = ops::argument(&mut b, 0, &part, levels[0]);
        let yt = ops::argument(&mut b, 1, &part, levels[1]);
        let h = ops::argument(&mut b, 2, &part, top);
        let c = if two { ops::argument(&mut b, 3, &part, top) } else { h };
        let next = 2 + 1 + usize::from(two);
        let w = ops::argument(&mut b, next, &square, levels[next]);
        let v = ops::argument(&mut b, next + 1, &part, levels[next + 1]);
        let product = ops::contract(&mut b, h, w, "k, k m -> m");
        let moved = ops::add(&mut b, product, xt);
        let gate = ops::sigmoid(&mut b, moved);
        let scaled = ops::mul(&mut b, c, v);
        let sum = ops::add(&mut b, scaled, yt);
        let new = ops::tanh(&mut b, sum);
        let kept = ops::mul(&mut b, gate, new);
        let total = ops::sum(&mut b, kept, &[0]);
        let total = ops::broadcast_like(&mut b, total, kept);
        let total = ops::scale(&mut b, total, 0.2);
        let carries = match (two, mixed) {
            (false, _) => vec![kept],
            // One carry takes the other's place.
            (true, true) => vec![c, kept],
            (true, false) => vec![kept, new],
        };
        let rows = if mixed { vec![total, xt, kept] } else { vec![kept, total, total] };
        let body = Arc::new(Body { graph: b.graph, carries, rows });
        let node = ops::scan(&mut self.b, &inputs, 2, reverse, body);
        let row = self.random.below(3);
        let node = if self.chance(50) { ops::stacked(&mut self.b, node, row) } else { node };
        self.push(node, 1.0);
    }
}
