//! One stage: steps over batches, the loss of each, measurements when they are due.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::diverged;
use super::feed::{Stream, arrays};
use super::folder::Folder;
use super::machine::{Machine, Variables};
use super::measure::Meter;
use super::record::Record;
use super::snapshot::{EVERY, Snapshot};
use super::{End, Event, SAVE_EVERY, Setup, Timings, stage_seed};
use crate::base::{Diagnostic, Failure};
use crate::ir::computation::VariableId;
use crate::ir::experiment::{BatchFrom, Every, Experiment, Length, Measure, Stage};
use crate::ir::op::Moment;
use crate::readers::Table;

/// The rows of each `batch` statement of a stage in the running step.
pub struct Batches<'a> {
    from: &'a [BatchFrom],
    streams: Vec<Stream>,
    rows: Vec<Vec<u32>>,
}

impl<'a> Batches<'a> {
    /// At the start of a stage.
    ///
    /// # Errors
    /// A batch from a split that is not there: a fault of the checker.
    pub fn new(stage: &'a Stage, tables: &[Table], seed: u64) -> Result<Batches<'a>, Diagnostic> {
        let mut streams = Vec::new();
        for (i, batch) in stage.batches.iter().enumerate() {
            let split = tables.get(batch.rows.table).and_then(|table| table.splits.get(batch.rows.split));
            let split = split.ok_or_else(|| Diagnostic::internal("train", "a batch from nowhere"))?;
            streams.push(Stream::new(&split.rows, batch.in_order, seed, i as u64));
        }
        Ok(Batches { from: &stage.batches, rows: vec![Vec::new(); streams.len()], streams })
    }

    /// Goes to the next step; says how many examples it has. The first batch ends with its split; the
    /// others give as many rows, going round as often as needed.
    pub fn advance(&mut self) -> usize {
        let mut count = 1;
        for (i, (stream, rows)) in self.streams.iter_mut().zip(&mut self.rows).enumerate() {
            rows.clear();
            if i == 0 {
                stream.batch(self.from[0].size, rows);
                count = rows.len();
            } else {
                stream.exactly(count, rows);
            }
        }
        count
    }

    /// The rows of a table in this step.
    pub fn rows(&self, table: usize) -> &[u32] {
        let at = self.from.iter().position(|batch| batch.rows.table == table);
        at.map_or(&[], |at| &self.rows[at])
    }
}

/// What the steps of a stage work on.
struct Run<'a> {
    experiment: &'a Experiment,
    stage: &'a Stage,
    tables: &'a [Table],
    seed: u64,
    machine: Machine,
    batches: Batches<'a>,
    examples: usize,
}

impl Run<'_> {
    fn moment(&self, step: u64) -> Moment {
        Moment { seed: self.seed, step, example: 0, batch: self.examples as u64 }
    }

    /// Makes one step; returns the loss.
    fn step(&mut self, variables: &mut Variables, step: u64) -> f64 {
        self.examples = self.batches.advance();
        for (input, at) in self.stage.inputs.iter().enumerate() {
            self.machine.feed(input, &self.tables[at.table].fields[at.field], self.batches.rows(at.table));
        }
        let moment = self.moment(step);
        self.machine.run(variables, moment);
        self.machine.scalar("loss")
    }

    /// Why the step just made must not be the last word, if so.
    fn symptom(&self, variables: &Variables, loss: f64) -> Option<String> {
        if !loss.is_finite() {
            return Some(if loss.is_nan() { "the loss is not a number" } else { "the loss is infinite" }.into());
        }
        let bad = |id: &VariableId| !variables.is_finite(*id);
        let id = self.stage.trained.iter().map(|(id, _)| *id).find(|id| bad(id))?;
        Some(format!("the update of {} is not finite", self.experiment.variable(id).path))
    }

    /// Goes back to the state before `step`, which diverged, and says what happened in it.
    fn give_up(
        &mut self,
        setup: &Setup,
        variables: &mut Variables,
        snapshot: &Snapshot,
        step: u64,
        symptom: &str,
    ) -> Failure {
        snapshot.restore(variables, &mut self.batches.streams);
        for earlier in snapshot.step + 1..step {
            self.step(variables, earlier);
        }
        self.examples = self.batches.advance();
        let inputs: Vec<_> = (self.stage.inputs.iter())
            .map(|at| arrays(&self.tables[at.table].fields[at.field], self.batches.rows(at.table)))
            .collect();
        let values = variables.arrays(&self.experiment.variables);
        diverged::explain(self.stage, setup.sources, &values, &inputs, self.moment(step), symptom).into()
    }
}

/// Runs stage number `index`.
///
/// # Errors
/// See [`super::train`].
pub fn run(
    setup: &mut Setup,
    index: usize,
    variables: &mut Variables,
    folder: &mut Folder,
    timings: &mut Timings,
    start: Instant,
) -> Result<End, Failure> {
    let experiment = setup.experiment;
    let stage = &experiment.stages[index];
    let seed = stage_seed(experiment.seed, index);
    let steps = setup.max_steps.unwrap_or(u64::MAX).min(stage.total_steps);
    (setup.observe)(Event::Stage { stage, steps });
    let size = stage.batches.first().map_or(1, |batch| batch.size);
    let mut run = Run {
        experiment,
        stage,
        tables: setup.tables,
        seed,
        machine: (setup.make)(&stage.step, size)?,
        batches: Batches::new(stage, setup.tables, seed)?,
        examples: 0,
    };
    let mut meters: Vec<Option<Meter>> = stage.measures.iter().map(|_| None).collect();
    let mut snapshot = Snapshot::empty();
    let mut saved = Instant::now();
    // Loss and examples since the loss was last reported.
    let (mut loss_sum, mut loss_examples) = (0.0, 0usize);
    for step in 1..=steps {
        if (step - 1) % EVERY == 0 {
            snapshot.take(step - 1, experiment, variables, &run.batches.streams);
        }
        let begun = Instant::now();
        let loss = run.step(variables, step);
        if let Some(symptom) = run.symptom(variables, loss) {
            return Err(run.give_up(setup, variables, &snapshot, step, &symptom));
        }
        timings.steps += begun.elapsed();
        timings.step_count += 1;
        timings.examples += run.examples as u64;
        if timings.step_count == 1 {
            timings.first_step = start.elapsed();
        }
        loss_sum += loss * run.examples as f64;
        loss_examples += run.examples;
        (setup.observe)(Event::Step { step, loss, examples: run.examples });

        let stopped = setup.stop.load(Ordering::Relaxed);
        let last = step == steps || stopped;
        let due: Vec<usize> = (0..stage.measures.len())
            .filter(|i| !stopped && (step == steps || is_due(&stage.measures[*i], stage, step)))
            .collect();
        let epoch_ends = step % stage.steps_per_epoch.max(1) == 0;
        if !(last || epoch_ends || !due.is_empty()) {
            continue;
        }
        let record = |split: &str, name: &str, value: f64| Record {
            stage: stage.name.clone(),
            epoch: (step - 1) / stage.steps_per_epoch.max(1) + 1,
            step,
            split: split.to_string(),
            name: name.to_string(),
            value: value.is_finite().then_some(value),
        };
        let mut report = |record: Record| {
            (setup.observe)(Event::Record(&record));
            folder.log(&record)
        };
        report(record(&train_split(stage, setup.tables), "loss", loss_sum / loss_examples as f64))?;
        (loss_sum, loss_examples) = (0.0, 0);
        for i in due {
            let measure = &stage.measures[i];
            if meters[i].is_none() {
                meters[i] = Some(Meter::new(measure, setup.tables, setup.make)?);
            }
            if let Some(meter) = &mut meters[i] {
                let moment = Moment { seed, step, example: 0, batch: 0 };
                let value = meter.measure(experiment, setup.tables, variables, moment);
                report(record(&measure.split, &measure.name, value))?;
            }
        }
        folder.flush()?;
        (setup.observe)(Event::Reported);
        if stopped {
            return Ok(End::Interrupted);
        }
        if saved.elapsed() >= SAVE_EVERY && step < steps {
            folder.save_weights(experiment, variables)?;
            saved = Instant::now();
        }
    }
    (setup.observe)(Event::StageEnd);
    if index + 1 < experiment.stages.len() {
        folder.save_weights(experiment, variables)?;
    }
    Ok(End::Complete)
}

/// The name of the split that the stage trains on.
fn train_split(stage: &Stage, tables: &[Table]) -> String {
    let rows = stage.batches.first().map(|batch| batch.rows);
    let split = rows.and_then(|rows| tables.get(rows.table)?.splits.get(rows.split));
    split.map_or_else(|| "train".to_string(), |split| split.name.clone())
}

fn is_due(measure: &Measure, stage: &Stage, step: u64) -> bool {
    match measure.every {
        Every::Steps(n) => step % n.max(1) == 0,
        Every::Epochs(n) => step % (stage.steps_per_epoch.max(1) * n.max(1)) == 0,
    }
}

/// How long a stage is, for people.
pub fn length_text(stage: &Stage) -> String {
    match stage.length {
        Length::Epochs(1) => "1 epoch".to_string(),
        Length::Epochs(n) => format!("{n} epochs"),
        Length::Steps(1) => "1 step".to_string(),
        Length::Steps(n) => format!("{n} steps"),
    }
}
