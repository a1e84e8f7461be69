//! The experiments that ship with the project: each is checked, planned, trained for some steps, and its
//! gradients are compared with finite differences.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use nnc::check::CheckOptions;
use nnc::driver;
use nnc::passes::Off;
use nnc::train::{Ended, Event, MachineOptions, RunOptions, cost, gradcheck};

/// Every experiment in `models/`.
fn models() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let entries = std::fs::read_dir(folder).expect("the folder of models");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|e| e == "nn")).collect();
    paths.sort();
    assert!(paths.len() >= 2, "{paths:?}");
    paths
}

fn checked(path: &Path) -> nnc::check::Checked {
    let checked = nnc::check::check(path, &CheckOptions::default());
    let shown: Vec<String> = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
    assert!(checked.diagnostics.is_empty(), "{}:\n{}", path.display(), shown.concat());
    checked
}

const COMPILED: MachineOptions =
    MachineOptions { threads: 2, interpret: false, optimize: true, off: Off::NONE };

#[test]
fn every_model_is_checked_planned_and_trained() {
    for path in models() {
        let checked = checked(&path);
        let experiment = checked.experiment.as_ref().expect("no errors, so an experiment");
        for model in &experiment.models {
            assert!(!cost::layers(experiment, model, 1).is_empty(), "{}", path.display());
        }
        for stage in &experiment.stages {
            let cost = cost::stage(experiment, stage, &checked.tables, &COMPILED).expect("a plan");
            assert!(cost.flops.done > 0 && cost.memory.total() > 0, "{}", path.display());
        }
        let mut variables = driver::variables(experiment, &COMPILED, None).expect("first values");
        let stop = AtomicBool::new(false);
        let options = RunOptions { machine: COMPILED, max_steps: Some(2), stop: &stop };
        let (mut steps, mut measured) = (0, 0);
        let mut watch = |event: Event| match event {
            Event::Step { loss, .. } => {
                assert!(loss.is_finite(), "{}: loss {loss}", path.display());
                steps += 1;
            }
            Event::Record(record) => {
                let finite = record.measured.0.data.iter().all(|v| v.is_finite());
                assert!(finite, "{}: {} {:?}", path.display(), record.name, record.measured);
                measured += 1;
            }
            Event::Sample(record) => assert!(record.text.len() > record.prompt.len(), "{record:?}"),
            Event::Stage { .. } | Event::Epoch { .. } | Event::Best { .. } | Event::Stalled { .. } => {}
        };
        let ended = driver::train(experiment, &checked.tables, &mut variables, &options, &mut watch);
        assert_eq!(ended.expect("trained"), Ended::Finished);
        assert_eq!(steps, 2 * experiment.stages.len());
        let wanted: usize = experiment.stages.iter().map(|s| s.objectives.len() + s.measures.len()).sum();
        assert_eq!(measured, wanted, "{}", path.display());
    }
}

#[test]
fn every_model_has_right_gradients() {
    let machine = MachineOptions { interpret: true, ..COMPILED };
    for path in models() {
        let checked = checked(&path);
        let experiment = checked.experiment.as_ref().expect("no errors, so an experiment");
        let variables = driver::variables(experiment, &machine, None).expect("first values");
        for index in 0..experiment.stages.len() {
            // The reference evaluator makes two passes for each element: of a deep network one of each tensor.
            let deep = experiment.stages[index].trained.len() > 12;
            let options = gradcheck::Options { batch: 2, elements: if deep { 1 } else { 4 } };
            let mut seen = 0;
            let mut see = |result: &gradcheck::Checked| {
                assert!(result.error < 1e-4, "{}: {result:?}", path.display());
                seen += 1;
            };
            gradcheck::stage(experiment, index, &checked.tables, &variables, &options, &mut see)
                .expect("a loss");
            assert_eq!(seen, experiment.stages[index].trained.len());
            assert!(seen > 0, "{}: nothing is trained", path.display());
        }
    }
}

/// The planned memory is what the programs of a run then hold.
#[test]
fn planned_memory_is_what_is_used() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/mnist_cnn.nn");
    let checked = checked(&path);
    let experiment = checked.experiment.as_ref().expect("no errors, so an experiment");
    let stage = &experiment.stages[0];
    let memory = cost::stage(experiment, stage, &checked.tables, &COMPILED).expect("a plan").memory;
    let types = driver::types(experiment);
    let step = nnc::train::run::step_of(stage, &types);
    let program = driver::compile(&step, &types, stage.batches[0].size, &COMPILED).expect("a program");
    assert_eq!(memory.gradients + memory.activations + memory.batch, program.bytes());
}
