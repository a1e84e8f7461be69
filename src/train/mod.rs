//! Floor 7: training: stages, batches, measurements, weights and the run folder.
//!
//! [`train`] works through the stages of an experiment. It knows no files besides the run folder and prints
//! nothing: what happens is told to an observer as [`Event`]s. How a computation is made runnable is the
//! caller's choice (`driver.rs`), so the same loop trains with compiled code and with the interpreter.

mod diverged;
pub mod feed;
pub mod folder;
pub mod gradcheck;
pub mod machine;
pub mod measure;
pub mod record;
mod snapshot;
mod stage;
pub mod weights;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::base::{Diagnostic, Exit, Failure, Sources};
use crate::ir::Computation;
use crate::ir::experiment::{Experiment, Stage};
use crate::readers::Table;
use folder::Folder;
use machine::{Machine, Variables};
use record::Record;

/// Makes a computation runnable for batches of at most this many examples.
pub type Make<'a> = dyn Fn(&Computation, usize) -> Result<Machine, Diagnostic> + 'a;

/// Something that the user may want to see.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A stage begins: so many steps will be made.
    Stage {
        /// The stage.
        stage: &'a Stage,
        /// Steps that it will make.
        steps: u64,
    },
    /// A step is complete.
    Step {
        /// Its number in the stage, from 1.
        step: u64,
        /// The loss before the step's update.
        loss: f64,
        /// How many examples it saw.
        examples: usize,
    },
    /// A value was measured.
    Record(&'a Record),
    /// All that is measured at this point has been measured.
    Reported,
    /// A stage is complete.
    StageEnd,
}

/// What training needs.
pub struct Setup<'a> {
    /// What to do.
    pub experiment: &'a Experiment,
    /// The data.
    pub tables: &'a [Table],
    /// The texts, to name places in them.
    pub sources: &'a Sources,
    /// Makes computations runnable.
    pub make: &'a Make<'a>,
    /// At most this many steps of each stage.
    pub max_steps: Option<u64>,
    /// Set from outside when training should end after the running step.
    pub stop: &'a AtomicBool,
    /// Told what happens.
    pub observe: &'a mut dyn FnMut(Event),
}

/// How training ended, if no error ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All stages are complete.
    Complete,
    /// Stopped from outside; the weights are those after the last complete step.
    Interrupted,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// From the start of training to the end of the first step, compilation included.
    pub first_step: Duration,
    /// Making steps, measurements not included.
    pub steps: Duration,
    /// Everything.
    pub total: Duration,
    /// How many steps were made.
    pub step_count: u64,
    /// How many examples they saw.
    pub examples: u64,
}

/// Saves the weights at most this often while a stage goes on.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Trains: all stages in order. The weights are written after each stage, now and then after an epoch,
/// and when training stops early for whatever reason.
///
/// # Errors
/// Divergence, a full disk, a fault of the compiler. The folder then has the last finite weights.
pub fn train(
    setup: &mut Setup,
    variables: &mut Variables,
    folder: &mut Folder,
) -> (Result<End, Failure>, Timings) {
    let start = Instant::now();
    let mut timings = Timings::default();
    let mut result = Ok(End::Complete);
    for index in 0..setup.experiment.stages.len() {
        result = stage::run(setup, index, variables, folder, &mut timings, start);
        if !matches!(result, Ok(End::Complete)) {
            break;
        }
    }
    // Whatever happened, what was learnt is kept.
    if let Err(problem) = folder.save_weights(setup.experiment, variables) {
        match &mut result {
            Err(failure) => failure.diagnostics.push(problem),
            Ok(_) => result = Err(problem.into()),
        }
    }
    timings.total = start.elapsed();
    (result, timings)
}

/// The seed of a stage's random numbers and shuffles.
pub fn stage_seed(seed: u64, stage: usize) -> u64 {
    mix(seed ^ mix(stage as u64 + 1))
}

/// SplitMix64's finisher: nearby numbers become far ones.
pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A problem with memory, disk or the output folder.
pub fn resource(code: &'static str, title: impl Into<String>) -> Diagnostic {
    Diagnostic::error(code, title).exit(Exit::Resources)
}
