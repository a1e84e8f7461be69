//! The values of an experiment's variables: first values, and values from and to safetensors files.

use std::path::Path;

use super::machine::Variables;
use crate::base::{Diagnostic, Exit, suggest};
use crate::interp::initial_value;
use crate::ir::computation::VariableId;
use crate::ir::experiment::{Experiment, Stage, VariableKind};
use crate::ir::op::Moment;
use crate::readers::DataError;
use crate::readers::safetensors::{self, Tensors};

/// An error of a file as a diagnostic without a place in the spec.
pub fn diagnostic(error: DataError) -> Diagnostic {
    let code = match error.exit {
        Exit::Weights => "weights",
        Exit::Resources => "resources",
        _ => "data",
    };
    let diagnostic = Diagnostic::error(code, error.message).exit(error.exit);
    match error.help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// Gives every variable its first value.
pub fn initialize(experiment: &Experiment, variables: &mut Variables, seed: u64) {
    let moment = Moment { seed, step: 0, example: 0, batch: 1 };
    for (i, variable) in experiment.variables.iter().enumerate() {
        let value = initial_value(variable, moment);
        let values: Vec<f32> = value.data.iter().map(|v| *v as f32).collect();
        variables.set(VariableId(i as u32), &values);
    }
}

/// The variables that a weights file holds: parameters and states of layers.
fn kept(experiment: &Experiment) -> impl Iterator<Item = (VariableId, &str)> {
    let all = experiment.variables.iter().enumerate();
    all.filter(|(_, v)| v.kind != VariableKind::OptimizerState)
        .map(|(i, v)| (VariableId(i as u32), v.path.as_str()))
}

/// Parameters and states by path; within a stage that averages them, the averages.
pub fn collect(experiment: &Experiment, variables: &Variables, stage: Option<&Stage>) -> Tensors {
    let averages = stage.map_or(&[][..], |stage| stage.averages.as_slice());
    let read = |id| averages.iter().find(|(param, _)| *param == id).map_or(id, |(_, average)| *average);
    kept(experiment)
        .map(|(id, path)| {
            (path.to_string(), (experiment.variable(id).ty.shape.clone(), variables.get(read(id))))
        })
        .collect()
}

/// Sets every parameter and state from a file.
///
/// # Errors
/// Every name that is missing or too many and every shape that differs, with exit code 4.
pub fn load(experiment: &Experiment, variables: &mut Variables, path: &Path) -> Result<(), Vec<Diagnostic>> {
    let mut tensors = safetensors::read(path).map_err(|error| vec![diagnostic(error)])?;
    let known: Vec<&str> = kept(experiment).map(|(_, path)| path).collect();
    let refuse = |title: String| Diagnostic::error("weights", title).exit(Exit::Weights);
    let mut errors = Vec::new();
    for (id, name) in kept(experiment) {
        let variable = experiment.variable(id);
        match tensors.remove(name) {
            Some((shape, values)) if shape == variable.ty.shape => variables.set(id, &values),
            Some((shape, _)) => errors.push(
                refuse(format!("{}: `{name}` is {shape}, expected {}", path.display(), variable.ty.shape))
                    .label(variable.span, format!("declared here as {}", variable.ty)),
            ),
            None => {
                let missing = refuse(format!("{}: `{name}` is not there", path.display()))
                    .label(variable.span, format!("needed here as {}", variable.ty));
                // Not one that is meant for another variable.
                let spare = tensors.keys().map(String::as_str).filter(|name| !known.contains(name));
                let help = match suggest::did_you_mean(name, spare) {
                    Some(near) => format!("the file has `{near}`: is that it under another name?"),
                    None => "every parameter and state of the experiment must be in the file".to_string(),
                };
                errors.push(missing.help(help));
            }
        }
    }
    for name in tensors.keys() {
        let extra = refuse(format!("{}: `{name}` belongs to nothing in the experiment", path.display()));
        errors.push(match suggest::did_you_mean(name, known.iter().copied()) {
            Some(near) => extra.help(format!("did you mean `{near}`?")),
            None => extra.help(format!("the experiment has {}", known.join(", "))),
        });
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
