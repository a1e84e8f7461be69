//! `nnc emit`: what the compiler makes of a file, stage by stage.

use clap::{Args, ValueEnum};

use super::{Outcome, PassArgs, SpecArgs, Stopped, terminal};
use crate::base::{Diagnostic, Exit};
use crate::driver::{self, Form};

/// Arguments of `nnc emit`.
#[derive(Debug, Args)]
pub struct EmitArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// Which form
    #[arg(long, value_enum, default_value = "ir")]
    stage: EmitStage,
    /// The train stage to show [default: the first]
    #[arg(long, value_name = "NAME")]
    of: Option<String>,
    #[command(flatten)]
    passes: PassArgs,
}

/// The forms that can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmitStage {
    /// The syntax tree
    Ast,
    /// The forward graph
    Ir,
    /// The forward graph with gradients
    Grad,
    /// With the optimizer's update
    Update,
    /// After the simplifying passes
    Simplified,
    /// Fused kernels in order
    Fused,
    /// Buffers, memory and phases
    Plan,
    /// Cranelift's intermediate code
    Clif,
    /// Machine code
    Asm,
}

/// Runs the command.
pub fn emit(args: &EmitArgs) -> Outcome {
    let form = match args.stage {
        EmitStage::Ast => {
            terminal::text(
                &driver::syntax_tree(&args.spec.file).map_err(|(sources, d)| Stopped::at(&sources, d))?,
            );
            return Ok(Exit::Ok);
        }
        EmitStage::Ir => Form::Forward,
        EmitStage::Grad => Form::Gradient,
        EmitStage::Update => Form::Update,
        EmitStage::Simplified => Form::Simplified,
        EmitStage::Fused => Form::Fused,
        EmitStage::Plan => Form::Plan,
        EmitStage::Clif => Form::Clif,
        EmitStage::Asm => Form::Asm,
    };
    let checked = args.spec.check()?;
    let Some(experiment) = &checked.experiment else { return Ok(Exit::Spec) };
    let stage = match &args.of {
        None => experiment.stages.first(),
        Some(name) => experiment.stages.iter().find(|s| s.name == *name),
    };
    let Some(stage) = stage else {
        let names: Vec<&str> = experiment.stages.iter().map(|s| s.name.as_str()).collect();
        let title = match &args.of {
            Some(name) => format!("there is no stage `{name}`; the file has {}", names.join(", ")),
            None => "the file has no `train` block".to_string(),
        };
        return Err(Stopped::from(Diagnostic::error("no-stage", title).exit(Exit::Usage)));
    };
    let options = args.passes.options(1);
    let text = driver::emit(experiment, stage, &checked.sources, form, &options)
        .map_err(|d| Stopped::at(&checked.sources, vec![d]))?;
    terminal::text(&text);
    Ok(Exit::Ok)
}
