//! `nnc sample`: text that a trained language model writes.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::trained::Data;
use super::{MachineArgs, Outcome, SpecArgs, terminal, trained, unknown, usage};
use crate::base::{Diagnostic, Exit};
use crate::driver;
use crate::ir::experiment::{Experiment, ModelGraph};
use crate::ir::sampling::Sampling;
use crate::readers::{Table, Vocabulary};
use crate::train::generate::Writer;

/// Arguments of `nnc sample`. What is left out is as the spec's last `sample` of the model says.
#[derive(Debug, Args)]
pub struct SampleArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// The weights; a run folder brings its own
    #[arg(long, value_name = "FILE.safetensors")]
    weights: Option<PathBuf>,
    /// With the weights that `save best` has kept
    #[arg(long, conflicts_with = "weights")]
    best: bool,
    /// Which model [default: the last one that can write]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// What the text begins with [default: as in the spec]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// How many tokens are added [default: as in the spec, else 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    length: Option<u64>,
    /// Below 1 likely tokens become likelier; 0 takes the most likely one [default: as in the spec, else 1]
    #[arg(long, value_name = "T", value_parser = temperature)]
    temperature: Option<f64>,
    /// Take only the N most likely tokens [default: as in the spec, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    top_k: Option<u64>,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(t) if t >= 0.0 && t.is_finite() => Ok(t),
        _ => Err("a temperature is a number from 0 on".to_string()),
    }
}

/// Runs the command.
pub fn sample(args: &SampleArgs) -> Outcome {
    let mut trained =
        trained::load(&args.spec, args.weights.as_deref(), args.best, &args.machine, Data::Kept)?;
    let experiment = trained.experiment()?.clone();
    let (at, model) = choose_model(args, &experiment).map_err(|p| trained.stopped(p))?;
    let sampling = sampling(args, &experiment, at).map_err(|p| trained.stopped(p))?;
    let types = driver::types(&experiment);
    let writer = Writer::new(model, &types, &trained.options);
    let mut writer = writer.map_err(|p| trained.stopped(p))?;
    let known = written(&experiment, at).or_else(|| any(&trained.checked.tables, writer.speech().tokens));
    let vocabulary = known.and_then(|(t, f)| trained.checked.tables[t].fields[f].vocabulary.clone());
    let Some(vocabulary) = vocabulary else {
        let title = format!("no data of the spec has a text with the tokens of {}", model.name);
        return Err(trained.stopped(usage("no-vocabulary", title)));
    };
    let vocabulary: &Vocabulary = &vocabulary;
    let text = writer.write(&mut trained.variables, vocabulary, &sampling, (experiment.seed, 0));
    let text = text.map_err(|p| trained.stopped(p))?;
    if args.json {
        terminal::line(&json!({"model": model.name, "prompt": sampling.prompt, "text": text}).to_string());
    } else {
        terminal::line(&text);
    }
    Ok(Exit::Ok)
}

fn choose_model<'a>(
    args: &SampleArgs,
    experiment: &'a Experiment,
) -> Result<(usize, &'a ModelGraph), Diagnostic> {
    let mut models = experiment.models.iter().enumerate();
    let Some(name) = &args.model else {
        return models.rfind(|(_, model)| model.speech().is_ok()).ok_or_else(|| {
            usage("no-model", "no model of the spec can write a text".to_string())
                .help("`model Gpt(tokens: index<play.vocab>[64]) -> f32[64, play.vocab]` can")
        });
    };
    models.find(|(_, model)| model.name == *name).ok_or_else(|| {
        let known: Vec<&str> = experiment.models.iter().map(|model| model.name.as_str()).collect();
        unknown("model", name, &known)
    })
}

/// What the last `sample` of the model says, where the command line says nothing.
fn sampling(args: &SampleArgs, experiment: &Experiment, model: usize) -> Result<Sampling, Diagnostic> {
    let mut samples = experiment.stages.iter().flat_map(|stage| &stage.samples);
    let spec = samples.rfind(|sample| sample.model == model).map(|sample| &sample.sampling);
    let Some(prompt) = args.prompt.clone().or_else(|| Some(spec?.prompt.clone())) else {
        return Err(usage("no-prompt", "what does the text begin with?".to_string())
            .help("say so with --prompt TEXT"));
    };
    Ok(Sampling {
        prompt,
        length: args.length.map(|n| n as usize).or_else(|| Some(spec?.length)).unwrap_or(200),
        temperature: args.temperature.or_else(|| Some(spec?.temperature)).unwrap_or(1.0),
        top_k: args.top_k.map(|n| n as usize).or_else(|| spec?.top_k),
    })
}

/// The vocabulary that a `sample` of the spec uses, as a table and its field.
fn written(experiment: &Experiment, model: usize) -> Option<(usize, usize)> {
    let mut samples = experiment.stages.iter().flat_map(|stage| &stage.samples);
    samples.rfind(|sample| sample.model == model).map(|sample| sample.vocabulary)
}

/// The first field whose vocabulary has so many tokens.
fn any(tables: &[Table], tokens: usize) -> Option<(usize, usize)> {
    tables.iter().enumerate().find_map(|(t, table)| {
        let fits = |v: &Vocabulary| v.size() == tokens;
        let field = table.fields.iter().position(|field| field.vocabulary.as_deref().is_some_and(fits));
        field.map(|field| (t, field))
    })
}
