//! `nnc check`: everything short of running.

use clap::Args;

use super::{Outcome, SpecArgs, terminal};
use crate::base::Exit;

/// Arguments of `nnc check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    spec: SpecArgs,
}

/// Runs the command.
pub fn check(args: &CheckArgs) -> Outcome {
    let checked = args.spec.check()?;
    let Some(experiment) = &checked.experiment else { return Ok(Exit::Spec) };
    let warnings = match checked.diagnostics.len() {
        0 => String::new(),
        1 => ", 1 warning".to_string(),
        n => format!(", {n} warnings"),
    };
    let plural = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
    terminal::line(&format!(
        "{}: no errors{warnings} ({}, {}, {})",
        args.spec.file.display(),
        plural(checked.tables.len(), "data set"),
        plural(experiment.models.len(), "model"),
        plural(experiment.stages.len(), "stage"),
    ));
    Ok(Exit::Ok)
}
