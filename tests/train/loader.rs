//! Batches are the same whoever assembles them: a thread ahead of the steps, or the workers in the step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use nnc::driver;
use nnc::readers::Values;
use nnc::train::{Ended, Event, MachineOptions, RunOptions};

use super::{checked, machine, trained};

/// With as many threads as cores the workers assemble the batches, with fewer a thread does; the reference
/// evaluator does it by itself.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for model in ["iris", "mlp"] {
        let checked = checked(Path::new(&format!("models/{model}.nn")));
        // More than an epoch, so that a last batch of fewer examples and a second order are among them.
        let results: Vec<_> =
            [1, 2, cores, 2 * cores].map(|threads| trained(&checked, machine(threads), Some(140))).into();
        assert!(results[0].0.len() > 2);
        for (records, variables) in &results[1..] {
            assert!(records.iter().zip(&results[0].0).all(|(a, b)| a.value.to_bits() == b.value.to_bits()));
            assert_eq!(*variables, results[0].1, "{model}");
        }
    }
}

/// Two sources of different length in one step: the shorter one starts over.
#[test]
fn compiled_and_reference_steps_see_the_same_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut table = "a,b,y\n".to_string();
    for i in 0..53 {
        table += &format!("{},{},{}\n", (i * 7 % 13) as f32 / 13.0, (i * 5 % 11) as f32 / 11.0, i % 3);
    }
    std::fs::write(folder.path().join("long.csv"), &table).expect("a file");
    let short: String = table.lines().take(24).map(|line| format!("{line}\n")).collect();
    std::fs::write(folder.path().join("short.csv"), short).expect("a file");
    let text = "data long = csv(\"long.csv\") {\n\
                  x: f32[2] = columns(\"a\", \"b\")\n  kind: index<3> = column(\"y\")\n  split train: 100%\n}\n\
                data short = csv(\"short.csv\") {\n\
                  x: f32[2] = columns(\"a\", \"b\")\n  kind: index<3> = column(\"y\")\n  split train: 100%\n}\n\
                model Net(x: f32[2]) -> f32[3] { x |> dense(4) |> tanh |> dense(3) }\n\
                train {\n  batch 8 from long.train\n  batch 8 from short.train\n\
                  minimize cross_entropy(Net(long.x), long.kind)\n\
                  minimize 0.5 * cross_entropy(Net(short.x), short.kind)\n\
                  optimizer sgd(lr: 0.1)\n  epochs 3\n}\n";
    let path = folder.path().join("two.nn");
    std::fs::write(&path, text).expect("a file");
    let checked = checked(&path);
    let (compiled, _) = trained(&checked, machine(1), None);
    let interpreted = MachineOptions { interpret: true, ..machine(1) };
    let (reference, _) = trained(&checked, interpreted, None);
    assert_eq!(compiled.len(), 3);
    for (a, b) in compiled.iter().zip(&reference) {
        assert!((a.value - b.value).abs() < 1e-4 * b.value.abs(), "{a:?} {b:?}");
    }
}

/// A run that is stopped ends after the step under way, and the thread that assembles batches with it.
#[test]
fn a_stopped_run_ends() {
    let checked = checked(Path::new("models/mlp.nn"));
    let experiment = checked.experiment.as_ref().expect("no errors");
    for threads in [1, 2] {
        let mut variables = driver::variables(experiment, &machine(threads), None).expect("first values");
        let stop = AtomicBool::new(false);
        let options = RunOptions { machine: machine(threads), max_steps: None, stop: &stop };
        let mut steps = 0;
        let mut watch = |event: Event| {
            if let Event::Step { .. } = event {
                steps += 1;
                if steps == 3 {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        let ended = driver::train(experiment, &checked.tables, &mut variables, &options, &mut watch);
        assert_eq!(ended.expect("no error"), Ended::Interrupted);
        assert_eq!(steps, 3);
    }
}

/// What goes wrong while a batch is assembled comes to the caller, from whichever thread.
#[test]
fn a_fault_in_assembling_reaches_the_caller() {
    let mut checked = checked(Path::new("models/iris.nn"));
    for field in &mut checked.tables[0].fields {
        if let Values::F32(data) = &mut field.values {
            // Less than the rows promise: the last rows are not there.
            data.truncate(data.len() / 2);
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in [1, cores] {
        let run = catch_unwind(AssertUnwindSafe(|| trained(&checked, machine(threads), None)));
        let panic = run.expect_err("rows are missing");
        let text = panic.downcast_ref::<String>().expect("a message");
        assert!(text.contains("out of range"), "{text}");
    }
}
