//! What the tests of graphs share: values for leaves, and gradients by finite differences.

use nnc::interp::{Env, Value, evaluate};
use nnc::ir::kernel::{Kernel, Source};
use nnc::ir::op::Moment;
use nnc::ir::{Array, Computation, Graph, Level, NodeId};
use nnc::ty::{DType, Type};

/// Numbers that look random and are the same in every run.
pub struct Lcg(pub u64);

impl Lcg {
    /// In `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ (self.0 >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// In `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A value of this type: floats (exact in f32) in -2..2, whole numbers within their bound.
    pub fn array(&mut self, ty: &Type) -> Array {
        Array::from_fn(&ty.shape, |_| match ty.dtype {
            DType::F32 => f64::from((4.0 * self.uniform() - 2.0) as f32),
            DType::Bool => self.below(2) as f64,
            DType::Index(bound) => self.below(bound as usize) as f64,
        })
    }
}

/// Values for all leaves of a graph.
#[derive(Clone)]
pub struct Sample {
    pub variables: Vec<Array>,
    pub inputs: Vec<Vec<Array>>,
    pub moment: Moment,
}

impl Sample {
    /// Draws a batch for a graph.
    pub fn draw(graph: &Graph, batch: usize, seed: u64) -> Sample {
        let mut random = Lcg(seed);
        let moment = Moment { seed: 11, step: 3, example: 0, batch: batch as u64 };
        let mut sample = Sample { variables: Vec::new(), inputs: Vec::new(), moment };
        for (id, node) in graph.iter() {
            match graph.kernel(id) {
                Some(Kernel::Source(Source::Input(index))) => {
                    let values = (0..batch).map(|_| random.array(&node.ty)).collect();
                    put(&mut sample.inputs, index, values, Vec::new());
                }
                Some(Kernel::Source(Source::Variable(id))) => {
                    put(&mut sample.variables, id.0 as usize, random.array(&node.ty), Array::scalar(0.0));
                }
                _ => {}
            }
        }
        sample
    }

    pub fn env(&self) -> Env<'_> {
        Env { variables: &self.variables, inputs: &self.inputs, moment: self.moment }
    }

    /// The values of these nodes.
    pub fn evaluate(&self, graph: &Graph, targets: &[NodeId]) -> Vec<Value> {
        evaluate(graph, targets, &self.env())
    }

    /// The sum of a scalar node over the batch.
    pub fn total(&self, graph: &Graph, loss: NodeId) -> f64 {
        self.evaluate(graph, &[loss])[0].arrays().iter().map(|array| array.data[0]).sum()
    }

    /// The values of a leaf: of a variable one array, of an input one per example.
    fn leaf(&mut self, graph: &Graph, leaf: NodeId) -> &mut [Array] {
        match graph.kernel(leaf) {
            Some(Kernel::Source(Source::Input(index))) => &mut self.inputs[index],
            Some(Kernel::Source(Source::Variable(id))) => {
                std::slice::from_mut(&mut self.variables[id.0 as usize])
            }
            other => panic!("{leaf} is no leaf but {other:?}"),
        }
    }

    /// Asserts that `gradient` is the derivative of `loss`, summed over the batch, by a leaf: every element
    /// of every example (some twenty of a large leaf), by central differences.
    pub fn check_gradient(&self, graph: &Graph, loss: NodeId, leaf: NodeId, gradient: NodeId, note: &str) {
        let found = self.evaluate(graph, &[gradient]).remove(0);
        if graph[leaf].level == Level::Once {
            assert_eq!(graph[gradient].level, Level::Once, "{note}: the gradient of a Once leaf");
        }
        let mut moved = self.clone();
        for example in 0..moved.leaf(graph, leaf).len() {
            let elements = graph[leaf].ty.shape.elements();
            for i in (0..elements).step_by(elements.div_ceil(20)) {
                let before = moved.leaf(graph, leaf)[example].data[i];
                let mut at = |by: f64| {
                    moved.leaf(graph, leaf)[example].data[i] = before + by;
                    moved.total(graph, loss)
                };
                let h = 1e-4;
                let slope = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                moved.leaf(graph, leaf)[example].data[i] = before;
                let exact = found.of(example).data[i];
                let scale = slope.abs().max(exact.abs()).max(1.0);
                assert!(
                    (slope - exact).abs() <= 1e-6 * scale,
                    "{note}: d {loss} / d {leaf}, example {example}, element {i}: {exact}, by differences {slope}"
                );
            }
        }
    }
}

fn put<T: Clone>(list: &mut Vec<T>, at: usize, value: T, filler: T) {
    if list.len() <= at {
        list.resize(at + 1, filler);
    }
    list[at] = value;
}

/// Asserts that two computations with the same leaves have the same outputs and updates.
pub fn assert_same(x: &Computation, y: &Computation, sample: &Sample, tolerance: f64, note: &str) {
    let values = |c: &Computation| {
        let roots: Vec<NodeId> = c.roots().collect();
        sample.evaluate(&c.graph, &roots)
    };
    let (xs, ys) = (values(x), values(y));
    assert_eq!(xs.len(), ys.len(), "{note}: number of results");
    for (i, (x, y)) in xs.iter().zip(&ys).enumerate() {
        assert_eq!(x.arrays().len(), y.arrays().len(), "{note}: level of result {i}");
        for (x, y) in x.arrays().iter().zip(y.arrays()) {
            assert_close(&x.data, &y.data, tolerance, &format!("{note}: result {i}"));
        }
    }
}

/// Asserts that two tensors agree, relative to the largest element there is, at least 1.
pub fn assert_close(x: &[f64], y: &[f64], tolerance: f64, note: &str) {
    assert_eq!(x.len(), y.len(), "{note}: number of elements");
    let scale = x.iter().filter(|v| v.is_finite()).fold(1.0, |scale: f64, v| scale.max(v.abs()));
    for (i, (x, y)) in x.iter().zip(y).enumerate() {
        let same = x == y || (x.is_nan() && y.is_nan());
        assert!(same || (x - y).abs() <= tolerance * scale, "{note}, element {i}: {x} and {y}");
    }
}
