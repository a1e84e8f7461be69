//! `nnc eval`: makes the measurements of a spec with trained weights.

use std::path::PathBuf;

use clap::Args;

use super::trained::Data;
use super::{MachineArgs, Outcome, SpecArgs, terminal, trained};
use crate::base::{Diagnostic, Exit};
use crate::driver;
use crate::ir::op::Moment;
use crate::train::Record;
use crate::train::measure::Gauge;
use crate::train::run::seed;

/// Arguments of `nnc eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// The weights; a run folder brings its own
    #[arg(long, value_name = "FILE.safetensors")]
    weights: Option<PathBuf>,
    /// Of a run folder take the weights that `save best` kept, not the last ones
    #[arg(long, conflicts_with = "weights")]
    best: bool,
    /// Print JSON objects, one a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn eval(args: &EvalArgs) -> Outcome {
    let mut trained =
        trained::load(&args.spec, args.weights.as_deref(), args.best, &args.machine, Data::Rows)?;
    let experiment = trained.experiment()?.clone();
    let types = driver::types(&experiment);
    let mut count = 0;
    for (number, stage) in experiment.stages.iter().enumerate() {
        for measure in &stage.measures {
            let gauge = Gauge::new(measure, &trained.checked.tables, &types, &trained.options);
            let mut gauge = gauge.map_err(|problem| trained.stopped(problem))?;
            let step = stage.total_steps;
            let moment = Moment { seed: seed(&experiment, number), step, example: 0, batch: 0 };
            let value = gauge.run(&mut trained.variables, &types, &trained.checked.tables, moment);
            let record = Record {
                stage: stage.name.clone(),
                epoch: step.div_ceil(stage.steps_per_epoch.max(1)),
                step,
                split: measure.split.clone(),
                name: measure.name.clone(),
                value: value.number().unwrap_or(f64::NAN),
                measured: value,
            };
            if args.json {
                let line = serde_json::to_string(&record)
                    .map_err(|error| Diagnostic::internal("eval", error.to_string()))?;
                terminal::line(&line);
            } else {
                let Record { stage, split, name, measured: value, .. } = &record;
                terminal::line(&format!("stage {stage}: {split} {name} {}", value.line(6)));
                value.table(6).iter().for_each(|line| terminal::line(line));
            }
            count += 1;
        }
    }
    if count == 0 {
        let nothing = Diagnostic::error("nothing-to-measure", "the spec measures nothing");
        let help = "add `measure accuracy(logits, digits.label) on digits.test` to a stage";
        return Err(trained.stopped(nothing.help(help)));
    }
    Ok(Exit::Ok)
}
