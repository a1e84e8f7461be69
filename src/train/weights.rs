//! Weights as safetensors: parameters and states under the paths that they have in the text.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView, serialize};

use super::machine::Variables;
use crate::base::{Diagnostic, Exit, Failure, did_you_mean};
use crate::ir::computation::VariableId;
use crate::ir::experiment::{Experiment, Variable, VariableKind};
use crate::ty::{DType, Shape};

/// Most messages about one file.
const MOST: usize = 20;

/// The variables that are saved, with their numbers.
pub fn saved(experiment: &Experiment) -> impl Iterator<Item = (VariableId, &Variable)> {
    let kept = |variable: &Variable| match variable.kind {
        VariableKind::Param | VariableKind::State => true,
        VariableKind::OptimizerState => false,
    };
    let all = experiment.variables.iter().enumerate();
    all.filter(move |(_, v)| kept(v)).map(|(i, variable)| (VariableId(i as u32), variable))
}

/// The whole file. Equal values give equal bytes.
///
/// # Errors
/// Two variables of one path: a fault of the checker.
pub fn to_bytes(experiment: &Experiment, variables: &Variables) -> Result<Vec<u8>, Diagnostic> {
    let fault = |error: SafeTensorError| Diagnostic::internal("saving weights", error.to_string());
    let tensors: Vec<(&str, &Variable, Vec<u8>)> = saved(experiment)
        .map(|(id, variable)| {
            let values = variables.get(id, &variable.ty);
            let bytes = match variable.ty.dtype {
                DType::Index(_) => values.iter().flat_map(|v| (*v as i32).to_le_bytes()).collect(),
                DType::F32 | DType::Bool => values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
            };
            (variable.path.as_str(), variable, bytes)
        })
        .collect();
    let mut views = Vec::with_capacity(tensors.len());
    for (path, variable, bytes) in &tensors {
        let dtype = match variable.ty.dtype {
            DType::Index(_) => Dtype::I32,
            DType::F32 | DType::Bool => Dtype::F32,
        };
        views.push((*path, TensorView::new(dtype, variable.ty.shape.to_vec(), bytes).map_err(fault)?));
    }
    serialize(views, None).map_err(fault)
}

/// Sets parameters and states to what a file holds: all of them and nothing else.
///
/// # Errors
/// Everything that does not fit: names that are missing or too many, shapes, types, values.
pub fn load(path: &Path, experiment: &Experiment, variables: &mut Variables) -> Result<(), Failure> {
    let bytes = std::fs::read(path)
        .map_err(|error| problem("no-weights", format!("cannot read {}: {error}", path.display())))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| {
        problem("bad-weights", format!("{} is not a safetensors file: {}", path.display(), explain(&error)))
            .help("weights are read from .safetensors files only; no other format is ever loaded")
    })?;
    let problems = compare(path, experiment, &file);
    if !problems.is_empty() {
        return Err(problems.into());
    }
    for (id, variable) in saved(experiment) {
        // `compare` has made sure of both.
        let Some(values) = file.tensor(&variable.path).ok().and_then(|view| numbers(&view)) else { continue };
        variables.set(id, &variable.ty, &values);
    }
    Ok(())
}

/// What does not fit between a file and an experiment.
fn compare(path: &Path, experiment: &Experiment, file: &SafeTensors) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let wanted: Vec<&str> = saved(experiment).map(|(_, v)| v.path.as_str()).collect();
    let mut there = file.names();
    there.sort_unstable();
    let spare: Vec<&str> = there.iter().filter(|name| !wanted.contains(name)).copied().collect();
    for (_, variable) in saved(experiment) {
        match file.tensor(&variable.path) {
            Err(_) => {
                let title = format!("{} has no tensor `{}`", path.display(), variable.path);
                let mut missing = problem("missing-weights", title)
                    .label(variable.span, format!("declared here as {}", variable.ty));
                let near = spare.iter().find(|name| {
                    same_tail(name, &variable.path)
                        && file.tensor(name).is_ok_and(|view| view.shape() == &variable.ty.shape[..])
                });
                let near = did_you_mean(&variable.path, spare.iter().copied()).or(near.copied());
                if let Some(near) = near {
                    missing = missing.help(format!("the file has `{near}`: is that it under another name?"));
                }
                problems.push(missing);
            }
            Ok(view) => problems.extend(misfit(path, variable, &view)),
        }
    }
    for name in &spare {
        let mut extra =
            problem("extra-weights", format!("{} has a tensor `{name}`, which the spec has no place for", path.display()));
        if let Some(near) = did_you_mean(name, wanted.iter().copied()) {
            extra = extra.help(format!("the spec has `{near}`"));
        }
        problems.push(extra);
    }
    if problems.len() > MOST {
        let more = problems.len() - MOST;
        problems.truncate(MOST);
        problems.push(problem("bad-weights", format!("and {more} more tensors that do not fit")));
    }
    problems
}

/// Whether the last parts of two paths are equal: `Net.dense.weight` and `Cnn.dense.weight`.
fn same_tail(a: &str, b: &str) -> bool {
    let tail = |path: &str| path.split_once('.').map(|(_, tail)| tail.to_string());
    tail(a).is_some() && tail(a) == tail(b)
}

/// Why a tensor of the right name is not the right tensor.
fn misfit(path: &Path, variable: &Variable, view: &TensorView) -> Option<Diagnostic> {
    let name = &variable.path;
    let wrong = |title: String| {
        Some(problem("bad-weights", title).label(variable.span, format!("declared here as {}", variable.ty)))
    };
    if view.shape() != &variable.ty.shape[..] {
        let found = Shape::of(view.shape());
        return wrong(format!("`{name}` is {} in the spec and {found} in {}", variable.ty.shape, path.display()));
    }
    let Some(values) = numbers(view) else {
        return wrong(format!("`{name}` has elements of type {:?} in {}", view.dtype(), path.display()))
            .map(|p| p.help("save it as F32 (F64, and I32 or I64 for whole numbers, are read too)"));
    };
    if let Some(bad) = values.iter().position(|v| !v.is_finite() || (*v as f32).is_infinite()) {
        return wrong(format!("element {bad} of `{name}` in {} is {}", path.display(), values[bad]));
    }
    if let DType::Index(bound) = variable.ty.dtype
        && let Some(bad) = values.iter().position(|v| *v < 0.0 || *v >= bound as f64 || v.fract() != 0.0)
    {
        return wrong(format!("element {bad} of `{name}` is {}, not a whole number below {bound}", values[bad]));
    }
    None
}

/// The elements, if they are of a type that is read.
fn numbers(view: &TensorView) -> Option<Vec<f64>> {
    fn read<const N: usize>(data: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)).collect()
    }
    match view.dtype() {
        Dtype::F32 => Some(read(view.data(), |b| f64::from(f32::from_le_bytes(b)))),
        Dtype::F64 => Some(read(view.data(), f64::from_le_bytes)),
        Dtype::I32 => Some(read(view.data(), |b| f64::from(i32::from_le_bytes(b)))),
        Dtype::I64 => Some(read(view.data(), |b| i64::from_le_bytes(b) as f64)),
        _ => None,
    }
}

/// What is wrong with a file, in words.
fn explain(error: &SafeTensorError) -> String {
    match error {
        SafeTensorError::HeaderTooSmall => "it has less than 8 bytes".to_string(),
        SafeTensorError::HeaderTooLarge | SafeTensorError::InvalidHeaderLength => {
            "the length of its header goes beyond the file".to_string()
        }
        SafeTensorError::MetadataIncompleteBuffer => {
            "its header and its length do not agree; it may be cut off".to_string()
        }
        other => other.to_string(),
    }
}

fn problem(code: &'static str, title: String) -> Diagnostic {
    Diagnostic::error(code, title).exit(Exit::Weights)
}
