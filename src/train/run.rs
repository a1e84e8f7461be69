//! The training loop: stage by stage, epoch by epoch, step by step.

use std::sync::atomic::{AtomicBool, Ordering};

use super::batches::Order;
use super::diverged::explain;
use super::machine::{Feed, MachineOptions, Saved, Task, Variables};
use super::measure::Gauge;
use crate::base::Diagnostic;
use crate::interp::Env;
use crate::ir::computation::Computation;
use crate::ir::experiment::{Every, Experiment, Length, Stage};
use crate::ir::op::Moment;
use crate::passes::guard::guard;
use crate::readers::Table;
use crate::ty::Type;

/// Steps between copies of the variables, from which the state before a bad step is made again. A step
/// overwrites its state, and a copy before each would cost more than the guard may.
const COPY_EVERY: u64 = 64;

/// How a run goes.
pub struct RunOptions<'a> {
    /// What runs the steps.
    pub machine: MachineOptions,
    /// Stop each stage after this many steps.
    pub max_steps: Option<u64>,
    /// Set from outside to stop after the step under way.
    pub stop: &'a AtomicBool,
}

/// Something that happened, for whoever watches.
pub enum Event<'a> {
    /// A stage is compiled and begins.
    Stage {
        /// Which.
        stage: &'a Stage,
        /// Steps that it will take.
        steps: u64,
    },
    /// A step is done.
    Step {
        /// Which stage.
        stage: &'a Stage,
        /// The epoch, from 1.
        epoch: u64,
        /// The step, from 1.
        step: u64,
        /// Examples of the step.
        examples: usize,
        /// The loss of the step.
        loss: f64,
    },
    /// A number for the log.
    Record(Record),
    /// An epoch is complete, and all that is measured after it has been measured.
    Epoch {
        /// The values after it.
        variables: &'a Variables,
    },
}

/// One object of `metrics.jsonl`.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Record {
    /// The stage's name.
    pub stage: String,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The step, from 1.
    pub step: u64,
    /// The split's name.
    pub split: String,
    /// The metric's name.
    pub name: String,
    /// Its value.
    pub value: f64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All stages are done.
    Finished,
    /// `stop` was set.
    Interrupted,
}

/// Trains all stages. The variables hold the result, also after an error: then the last finite state.
///
/// # Errors
/// A loss or an update that is not finite (exit code 6), too little memory (5), faults of the compiler.
pub fn run(
    experiment: &Experiment,
    tables: &[Table],
    variables: &mut Variables,
    options: &RunOptions,
    watch: &mut dyn FnMut(Event),
) -> Result<Ended, Diagnostic> {
    let types: Vec<Type> = experiment.variables.iter().map(|v| v.ty.clone()).collect();
    for (number, stage) in experiment.stages.iter().enumerate() {
        let run =
            StageRun { experiment, tables, types: &types, options, stage, seed: seed(experiment, number) };
        if run.run(variables, watch)? == Ended::Interrupted {
            return Ok(Ended::Interrupted);
        }
    }
    Ok(Ended::Finished)
}

/// The seed of a stage's random numbers and orders: its own, else one that follows from the experiment's.
pub fn seed(experiment: &Experiment, stage: usize) -> u64 {
    let own = experiment.stages.get(stage).and_then(|stage| stage.seed);
    own.unwrap_or(experiment.seed ^ (stage as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The computation of a stage's step as it runs: the loss as its one output, guarded updates.
pub fn step_of(stage: &Stage, types: &[Type]) -> Computation {
    let step = stage.step.clone();
    let loss = step.outputs.iter().find(|(name, _)| name == "loss").map(|(_, node)| *node);
    match loss {
        Some(loss) => {
            let step = Computation { outputs: vec![("loss".to_string(), loss)], ..step };
            guard(step, loss, types)
        }
        None => step,
    }
}

struct StageRun<'a> {
    experiment: &'a Experiment,
    tables: &'a [Table],
    types: &'a [Type],
    options: &'a RunOptions<'a>,
    stage: &'a Stage,
    seed: u64,
}

impl StageRun<'_> {
    fn run(&self, variables: &mut Variables, watch: &mut dyn FnMut(Event)) -> Result<Ended, Diagnostic> {
        let stage = self.stage;
        let machine = &self.options.machine;
        let computation = step_of(stage, self.types);
        let mut task = Task::new(&computation, self.types, stage.batches[0].size, machine)?;
        let mut gauges = Vec::new();
        for measure in &stage.measures {
            gauges.push((measure, Gauge::new(measure, self.tables, self.types, machine)?));
        }
        let steps = self.options.max_steps.map_or(stage.total_steps, |most| most.min(stage.total_steps));
        watch(Event::Stage { stage, steps });
        let mut orders: Vec<(u64, Order)> = Vec::new();
        let (mut loss_sum, mut seen) = (0.0, 0usize);
        let (mut copy, mut copied) = (Saved::default(), 0);
        for step in 1..=steps {
            if (step - 1) % COPY_EVERY == 0 {
                variables.save(&mut copy);
                copied = step;
            }
            let epoch = (step - 1) / stage.steps_per_epoch + 1;
            let (loss, examples) = self.step(&mut task, variables, step, &mut orders);
            if let Some(symptom) = self.symptom(variables, loss) {
                // Back to the state before this step: a step is a function of state and number.
                variables.restore(&copy);
                for earlier in copied..step {
                    self.step(&mut task, variables, earlier, &mut orders);
                }
                return Err(self.diverged(&computation, variables, step, &mut orders, &symptom));
            }
            loss_sum += loss * examples as f64;
            seen += examples;
            watch(Event::Step { stage, epoch, step, examples, loss });
            let stopped = self.options.stop.load(Ordering::Relaxed);
            let epoch_ends = step % stage.steps_per_epoch == 0 || step == steps;
            if epoch_ends || stopped {
                let value = loss_sum / seen as f64;
                watch(Event::Record(self.record(epoch, step, &self.train_split(), "loss", value)));
                (loss_sum, seen) = (0.0, 0);
            }
            if stopped {
                return Ok(Ended::Interrupted);
            }
            for (measure, gauge) in &mut gauges {
                let due = match measure.every {
                    Every::Epochs(n) => epoch_ends && (epoch.is_multiple_of(n) || step == steps),
                    Every::Steps(n) => step % n == 0 || step == steps,
                };
                if due {
                    let moment = Moment { seed: self.seed, step, example: 0, batch: 0 };
                    let value = gauge.run(variables, self.types, self.tables, moment);
                    watch(Event::Record(self.record(epoch, step, &measure.split, &measure.name, value)));
                }
            }
            if epoch_ends {
                watch(Event::Epoch { variables });
            }
        }
        Ok(Ended::Finished)
    }

    /// Makes one step; returns its loss and number of examples.
    fn step(
        &self,
        task: &mut Task,
        variables: &mut Variables,
        step: u64,
        orders: &mut Vec<(u64, Order)>,
    ) -> (f64, usize) {
        let rows = self.rows(step, orders);
        let examples = rows[0].len();
        let outputs = task.run(variables, &self.feed(&rows), self.moment(step, examples));
        (outputs[0][0], examples)
    }

    fn moment(&self, step: u64, examples: usize) -> Moment {
        Moment { seed: self.seed, step, example: 0, batch: examples as u64 }
    }

    /// The name of the split that the loss is of.
    fn train_split(&self) -> String {
        let rows = self.stage.batches[0].rows;
        self.tables[rows.table].splits[rows.split].name.clone()
    }

    /// Why the step just made must not stand, if so.
    fn symptom(&self, variables: &Variables, loss: f64) -> Option<String> {
        if !loss.is_finite() {
            return Some(format!("the loss is {loss}"));
        }
        let trained = self.stage.trained.iter().map(|(id, _)| *id);
        let bad = trained.into_iter().find(|id| !variables.is_finite(*id))?;
        Some(format!("the update of `{}` is not finite", self.experiment.variable(bad).path))
    }

    fn record(&self, epoch: u64, step: u64, split: &str, name: &str, value: f64) -> Record {
        let (split, name) = (split.to_string(), name.to_string());
        Record { stage: self.stage.name.clone(), epoch, step, split, name, value }
    }

    /// The rows of each `batch` statement at a step. A source shorter than the first starts over.
    fn rows<'o>(&self, step: u64, orders: &'o mut Vec<(u64, Order)>) -> Vec<&'o [u32]> {
        let mut places = Vec::new();
        for (i, batch) in self.stage.batches.iter().enumerate() {
            let rows = &self.tables[batch.rows.table].splits[batch.rows.split].rows;
            let per_epoch = rows.len().div_ceil(batch.size) as u64;
            let (epoch, index) = ((step - 1) / per_epoch, (step - 1) % per_epoch);
            if orders.get(i).is_none_or(|(e, _)| *e != epoch) {
                let order = if batch.in_order {
                    Order::in_order(rows)
                } else {
                    Order::shuffled(rows, self.seed.wrapping_add(i as u64), epoch)
                };
                match orders.get_mut(i) {
                    Some(slot) => *slot = (epoch, order),
                    None => orders.push((epoch, order)),
                }
            }
            places.push((index as usize, batch.size));
        }
        let orders: &'o Vec<(u64, Order)> = orders;
        let all: Vec<&[u32]> =
            places.iter().zip(orders).map(|((index, size), (_, order))| order.batch(*index, *size)).collect();
        // All inputs of a step have as many examples as the shortest batch.
        let shortest = all.iter().map(|rows| rows.len()).min().unwrap_or(0);
        all.into_iter().map(|rows| &rows[..shortest]).collect()
    }

    fn feed<'r>(&'r self, rows: &[&'r [u32]]) -> Feed<'r> {
        let source = |table: usize| {
            let position = self.stage.batches.iter().position(|b| b.rows.table == table);
            rows[position.unwrap_or(0)]
        };
        let rows = self.stage.inputs.iter().map(|input| source(input.table)).collect();
        Feed { tables: self.tables, fields: &self.stage.inputs, rows }
    }

    /// Names the operation that made a step diverge; the variables have the values before the step.
    fn diverged(
        &self,
        computation: &Computation,
        variables: &Variables,
        step: u64,
        orders: &mut Vec<(u64, Order)>,
        symptom: &str,
    ) -> Diagnostic {
        let rows = self.rows(step, orders);
        let inputs = self.feed(&rows).arrays();
        let arrays = variables.arrays(self.types);
        let env = Env { variables: &arrays, inputs: &inputs, moment: self.moment(step, rows[0].len()) };
        explain(self.stage, computation, &env, symptom)
    }
}

/// How long a stage is, for people.
pub fn length_text(length: Length) -> String {
    match length {
        Length::Epochs(1) => "1 epoch".to_string(),
        Length::Epochs(n) => format!("{n} epochs"),
        Length::Steps(1) => "1 step".to_string(),
        Length::Steps(n) => format!("{n} steps"),
    }
}
