//! Compiled code against the reference: every case of every op, its value and its gradients, over a batch of
//! several examples, with all passes of the planner and without.


use nnc::base::Diagnostic;
use nnc::exec::{Program, Store};
use nnc::interp::{self, Env, Value};
use nnc::ir::computation::VariableId;
use nnc::ir::op::Moment;
use nnc::ir::{Array, Builder, Case, Computation, Grad, Graph, Kernel, Level, Lower, NodeId, Op};
use nnc::ops;
use nnc::passes::autodiff;
use nnc::passes::plan::{self, PlanOptions};
use nnc::ty::{DType, Type};

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
        if !case.differentiable || matches!(op.grad, Grad::Zero) {
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
        let (graph, places) = lowered(&self.builder.graph);
        let output = |(name, node, _): &(String, NodeId, f64)| (name.clone(), places[node.index()]);
        Computation { graph, outputs: self.outputs.iter().map(output).collect(), updates: Vec::new() }
    }

    /// Compiles and runs everything, and compares each output with the interpreter.
    fn check(&self, options: &PlanOptions, threads: usize) -> Result<(), Diagnostic> {
        let types: Vec<Type> = self.variables.iter().map(|array| Type::f32(array.shape.clone())).collect();
        let plan = plan::plan(&self.computation(), &types, options)?;
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
        for (step, batch) in BATCHES.into_iter().enumerate() {
            let moment = Moment { seed: 7, step: step as u64 + 1, example: 0, batch: batch as u64 };
            program.run(&mut store, moment);
            self.compare(&program, moment);
        }
        Ok(())
    }

    fn compare(&self, program: &Program, moment: Moment) {
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
            for (i, (x, y)) in got.iter().zip(&expected).enumerate() {
                let fits = (x - y).abs() <= tolerance * y.abs().max(least);
                assert!(fits, "{name}, element {i} of a batch of {batch}: {x} compiled, {y} by reference");
            }
        }
    }
}

/// Whether a node depends on a sum, whose terms may cancel.
fn sums(graph: &Graph) -> Vec<bool> {
    let mut sums: Vec<bool> = Vec::with_capacity(graph.len());
    for (id, node) in graph.iter() {
        let adds = match graph.kernel(id) {
            Some(Kernel::Map(_)) => ["add", "sub"].contains(&node.op.name) && node.inputs.iter().any(|i| {
                // The sum of two leaves is rounded once.
                !graph[*i].inputs.is_empty()
            }),
            Some(Kernel::Reduce(..) | Kernel::Contract(_) | Kernel::BatchSum | Kernel::Leaf(_)) | None => true,
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

/// The graph with every op that is made of others replaced by them, and where each node has gone.
fn lowered(graph: &Graph) -> (Graph, Vec<NodeId>) {
    let mut b = Builder::default();
    let mut places: Vec<NodeId> = Vec::with_capacity(graph.len());
    for (_, node) in graph.iter() {
        let inputs: Vec<NodeId> = node.inputs.iter().map(|input| places[input.index()]).collect();
        let new = b.add(node.op, &inputs, node.attrs.clone());
        places.push(match node.op.lower {
            Lower::Ops(lower) => lower(&mut b, new),
            Lower::Kernel(_) => new,
        });
    }
    (b.graph, places)
}

fn check_all(options: &PlanOptions, threads: usize) {
    for op in ops::ALL {
        let mut bench = Bench::default();
        for (number, case) in (op.cases)().iter().enumerate() {
            bench.add(op, number, case);
        }
        if !bench.outputs.is_empty() {
            bench.check(options, threads).unwrap_or_else(|bad| panic!("{}: {}", op.name, bad.title));
        }
    }
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
fn every_case_compiled_without_fusion() {
    check_all(&PlanOptions { batch: BATCHES[0], tile: None, fuse: false }, 1);
}
