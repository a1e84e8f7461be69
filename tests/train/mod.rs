//! What stands around the kernels in training: steps without allocations, batches assembled ahead, deep
//! networks, divergence.

mod allocations;
mod deep;
mod diverging;
mod loader;
mod objectives;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use nnc::check::{CheckOptions, Checked};
use nnc::driver;
use nnc::ir::computation::VariableId;
use nnc::train::{Ended, Event, MachineOptions, Record, RunOptions};

/// A checked spec without errors.
fn checked(path: &Path) -> Checked {
    let checked = driver::check(path, &CheckOptions::default());
    let shown: Vec<String> = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
    assert!(checked.experiment.is_some(), "{}", shown.concat());
    checked
}

fn machine(threads: usize) -> MachineOptions {
    MachineOptions { threads, interpret: false, optimize: true }
}

/// What a run gives: its records, and the bits of all variables.
fn trained(
    checked: &Checked,
    machine: MachineOptions,
    max_steps: Option<u64>,
) -> (Vec<Record>, Vec<Vec<u32>>) {
    let experiment = checked.experiment.as_ref().expect("no errors");
    let mut variables = driver::variables(experiment, &machine, None).expect("first values");
    let stop = AtomicBool::new(false);
    let options = RunOptions { machine, max_steps, stop: &stop };
    let mut records = Vec::new();
    let mut watch = |event: Event| {
        if let Event::Record(record) = event {
            records.push(record);
        }
    };
    let ended = driver::train(experiment, &checked.tables, &mut variables, &options, &mut watch);
    assert_eq!(ended.expect("it trains"), Ended::Finished);
    let values = (0..experiment.variables.len()).map(|i| {
        let values = variables.get(VariableId(i as u32));
        values.iter().map(|v| v.to_bits()).collect()
    });
    (records, values.collect())
}
