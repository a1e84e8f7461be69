//! What the planner makes of small graphs, as text.

use nnc::ir::computation::{Computation, Update, VariableId};
use nnc::ir::plan::{Cut, Plan, PlannedKernel, Routine, Work};
use nnc::ir::{Attrs, Builder, NodeId};
use nnc::kernels::conv::{Conv, Window};
use nnc::ops;
use nnc::ops::Windows;
use nnc::passes::plan::{PlanOptions, plan, show};
use nnc::ty::{Shape, Type};

fn f32(shape: &[usize]) -> Type {
    Type::f32(Shape::of(shape))
}

fn options(batch: usize) -> PlanOptions {
    PlanOptions { batch, tile: None, fuse: true }
}

fn variable(b: &mut Builder, id: u32, shape: &[usize]) -> NodeId {
    ops::variable(b, VariableId(id), &Shape::of(shape))
}

/// One layer with a bias and a ReLU, its gradient written by hand, and plain gradient descent.
#[test]
fn a_dense_layer_with_its_gradient() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[20]));
    let w = variable(&mut b, 0, &[20, 7]);
    let bias = variable(&mut b, 1, &[7]);
    let xw = ops::contract(&mut b, x, w, "k, k m -> m");
    let wide = ops::broadcast(&mut b, bias, &Shape::of(&[7]));
    let y = ops::add(&mut b, xw, wide);
    let zero = ops::zeros_like(&mut b, y);
    let h = ops::maximum(&mut b, y, zero);
    let square = ops::mul(&mut b, h, h);
    let per_example = ops::sum(&mut b, square, &[0]);
    let total = ops::batch_sum(&mut b, per_example);
    let n = ops::batch_size(&mut b);
    let loss = ops::div(&mut b, total, n);
    let g = ops::scale(&mut b, h, 2.0);
    let dw = ops::contract(&mut b, x, g, "k, m -> k m");
    let dw = ops::batch_sum(&mut b, dw);
    let db = ops::batch_sum(&mut b, g);
    let updates = [(0, w, dw), (1, bias, db)].map(|(id, p, g)| {
        let step = ops::scale(&mut b, g, -0.1);
        Update { variable: VariableId(id), value: ops::add(&mut b, p, step) }
    });
    let computation =
        Computation { graph: b.graph, outputs: vec![("loss".to_string(), loss)], updates: updates.to_vec() };
    let plan = plan(&computation, &[f32(&[20, 7]), f32(&[7])], &options(64)).unwrap();
    insta::assert_snapshot!(show::plan(&plan));
}

/// Softmax: two reductions and a map; the exponential is stored once.
#[test]
fn softmax_is_three_loops() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[10]));
    let top = ops::reduce_max(&mut b, x, &[0]);
    let top = ops::broadcast(&mut b, top, &Shape::of(&[10]));
    let shifted = ops::sub(&mut b, x, top);
    let e = ops::exp(&mut b, shifted);
    let sum = ops::sum(&mut b, e, &[0]);
    let sum = ops::broadcast(&mut b, sum, &Shape::of(&[10]));
    let p = ops::div(&mut b, e, sum);
    let computation = Computation { graph: b.graph, outputs: vec![("p".to_string(), p)], updates: vec![] };
    let plan = plan(&computation, &[], &options(8)).unwrap();
    insta::assert_snapshot!(show::plan(&plan));
}

/// Adam: the moments and the parameter are one pass over memory, in place, and each slot is read once.
#[test]
fn adam_is_one_loop() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[33]));
    let g = ops::batch_sum(&mut b, x);
    let [p, m, v] = [0, 1, 2].map(|id| variable(&mut b, id, &[33]));
    let blend = |b: &mut Builder, old: NodeId, new: NodeId, rate: f64| {
        let old = ops::scale(b, old, rate);
        let new = ops::scale(b, new, 1.0 - rate);
        ops::add(b, old, new)
    };
    let m1 = blend(&mut b, m, g, 0.9);
    let g2 = ops::mul(&mut b, g, g);
    let v1 = blend(&mut b, v, g2, 0.999);
    let root = ops::sqrt(&mut b, v1);
    let below = ops::offset(&mut b, root, 1e-7);
    let direction = ops::div(&mut b, m1, below);
    let step = ops::scale(&mut b, direction, -1e-3);
    let p1 = ops::add(&mut b, p, step);
    let updates = [(0, p1), (1, m1), (2, v1)].map(|(id, value)| Update { variable: VariableId(id), value });
    let computation = Computation { graph: b.graph, outputs: vec![], updates: updates.to_vec() };
    let types = [f32(&[33]), f32(&[33]), f32(&[33])];
    let plan = plan(&computation, &types, &options(128)).unwrap();
    insta::assert_snapshot!(show::plan(&plan));
    assert_eq!(plan.copies, vec![]);
}

/// Batch norm's statistics are a barrier: what the examples made before it outlives its phase.
#[test]
fn a_batch_mean_is_a_barrier() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[5]));
    let y = ops::exp(&mut b, x);
    let total = ops::batch_sum(&mut b, y);
    let n = ops::batch_size(&mut b);
    let n = ops::broadcast(&mut b, n, &Shape::of(&[5]));
    let mean = ops::div(&mut b, total, n);
    let centred = ops::sub(&mut b, y, mean);
    let product = b.add(ops::find("mul").unwrap(), &[centred, y], Attrs::none());
    let computation =
        Computation { graph: b.graph, outputs: vec![("out".to_string(), product)], updates: vec![] };
    let plan = plan(&computation, &[], &options(64)).unwrap();
    insta::assert_snapshot!(show::plan(&plan));
}

/// Momentum of two parameters of one shape: each is updated in a loop of its own, where nothing is read twice.
#[test]
fn updates_of_two_parameters_are_two_loops() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[33]));
    let g = ops::batch_sum(&mut b, x);
    let square = ops::mul(&mut b, x, x);
    let h = ops::batch_sum(&mut b, square);
    let [p, q, m, n] = [0, 1, 2, 3].map(|id| variable(&mut b, id, &[33]));
    let m1 = ops::add(&mut b, m, g);
    let n1 = ops::add(&mut b, n, h);
    let p1 = ops::sub(&mut b, p, m1);
    let q1 = ops::sub(&mut b, q, n1);
    let updates =
        [(0, p1), (1, q1), (2, m1), (3, n1)].map(|(id, value)| Update { variable: VariableId(id), value });
    let computation = Computation { graph: b.graph, outputs: vec![], updates: updates.to_vec() };
    let types: Vec<Type> = (0..4).map(|_| f32(&[33])).collect();
    let plan = plan(&computation, &types, &options(16)).unwrap();
    insta::assert_snapshot!(show::fused(&plan));
    assert_eq!(plan.copies, vec![]);
}

/// What two loops read is stored if it is costly (`tanh`), and made again if it is not (`1 + tanh`).
#[test]
fn what_is_cheap_is_made_again() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[20]));
    let [w, v] = [0, 1].map(|id| variable(&mut b, id, &[20, 20]));
    let h = ops::contract(&mut b, x, w, "k, k m -> m");
    let t = ops::tanh(&mut b, h);
    let u = ops::offset(&mut b, t, 1.0);
    let a = ops::mul(&mut b, u, h);
    let y = ops::contract(&mut b, a, v, "k, k m -> m");
    let outputs = [("z", ops::mul(&mut b, u, y)), ("t", ops::mul(&mut b, t, y))];
    let outputs = outputs.map(|(name, node)| (name.to_string(), node)).to_vec();
    let computation = Computation { graph: b.graph, outputs, updates: vec![] };
    let types = [f32(&[20, 20]), f32(&[20, 20])];
    let plan = plan(&computation, &types, &options(16)).unwrap();
    insta::assert_snapshot!(show::fused(&plan));
}

/// Products with data on their left may leave zeros out, also through views and functions that keep zeros; what a layer
/// has made is multiplied in full.
#[test]
fn zeros_of_the_data() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[6, 8]));
    let scaled = ops::scale(&mut b, x, 1.0 / 255.0);
    let row = ops::reshape(&mut b, scaled, &Shape::of(&[48]));
    let (w, v) = (variable(&mut b, 0, &[48, 40]), variable(&mut b, 1, &[40, 36]));
    let h = ops::contract(&mut b, row, w, "k, k m -> m");
    let zero = ops::zeros_like(&mut b, h);
    let h = ops::maximum(&mut b, h, zero);
    let y = ops::contract(&mut b, h, v, "k, k m -> m");
    let dw = ops::contract(&mut b, row, h, "k, m -> k m");
    let dw = ops::batch_sum(&mut b, dw);
    let outputs = vec![("y".to_string(), y), ("dw".to_string(), dw)];
    let computation = Computation { graph: b.graph, outputs, updates: vec![] };
    let plan = plan(&computation, &[f32(&[48, 40]), f32(&[40, 36])], &options(64)).unwrap();
    insta::assert_snapshot!(show::fused(&plan));
}

/// Layers with many rows of weights for each example of a batch are summed in parts, each over some of the rows; what
/// reads the layer adds the parts up. Not where nothing updates the weights, or where their rows have no even parts.
#[test]
fn large_layers_are_summed_in_parts() {
    for (rows, trained) in [(784, true), (784, false), (779, true)] {
        let mut b = Builder::default();
        let x = ops::input(&mut b, 0, &f32(&[rows]));
        let (w, v) = (variable(&mut b, 0, &[rows, 256]), variable(&mut b, 1, &[256, 160]));
        let h = ops::contract(&mut b, x, w, "k, k m -> m");
        let zero = ops::zeros_like(&mut b, h);
        let h = ops::maximum(&mut b, h, zero);
        let y = ops::contract(&mut b, h, v, "k, k m -> m");
        let y = ops::neg(&mut b, y);
        let dw = ops::contract(&mut b, x, h, "k, m -> k m");
        let dw = ops::batch_sum(&mut b, dw);
        let update = Update { variable: VariableId(0), value: ops::sub(&mut b, w, dw) };
        let updates = if trained { vec![update] } else { Vec::new() };
        let computation = Computation { graph: b.graph, outputs: vec![("y".to_string(), y)], updates };
        let plan = plan(&computation, &[f32(&[rows, 256]), f32(&[256, 160])], &options(64)).unwrap();
        let kind = if trained { "trained" } else { "frozen" };
        insta::assert_snapshot!(format!("large_layers_{rows}_{kind}"), show::fused(&plan));
    }
}

/// What a pool reads behind a sum over the batch is made again there, if it is large for the whole batch.
#[test]
fn large_values_are_made_again() {
    for batch in [4, 128] {
        let mut b = Builder::default();
        let windows = Windows { stride: [2; 2], ..Windows::default() };
        let x = ops::input(&mut b, 0, &f32(&[16, 16, 16]));
        let w = variable(&mut b, 0, &[3, 3, 16, 16]);
        let y = ops::conv2d(&mut b, x, w, &Windows::default(), 1);
        let mean = |b: &mut Builder, x: NodeId| {
            let all = ops::sum(b, x, &[0, 1]);
            let all = ops::batch_sum(b, all);
            let n = ops::batch_size(b);
            let n = ops::broadcast(b, n, &Shape::of(&[16]));
            ops::div(b, all, n)
        };
        let middle = mean(&mut b, y);
        let middle = ops::broadcast(&mut b, middle, &Shape::of(&[14, 14, 16]));
        let v = ops::sub(&mut b, y, middle);
        let top = ops::max_pool2d(&mut b, v, [2; 2], &windows);
        let scale = mean(&mut b, top);
        let scale = ops::broadcast(&mut b, scale, &Shape::of(&[7, 7, 16]));
        let g = ops::mul(&mut b, top, scale);
        let slope = ops::max_pool2d_grad(&mut b, v, g, [2; 2], &windows);
        let outputs = vec![("slope".to_string(), slope)];
        let computation = Computation { graph: b.graph, outputs, updates: vec![] };
        let plan = plan(&computation, &[f32(&[3, 3, 16, 16])], &options(batch)).unwrap();
        insta::assert_snapshot!(format!("made_again_batch_{batch}"), show::plan(&plan));
    }
}

/// Where summed axes do not follow each other in memory, a product has a loop around it that adds: its columns are
/// dealt out, never the turns of that loop.
#[test]
fn a_loop_that_adds_is_not_dealt_out() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[28, 28]));
    let w = variable(&mut b, 0, &[28, 28, 256]);
    let y = ops::contract(&mut b, x, w, "i j, j i m -> m");
    let outputs = vec![("y".to_string(), y)];
    let computation = Computation { graph: b.graph, outputs, updates: vec![] };
    let plan = plan(&computation, &[f32(&[28, 28, 256])], &options(64)).unwrap();
    insta::assert_snapshot!(show::fused(&plan));
    assert_eq!(cuts(&plan), [Some(Cut::Columns)]);
}

/// A layer with one result and many weights runs over the whole batch as any large one.
#[test]
fn one_result_of_many_weights_is_made_for_the_whole_batch() {
    let mut b = Builder::default();
    let x = ops::input(&mut b, 0, &f32(&[40_000]));
    let w = variable(&mut b, 0, &[40_000, 1]);
    let y = ops::contract(&mut b, x, w, "k, k m -> m");
    let outputs = vec![("y".to_string(), y)];
    let computation = Computation { graph: b.graph, outputs, updates: vec![] };
    let plan = plan(&computation, &[f32(&[40_000, 1])], &options(2)).unwrap();
    assert_eq!(cuts(&plan), [Some(Cut::Rows)]);
}

/// A convolution adds its bias and takes ReLU itself, in Winograd's form too, but only where nobody reads what was before.
#[test]
fn a_convolution_adds_its_bias() {
    let made = |relu: bool, winograd: bool, read_before: bool| {
        let mut b = Builder::default();
        let x = ops::input(&mut b, 0, &f32(&[10, 10, 32]));
        let w = variable(&mut b, 0, &[3, 3, 32, 32]);
        let bias = variable(&mut b, 1, &[32]);
        let window = Window {
            input: [10; 2],
            channels: 32,
            output: [8; 2],
            kernel: [3; 2],
            stride: [1; 2],
            dilation: [1; 2],
            pad: [0; 2],
        };
        let y = match winograd {
            true => ops::winograd2d::winograd2d(
                &mut b,
                [x, w],
                &Conv { window, out_channels: 32, groups: 1 },
                false,
            ),
            false => ops::conv2d(&mut b, x, w, &Windows::default(), 1),
        };
        let wide = ops::broadcast_like(&mut b, bias, y);
        let sum = ops::add(&mut b, y, wide);
        let zero = ops::zeros_like(&mut b, sum);
        let result = if relu { ops::maximum(&mut b, sum, zero) } else { sum };
        let mut outputs = vec![("result".to_string(), result)];
        if read_before {
            outputs.push(("before".to_string(), ops::sum(&mut b, y, &[0, 1])));
        }
        let computation = Computation { graph: b.graph, outputs, updates: vec![] };
        let plan = plan(&computation, &[f32(&[3, 3, 32, 32]), f32(&[32])], &options(16)).unwrap();
        plan.kernels.iter().any(|kernel| match &kernel.work {
            Work::Leaf(call) => match call.routine {
                Routine::BiasedConv { relu: found, winograd: form, .. } => {
                    assert_eq!((found, form), (relu, winograd));
                    true
                }
                _ => false,
            },
            Work::Nest(_) | Work::Gemm(_) | Work::Loop(_) => false,
        })
    };
    for (relu, winograd) in [(false, false), (true, false), (false, true), (true, true)] {
        assert!(made(relu, winograd, false), "ReLU {relu}, Winograd {winograd}");
        assert!(!made(relu, winograd, true), "read before the bias: ReLU {relu}, Winograd {winograd}");
    }
}

/// How each product is dealt out.
fn cuts(plan: &Plan) -> Vec<Option<Cut>> {
    let cut = |kernel: &PlannedKernel| match &kernel.work {
        Work::Gemm(gemm) => Some(gemm.cut),
        Work::Nest(_) | Work::Leaf(_) | Work::Loop(_) => None,
    };
    plan.kernels.iter().filter_map(cut).collect()
}
