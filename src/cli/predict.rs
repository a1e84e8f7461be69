//! `nnc predict`: the results of a trained model for rows of the data.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::trained::{Data, Trained};
use super::{MachineArgs, Outcome, SpecArgs, grid, terminal, trained, unknown, usage};
use crate::base::{Diagnostic, Exit, memory};
use crate::driver;
use crate::ir::experiment::{Experiment, InputField, ModelGraph, SplitRef};
use crate::ir::op::Moment;
use crate::kernels::random::Generator;
use crate::readers::{Field, Table, Values};
use crate::train::weights::diagnostic;
use crate::train::{Feed, Task};
use crate::ty::{DType, Type};

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
    /// Rows of this file, read as those that were trained on (columns of the same names, or a text)
    #[arg(long = "file", value_name = "FILE")]
    rows_of: Option<PathBuf>,
    /// Which field feeds an input of the model [default: the one of its name]
    #[arg(long = "input", value_name = "INPUT=FIELD", value_parser = super::setting)]
    inputs: Vec<(String, String)>,
    /// Feed an input of the model with random numbers from a normal distribution, not from data
    #[arg(long, value_name = "INPUT")]
    random: Vec<String>,
    /// Write the results as one image, in rows and columns, instead of printing them
    #[arg(long, value_name = "FILE.png", conflicts_with = "json")]
    png: Option<PathBuf>,
    /// Only the first so many rows [default: all; 64 for images or where no data is needed]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print JSON objects, one a line, instead of comma-separated values
    #[arg(long)]
    json: bool,
}

/// Examples in a batch.
const BATCH: usize = 256;

/// How many results there are where no data and no `--limit` says it.
const SOME: usize = 64;

/// The random stream of inputs; streams of graphs are small numbers.
const INPUT_STREAM: u64 = u64::MAX - 1;

/// What feeds an input of the model.
enum Source {
    Data(InputField),
    /// Random numbers, one value for each example.
    Random(Field),
}

/// Runs the command.
pub fn predict(args: &PredictArgs) -> Outcome {
    let data = if args.rows_of.is_some() { Data::Kept } else { Data::Rows };
    let mut trained = trained::load(&args.spec, args.weights.as_deref(), args.best, &args.machine, data)?;
    let experiment = trained.experiment()?.clone();
    let model = choose_model(args, &experiment).map_err(|p| trained.stopped(p))?;
    let images = args.png.as_ref().map(|path| {
        let output = model.computation.outputs.first().map(|(_, id)| &model.computation.graph[*id].ty);
        let output = output.ok_or_else(|| usage("no-image", format!("{} has no result", model.name)))?;
        grid::size(&model.name, output).map(|size| (path, size))
    });
    let images = images.transpose().map_err(|p| trained.stopped(p))?;
    if let Some(path) = &args.rows_of {
        take_rows(args, &experiment, model, path, &mut trained).map_err(|p| trained.stopped(p))?;
    }
    let rows = rows(args, &experiment, model, &trained).map_err(|p| trained.stopped(p))?;
    let sources = bind(args, &experiment, model, &trained, &rows).map_err(|p| trained.stopped(p))?;
    let Rows { rows, .. } = rows;
    let types = driver::types(&experiment);
    let batch = BATCH.min(rows.len().max(1));
    let task = Task::new(&model.computation, &types, batch, &trained.options);
    let mut task = task.map_err(|p| trained.stopped(p))?;
    if !args.json && images.is_none() {
        terminal::line(&header(model));
    }
    let Trained { checked, variables, .. } = &mut trained;
    let positions: Vec<u32> = (0..rows.len() as u32).collect();
    let mut drawn = Vec::new();
    for (part, place) in rows.chunks(batch).zip(positions.chunks(batch)) {
        let at = |i: usize| match &sources[i] {
            Source::Data(at) => (&checked.tables[at.table].fields[at.field], part),
            Source::Random(field) => (field, place),
        };
        let feed = Feed { inputs: sources.len(), at: &at };
        let moment = Moment { seed: experiment.seed, step: 0, example: 0, batch: part.len() as u64 };
        task.run(variables, &feed, moment);
        let values = task.output(0).to_vec();
        let width = values.len() / part.len();
        for (row, values) in part.iter().zip(values.chunks(width.max(1))) {
            if images.is_some() {
                drawn.push(values.to_vec());
            } else if args.json {
                terminal::line(&json!({"row": row, "output": values}).to_string());
            } else {
                let values: Vec<String> = values.iter().map(|v| format!("{v}")).collect();
                terminal::line(&format!("{row},{}", values.join(",")));
            }
        }
    }
    if let Some((path, size)) = images {
        grid::write(path, size, &drawn)?;
        terminal::line(&format!("{} images in {}", drawn.len(), path.display()));
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

/// The rows of the data, or where no input needs any as many numbers.
struct Rows {
    table: Option<usize>,
    rows: Vec<u32>,
}

fn rows(
    args: &PredictArgs,
    experiment: &Experiment,
    model: &ModelGraph,
    trained: &Trained,
) -> Result<Rows, Diagnostic> {
    let random = |(name, _): &(String, Type)| args.random.contains(name);
    if !model.inputs.is_empty() && model.inputs.iter().all(random) {
        let unused = args.on.as_ref().map(|_| "--on").or(args.rows_of.as_ref().map(|_| "--file"));
        if let Some(unused) = unused {
            return Err(usage("no-effect", format!("all inputs are random, so {unused} has no effect"))
                .help(format!("leave out {unused}, or --random for an input that data feeds")));
        }
        let count = u32::try_from(args.limit.unwrap_or(SOME)).unwrap_or(u32::MAX);
        // Its two numbers, and the values of the inputs.
        let elements: u64 = model.inputs.iter().map(|(_, ty)| ty.shape.elements() as u64).sum();
        let needed = elements.saturating_add(2).saturating_mul(4 * u64::from(count));
        let free = memory::available().unwrap_or(u64::MAX);
        if needed > free {
            let title = format!("random inputs for {count} examples take {needed} bytes; {free} are free");
            return Err(Diagnostic::error("memory", title)
                .exit(Exit::Resources)
                .help("take fewer: `--limit 64`"));
        }
        return Ok(Rows { table: None, rows: (0..count).collect() });
    }
    let at = choose_rows(args, experiment, trained)?;
    let split = &trained.checked.tables[at.table].splits[at.split].rows;
    let most = if args.png.is_some() { SOME } else { usize::MAX };
    let count = args.limit.unwrap_or(most).min(split.len());
    Ok(Rows { table: Some(at.table), rows: (0..count).map(|i| split.row(i) as u32).collect() })
}

/// Puts the rows of another file in the place of the data's, read as those were: of the fields only those that the
/// model reads.
fn take_rows(
    args: &PredictArgs,
    experiment: &Experiment,
    model: &ModelGraph,
    path: &Path,
    trained: &mut Trained,
) -> Result<(), Diagnostic> {
    let at = choose_rows(args, experiment, trained)?;
    let table = &mut trained.checked.tables[at.table];
    let Some(recipe) = &table.recipe else {
        let title = format!("rows like those of {} cannot be read from a file", table.name);
        return Err(usage("no-recipe", title).help("`--file` is for data from `csv(..)` and `text(..)`"));
    };
    let mut wanted = Vec::new();
    for (input, ty) in model.inputs.iter().filter(|(name, _)| !args.random.contains(name)) {
        wanted.push(table.fields[field_of(args, model, table, input, ty)?].name.clone());
    }
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let mut other = recipe.read(path, &wanted).map_err(diagnostic)?;
    for field in other.fields {
        if let Some(place) = table.fields.iter_mut().find(|known| known.name == field.name) {
            *place = field;
        }
    }
    table.splits[at.split].rows = other.splits.remove(0).rows;
    Ok(())
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

/// What feeds each input of a model: random numbers, the field named on the command line, or that of its own name.
fn bind(
    args: &PredictArgs,
    experiment: &Experiment,
    model: &ModelGraph,
    trained: &Trained,
    rows: &Rows,
) -> Result<Vec<Source>, Diagnostic> {
    let inputs: Vec<&str> = model.inputs.iter().map(|(name, _)| name.as_str()).collect();
    let mut named = args.inputs.iter().map(|(name, _)| name).chain(&args.random);
    if let Some(name) = named.find(|name| !inputs.contains(&name.as_str())) {
        return Err(unknown("input", name, &inputs));
    }
    if let Some((name, _)) = args.inputs.iter().find(|(name, _)| args.random.contains(name)) {
        return Err(usage("given-twice", format!("input `{name}` is both random and fed by a field")));
    }
    let tables = &trained.checked.tables;
    let one = |(position, (input, ty)): (usize, &(String, Type))| {
        if args.random.contains(input) {
            let stream = INPUT_STREAM - position as u64;
            return random(input, ty, experiment.seed, stream, rows.rows.len()).map(Source::Random);
        }
        let index = rows.table.ok_or_else(|| usage("no-rows", "no data is read".to_string()))?;
        field_of(args, model, &tables[index], input, ty)
            .map(|field| Source::Data(InputField { table: index, field }))
    };
    model.inputs.iter().enumerate().map(one).collect()
}

/// The position of the field that feeds an input.
fn field_of(
    args: &PredictArgs,
    model: &ModelGraph,
    table: &Table,
    input: &String,
    ty: &Type,
) -> Result<usize, Diagnostic> {
    let known: Vec<&str> = table.fields.iter().map(|field| field.name.as_str()).collect();
    let named = args.inputs.iter().find(|(name, _)| name == input).map(|(_, field)| field);
    let name = named.unwrap_or(input);
    let field = table.fields.iter().position(|field| field.name == *name).ok_or_else(|| {
        unknown("field", name, &known)
            .note(format!("input `{input}` of {} is fed by {}", model.name, table.name))
            .help(format!(
                "say which field feeds it: --input {input}=FIELD, of {}; or --random {input} for random numbers",
                known.join(", ")
            ))
    })?;
    let found = Type::new(table.fields[field].dtype, table.fields[field].shape.clone());
    if found != *ty {
        let title = format!("input `{input}` of {} is {ty}, but `{name}` is {found}", model.name);
        return Err(usage("wrong-field", title));
    }
    Ok(field)
}

/// Numbers from a standard normal distribution: those of an example depend on the seed and its position alone.
fn random(input: &str, ty: &Type, seed: u64, stream: u64, count: usize) -> Result<Field, Diagnostic> {
    if ty.dtype != DType::F32 {
        return Err(usage("wrong-field", format!("input `{input}` is {ty}; only floats can be random")));
    }
    let width = ty.shape.elements();
    let mut values = vec![0.0; width * count];
    for (example, values) in values.chunks_mut(width.max(1)).enumerate() {
        Generator::new(seed, stream, 0, example as u64).fill_normal(values);
    }
    Ok(Field {
        vocabulary: None,
        name: input.to_string(),
        dtype: ty.dtype,
        shape: ty.shape.clone(),
        values: Values::F32(values),
    })
}
