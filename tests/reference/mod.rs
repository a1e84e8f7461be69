//! Training in compiled f32 code against training in the f64 reference evaluator: the same weights, written
//! as safetensors by another writer, the same batches in file order, ten steps.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use nnc::check::CheckOptions;
use nnc::driver;
use nnc::ir::computation::VariableId;
use nnc::ir::experiment::VariableKind;
use nnc::passes::Off;
use nnc::train::{Event, MachineOptions, RunOptions, Variables};

const STEPS: u64 = 10;

/// Weights as another program would write them: by the safetensors crate, from values of its own.
fn foreign_weights(experiment: &nnc::ir::experiment::Experiment, path: &Path) {
    let mut state = 12345u32;
    let mut tensors = Vec::new();
    for variable in experiment.variables.iter().filter(|v| v.kind != VariableKind::OptimizerState) {
        let shape = variable.ty.shape.to_vec();
        let fan_in: usize = shape[..shape.len() - 1].iter().product::<usize>().max(1);
        let limit = if shape.len() > 1 { (3.0 / fan_in as f32).sqrt() } else { 0.05 };
        let mut draw = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * limit
        };
        let bytes: Vec<u8> = (0..variable.ty.shape.elements()).flat_map(|_| draw().to_le_bytes()).collect();
        tensors.push((variable.path.clone(), shape, bytes));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (name.as_str(), view.expect("bytes fit the shape"))
    });
    std::fs::write(path, safetensors::serialize(views, None).expect("tensors serialize"))
        .expect("file is written");
}

/// Trains a spec for ten steps and returns all losses, and the parameters with their paths.
fn trained(spec: &Path, weights: &Path, interpret: bool) -> (Vec<f64>, Vec<(String, Vec<f32>)>) {
    let checked = driver::check(spec, &CheckOptions::default());
    let shown: Vec<String> = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
    let experiment = checked.experiment.unwrap_or_else(|| panic!("{}", shown.join("\n")));
    if !weights.exists() {
        foreign_weights(&experiment, weights);
    }
    let machine = MachineOptions { threads: 2, interpret, optimize: true, off: Off::NONE };
    let mut variables: Variables =
        driver::variables(&experiment, &machine, Some(weights)).unwrap_or_else(|d| panic!("{d:?}"));
    let stop = AtomicBool::new(false);
    let options = RunOptions { machine, max_steps: Some(STEPS), stop: &stop };
    let mut losses = Vec::new();
    let mut watch = |event: Event| {
        if let Event::Step { loss, .. } = event {
            losses.push(loss);
        }
    };
    driver::train(&experiment, &checked.tables, &mut variables, &options, &mut watch).expect("it trains");
    let parameters = experiment.variables.iter().enumerate().filter(|(_, v)| v.kind == VariableKind::Param);
    let values = parameters.map(|(i, v)| (v.path.clone(), variables.get(VariableId(i as u32)))).collect();
    (losses, values)
}

/// The largest difference relative to the largest value of each parameter tensor.
fn compare(model: &str, batch: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(format!("models/{model}.nn")).expect("the model is there");
    let from = text.lines().find(|l| l.trim_start().starts_with("batch ")).expect("a batch statement");
    let text = text.replace(from, &format!("  batch {batch} from digits.train in order"));
    // Measurements would take the reference minutes, and are not compared here.
    let text: String =
        text.lines().filter(|l| !l.trim_start().starts_with("measure")).map(|l| format!("{l}\n")).collect();
    let spec = folder.path().join("spec.nn");
    std::fs::write(&spec, text).expect("the spec is written");
    let weights = folder.path().join("weights.safetensors");
    let (losses, compiled) = trained(&spec, &weights, false);
    let (expected_losses, expected) = trained(&spec, &weights, true);
    assert_eq!(losses.len(), STEPS as usize);
    for (step, (loss, expected)) in losses.iter().zip(&expected_losses).enumerate() {
        assert!(
            (loss - expected).abs() <= 1e-4 * expected.abs(),
            "step {}: loss {loss}, {expected}",
            step + 1
        );
    }
    let before = nnc::readers::safetensors::read(&weights).expect("the weights are there");
    for ((path, values), (_, expected)) in compiled.iter().zip(&expected) {
        let scale = expected.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = values.iter().zip(expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(worst <= 1e-4 * scale, "{model}: {path} differs by {worst}, its largest value is {scale}");
        // Adam moves nearly every parameter by about the learning rate in each step.
        let moved = before[path].1.iter().zip(expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(moved > 2e-3, "{model}: {path} moved by {moved} in {STEPS} steps");
    }
}

#[test]
fn ten_adam_steps_of_the_cnn_follow_the_reference() {
    compare("mnist_cnn", 16);
}

#[test]
fn ten_adam_steps_of_the_mlp_follow_the_reference() {
    compare("mlp", 64);
}
