//! The training loop: stage by stage, epoch by epoch, step by step.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};

use super::averages;
use super::batches::Batches;
use super::diverged::explain;
use super::generate::{SampleRecord, Writer};
use super::loader::Loader;
use super::machine::{MachineOptions, Saved, Task, Variables};
use super::measure::Gauge;
use super::measured::Measured;
use super::watch::{Best, Reducer, Stalled, Stopper, Tracker, When};
use crate::base::Diagnostic;
use crate::interp::Env;
use crate::ir::computation::{Computation, VariableId};
use crate::ir::experiment::{Every, Experiment, Length, Measure, Stage, Watched};
use crate::ir::op::Moment;
use crate::ir::sampling::Sample;
use crate::passes::guard::guard;
use crate::readers::Table;
use crate::ty::Type;

/// Steps between looks for parameters that are not finite, and between copies of the variables from which the
/// state before a bad step is made again. Both read all parameters, as a step does some ten times; so often,
/// they cost less than a hundredth of it. Whatever is written has been looked through before.
const LOOK_EVERY: u64 = 8;
const COPY_EVERY: u64 = 32 * LOOK_EVERY;

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
    /// A text that a model has written.
    Sample(SampleRecord),
    /// What `save best` watches is better than ever before in this stage.
    Best {
        /// Which stage.
        stage: &'a Stage,
        /// The value, and when it was measured.
        best: &'a Best,
        /// The values that gave it.
        variables: &'a Variables,
    },
    /// A stage ends early.
    Stalled {
        /// Which.
        stage: &'a Stage,
        /// After which step.
        when: When,
        /// Why.
        stalled: &'a Stalled,
    },
    /// An epoch is complete, and all that is measured after it has been measured.
    Epoch {
        /// Which stage.
        stage: &'a Stage,
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
    /// Its value as one number; NaN where a tensor was measured.
    #[serde(skip)]
    pub value: f64,
    /// What was measured.
    #[serde(rename = "value")]
    pub measured: Measured,
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

/// The computation of a stage's step as it runs: the loss as its first output, then the objectives where there are
/// several; guarded updates.
pub fn step_of(stage: &Stage, types: &[Type]) -> Computation {
    let step = stage.step.clone();
    let loss = step.outputs.iter().find(|(name, _)| name == "loss").map(|(_, node)| *node);
    match loss {
        Some(loss) => {
            let mut outputs = vec![("loss".to_string(), loss)];
            if stage.objectives.len() > 1 {
                outputs.extend(stage.objectives.iter().map(|o| (o.name.clone(), o.loss)));
            }
            guard(Computation { outputs, ..step }, loss, types)
        }
        None => step,
    }
}

/// The mean of each objective over the steps since it was last recorded.
struct Means {
    /// For each objective its output and the sum over the examples.
    sums: Vec<(usize, f64)>,
    examples: usize,
    /// The means that were taken last.
    last: Vec<f64>,
}

impl Means {
    fn new(stage: &Stage) -> Means {
        let count = stage.objectives.len();
        let first = usize::from(count > 1);
        let sums = (first..first + count).map(|output| (output, 0.0)).collect();
        Means { sums, examples: 0, last: Vec::new() }
    }

    fn add(&mut self, task: &Task, examples: usize) {
        for (output, sum) in &mut self.sums {
            *sum += task.output(*output).first() * examples as f64;
        }
        self.examples += examples;
    }

    /// Takes the means, in the order of the objectives, and starts over.
    fn take(&mut self) {
        let examples = std::mem::take(&mut self.examples) as f64;
        self.last.clear();
        self.last.extend(self.sums.iter_mut().map(|(_, sum)| std::mem::take(sum) / examples));
    }
}

/// What is watched in a stage.
struct Watchers<'a> {
    stops: Vec<Stopper<'a>>,
    best: Option<Tracker<'a>>,
    stalled: Option<Stalled>,
    reducer: Option<Reducer<'a>>,
    /// Whether the learning rates are due to become smaller.
    reduced: bool,
}

impl<'a> Watchers<'a> {
    fn new(stage: &'a Stage) -> Watchers<'a> {
        let stops = stage.stops.iter().map(Stopper::new).collect();
        Watchers {
            stops,
            best: stage.best.as_ref().map(|watch| Tracker::new(watch, 0.0)),
            stalled: None,
            reducer: stage.reduce.as_ref().map(|reduce| Reducer::new(&reduce.stall)),
            reduced: false,
        }
    }

    /// Shows all of them a number; whether it is the best of what is kept.
    fn see(&mut self, of: Watched, value: f64, when: When) -> Option<&Best> {
        for stop in &mut self.stops {
            let stalled = stop.see(of, value, when);
            self.stalled = self.stalled.take().or(stalled);
        }
        self.reduced |= self.reducer.as_mut().is_some_and(|reducer| reducer.see(of, value, when));
        let tracker = self.best.as_mut()?;
        if tracker.see_if(of, value, when) { tracker.best() } else { None }
    }
}

/// The models that write while a stage trains.
type Writers<'a> = [(&'a Sample, Writer)];

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
        let measures = averages::measures(stage);
        for measure in &measures {
            gauges.push((measure, Gauge::new(measure, self.tables, self.types, machine)?));
        }
        let mut writers = Vec::new();
        for sample in &stage.samples {
            let model = averages::model(stage, &self.experiment.models[sample.model]);
            writers.push((sample, Writer::new(&model, self.types, machine)?));
        }
        let steps = self.options.max_steps.map_or(stage.total_steps, |most| most.min(stage.total_steps));
        watch(Event::Stage { stage, steps });
        let batches = Batches::new(self.tables, stage, self.seed);
        averages::begin(stage, variables);
        let ended = std::thread::scope(|scope| {
            let mut loader = Loader::new(scope, batches, &mut task, steps)?;
            self.steps(&mut task, &mut loader, (&mut gauges, &mut writers), variables, steps, watch)
        });
        averages::finish(stage, variables);
        ended
    }

    fn steps(
        &self,
        task: &mut Task,
        loader: &mut Loader,
        (gauges, writers): (&mut [(&Measure, Gauge)], &mut Writers),
        variables: &mut Variables,
        steps: u64,
        watch: &mut dyn FnMut(Event),
    ) -> Result<Ended, Diagnostic> {
        let stage = self.stage;
        let mut means = Means::new(stage);
        let mut watchers = Watchers::new(stage);
        let (mut copy, mut copied) = (Saved::default(), 0);
        for step in 1..=steps {
            if (step - 1) % COPY_EVERY == 0 {
                variables.save(&mut copy);
                copied = step;
            }
            let epoch = (step - 1) / stage.steps_per_epoch + 1;
            let examples = loader.step(task, variables, self.moment(step, 0));
            let loss = task.output(0).first();
            let epoch_ends = step % stage.steps_per_epoch == 0 || step == steps;
            let due = |every: Every| match every {
                Every::Epochs(n) => epoch_ends && (epoch.is_multiple_of(n) || step == steps),
                Every::Steps(n) => step % n == 0 || step == steps,
            };
            let measured = gauges.iter().any(|(measure, _)| due(measure.every))
                || writers.iter().any(|(sample, _)| due(sample.every));
            let looked = epoch_ends || measured || step % LOOK_EVERY == 0;
            let mut bad = !loss.is_finite() || looked && self.not_finite(variables);
            if !bad {
                means.add(task, examples);
                watch(Event::Step { stage, epoch, step, examples, loss });
            }
            let stopped = self.options.stop.load(Ordering::Relaxed);
            bad |= stopped && !looked && self.not_finite(variables);
            if bad {
                variables.restore(&copy);
                return Err(self.diverged(task, variables, copied..=step));
            }
            let when = When { epoch, step };
            if epoch_ends || stopped {
                self.record_losses(&mut means, when, watch);
            }
            if stopped {
                return Ok(Ended::Interrupted);
            }
            if epoch_ends {
                let loss = means.last.first().copied();
                if let Some(loss) = loss
                    && let Some(best) = watchers.see(Watched::TrainLoss, loss, when)
                {
                    watch(Event::Best { stage, best, variables });
                }
            }
            for (at, gauge) in gauges.iter_mut().enumerate() {
                if due(gauge.0.every) {
                    let value = self.measure(gauge, variables, when, watch);
                    if let Some(best) = watchers.see(Watched::Measure(at), value, when) {
                        watch(Event::Best { stage, best, variables });
                    }
                }
            }
            if let Some(stalled) = watchers.stalled.take() {
                // The stage ends here: what is measured at its end is measured now.
                if !epoch_ends {
                    self.record_losses(&mut means, when, watch);
                }
                for gauge in gauges.iter_mut().filter(|(measure, _)| !due(measure.every)) {
                    self.measure(gauge, variables, when, watch);
                }
                for (sample, writer) in writers.iter_mut() {
                    let record = self.sample(sample, writer, variables, when)?;
                    watch(Event::Sample(record));
                }
                watch(Event::Stalled { stage, when, stalled: &stalled });
                watch(Event::Epoch { stage, variables });
                return Ok(Ended::Finished);
            }
            for (sample, writer) in writers.iter_mut().filter(|(sample, _)| due(sample.every)) {
                let record = self.sample(sample, writer, variables, when)?;
                watch(Event::Sample(record));
            }
            if std::mem::take(&mut watchers.reduced) {
                self.reduce(variables, when, watch);
                // The steps that are made again after divergence begin with the rates of now.
                variables.save(&mut copy);
                copied = step + 1;
            }
            if epoch_ends {
                watch(Event::Epoch { stage, variables });
            }
        }
        Ok(Ended::Finished)
    }

    fn sample(
        &self,
        sample: &Sample,
        writer: &mut Writer,
        variables: &mut Variables,
        When { epoch, step }: When,
    ) -> Result<SampleRecord, Diagnostic> {
        let (table, field) = sample.vocabulary;
        let vocabulary = self.tables[table].fields[field].vocabulary.as_deref();
        let vocabulary = vocabulary.ok_or_else(|| Diagnostic::internal("sample", "no vocabulary"))?;
        let text = writer.write(variables, vocabulary, &sample.sampling, (self.seed, step))?;
        let model = self.experiment.models[sample.model].name.clone();
        let (stage, prompt) = (self.stage.name.clone(), sample.sampling.prompt.clone());
        Ok(SampleRecord { stage, epoch, step, model, prompt, text })
    }

    /// Makes the learning rates smaller, as `reduce lr` says.
    fn reduce(&self, variables: &mut Variables, when: When, watch: &mut dyn FnMut(Event)) {
        let Some(reduce) = &self.stage.reduce else { return };
        let scale = variables.get(reduce.variable).first().map_or(1.0, |v| f64::from(*v)) * reduce.factor;
        variables.set(reduce.variable, &[scale as f32]);
        watch(Event::Record(self.record(when, &self.train_split(), "lr_scale", scale.into())));
    }

    /// The mean of each objective since the last time.
    fn record_losses(&self, means: &mut Means, when: When, watch: &mut dyn FnMut(Event)) {
        means.take();
        for (objective, value) in self.stage.objectives.iter().zip(&means.last) {
            let value = Measured::from(*value);
            watch(Event::Record(self.record(when, &self.train_split(), &objective.name, value)));
        }
    }

    fn measure(
        &self,
        (measure, gauge): &mut (&Measure, Gauge),
        variables: &mut Variables,
        When { epoch, step }: When,
        watch: &mut dyn FnMut(Event),
    ) -> f64 {
        let moment = Moment { seed: self.seed, step, example: 0, batch: 0 };
        let value = gauge.run(variables, self.types, self.tables, moment);
        // Only single numbers are watched.
        let number = value.number().unwrap_or(f64::NAN);
        watch(Event::Record(self.record(When { epoch, step }, &measure.split, &measure.name, value)));
        number
    }

    fn moment(&self, step: u64, examples: usize) -> Moment {
        Moment { seed: self.seed, step, example: 0, batch: examples as u64 }
    }

    /// The name of the split that the loss is of.
    fn train_split(&self) -> String {
        let rows = self.stage.batches[0].rows;
        self.tables[rows.table].splits[rows.split].name.clone()
    }

    /// Whether a trained parameter has a value that is not finite.
    fn not_finite(&self, variables: &Variables) -> bool {
        self.bad_parameter(variables).is_some()
    }

    fn bad_parameter(&self, variables: &Variables) -> Option<VariableId> {
        let trained = self.stage.trained.iter().map(|(id, _)| *id);
        trained.chain(self.stage.accumulators.iter().copied()).find(|id| !variables.is_finite(*id))
    }

    fn record(&self, When { epoch, step }: When, split: &str, name: &str, value: Measured) -> Record {
        let (split, name) = (split.to_string(), name.to_string());
        let number = value.number().unwrap_or(f64::NAN);
        let stage = self.stage.name.clone();
        Record { stage, epoch, step, split, name, value: number, measured: value }
    }

    /// Finds the first of these steps that diverged and names the operation at fault. The variables have the
    /// values before the first of them, and keep those before the step that is found.
    fn diverged(&self, task: &mut Task, variables: &mut Variables, steps: RangeInclusive<u64>) -> Diagnostic {
        let mut batches = Batches::new(self.tables, self.stage, self.seed);
        let mut before = Saved::default();
        let last = *steps.end();
        for step in steps {
            variables.save(&mut before);
            let moment = self.moment(step, batches.seek(step));
            // A step is a function of state and number: this is the one that has been.
            batches.run(task, variables, moment);
            let loss = task.output(0).first();
            let bad = self.bad_parameter(variables);
            if loss.is_finite() && bad.is_none() && step < last {
                continue;
            }
            let symptom = match bad {
                Some(id) if loss.is_finite() => {
                    format!("the update of `{}` is not finite", self.experiment.variable(id).path)
                }
                Some(_) | None => format!("the loss is {loss}"),
            };
            variables.restore(&before);
            let inputs = batches.arrays();
            let all = variables.arrays(self.types);
            let env = Env { variables: &all, inputs: &inputs, moment };
            return explain(self.stage, &step_of(self.stage, self.types), &env, &symptom);
        }
        Diagnostic::internal("train", "a step that diverged did not diverge again")
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

/// How long something takes, for people.
pub fn every_text(every: Every) -> String {
    match every {
        Every::Epochs(n) => length_text(Length::Epochs(n)),
        Every::Steps(n) => length_text(Length::Steps(n)),
    }
}
