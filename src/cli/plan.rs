//! `nnc plan`: layers, operations and memory, before any work.

use clap::Args;
use serde_json::json;

use super::{CodeArgs, Outcome, SpecArgs, Stopped, terminal};
use crate::base::{Exit, Sources};
use crate::ir::experiment::{Experiment, ModelGraph, Stage};
use crate::ir::plan::{Phase, Work};
use crate::passes::plan::show;
use crate::train::cost::{self, Flops, LayerCost, StageCost};
use crate::train::run::length_text;

/// Arguments of `nnc plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    machine: CodeArgs,
    /// Show the layers inside layers down to this depth
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    depth: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn plan(args: &PlanArgs) -> Outcome {
    let checked = args.spec.check()?;
    let Some(experiment) = &checked.experiment else { return Ok(Exit::Spec) };
    let options = args.machine.options();
    let models: Vec<(&ModelGraph, Vec<LayerCost>)> = (experiment.models.iter())
        .map(|model| (model, cost::layers(experiment, model, usize::from(args.depth))))
        .collect();
    let mut stages: Vec<(&Stage, StageCost)> = Vec::new();
    for stage in &experiment.stages {
        let cost = cost::stage(experiment, stage, &checked.tables, &options)
            .map_err(|problem| Stopped::at(&checked.sources, vec![problem]))?;
        stages.push((stage, cost));
    }
    if args.json {
        terminal::line(&as_json(experiment, &models, &stages).to_string());
        return Ok(Exit::Ok);
    }
    for table in &checked.tables {
        terminal::line(&format!("data {}: {}", table.name, table.origin));
    }
    for (model, layers) in &models {
        terminal::line("");
        show_model(experiment, model, layers);
    }
    for (stage, cost) in &stages {
        terminal::line("");
        show_stage(stage, cost, options.threads);
        show_kernels(cost, &checked.sources);
    }
    Ok(Exit::Ok)
}

fn show_model(experiment: &Experiment, model: &ModelGraph, layers: &[LayerCost]) {
    let inputs: Vec<String> = model.inputs.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    terminal::line(&format!("model {}({})", model.name, inputs.join(", ")));
    let mut rows = vec![["layer", "output", "parameters", "FLOPs"].map(str::to_string)];
    for layer in layers {
        let parameters = match (layer.parameters, layer.shared) {
            (_, true) => "shared".to_string(),
            (0, false) => String::new(),
            (n, false) => terminal::thousands(n as u64),
        };
        let text = format!("{}{}", "  ".repeat(layer.depth.saturating_sub(1)), layer.text);
        rows.push([text, layer.output.clone(), parameters, terminal::thousands(layer.flops)]);
    }
    let outer = layers.iter().filter(|layer| layer.depth == 1);
    let between = cost::forward(model).saturating_sub(outer.map(|layer| layer.flops).sum());
    if between > 0 {
        let text = "(operations between layers)".to_string();
        rows.push([text, String::new(), String::new(), terminal::thousands(between)]);
    }
    let total = cost::parameters_under(experiment, &model.name);
    let total = [total as u64, cost::forward(model)].map(terminal::thousands);
    let [parameters, flops] = total;
    rows.push(["total".to_string(), String::new(), parameters, flops]);
    table(&rows);
}

fn show_stage(stage: &Stage, cost: &StageCost, threads: usize) {
    let batch = stage.batches.first().map_or(1, |b| b.size);
    terminal::line(&format!(
        "stage {}: {}, {} steps of {batch} examples, {} an epoch",
        stage.name,
        length_text(stage.length),
        terminal::thousands(stage.total_steps),
        terminal::thousands(stage.steps_per_epoch),
    ));
    let Flops { done, dense } = cost.flops;
    terminal::line(&format!(
        "  training one example: {} FLOPs; a step: {}FLOPs in {} kernels; the stage: {}FLOPs",
        terminal::thousands(dense / batch.max(1) as u64),
        spaced(dense as f64),
        cost.plan.kernels.len(),
        spaced(dense as f64 * stage.total_steps as f64),
    ));
    if done < dense {
        terminal::line(&format!(
            "  of these {:.0} % need not be done: a step does {}FLOPs",
            100.0 * (dense - done) as f64 / dense as f64,
            spaced(done as f64),
        ));
    }
    let tiles = cost.plan.phases.iter().filter(|phase| matches!(phase, Phase::Tiles(_))).count();
    terminal::line(&format!(
        "  a batch is cut into {}; {} over the tiles",
        show::cuts(&cost.plan),
        if tiles == 1 { "1 pass".to_string() } else { format!("{tiles} passes") },
    ));
    let plural = if threads == 1 { "1 thread".to_string() } else { format!("{threads} threads") };
    terminal::line(&format!("  memory with {plural}:"));
    let m = &cost.memory;
    let classes = [
        ("parameters", m.parameters),
        ("states of layers", m.states),
        ("states of optimizers", m.optimizer),
        ("gradients and partial sums", m.gradients),
        ("activations", m.activations),
        ("batch", m.batch),
        ("batches assembled ahead", m.ahead),
        ("measurements", m.measures),
        ("data", m.tables),
        ("copy of the variables", m.copies),
        ("nnc itself, about", m.program),
        ("total", m.total()),
    ];
    for (name, bytes) in classes.iter().filter(|(_, bytes)| *bytes > 0) {
        terminal::line(&format!("    {name:<28}{:>12}", terminal::bytes(*bytes as u64)));
    }
}

/// Which kernel the parts of a step got, and why; loop nests are counted only.
fn show_kernels(cost: &StageCost, sources: &Sources) {
    terminal::line("  kernels, by line of the spec:");
    for kernel in cost.plan.kernels.iter().filter(|kernel| !kernel.choice.is_empty()) {
        let place = sources.place(kernel.span);
        let line = place.rsplit(':').next().unwrap_or_default();
        terminal::line(&format!("    {line:>4}  {:<46} {}", kernel.name, kernel.choice));
    }
    let nests = cost.plan.kernels.iter().filter(|kernel| matches!(kernel.work, Work::Nest(_))).count();
    terminal::line(&format!("          {nests} compiled loop nests"));
}

/// A count with its unit, ready to stand before a word.
fn spaced(n: f64) -> String {
    let text = terminal::count(n);
    if text.ends_with(char::is_alphabetic) { text } else { text + " " }
}

/// Prints rows in columns: the first two to the left, the others to the right, a line around the body.
fn table(rows: &[[String; 4]]) {
    let mut widths = [0; 4];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let [a, b, c, d] = widths;
    let rule = format!("  {}", "-".repeat(a + b + c + d + 6));
    for (i, [layer, output, parameters, flops]) in rows.iter().enumerate() {
        if i == 1 || i + 1 == rows.len() {
            terminal::line(&rule);
        }
        terminal::line(&format!("  {layer:<a$}  {output:<b$}  {parameters:>c$}  {flops:>d$}"));
    }
}

fn as_json(
    experiment: &Experiment,
    models: &[(&ModelGraph, Vec<LayerCost>)],
    stages: &[(&Stage, StageCost)],
) -> serde_json::Value {
    let layer = |layer: &LayerCost| {
        json!({
            "path": layer.path, "layer": layer.text, "depth": layer.depth, "output": layer.output,
            "parameters": layer.parameters, "shared": layer.shared, "flops": layer.flops,
        })
    };
    let model = |(model, layers): &(&ModelGraph, Vec<LayerCost>)| {
        json!({
            "name": model.name,
            "parameters": cost::parameters_under(experiment, &model.name),
            "flops": cost::forward(model),
            "layers": layers.iter().map(layer).collect::<Vec<_>>(),
        })
    };
    let stage = |(stage, cost): &(&Stage, StageCost)| {
        let m = &cost.memory;
        json!({
            "name": stage.name,
            "steps": stage.total_steps,
            "steps_per_epoch": stage.steps_per_epoch,
            "training_flops_per_example": cost.flops.dense / stage.batches.first().map_or(1, |b| b.size).max(1) as u64,
            "flops_per_step": {"dense": cost.flops.dense, "done": cost.flops.done},
            "kernels": cost.plan.kernels.len(),
            "memory": {
                "parameters": m.parameters, "states": m.states, "optimizer": m.optimizer,
                "gradients": m.gradients, "activations": m.activations, "batch": m.batch,
                "ahead": m.ahead,
                "measurements": m.measures, "data": m.tables, "copies": m.copies,
                "program": m.program, "total": m.total(),
            },
        })
    };
    json!({
        "models": models.iter().map(model).collect::<Vec<_>>(),
        "stages": stages.iter().map(stage).collect::<Vec<_>>(),
    })
}
