//! Moves, windows, rows, random numbers, and what passes look for.

use nnc::ir::{Level, NodeId};
use nnc::ops;
use nnc::ty::{DType, Shape, Type};

use super::Draw;

impl Draw {
    /// Views, reshapes, concatenation, padding.
    pub fn reorder(&mut self) {
        let (x, bound) = self.any();
        let shape = self.b.shape(x).clone();
        let rank = shape.rank();
        if rank == 0 {
            let n = self.size();
            let node = ops::broadcast(&mut self.b, x, &Shape::of(&[n]));
            return self.push(node, bound);
        }
        let axis = self.random.below(rank);
        let node = match self.random.below(8) {
            0 => ops::reshape(&mut self.b, x, &Shape::of(&[shape.elements()])),
            1 => {
                let mut order: Vec<usize> = (0..rank).collect();
                (1..rank).for_each(|i| order.swap(i, self.random.below(i + 1)));
                ops::transpose(&mut self.b, x, &order)
            }
            2 | 3 => {
                let (mut start, mut extent, mut stride) = (Vec::new(), Vec::new(), Vec::new());
                for n in shape.iter() {
                    let step = 1 + self.random.below(3);
                    let first = self.random.below(*n);
                    let most = (n - first).div_ceil(step);
                    start.push(first);
                    extent.push(1 + self.random.below(most));
                    stride.push(step);
                }
                ops::slice(&mut self.b, x, &start, &extent, &stride)
            }
            4 => {
                let low: Vec<usize> = (0..rank).map(|_| self.random.below(3)).collect();
                let high: Vec<usize> = (0..rank).map(|_| self.random.below(3)).collect();
                let fill = self.random.pick(&[0.0, 0.5]);
                ops::pad(&mut self.b, x, &low, &high, fill)
            }
            5 => {
                let mut other = shape.to_vec();
                other[axis] = self.size();
                let other = self.leaf(&Shape::of(&other));
                ops::concat(&mut self.b, &[x, other, x], axis)
            }
            6 if axis % 2 == 1 => {
                let sums = ops::cumsum(
                    &mut self.b,
                    x,
                    axis,
                    shape[0].is_multiple_of(2),
                    shape[axis].is_multiple_of(2),
                );
                return self.push(sums, bound * shape[axis] as f64);
            }
            6 => ops::reverse(&mut self.b, x, &[axis]),
            _ => {
                let mut wide = shape.to_vec();
                wide.insert(axis, 1);
                let node = ops::reshape(&mut self.b, x, &Shape::of(&wide));
                wide[axis] = 1 + self.random.below(3);
                ops::broadcast(&mut self.b, node, &Shape::of(&wide))
            }
        };
        self.push(node, bound.max(2.0));
    }

    /// The mean over the batch.
    pub fn over_the_batch(&mut self) {
        let (x, bound) = self.any();
        if !self.chance(60) {
            return self.unary();
        }
        let total = ops::batch_sum(&mut self.b, x);
        let count = ops::batch_size(&mut self.b);
        let count = ops::broadcast_like(&mut self.b, count, total);
        let mean = ops::div(&mut self.b, total, count);
        self.push(mean, bound);
    }

    /// Windows that fit into an image of these extents, and their size.
    pub fn windows(&mut self, image: &Shape) -> ([usize; 2], ops::Windows) {
        let mut windows = ops::Windows::default();
        let mut size = [1; 2];
        for i in 0..2 {
            windows.low[i] = self.random.below(2);
            windows.high[i] = self.random.below(2) as i64;
            windows.stride[i] = 1 + self.random.below(2);
            let padded = image[i] + windows.low[i] + windows.high[i] as usize;
            size[i] = 1 + self.random.below(padded.min(3));
            let fits = 2 * (size[i] - 1) < padded;
            windows.dilation[i] = if fits { 1 + self.random.below(2) } else { 1 };
            // A window of padding alone would have no maximum.
            windows.low[i] = windows.low[i].min(size[i] - 1);
            windows.high[i] = windows.high[i].min(size[i] as i64 - 1);
            let padded = image[i] + windows.low[i] + windows.high[i] as usize;
            if windows.dilation[i] * (size[i] - 1) >= padded {
                windows.dilation[i] = 1;
                size[i] = size[i].min(padded);
            }
            if windows.dilation[i] > 1 {
                (windows.low[i], windows.high[i]) = (0, 0);
                if windows.dilation[i] * (size[i] - 1) >= image[i] {
                    (windows.dilation[i], size[i]) = (1, 1);
                }
            }
        }
        (size, windows)
    }

    /// A node of rank 3, within 2.
    pub fn image(&mut self) -> NodeId {
        let (x, bound) = self.any();
        if self.b.shape(x).rank() == 3 {
            return self.tame(x, bound, 2.0);
        }
        let extents = [2 + self.random.below(5), 2 + self.random.below(5), 1 + self.random.below(3)];
        self.leaf(&Shape::of(&extents))
    }

    pub fn convolve(&mut self) {
        let x = self.image();
        let shape = self.b.shape(x).clone();
        let (size, windows) = self.windows(&shape);
        let groups = if shape[2].is_multiple_of(2) && self.chance(30) { 2 } else { 1 };
        let channels = groups * (1 + self.random.below(3));
        let w = self.variable(&Shape::of(&[size[0], size[1], shape[2] / groups, channels]));
        let node = ops::conv2d(&mut self.b, x, w, &windows, groups);
        self.push(node, (4 * size[0] * size[1] * shape[2]) as f64);
    }

    pub fn pool_windows(&mut self) {
        let x = self.image();
        let shape = self.b.shape(x).clone();
        let (size, windows) = self.windows(&shape);
        if self.chance(50) {
            // As after a convolution: a number per channel, and no negative values.
            let shift = self.leaf(&Shape::of(&[shape[2]]));
            let shift = ops::broadcast(&mut self.b, shift, &shape);
            let sum = ops::add(&mut self.b, x, shift);
            let positive = ops::relu(&mut self.b, sum);
            let node = ops::max_pool2d(&mut self.b, positive, size, &windows);
            self.push(node, 4.0);
        } else if self.chance(50) {
            let node = ops::max_pool2d(&mut self.b, x, size, &windows);
            self.push(node, 2.0);
        } else {
            let node = ops::sum_pool2d(&mut self.b, x, size, &windows);
            self.push(node, 2.0 * (size[0] * size[1]) as f64);
        }
    }

    /// Rows of a table by an index, and one-hot rows.
    pub fn rows(&mut self) {
        let (rows, width) = (self.size(), self.size());
        let count = if self.chance(50) { Shape::scalar() } else { Shape::of(&[1 + self.random.below(5)]) };
        let index = ops::input(&mut self.b, self.inputs, &Type::new(DType::Index(rows as u64), count));
        self.inputs += 1;
        if self.chance(30) {
            let node = ops::one_hot(&mut self.b, index, rows);
            return self.push(node, 1.0);
        }
        let table = self.leaf(&Shape::of(&[rows, width]));
        let node = ops::gather(&mut self.b, table, index);
        self.push(node, 2.0);
    }

    pub fn noise(&mut self) {
        let shape = self.shape();
        let level = if self.chance(50) { Level::Each } else { Level::Once };
        self.streams += 1;
        let stream = self.streams as u64;
        if self.chance(60) {
            let node = ops::random_uniform(&mut self.b, &shape, stream, level);
            self.push(node, 1.0);
        } else {
            let node = ops::random_normal(&mut self.b, &shape, stream, level);
            self.push(node, 6.0);
        }
    }

    /// Numbers that are no tensor's.
    pub fn number(&mut self) {
        let which = self.random.below(4);
        let shape = self.shape();
        let (node, bound) = match which {
            0 => (ops::step(&mut self.b), 3.0),
            1 => (ops::constant(&mut self.b, -0.75), 0.75),
            2 if shape.rank() > 0 => {
                let axis = self.random.below(shape.rank());
                (ops::iota(&mut self.b, &shape, axis), 33.0)
            }
            _ => (ops::batch_size(&mut self.b), 33.0),
        };
        self.push(node, bound);
    }

    /// What passes look for: neutral elements, moves there and back, sums of repeats, copies.
    pub fn awkward(&mut self) {
        let (x, bound) = self.any();
        let shape = self.b.shape(x).clone();
        let rank = shape.rank();
        let which = self.random.below(7);
        let b = &mut self.b;
        let node = match which {
            0 => ops::scale(b, x, 1.0),
            1 => ops::offset(b, x, 0.0),
            2 => {
                let x = ops::neg(b, x);
                ops::neg(b, x)
            }
            3 => {
                let wide: Vec<usize> = [3].into_iter().chain(shape.iter().copied()).collect();
                let wide = ops::broadcast(b, x, &Shape::of(&wide));
                ops::mean(b, wide, &[0])
            }
            4 => {
                let order: Vec<usize> = (0..rank).rev().collect();
                let back = ops::transpose(b, x, &order);
                ops::transpose(b, back, &order)
            }
            5 => {
                let (one, two) = (ops::constant_like(b, x, 1.0), ops::constant_like(b, x, 2.0));
                let known = ops::lt(b, one, two);
                let y = ops::tanh(b, x);
                ops::select(b, known, x, y)
            }
            _ => {
                let (y, z) = (ops::tanh(b, x), ops::tanh(b, x));
                ops::mul(b, y, z)
            }
        };
        self.push(node, bound);
    }
}
