//! Steps that are one call into compiled code, against the same steps kernel by kernel.

use std::path::Path;

use nnc::check::CheckOptions;
use nnc::driver;
use nnc::exec::{Program, Store, in_one_call};
use nnc::ir::computation::VariableId;
use nnc::ir::plan::Plan;
use nnc::passes;
use nnc::passes::plan::{PlanOptions, plan};
use nnc::train::run::step_of;
use nnc::ty::{DType, Type};

use super::build::{Draw, moment};

/// The step of a model of `models/`, cut into tiles of this many examples.
fn planned(model: &str, batch: usize, tile: Option<usize>) -> (Plan, Vec<Type>) {
    let checked = driver::check(Path::new(&format!("models/{model}.nn")), &CheckOptions::default());
    let experiment = checked.experiment.expect("no errors");
    let types = driver::types(&experiment);
    let step = step_of(&experiment.stages[0], &types);
    let (simplified, _) = passes::run(step, &passes::Options::default()).expect("it simplifies");
    (plan(&simplified, &types, &PlanOptions { batch, tile, fuse: true }).expect("it plans"), types)
}

/// What the variables are after some steps.
fn values(plan: &Plan, types: &[Type], by_kernel: bool) -> Vec<f32> {
    let mut program = Program::compile(plan.clone(), 2).expect("it compiles");
    let mut store = Store::new(types).expect("memory");
    let mut draw = Draw(3);
    for i in 0..types.len() {
        // Some are squares' means, which are never negative.
        store.get_mut(VariableId(i as u32)).iter_mut().for_each(|x| *x = 0.1 * draw.number().abs());
    }
    for (id, input) in &plan.inputs {
        match plan.buffers[id.0 as usize].ty.dtype {
            DType::Index(n) => {
                program.index_input_mut(*input).iter_mut().for_each(|x| *x = draw.below(n as usize) as i32);
            }
            DType::F32 | DType::Bool => {
                program.input_mut(*input).iter_mut().for_each(|x| *x = draw.number());
            }
        }
    }
    for _ in 0..3 {
        match by_kernel {
            true => drop(program.run_profiled(&mut store, moment(plan.batch))),
            false => program.run(&mut store, moment(plan.batch)),
        }
    }
    assert!(program.output("loss")[0].is_finite());
    (0..types.len()).flat_map(|i| store.get(VariableId(i as u32)).to_vec()).collect()
}

/// One tile, tiles of one size, and tiles of which the last is smaller. The two may choose other dimensions for
/// the lanes of a sum, so the last bits may differ.
#[test]
fn one_call_does_what_the_kernels_do() {
    for (batch, tile) in [(16, None), (16, Some(4)), (16, Some(5)), (1, None), (37, None)] {
        let (plan, types) = planned("iris", batch, tile);
        assert!(in_one_call(&plan).is_some(), "batch {batch}, tile {tile:?}");
        let (one, other) = (values(&plan, &types, false), values(&plan, &types, true));
        assert!(one.iter().zip(&other).any(|(a, b)| *a != 0.0 && *b != 0.0));
        for (a, b) in one.iter().zip(&other) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(0.01), "batch {batch}, tile {tile:?}: {a} {b}");
        }
    }
}

/// The work of the plan decides.
#[test]
fn large_steps_go_by_kernels() {
    assert!(in_one_call(&planned("mlp", 64, None).0).is_none());
    assert!(in_one_call(&planned("mnist_cnn", 1, None).0).is_none());
}
