//! Random convolutional networks: convolutions, pools, biases and activations in all orders, with the gradients
//! of everything, through the interpreter and compiled code. At least a sixth of the networks have a part that
//! the pass `conv-pool` joins, and as many rows or columns that nothing reads (`region`). A fifth is normalized over
//! the batch; in a twelfth a convolution adds its bias without a pool.

use nnc::ir::computation::VariableId;
use nnc::ir::plan::{LeafCall, PlannedKernel, Routine, Work};
use nnc::ir::{Builder, Computation, NodeId};
use nnc::ops::{self, Windows};
use nnc::passes::plan::{PlanOptions, plan};
use nnc::passes::{self, autodiff::gradients};
use nnc::ty::{Shape, Type};

use super::compiled::{Way, assert_near, interpreted, moved, run_compiled, variable_types};
use super::harness::{Lcg, Sample, assert_same};

/// A network under construction.
struct Network {
    b: Builder,
    random: Lcg,
    variables: u32,
    leaves: Vec<NodeId>,
}

impl Network {
    fn variable(&mut self, shape: &[usize]) -> NodeId {
        let id = ops::variable(&mut self.b, VariableId(self.variables), &Shape::of(shape));
        self.variables += 1;
        self.leaves.push(id);
        id
    }

    fn convolution(&mut self, x: NodeId) -> NodeId {
        let [h, w, channels] = self.b.shape(x)[..] else { return x };
        let size = self.random.pick(&[[3, 3], [3, 3], [5, 5], [1, 1], [2, 3]]);
        let stride = self.random.pick(&[[1, 1], [1, 1], [1, 1], [2, 2], [1, 2]]);
        let pad = self.random.pick(&[[0, 0], [0, 0], [1, 1], [2, 1]]);
        let dilation = self.random.pick(&[[1, 1], [1, 1], [1, 1], [2, 1]]);
        if (0..2).any(|d| [h, w][d] + pad[d] < dilation[d] * (size[d] - 1) + 3) {
            return x;
        }
        let groups = if channels % 2 == 0 { self.random.pick(&[1, 1, 1, 1, 1, 2]) } else { 1 };
        let count = self.random.pick(&[1, 2, 6, 16, 17, 32, 40]) * groups;
        let weights = self.variable(&[size[0], size[1], channels / groups, count]);
        let windows = Windows { stride, low: pad, high: [0, 0], dilation };
        // Weights of the size that layers have, so that values stay about 1.
        let fan = (size[0] * size[1] * channels / groups) as f64;
        let weights = ops::scale(&mut self.b, weights, fan.sqrt().recip());
        let y = ops::conv2d(&mut self.b, x, weights, &windows, groups);
        let bias = self.variable(&[count]);
        let bias = ops::broadcast_like(&mut self.b, bias, y);
        match self.random.below(4) {
            0 => y,
            _ => ops::add(&mut self.b, y, bias),
        }
    }

    /// Mean 0 and variance 1 over the batch and all pixels, then a factor and a shift for each channel.
    fn normalized(&mut self, x: NodeId) -> NodeId {
        let [gamma, beta] = [0, 1].map(|_| self.variable(&[self.b.shape(x)[2]]));
        let b = &mut self.b;
        let shape = b.shape(x).clone();
        let (pixels, channels) = (shape[0] * shape[1], Shape::of(&[shape[2]]));
        let examples = ops::batch_size(b);
        let examples = ops::broadcast(b, examples, &channels);
        let mean = |b: &mut Builder, x: NodeId| {
            let flat = ops::reshape(b, x, &Shape::of(&[pixels, shape[2]]));
            let sum = ops::sum(b, flat, &[0]);
            let own = ops::scale(b, sum, 1.0 / pixels as f64);
            let total = ops::batch_sum(b, own);
            ops::div(b, total, examples)
        };
        let average = mean(b, x);
        let average = ops::broadcast(b, average, &shape);
        let centred = ops::sub(b, x, average);
        let squares = ops::square(b, centred);
        let variance = mean(b, squares);
        let variance = ops::offset(b, variance, 0.1);
        let root = ops::rsqrt(b, variance);
        let factor = ops::mul(b, gamma, root);
        let factor = ops::broadcast(b, factor, &shape);
        let scaled = ops::mul(b, centred, factor);
        let beta = ops::broadcast(b, beta, &shape);
        ops::add(b, scaled, beta)
    }

    fn activation(&mut self, x: NodeId) -> NodeId {
        match self.random.below(7) {
            0 => ops::tanh(&mut self.b, x),
            1 => x,
            2 => {
                let zero = ops::zeros_like(&mut self.b, x);
                ops::maximum(&mut self.b, x, zero)
            }
            _ => ops::relu(&mut self.b, x),
        }
    }

    fn pool(&mut self, x: NodeId) -> NodeId {
        let size = self.random.pick(&[[2, 2], [2, 2], [2, 2], [3, 3], [1, 2], [2, 1]]);
        let stride = if self.random.below(8) == 0 { [1, 2] } else { size };
        if (0..2).any(|d| self.b.shape(x)[d] < size[d]) {
            return x;
        }
        let windows = Windows { stride, ..Windows::default() };
        match self.random.below(6) {
            0 => ops::sum_pool2d(&mut self.b, x, size, &windows),
            _ => ops::max_pool2d(&mut self.b, x, size, &windows),
        }
    }

    /// A network with the gradients of its weights, and sometimes of its input.
    fn draw(seed: u64) -> Computation {
        let mut random = Lcg(seed);
        let [h, w] = [6 + random.below(9), 6 + random.below(9)];
        let channels = random.pick(&[1, 3, 8, 16, 24]);
        let mut b = Builder::default();
        let image = ops::input(&mut b, 0, &Type::f32(Shape::of(&[h, w, channels])));
        let mut network = Network { b, random, variables: 0, leaves: Vec::new() };
        let mut x = image;
        for _ in 0..1 + seed % 2 {
            x = network.convolution(x);
            if seed % 5 == 4 {
                x = network.normalized(x);
            }
            if network.random.below(2) == 0 {
                x = network.activation(x);
                x = network.pool(x);
            } else {
                x = network.pool(x);
                x = network.activation(x);
            }
        }
        let mut wanted = network.leaves.clone();
        if network.random.below(3) == 0 {
            wanted.push(image);
        }
        let b = &mut network.b;
        // Different weights for all elements, so that no gradient is like another.
        let shape = b.shape(x).clone();
        let factor = ops::input(b, 1, &Type::f32(shape.clone()));
        let product = ops::mul(b, x, factor);
        let all: Vec<usize> = (0..shape.rank()).collect();
        let loss = ops::sum(b, product, &all);
        let found = gradients(b, loss, &wanted);
        let slopes = found.into_iter().enumerate().map(|(i, node)| (format!("slope {i}"), node));
        let outputs = [("y".to_string(), x)].into_iter().chain(slopes).collect();
        Computation { graph: network.b.graph, outputs, updates: Vec::new() }
    }
}

fn batch(seed: u64) -> usize {
    [1, 2, 3, 5, 7, 9][seed as usize % 6]
}

const NETWORKS: u64 = 120;

/// How many sums over the batch, one after the other, the results need.
fn sums_in_a_row(c: &Computation) -> usize {
    let mut sums: Vec<usize> = Vec::new();
    for (_, node) in c.graph.iter() {
        let before = node.inputs.iter().map(|input| sums[input.index()]).max().unwrap_or(0);
        sums.push(before + usize::from(node.op.name == "batch_sum"));
    }
    c.roots().map(|root| sums[root.index()]).max().unwrap_or(0)
}

#[test]
fn compiled_networks_agree_with_the_interpreter() {
    for seed in 0..NETWORKS {
        let c = Network::draw(seed);
        let sample = Sample::draw(&c.graph, batch(seed), seed);
        let exact = interpreted(&c, &sample);
        let shaken: Vec<_> = (0..3).map(|i| interpreted(&c, &moved(&sample, 10 * seed + i))).collect();
        let tile = [None, Some(1), Some(2)][seed as usize % 3];
        let run = |threads, bare| {
            let way = Way { bare, threads, tile };
            run_compiled(&c, &sample, way).unwrap_or_else(|bad| panic!("network {seed}: {}", bad.title))
        };
        let (passes, bare) = (run(1, false), run(1, true));
        for (i, x) in exact.iter().enumerate() {
            let shaken: Vec<_> = shaken.iter().map(|results| results[i].clone()).collect();
            assert_near(x, &shaken, &passes[i], &format!("network {seed}, result {i}"));
            assert_near(x, &shaken, &bare[i], &format!("network {seed} without passes, result {i}"));
        }
        let bits = |all: &[Vec<f32>]| all.iter().flatten().map(|x| x.to_bits()).collect::<Vec<_>>();
        for threads in [2, 3, 4, 8] {
            assert!(bits(&passes) == bits(&run(threads, false)), "network {seed} on {threads} threads");
        }
    }
}

#[test]
fn passes_keep_the_values_of_networks_and_join_many() {
    let (mut joined, mut clipped, mut biased, mut smaller, mut sooner) = (0, 0, 0, 0, 0);
    for seed in 0..NETWORKS {
        let before = Network::draw(seed);
        let sample = Sample::draw(&before.graph, batch(seed), seed);
        let (after, _) = passes::run(before.clone(), &passes::Options::default()).expect("the passes run");
        assert_same(&before, &after, &sample, 1e-9, &format!("network {seed}"));
        let cut = |(_, node): (_, &nnc::ir::Node)| {
            node.attrs.get("high").is_some() && node.attrs.get_ints("high").iter().any(|high| *high < 0)
        };
        smaller += u64::from(after.graph.iter().any(cut));
        sooner += u64::from(sums_in_a_row(&after) < sums_in_a_row(&before));
        let forward = || after.graph.iter().filter(|(_, node)| node.op.name == "conv_pool2d");
        joined += u64::from(forward().next().is_some());
        clipped += u64::from(forward().any(|(_, node)| node.attrs.get_bool("relu")));
        let options = PlanOptions { batch: batch(seed), tile: None, fuse: true };
        let plan = plan(&after, &variable_types(&after, &sample), &options).expect("a plan");
        let adds_bias = |kernel: &PlannedKernel| {
            matches!(&kernel.work, Work::Leaf(LeafCall { routine: Routine::BiasedConv { .. }, .. }))
        };
        biased += u64::from(plan.kernels.iter().any(adds_bias));
    }
    assert!(smaller > NETWORKS / 6, "only {smaller} of {NETWORKS} networks have rows that nothing reads");
    assert!(
        sooner > NETWORKS / 10,
        "only {sooner} of {NETWORKS} networks wait for fewer sums over the batch"
    );
    assert!(joined > NETWORKS / 6, "only {joined} of {NETWORKS} networks have a joined convolution");
    assert!(biased > NETWORKS / 12, "only {biased} of {NETWORKS} networks have one that adds its bias");
    assert!(clipped > NETWORKS / 12, "only {clipped} of {NETWORKS} networks have one with a ReLU");
}

#[test]
fn a_gradient_that_goes_past_the_relu_is_not_masked_by_it() {
    // The main path has a ReLU; a second gradient comes from a loss before it, whose value nobody reads.
    let mut b = Builder::default();
    let image = ops::input(&mut b, 0, &Type::f32(Shape::of(&[8, 8, 3])));
    let weights = ops::variable(&mut b, VariableId(0), &Shape::of(&[3, 3, 3, 4]));
    let bias = ops::variable(&mut b, VariableId(1), &Shape::of(&[4]));
    let c = ops::conv2d(&mut b, image, weights, &Windows::default(), 1);
    let windows = Windows { stride: [2, 2], ..Windows::default() };
    let pooled = ops::max_pool2d(&mut b, c, [2, 2], &windows);
    let spread = ops::broadcast_like(&mut b, bias, pooled);
    let a = ops::add(&mut b, pooled, spread);
    let y = ops::relu(&mut b, a);
    let (after, before) = (ops::sum(&mut b, y, &[0, 1, 2]), ops::sum(&mut b, a, &[0, 1, 2]));
    let mut outputs = vec![("y".to_string(), y)];
    for (name, loss) in [("after", after), ("before", before)] {
        let slopes = gradients(&mut b, loss, &[weights, bias, image]);
        outputs.extend(slopes.into_iter().enumerate().map(|(i, slope)| (format!("{name} {i}"), slope)));
    }
    let c = Computation { graph: b.graph, outputs, updates: Vec::new() };
    let sample = Sample::draw(&c.graph, 3, 1);
    let (simple, _) = passes::run(c.clone(), &passes::Options::default()).expect("the passes run");
    assert_same(&c, &simple, &sample, 1e-9, "two gradients");
}

/// Two convolutions with a stride over drawings on nothing: what the gradient is wanted of, and what else reads that of the
/// pixels between them.
fn drawn(activation: fn(&mut Builder, NodeId) -> NodeId, of_image: bool, square: bool) -> Computation {
    let mut b = Builder::default();
    let image = ops::input(&mut b, 0, &Type::f32(Shape::of(&[17, 19, 1])));
    let windows = Windows { stride: [2, 2], ..Windows::default() };
    let mut wanted = Vec::new();
    let mut layer = |b: &mut Builder, x: NodeId, channels: [usize; 2], id: u32| {
        let weights = ops::variable(b, VariableId(id), &Shape::of(&[3, 3, channels[0], channels[1]]));
        let bias = ops::variable(b, VariableId(id + 1), &Shape::of(&[channels[1]]));
        wanted.extend([weights, bias]);
        let y = ops::conv2d(b, x, weights, &windows, 1);
        let bias = ops::broadcast_like(b, bias, y);
        let y = ops::add(b, y, bias);
        activation(b, y)
    };
    let between = layer(&mut b, image, [1, 20], 0);
    let y = layer(&mut b, between, [20, 33], 2);
    if of_image {
        wanted.push(image);
    }
    let shape = b.shape(y).clone();
    let factor = ops::input(&mut b, 1, &Type::f32(shape));
    let product = ops::mul(&mut b, y, factor);
    let mut loss = ops::sum(&mut b, product, &[0, 1, 2]);
    if square {
        let squares = ops::mul(&mut b, between, between);
        let squares = ops::sum(&mut b, squares, &[0, 1, 2]);
        loss = ops::add(&mut b, loss, squares);
    }
    let slopes = gradients(&mut b, loss, &wanted);
    let summed = slopes.into_iter().enumerate().map(|(i, slope)| {
        let summed = if i < 4 { ops::batch_sum(&mut b, slope) } else { slope };
        (format!("slope {i}"), summed)
    });
    let outputs = summed.collect();
    Computation { graph: b.graph, outputs, updates: Vec::new() }
}

/// Gradients of pixels over nothing are lumped where only their sum counts, and gradients agree with the interpreter.
#[test]
fn drawings_on_nothing() {
    let relu: fn(&mut Builder, NodeId) -> NodeId = ops::relu;
    for (activation, of_image, square, lumped) in [
        (relu, false, false, true),
        (|_, x| x, false, false, true),
        (ops::tanh, false, false, false),
        (relu, true, false, false),
        (relu, false, true, false),
    ] {
        let c = drawn(activation, of_image, square);
        let mut sample = Sample::draw(&c.graph, 9, 1);
        for (example, image) in sample.inputs[0].iter_mut().enumerate() {
            for (at, x) in image.data.iter_mut().enumerate() {
                if !(5..12).contains(&(at / 19)) || at % 19 < 4 + example {
                    *x = 0.0;
                }
            }
        }
        let (after, _) = passes::run(c.clone(), &passes::Options::default()).expect("the passes run");
        let options = PlanOptions { batch: 9, tile: None, fuse: true };
        let plan = plan(&after, &variable_types(&after, &sample), &options).expect("a plan");
        let found = plan.kernels.iter().any(|kernel| {
            matches!(&kernel.work, Work::Leaf(LeafCall { routine: Routine::LumpedConvInput { .. }, .. }))
        });
        assert_eq!(found, lumped, "gradient of the image {of_image}, squares {square}");
        let exact = interpreted(&c, &sample);
        let shaken: Vec<_> = (0..3).map(|i| interpreted(&c, &moved(&sample, i))).collect();
        let mut first: Option<Vec<Vec<f32>>> = None;
        for (threads, tile) in [(1, None), (2, None), (3, None), (1, Some(2))] {
            let way = Way { bare: false, threads, tile };
            let got = run_compiled(&c, &sample, way).unwrap_or_else(|bad| panic!("{}", bad.title));
            for (i, x) in exact.iter().enumerate() {
                let shaken: Vec<_> = shaken.iter().map(|results| results[i].clone()).collect();
                assert_near(x, &shaken, &got[i], &format!("slope {i}"));
            }
            if tile.is_none() {
                let first = first.get_or_insert_with(|| got.clone());
                assert!(*first == got, "{threads} threads");
            }
        }
    }
}
