//! `nnc predict`: the results of a trained model for rows of the data.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::trained::Trained;
use super::{MachineArgs, Outcome, SpecArgs, terminal, trained};
use crate::base::{Diagnostic, Exit, did_you_mean};
use crate::driver;
use crate::ir::experiment::{Experiment, InputField, ModelGraph, SplitRef};
use crate::ir::op::Moment;
use crate::readers::Table;
use crate::train::{Feed, Task};
use crate::ty::Type;

/// Arguments of `nnc predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
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
    /// Which model [default: the last one of the spec]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Which rows [default: what is measured on last, else what the last stage trains on]
    #[arg(long, value_name = "TABLE.SPLIT")]
    on: Option<String>,
    /// Which field feeds an input of the model [default: the one of its name]
    #[arg(long = "input", value_name = "INPUT=FIELD", value_parser = super::setting)]
    inputs: Vec<(String, String)>,
    /// Only the first so many rows
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON objects, one a line, instead of comma-separated values
    #[arg(long)]
    json: bool,
}

/// Examples in a batch.
const BATCH: usize = 256;

/// Runs the command.
pub fn predict(args: &PredictArgs) -> Outcome {
    let mut trained = trained::load(&args.spec, args.weights.as_deref(), args.best, &args.machine)?;
    let experiment = trained.experiment()?.clone();
    let model = choose_model(args, &experiment).map_err(|p| trained.stopped(p))?;
    let at = choose_rows(args, &experiment, &trained).map_err(|p| trained.stopped(p))?;
    let table = &trained.checked.tables[at.table];
    let fields = bind(args, model, table, at.table).map_err(|p| trained.stopped(p))?;
    let split = &table.splits[at.split].rows;
    let count = args.limit.unwrap_or(usize::MAX).min(split.len());
    let rows: Vec<u32> = (0..count).map(|i| split.row(i) as u32).collect();
    let types = driver::types(&experiment);
    let batch = BATCH.min(count.max(1));
    let task = Task::new(&model.computation, &types, batch, &trained.options);
    let mut task = task.map_err(|p| trained.stopped(p))?;
    if !args.json {
        terminal::line(&header(model));
    }
    let Trained { checked, variables, .. } = &mut trained;
    for part in rows.chunks(batch) {
        let at = |i: usize| (&checked.tables[fields[i].table].fields[fields[i].field], part);
        let feed = Feed { inputs: fields.len(), at: &at };
        let moment = Moment { seed: experiment.seed, step: 0, example: 0, batch: part.len() as u64 };
        task.run(variables, &feed, moment);
        let values = task.output(0).to_vec();
        let width = values.len() / part.len();
        for (row, values) in part.iter().zip(values.chunks(width.max(1))) {
            if args.json {
                terminal::line(&json!({"row": row, "output": values}).to_string());
            } else {
                let values: Vec<String> = values.iter().map(|v| format!("{v}")).collect();
                terminal::line(&format!("{row},{}", values.join(",")));
            }
        }
    }
    Ok(Exit::Ok)
}

/// The first line of comma-separated values.
fn header(model: &ModelGraph) -> String {
    let output = model.computation.outputs.first().map(|(_, id)| &model.computation.graph[*id].ty.shape);
    let count = output.map_or(1, |shape| shape.elements());
    let names: Vec<String> = match count {
        1 => vec!["output".to_string()],
        _ => (0..count).map(|i| format!("output_{i}")).collect(),
    };
    format!("row,{}", names.join(","))
}

fn usage(code: &'static str, title: String) -> Diagnostic {
    Diagnostic::error(code, title).exit(Exit::Usage)
}

/// A name that is not there, with the nearest one that is.
fn unknown(what: &str, name: &str, known: &[&str]) -> Diagnostic {
    let problem = usage("unknown-name", format!("there is no {what} `{name}`"));
    match did_you_mean(name, known.iter().copied()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(format!("there is {}", known.join(", "))),
    }
}

fn choose_model<'a>(args: &PredictArgs, experiment: &'a Experiment) -> Result<&'a ModelGraph, Diagnostic> {
    let known: Vec<&str> = experiment.models.iter().map(|model| model.name.as_str()).collect();
    match &args.model {
        Some(name) => {
            let model = experiment.models.iter().find(|model| model.name == *name);
            model.ok_or_else(|| unknown("model", name, &known))
        }
        None => experiment
            .models
            .last()
            .ok_or_else(|| usage("no-model", "the spec has no model".to_string()).exit(Exit::Spec)),
    }
}

fn choose_rows(
    args: &PredictArgs,
    experiment: &Experiment,
    trained: &Trained,
) -> Result<SplitRef, Diagnostic> {
    let tables = &trained.checked.tables;
    let Some(wanted) = &args.on else {
        let measured = experiment.stages.iter().flat_map(|s| &s.measures).map(|m| m.rows).next_back();
        let trained_on = experiment.stages.iter().flat_map(|s| &s.batches).map(|b| b.rows).next_back();
        return measured.or(trained_on).ok_or_else(|| {
            usage("no-rows", "which rows? No stage names any".to_string())
                .help("name them with --on TABLE.SPLIT")
        });
    };
    let mut known = Vec::new();
    for (t, table) in tables.iter().enumerate() {
        for (s, split) in table.splits.iter().enumerate() {
            let name = format!("{}.{}", table.name, split.name);
            if name == *wanted {
                return Ok(SplitRef { table: t, split: s });
            }
            known.push(name);
        }
    }
    Err(unknown("split", wanted, &known.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// The field for each input of a model: the one named on the command line, or of its own name.
fn bind(
    args: &PredictArgs,
    model: &ModelGraph,
    table: &Table,
    index: usize,
) -> Result<Vec<InputField>, Diagnostic> {
    let inputs: Vec<&str> = model.inputs.iter().map(|(name, _)| name.as_str()).collect();
    if let Some((name, _)) = args.inputs.iter().find(|(name, _)| !inputs.contains(&name.as_str())) {
        return Err(unknown("input", name, &inputs));
    }
    let known: Vec<&str> = table.fields.iter().map(|field| field.name.as_str()).collect();
    let one = |(input, ty): &(String, Type)| {
        let named = args.inputs.iter().find(|(name, _)| name == input).map(|(_, field)| field);
        let name = named.unwrap_or(input);
        let field = table.fields.iter().position(|field| field.name == *name).ok_or_else(|| {
            unknown("field", name, &known)
                .note(format!("input `{input}` of {} is fed by {}", model.name, table.name))
                .help(format!("say which field feeds it: --input {input}=FIELD, of {}", known.join(", ")))
        })?;
        let found = Type::new(table.fields[field].dtype, table.fields[field].shape.clone());
        if found != *ty {
            let title = format!("input `{input}` of {} is {ty}, but `{name}` is {found}", model.name);
            return Err(usage("wrong-field", title));
        }
        Ok(InputField { table: index, field })
    };
    model.inputs.iter().map(one).collect()
}
