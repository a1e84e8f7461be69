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

/// Smaller sizes for the reference evaluator, which takes its time.
const SMALL: &[(&str, &[(&str, &str)])] = &[
    ("char_gpt", &[("context", "6"), ("dim", "8"), ("depth", "1")]),
    ("char_lstm", &[("context", "6")]),
    ("char_gru", &[("context", "6")]),
    ("own_cell", &[("context", "6")]),
    ("seq2seq", &[("dim", "8")]),
    ("bert", &[("length", "9"), ("dim", "8"), ("hidden", "4")]),
];

fn small(path: &Path) -> nnc::check::Checked {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let settings = SMALL.iter().filter(|(model, _)| *model == name).flat_map(|(_, settings)| *settings);
    let set = settings.map(|(key, value)| (key.to_string(), value.to_string())).collect();
    checked_with(path, CheckOptions { set, ..CheckOptions::default() })
}

fn checked(path: &Path) -> nnc::check::Checked {
    checked_with(path, CheckOptions::default())
}

fn checked_with(path: &Path, options: CheckOptions) -> nnc::check::Checked {
    let checked = nnc::check::check(path, &options);
    let shown: Vec<String> = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
    assert!(checked.diagnostics.is_empty(), "{}:\n{}", path.display(), shown.concat());
    checked
}

const COMPILED: MachineOptions =
    MachineOptions { threads: 2, interpret: false, optimize: true, off: Off::NONE };

/// `cargo bench --bench zoo` writes both.
#[test]
fn every_model_has_its_row_in_the_page() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(top.join("docs/MODELS.md")).expect("the page");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| [")).collect();
    let models = models();
    assert_eq!(rows.len(), models.len(), "rows in docs/MODELS.md, and models");
    for path in models {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let start = format!("| [{name}](../models/{name}.nn) | ");
        let row =
            rows.iter().find(|row| row.starts_with(&start)).unwrap_or_else(|| panic!("no row: {start}"));
        let cells: Vec<&str> = row.split(" | ").collect();
        let text = std::fs::read_to_string(&path).expect("a model");
        let reached = text.lines().find_map(|line| line.strip_prefix("# Reached: ")).expect("its figures");
        assert_eq!(cells[4], reached, "{name}");
        let parameters: usize = cells[2].replace(',', "").parse().expect("a number of parameters");
        let checked = checked(&path);
        let experiment = checked.experiment.as_ref().expect("no errors, so an experiment");
        let steps: u64 = experiment.stages.iter().map(|stage| stage.total_steps).sum();
        assert_eq!(cells[3].replace(',', ""), steps.to_string(), "steps of {name}");
        let trained: usize =
            experiment.models.iter().map(|model| cost::parameters_under(experiment, &model.name)).sum();
        assert_eq!(parameters, trained, "parameters of {name}");
    }
}

#[test]
fn every_model_is_checked_planned_and_trained() {
    for path in models() {
        let checked = checked(&path);
        let experiment = checked.experiment.as_ref().expect("no errors, so an experiment");
        for model in &experiment.models {
            let layers = cost::layers(experiment, model, 1).len();
            let parameters = cost::parameters_under(experiment, &model.name);
            assert!(layers > 0 || parameters > 0, "{}: {}", path.display(), model.name);
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
        let checked = small(&path);
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
