//! Compiled code against the reference: every case of every op, its value and its gradients, over a batch of
//! several examples, with all passes and without.

use nnc::base::Diagnostic;
use nnc::exec::{Program, Store};
use nnc::interp::{self, Env, Value};
use nnc::ir::computation::VariableId;
use nnc::ir::op::Moment;
use nnc::ir::{
    Arity, Array, Attrs, Builder, Case, Computation, Grad, Graph, Kernel, Level, Lower, NodeId, Op, Signature,
};
use nnc::ops;
use nnc::passes::plan::{self, PlanOptions};
use nnc::passes::{self, autodiff};
use nnc::ty::{DType, Shape, Type};

use super::harness::Noise;

/// Examples in a full batch, and in a last batch that is smaller.
const BATCHES: [usize; 2] = [5, 3];

/// A computation of outputs that are compared, with its variables and inputs.
#[derive(Default)]
struct Bench {
    builder: Builder,
    variables: Vec<Array>,
    /// For each input its type and the values of all examples.
    inputs: Vec<(Type, Vec<Array>)>,
    /// Name, node and tolerance of each output.
    outputs: Vec<(String, NodeId, f64)>,
}

impl Bench {
    /// A leaf with random values of this type at this level.
    fn leaf(&mut self, ty: &Type, level: Level, range: (f64, f64), noise: &mut Noise) -> NodeId {
        if level == Level::Once && ty.dtype == DType::F32 {
            let id = VariableId(self.variables.len() as u32);
            self.variables.push(noise.array(ty, range));
            return ops::variable(&mut self.builder, id, &ty.shape);
        }
        let values = (0..BATCHES[0]).map(|_| noise.array(ty, range)).collect();
        let index = self.inputs.len();
        self.inputs.push((ty.clone(), values));
        ops::input(&mut self.builder, index, ty)
    }

    /// Adds a case: its value, and the gradients of a random combination of its elements.
    fn add(&mut self, op: &'static Op, number: usize, case: &Case) {
        let mut noise = Noise::new(number as u64);
        let level = |i: usize| case.levels.get(i).copied().unwrap_or(Level::Each);
        let leaves: Vec<NodeId> = case
            .inputs
            .iter()
            .enumerate()
            .map(|(i, ty)| self.leaf(ty, level(i), case.range, &mut noise))
            .collect();
        let node = self
            .builder
            .try_add(op, &leaves, case.attrs.clone())
            .unwrap_or_else(|bad| panic!("{} case {number}: {}", op.name, bad.message));
        let name = format!("{} case {number}", op.name);
        self.outputs.push((name.clone(), node, case.tolerance));
        if !case.differentiable || !matches!(op.grad, Grad::Rule(_)) {
            return;
        }
        let (shape, level) = (self.builder.shape(node).clone(), self.builder.graph[node].level);
        let weights = self.leaf(&Type::f32(shape), level, (-1.0, 1.0), &mut noise);
        let b = &mut self.builder;
        let product = ops::mul(b, node, weights);
        let axes: Vec<usize> = (0..b.shape(product).rank()).collect();
        let loss = ops::sum(b, product, &axes);
        let wrt: Vec<NodeId> = leaves.into_iter().filter(|leaf| b.ty(*leaf).dtype == DType::F32).collect();
        for (i, slope) in autodiff::gradients(b, loss, &wrt).into_iter().enumerate() {
            self.outputs.push((format!("{name}, gradient {i}"), slope, 4.0 * case.tolerance));
        }
    }

    fn computation(&self) -> Computation {
        let outputs = self.outputs.iter().map(|(name, node, _)| (name.clone(), *node)).collect();
        Computation { graph: self.builder.graph.clone(), outputs, updates: Vec::new() }
    }

    /// Compiles and runs everything, and compares each output with the interpreter: the differences.
    fn check(&self, options: &PlanOptions, threads: usize) -> Result<Vec<String>, Diagnostic> {
        let mut differences = Vec::new();
        let (mut program, mut store) = self.ready(options, threads)?;
        for (step, batch) in BATCHES.into_iter().enumerate() {
            let moment = Moment { seed: 7, step: step as u64 + 1, example: 0, batch: batch as u64 };
            program.run(&mut store, moment);
            differences.extend(self.compare(&program, moment));
        }
        Ok(differences)
    }

    /// Compiles everything and fills inputs and variables.
    fn ready(&self, options: &PlanOptions, threads: usize) -> Result<(Program, Store), Diagnostic> {
        let types: Vec<Type> = self.variables.iter().map(|array| Type::f32(array.shape.clone())).collect();
        let passes = if options.fuse { passes::Options::default() } else { passes::Options::bare() };
        let (computation, _) = passes::run(self.computation(), &passes)?;
        let plan = plan::plan(&computation, &types, options)?;
        let mut program = Program::compile(plan, threads)?;
        let mut store = Store::new(&types)?;
        for (i, array) in self.variables.iter().enumerate() {
            copy(store.get_mut(VariableId(i as u32)), &array.data);
        }
        for (i, (ty, values)) in self.inputs.iter().enumerate() {
            let all = values.iter().flat_map(|array| array.data.iter().copied());
            match ty.dtype {
                DType::Index(_) => {
                    program.index_input_mut(i).iter_mut().zip(all).for_each(|(to, from)| *to = from as i32);
                }
                DType::F32 | DType::Bool => {
                    program.input_mut(i).iter_mut().zip(all).for_each(|(to, from)| *to = from as f32);
                }
            }
        }
        Ok((program, store))
    }

    /// Compiles and runs a step of one example.
    fn run_once(&self, options: &PlanOptions) -> Result<(Program, Moment), Diagnostic> {
        let (mut program, mut store) = self.ready(options, 1)?;
        let moment = Moment { seed: 7, step: 1, example: 0, batch: 1 };
        program.run(&mut store, moment);
        Ok((program, moment))
    }

    /// For each output that differs, its first element that does.
    fn compare(&self, program: &Program, moment: Moment) -> Vec<String> {
        let mut differences = Vec::new();
        let batch = moment.batch as usize;
        let inputs: Vec<Vec<Array>> =
            self.inputs.iter().map(|(_, values)| values[..batch].to_vec()).collect();
        let targets: Vec<NodeId> = self.outputs.iter().map(|(_, node, _)| *node).collect();
        let env = Env { variables: &self.variables, inputs: &inputs, moment };
        let sums = sums(&self.builder.graph);
        for ((name, node, tolerance), expected) in
            self.outputs.iter().zip(interp::evaluate(&self.builder.graph, &targets, &env))
        {
            let got: Vec<f64> = match self.builder.ty(*node).dtype {
                DType::Index(_) => program.index_output(name).iter().map(|x| f64::from(*x)).collect(),
                DType::F32 | DType::Bool => program.output(name).iter().map(|x| f64::from(*x)).collect(),
            };
            let expected = flat(&expected);
            assert_eq!(got.len(), expected.len(), "{name}: elements for a batch of {batch}");
            // Where sums cancel, the error is relative to their terms, which are of size 1.
            let least = if sums[node.index()] { 1.0 } else { 1e-30 };
            let fits = |(x, y): &(&f64, &f64)| (*x - *y).abs() <= tolerance * y.abs().max(least);
            if let Some((i, (x, y))) = got.iter().zip(&expected).enumerate().find(|(_, pair)| !fits(pair)) {
                differences
                    .push(format!("{name}: element {i} of a batch of {batch} is {x}, by reference {y}"));
            }
        }
        differences
    }
}

/// Whether a node depends on a sum, whose terms may cancel.
fn sums(graph: &Graph) -> Vec<bool> {
    let mut sums: Vec<bool> = Vec::with_capacity(graph.len());
    for (id, node) in graph.iter() {
        let adds = match graph.kernel(id) {
            Some(Kernel::Map(_)) => {
                ["add", "sub"].contains(&node.op.name)
                    && node.inputs.iter().any(|i| {
                        // The sum of two leaves is rounded once.
                        !graph[*i].inputs.is_empty()
                    })
            }
            Some(
                Kernel::Reduce(..)
                | Kernel::Contract(_)
                | Kernel::BatchSum
                | Kernel::Leaf(_)
                | Kernel::Scan(_),
            )
            | None => true,
            Some(_) => false,
        };
        sums.push(adds || node.inputs.iter().any(|input| sums[input.index()]));
    }
    sums
}

/// The elements of all examples.
fn flat(value: &Value) -> Vec<f64> {
    value.arrays().iter().flat_map(|array| array.data.iter().copied()).collect()
}

fn copy(to: &mut [f32], from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from as f32);
}

fn check_all(options: &PlanOptions, threads: usize) {
    let mut differences = Vec::new();
    // A plan with a batch of all examples is for one size of batch: `graphs::batch` runs those.
    for op in ops::ALL.iter().filter(|op| !matches!(op.name, "batch" | "example")) {
        let mut bench = Bench::default();
        for (number, case) in (op.cases)().iter().enumerate() {
            bench.add(op, number, case);
        }
        if bench.outputs.is_empty() {
            continue;
        }
        match bench.check(options, threads) {
            Ok(found) => differences.extend(found),
            Err(diagnostic) => differences.push(format!("{}: {}", op.name, diagnostic.title)),
        }
    }
    assert!(differences.is_empty(), "compiled code differs:\n{}", differences.join("\n"));
}

#[test]
fn every_case_compiled_as_it_is_planned() {
    check_all(&PlanOptions { batch: BATCHES[0], tile: None, fuse: true }, 2);
}

#[test]
fn every_case_compiled_in_small_tiles() {
    check_all(&PlanOptions { batch: BATCHES[0], tile: Some(2), fuse: true }, 2);
}

#[test]
fn every_case_compiled_without_passes() {
    check_all(&PlanOptions { batch: BATCHES[0], tile: None, fuse: false }, 1);
}

/// Numbers at which functions of f32 go wrong first.
const EDGES: [f32; 24] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.0,
    -1.0,
    1.5,
    -1.5,
    2.0,
    -2.0,
    3.0,
    -7.5,
    88.0,
    89.0,
    -87.0,
    -104.0,
    1e4,
    -1e4,
    1e-30,
    1e-38,
    3e38,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// An array of f32 numbers as a leaf that is the same for all examples.
fn variable_of(bench: &mut Bench, values: &[f32]) -> NodeId {
    let shape = Shape::of(&[values.len()]);
    let id = VariableId(bench.variables.len() as u32);
    bench.variables.push(Array::new(shape.clone(), values.iter().map(|x| f64::from(*x)).collect()));
    ops::variable(&mut bench.builder, id, &shape)
}

/// Whether an op is documented to leave a result open.
fn open(op: &Op, inputs: &[f32]) -> bool {
    match op.name {
        // The angle is reduced exactly up to about 10,000.
        "sin" | "cos" => inputs[0].abs() > 1e4,
        "maximum" | "minimum" => inputs.iter().any(|x| x.is_nan()),
        _ => false,
    }
}

#[test]
fn elementwise_ops_at_the_edges_of_f32() {
    let pairs: Vec<[f32; 2]> = EDGES.iter().flat_map(|x| EDGES.map(|y| [*x, y])).collect();
    let mut bench = Bench::default();
    let [x, y] = [0, 1].map(|i| pairs.iter().map(|pair| pair[i]).collect::<Vec<f32>>());
    let (x, y) = (variable_of(&mut bench, &x), variable_of(&mut bench, &y));
    for op in ops::ALL {
        let case = (op.cases)().into_iter().next();
        let floats = case.is_some_and(|case| {
            case.attrs == Attrs::none() && case.inputs.iter().all(|ty| ty.dtype == DType::F32)
        });
        let map = matches!(op.lower, Lower::Kernel(kernel) if floats && maps(kernel));
        if map || op.name == "relu" {
            let inputs: &[NodeId] = if op.arity == Arity::Exactly(1) { &[x] } else { &[x, y] };
            let node = bench.builder.add(op, inputs, Attrs::none());
            bench.outputs.push((op.name.to_string(), node, 0.0));
        }
    }
    assert!(bench.outputs.len() > 20, "only {} elementwise ops", bench.outputs.len());

    let options = PlanOptions { batch: 1, tile: None, fuse: true };
    let (program, moment) = bench.run_once(&options).unwrap_or_else(|bad| panic!("{}", bad.title));
    let targets: Vec<NodeId> = bench.outputs.iter().map(|(_, node, _)| *node).collect();
    // Denormal numbers count as 0 in compiled code.
    let normal = |x: f64| if x.abs() < f64::from(f32::MIN_POSITIVE) { 0f64.copysign(x) } else { x };
    let variables: Vec<Array> = bench
        .variables
        .iter()
        .map(|a| Array::new(a.shape.clone(), a.data.iter().map(|x| normal(*x)).collect()))
        .collect();
    let env = Env { variables: &variables, inputs: &[], moment };
    let expected = interp::evaluate(&bench.builder.graph, &targets, &env);
    let mut differences = Vec::new();
    for ((name, node, _), expected) in bench.outputs.iter().zip(expected) {
        let op = bench.builder.graph[*node].op;
        for ((got, expected), pair) in program.output(name).iter().zip(flat(&expected)).zip(&pairs) {
            // A change of sign, or a choice, hands a denormal number on.
            let (got, expected) = (&(normal(f64::from(*got)) as f32), expected as f32);
            let fits = got.is_nan() && expected.is_nan()
                || *got == expected
                || (got - expected).abs() <= 1e-5 * expected.abs().max(1e-36);
            // `exp`, and what is made of it, gives 0 a little before its results would be denormal.
            let least = if matches!(op.name, "exp" | "sigmoid" | "pow") { 2.1 } else { 1.0 };
            let fits = fits || *got == 0.0 && expected.abs() <= least * f32::MIN_POSITIVE;
            if !fits && !open(op, pair) {
                differences.push(format!("{name} of {pair:?} is {got}, by reference {expected}"));
            }
        }
    }
    assert!(differences.is_empty(), "compiled code differs:\n{}", differences.join("\n"));
}

/// Whether a kernel function makes maps over elements.
fn maps(kernel: fn(&Signature, &Type) -> Kernel) -> bool {
    let ty = Type::f32(Shape::scalar());
    let attrs = Attrs::none();
    matches!(kernel(&Signature { inputs: &[&ty, &ty], attrs: &attrs }, &ty), Kernel::Map(_))
}
