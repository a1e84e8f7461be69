//! Three evaluators, one meaning: random graphs through the interpreter, the compiled code, and the compiled
//! code of the bare pipeline without fusion.

use nnc::base::Diagnostic;
use nnc::exec::{Program, Store};
use nnc::ir::computation::VariableId;
use nnc::ir::kernel::{Kernel, Source};
use nnc::ir::{Array, Builder, Computation, NodeId};
use nnc::passes::plan::{PlanOptions, plan};
use nnc::passes::{self, autodiff::gradients};
use nnc::ty::{DType, Type};

use super::harness::{Lcg, Sample};
use super::random::{Kind, draw};

/// The types of all variables: one that no node reads is a scalar.
pub fn variable_types(c: &Computation, sample: &Sample) -> Vec<Type> {
    let mut types: Vec<Type> = sample.variables.iter().map(|value| Type::f32(value.shape.clone())).collect();
    for (id, node) in c.graph.iter() {
        if let Some(Kernel::Source(Source::Variable(variable))) = c.graph.kernel(id) {
            types[variable.0 as usize] = node.ty.clone();
        }
    }
    types
}

/// How a graph is compiled.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub bare: bool,
    pub threads: usize,
    pub tile: Option<usize>,
}

/// The results of a computation compiled and run for one step: outputs, then updated variables.
pub fn run_compiled(c: &Computation, sample: &Sample, way: Way) -> Result<Vec<Vec<f32>>, Diagnostic> {
    let options = if way.bare { passes::Options::bare() } else { passes::Options::default() };
    let (simple, _) = passes::run(c.clone(), &options)?;
    let types = variable_types(c, sample);
    let batch = sample.moment.batch as usize;
    let plan = plan(&simple, &types, &PlanOptions { batch, tile: way.tile, fuse: !way.bare })?;
    let mut program = Program::compile(plan, way.threads)?;
    let mut store = Store::new(&types)?;
    for (i, value) in sample.variables.iter().enumerate() {
        let place = store.get_mut(VariableId(i as u32));
        place.iter_mut().zip(&value.data).for_each(|(to, from)| *to = *from as f32);
    }
    for (id, node) in simple.graph.iter() {
        let Some(Kernel::Source(Source::Input(index))) = simple.graph.kernel(id) else { continue };
        let values = sample.inputs[index].iter().flat_map(|example| &example.data);
        match node.ty.dtype {
            DType::F32 | DType::Bool => {
                program.input_mut(index).iter_mut().zip(values).for_each(|(to, from)| *to = *from as f32);
            }
            DType::Index(_) => {
                let places = program.index_input_mut(index).iter_mut();
                places.zip(values).for_each(|(to, from)| *to = *from as i32);
            }
        }
    }
    program.run(&mut store, sample.moment);
    let outputs = c.outputs.iter().map(|(name, _)| program.output(name).to_vec());
    let updates = c.updates.iter().map(|update| store.get(update.variable).to_vec());
    Ok(outputs.chain(updates).collect())
}

/// The results of the interpreter, each as one list of numbers.
pub fn interpreted(c: &Computation, sample: &Sample) -> Vec<Vec<f64>> {
    let roots: Vec<NodeId> = c.roots().collect();
    let values = sample.evaluate(&c.graph, &roots);
    let flat = |arrays: &[Array]| arrays.iter().flat_map(|array| array.data.iter().copied()).collect();
    values.iter().map(|value| flat(value.arrays())).collect()
}

/// The batch with every float moved by about the rounding of f32: how much a result depends on that.
pub fn moved(sample: &Sample, seed: u64) -> Sample {
    let mut random = Lcg(seed);
    let mut moved = sample.clone();
    let floats = moved.variables.iter_mut().chain(moved.inputs.iter_mut().flatten());
    for x in floats.flat_map(|array| &mut array.data).filter(|x| x.fract() != 0.0) {
        *x *= 1.0 + 4e-7 * (random.uniform() - 0.5);
    }
    moved
}

/// Asserts that results agree, element by element, to the precision that f32 has at the size of the tensor
/// and at the steepness of the function.
pub fn assert_near(exact: &[f64], shaken: &[Vec<f64>], found: &[f32], note: &str) {
    assert_eq!(exact.len(), found.len(), "{note}: number of elements");
    let size = exact.iter().fold(1.0, |size: f64, x| size.max(x.abs()));
    for (i, (x, y)) in exact.iter().zip(found).enumerate() {
        let steep = shaken.iter().fold(0.0, |steep: f64, s| steep.max((s[i] - x).abs()));
        let tolerance = 1e-4 * size + 50.0 * steep;
        assert!((x - f64::from(*y)).abs() <= tolerance, "{note}, element {i}: {y} is not {x} +- {tolerance}");
    }
}

/// A random graph with its gradients as further outputs, and a batch for it.
fn with_gradients(seed: u64) -> (Computation, Sample) {
    let random = draw(seed, Kind::Any, 24);
    let mut c = random.computation;
    let mut b = Builder::on(std::mem::take(&mut c.graph));
    let found = gradients(&mut b, random.loss, &random.leaves);
    c.graph = b.graph;
    c.outputs.extend(found.into_iter().enumerate().map(|(i, node)| (format!("slope {i}"), node)));
    let batch = [1, 2, 3, 5, 7, 8, 9, 16, 17][seed as usize % 9];
    let sample = Sample::draw(&c.graph, batch, seed);
    (c, sample)
}

fn compare(seed: u64, way: Way) {
    let (c, sample) = with_gradients(seed);
    let exact = interpreted(&c, &sample);
    let shaken: Vec<_> = (0..3).map(|i| interpreted(&c, &moved(&sample, 10 * seed + i))).collect();
    let found = run_compiled(&c, &sample, way).unwrap_or_else(|bad| panic!("graph {seed}: {}", bad.title));
    for (i, (x, y)) in exact.iter().zip(&found).enumerate() {
        let shaken: Vec<_> = shaken.iter().map(|results| results[i].clone()).collect();
        assert_near(x, &shaken, y, &format!("graph {seed}, {way:?}, result {i}"));
    }
}

#[test]
fn compiled_random_graphs_agree_with_the_interpreter() {
    for seed in 0..200 {
        let tile = [None, Some(1), Some(2), Some(8)][seed as usize % 4];
        compare(seed, Way { bare: false, threads: 2, tile });
    }
}

#[test]
fn compiled_random_graphs_without_passes_agree_with_the_interpreter() {
    for seed in 0..200 {
        compare(seed, Way { bare: true, threads: 1, tile: None });
    }
}

#[test]
fn random_graphs_give_the_same_bits_on_any_number_of_threads() {
    for seed in 200..260 {
        let (c, sample) = with_gradients(seed);
        let run = |threads| {
            let way = Way { bare: false, threads, tile: Some(2) };
            let found = run_compiled(&c, &sample, way).unwrap_or_else(|bad| panic!("{seed}: {}", bad.title));
            found.iter().flatten().map(|x| x.to_bits()).collect::<Vec<u32>>()
        };
        let one = run(1);
        assert!(run(2) == one && run(3) == one, "graph {seed}");
    }
}

#[test]
fn results_and_updates_see_the_values_before_the_step() {
    let text = "%0 = variable {id: 0} : once f32[5]
        %1 = variable {id: 1} : once f32[5]
        %2 = variable {id: 2} : once f32[5]
        %3 = add %1, %2 : once f32[5]
        %4 = reshape %2 : once f32[5, 1]
        output before 0 = %0
        output before 1 = %1
        output before 2 = %4
        update variable 0 = %1
        update variable 1 = %0
        update variable 2 = %3";
    let c = nnc::ir::text::parse(text, nnc::ops::find).expect("the text is sound");
    let sample = Sample::draw(&c.graph, 3, 1);
    let exact = interpreted(&c, &sample);
    for bare in [true, false] {
        let way = Way { bare, threads: 1, tile: None };
        let found = run_compiled(&c, &sample, way).unwrap_or_else(|bad| panic!("{}", bad.title));
        for (i, (x, y)) in exact.iter().zip(&found).enumerate() {
            assert_near(x, &[], y, &format!("{way:?}, result {i}"));
        }
    }
}
