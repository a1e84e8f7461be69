//! A step in the steady state allocates nothing. Allocations are counted over all threads, so this runs in a
//! process of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nnc::driver;
use nnc::ir::op::Moment;
use nnc::train::batches::Batches;
use nnc::train::run::step_of;
use nnc::train::{Event, RunOptions, Task};

use super::{checked, machine};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Set in the process that counts.
const ALONE: &str = "NNC_TEST_ALONE";

#[test]
fn a_step_allocates_nothing() {
    if std::env::var_os(ALONE).is_some() {
        for (model, threads) in [("models/iris", 1), ("models/iris", 2), ("models/mlp", 1), ("models/mlp", 2)]
        {
            steps(model, threads);
            run(model, threads);
        }
        // What is left out differs from batch to batch.
        steps("tests/bench/cnn_stride", 2);
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let arguments = ["--exact", "train::allocations::a_step_allocates_nothing", "--test-threads=1"];
    let output = Command::new(program).args(arguments).env(ALONE, "1").output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A task with its data: not one allocation, also where an epoch ends with a smaller batch.
fn steps(model: &str, threads: usize) {
    let checked = checked(Path::new(&format!("{model}.nn")));
    let experiment = checked.experiment.as_ref().expect("no errors");
    let (stage, types) = (&experiment.stages[0], driver::types(experiment));
    let mut variables = driver::variables(experiment, &machine(threads), None).expect("first values");
    let mut task =
        Task::new(&step_of(stage, &types), &types, stage.batches[0].size, &machine(threads)).expect("a task");
    let mut batches = Batches::new(&checked.tables, stage, 1);
    let mut step = |step: u64| {
        let batch = batches.seek(step) as u64;
        batches.run(&mut task, &mut variables, Moment { seed: 1, step, example: 0, batch });
        task.output(0).first()
    };
    let per_epoch = stage.steps_per_epoch;
    (1..=per_epoch).for_each(|i| assert!(step(i).is_finite()));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (per_epoch + 1..=3 * per_epoch).for_each(|i| assert!(step(i).is_finite()));
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), before, "{model}, {threads} threads");
}

/// The training loop: nothing is allocated from one step to the next. Waiting for the first time takes some
/// memory of its own, whenever that comes; so the longest run of steps counts.
fn run(model: &str, threads: usize) {
    let checked = checked(Path::new(&format!("{model}.nn")));
    let experiment = checked.experiment.as_ref().expect("no errors");
    let mut variables = driver::variables(experiment, &machine(threads), None).expect("first values");
    let stop = AtomicBool::new(false);
    let options = RunOptions { machine: machine(threads), max_steps: Some(400), stop: &stop };
    let (mut known, mut quiet, mut longest) = (0, 0, 0);
    let mut watch = |event: Event| {
        let now = ALLOCATIONS.load(Ordering::Relaxed);
        match event {
            Event::Step { .. } => {
                quiet = if now == known { quiet + 1 } else { 0 };
                longest = longest.max(quiet);
                known = now;
            }
            // What is measured and written after an epoch may allocate.
            Event::Record(_)
            | Event::Epoch { .. }
            | Event::Stage { .. }
            | Event::Best { .. }
            | Event::Stalled { .. }
            | Event::Sample(_) => known = now,
        }
    };
    driver::train(experiment, &checked.tables, &mut variables, &options, &mut watch).expect("it trains");
    assert!(longest >= 6, "{model}, {threads} threads: at most {longest} steps in a row allocate nothing");
}
