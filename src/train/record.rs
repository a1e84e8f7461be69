//! What a run writes down about itself: measured values line by line, and a description of the run.

use serde::{Deserialize, Serialize};

/// One measured value: a line of `metrics.jsonl`. It has no times, so that equal runs have equal logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The stage.
    pub stage: String,
    /// The pass over the data, from 1.
    pub epoch: u64,
    /// The step of the stage, from 1: the value is that after this step.
    pub step: u64,
    /// On which split.
    pub split: String,
    /// What: `loss`, `accuracy`.
    pub name: String,
    /// The value; `null` where it is not a finite number.
    pub value: Option<f64>,
}

impl Record {
    /// The line of JSON, without its end.
    pub fn line(&self) -> String {
        // A struct of texts and numbers always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// `run.json`: what was run, on what, with what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RunInfo {
    /// Version of nnc.
    pub version: String,
    /// The spec as it was named on the command line.
    pub spec: String,
    /// SHA-256 of the spec's text.
    pub spec_sha256: String,
    /// `running`, `complete`, `interrupted`, `diverged` or `failed`.
    pub state: String,
    /// The seed in force.
    pub seed: u64,
    /// The settings in force.
    pub settings: Vec<(String, String)>,
    /// The settings that the command line changed, as `name=value`.
    pub set: Vec<String>,
    /// The folder named by `--data` or `NNC_DATA`.
    pub data_dir: Option<String>,
    /// What was read.
    pub data: Vec<DataInfo>,
    /// Weights that the run started from.
    pub init: Option<String>,
    /// The limit of steps, if one was set.
    pub max_steps: Option<u64>,
    /// Worker threads.
    pub threads: usize,
    /// Instruction set of the hand-written kernels: results are equal on all machines that use the same.
    pub isa: String,
    /// Whether the interpreter ran it.
    pub interpreted: bool,
    /// Elements of all trained parameters.
    pub parameters: usize,
    /// Unix time of the start, in seconds.
    pub started: u64,
    /// What took how long, in seconds.
    pub timings: TimingInfo,
}

/// A table of the experiment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DataInfo {
    /// Its name in the spec.
    pub name: String,
    /// What was read, for people.
    pub origin: String,
    /// SHA-256 over the bytes read.
    pub sha256: String,
    /// Number of rows.
    pub rows: usize,
}

/// Seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct TimingInfo {
    /// Reading and checking the spec, and reading the data.
    pub check: f64,
    /// From the start of training to the end of the first step, compilation included.
    pub first_step: f64,
    /// All steps, without measurements.
    pub steps: f64,
    /// Everything after the check.
    pub total: f64,
    /// How many steps.
    pub step_count: u64,
    /// How many examples a second, while steps were made.
    pub examples_per_second: f64,
}
