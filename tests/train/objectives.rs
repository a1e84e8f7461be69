//! Several objectives in one stage, stopping early, and what is watched for it.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use nnc::driver;
use nnc::ir::computation::VariableId;
use nnc::train::{Event, Record, RunOptions};

use super::{checked, machine, trained};

const DATA: &str = "data points = csv(\"points.csv\") {\n\
      x: f32[1] = columns(\"x\")\n\
      y: f32 = column(\"y\")\n\
      split train: 8, valid: 4\n\
    }\n";

/// A folder with twelve points and a spec.
fn place(spec: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let rows: String = (0..12).map(|i| format!("{},{}\n", i % 5, (i * 7) % 11)).collect();
    std::fs::write(folder.path().join("points.csv"), format!("x,y\n{rows}")).expect("written");
    let path = folder.path().join("spec.nn");
    std::fs::write(&path, format!("{DATA}{spec}")).expect("written");
    (folder, path)
}

/// One number that is learnt, with a name.
fn player(name: &str, start: f64) -> String {
    format!(
        "model {name}(x: f32[1]) -> f32 {{ param w: f32[1] = constant({start:?})\n sum(w) + 0 * sum(x) }}\n"
    )
}

/// Two players of the bilinear game a * b: with gradients of the other's part or with one update after the other,
/// the numbers would be others.
#[test]
fn objectives_are_taken_at_one_state_and_move_only_their_own() {
    let spec = player("A", 1.0)
        + &player("B", 0.5)
        + "train {\n batch 8 from points.train\n\
             let product = A(points.x) * B(points.x)\n\
             minimize product over A\n minimize 3 - product over B\n\
             optimizer sgd(lr: 0.1) for A\n optimizer sgd(lr: 0.2) for B\n steps 20\n}\n";
    let (_folder, path) = place(&spec);
    let checked = checked(&path);
    let (records, values) = trained(&checked, machine(1), None);
    let (mut a, mut b) = (1.0f64, 0.5f64);
    let mut last = (0.0, 0.0);
    for _ in 0..20 {
        last = (a * b, 3.0 - a * b);
        (a, b) = (a - 0.1 * b, b + 0.2 * a);
    }
    for (value, expected) in values.iter().zip([a, b]) {
        let value = f64::from(f32::from_bits(value[0]));
        assert!((value - expected).abs() < 1e-5, "{value}, expected {expected}");
    }
    let ends = &records[records.len() - 2..];
    let named: Vec<(&str, &str)> = ends.iter().map(|r| (r.split.as_str(), r.name.as_str())).collect();
    assert_eq!(named, [("train", "loss over A"), ("train", "loss over B")]);
    assert!((ends[0].value - last.0).abs() < 1e-5 && (ends[1].value - last.1).abs() < 1e-5, "{ends:?}");
}

/// What is not selected stays as it was, whatever the objective.
#[test]
fn one_objective_over_a_part_leaves_the_rest() {
    let spec = player("A", 1.0)
        + &player("B", 0.5)
        + "train {\n batch 8 from points.train\n minimize A(points.x) * B(points.x) over A\n\
           optimizer sgd(lr: 0.1)\n steps 3\n}\n";
    let (_folder, path) = place(&spec);
    let (_, values) = trained(&checked(&path), machine(1), None);
    assert_eq!(f32::from_bits(values[1][0]), 0.5);
    assert!((f32::from_bits(values[0][0]) - 0.85).abs() < 1e-6);
}

/// A weight that moves to and past the best value by the same distance in each epoch.
fn walker(more: &str) -> String {
    player("Walk", 0.0)
        + "optimizer march(by: f32)(p, g) { p + by + 0 * g }\n\
           train {\n batch 8 from points.train\n\
           let far = abs(Walk(points.x) - 5)\n\
           minimize far + 0.01 * sum(Walk.w * Walk.w)\n\
           optimizer march(by: 1)\n epochs 40\n"
        + more
        + "}\n"
}

fn named<'a>(records: &'a [Record], split: &str, name: &str) -> Vec<&'a Record> {
    records.iter().filter(|r| r.split == split && r.name == name).collect()
}

#[test]
fn the_loss_on_a_split_is_what_is_minimized_there() {
    let spec = walker("stop when valid.loss stalls for 3 epochs\nmeasure mean(far) on points.valid as far\n");
    let (_folder, path) = place(&spec);
    let (records, _) = trained(&checked(&path), machine(1), None);
    let losses = named(&records, "valid", "loss");
    // After epoch n the weight is n: the loss is |n - 5| + 0.01 n^2, least after epoch 5.
    for loss in &losses {
        let w = loss.epoch as f64;
        assert!((loss.value - ((w - 5.0).abs() + 0.01 * w * w)).abs() < 1e-5, "{loss:?}");
    }
    assert_eq!(losses.len(), 8, "best after epoch 5, stalled for 3");
    assert_eq!(named(&records, "valid", "far").len(), 8);
}

#[test]
fn what_counts_as_better_is_said() {
    for (stop, last) in [
        ("stop when train.loss stalls for 2 epochs", 8),
        ("stop when lowest valid.far stalls for 2 epochs", 7),
        ("stop when highest valid.far stalls for 2 epochs", 3),
        ("stop when lowest valid.far stalls for 2 epochs min_delta: 2.5", 3),
        ("stop when lowest valid.far stalls for 20 epochs\nstop when valid.loss stalls for 4 steps", 9),
        ("stop when highest valid.far stalls for 30 epochs", 40),
    ] {
        let (_folder, path) = place(&walker(&format!("{stop}\nmeasure far on points.valid as far\n")));
        let (records, _) = trained(&checked(&path), machine(1), None);
        assert_eq!(records.last().map(|r| r.epoch), Some(last), "{stop}");
    }
}

/// What is measured at the end of a stage is measured also where that comes early.
#[test]
fn an_early_end_measures_what_the_end_would_have() {
    let spec = walker(
        "stop when valid.loss stalls for 2 epochs\nmeasure far on points.valid every 15 epochs as far\n",
    );
    let (_folder, path) = place(&spec);
    let checked = checked(&path);
    let (records, _) = trained(&checked, machine(1), None);
    let far = named(&records, "valid", "far");
    assert_eq!(far.iter().map(|r| r.epoch).collect::<Vec<_>>(), [7]);
    let experiment = checked.experiment.as_ref().expect("no errors");
    let mut variables = driver::variables(experiment, &machine(1), None).expect("first values");
    let stop = AtomicBool::new(false);
    let options = RunOptions { machine: machine(1), max_steps: None, stop: &stop };
    let mut seen = Vec::new();
    let mut watch = |event: Event| {
        if let Event::Stalled { when, stalled, .. } = event {
            let best = stalled.best.as_ref().map(|best| (best.when.epoch, best.value));
            seen.push((when.epoch, stalled.name.clone(), best));
        }
    };
    driver::train(experiment, &checked.tables, &mut variables, &options, &mut watch).expect("it trains");
    let [(7, name, Some((5, value)))] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(name, "valid.loss");
    assert!((value - 0.25).abs() < 1e-6);
}

#[test]
fn the_best_is_seen_when_it_is_reached() {
    let (_folder, path) = place(&walker("save lowest valid.far\nmeasure far on points.valid as far\n"));
    let checked = checked(&path);
    let experiment = checked.experiment.as_ref().expect("no errors");
    let mut variables = driver::variables(experiment, &machine(1), None).expect("first values");
    let stop = AtomicBool::new(false);
    let options = RunOptions { machine: machine(1), max_steps: Some(9), stop: &stop };
    let mut kept = Vec::new();
    let mut watch = |event: Event| {
        if let Event::Best { best, variables, .. } = event {
            kept.push((best.when.epoch, variables.get(VariableId(0))[0]));
        }
    };
    driver::train(experiment, &checked.tables, &mut variables, &options, &mut watch).expect("it trains");
    assert_eq!(kept, (1..=5).map(|n| (n, n as f32)).collect::<Vec<_>>());
    assert_eq!(variables.get(VariableId(0)), [9.0]);
}
