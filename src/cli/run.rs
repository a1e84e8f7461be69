//! `nnc run`: compile, train, keep what came of it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::progress::Progress;
use super::{MachineArgs, Outcome, SpecArgs, Stopped, terminal};
use crate::base::{Diagnostic, Exit, Sources};
use crate::check::Checked;
use crate::driver;
use crate::ir::experiment::{Experiment, VariableKind};
use crate::kernels::isa::Isa;
use crate::readers::{Outline, Table, hex};
use crate::train::folder::{BEST, DATA, RunFolder};
use crate::train::{Ended, Event, MachineOptions, RunOptions, weights};

/// Arguments of `nnc run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// The folder for metrics, weights and the report of the run [default: runs/NAME, runs/NAME-2, ...]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Start from these weights; every parameter must be in the file, and nothing else
    #[arg(long, value_name = "FILE.safetensors")]
    init: Option<PathBuf>,
    /// Stop each stage after this many steps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_steps: Option<u64>,
    /// Print JSON objects, one a line, instead of progress
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Outcome {
    let begun = Instant::now();
    let checked = args.spec.check()?;
    let Some(experiment) = &checked.experiment else { return Ok(Exit::Spec) };
    let at = |diagnostics: Vec<Diagnostic>| Stopped::at(&checked.sources, diagnostics);
    if experiment.stages.is_empty() {
        let nothing = Diagnostic::error(
            "nothing-to-run",
            format!("{}: there is no `train` block", args.spec.file.display()),
        );
        return Err(at(vec![nothing.help("add `train { batch .. minimize .. optimizer .. epochs .. }`")]));
    }
    let stop = interrupts()?;
    let mut progress = Progress::new(args.json);
    introduce(&progress, experiment, &checked);
    let options = args.machine.options();
    let mut variables = driver::variables(experiment, &options, args.init.as_deref()).map_err(at)?;
    let mut folder = RunFolder::open(args.out.as_deref(), &args.spec.name())?;
    write_spec(&folder, &checked.sources)?;
    write_data(&folder, &checked.tables)?;

    let mut report = report(args, experiment, &checked, &options);
    write_report(&folder, &report)?;

    let run = RunOptions { machine: options, max_steps: args.max_steps, stop: &stop };
    let mut disk: Result<(), Diagnostic> = Ok(());
    let mut first_step = None;
    let mut examples = 0u64;
    let mut saved = Instant::now();
    let (mut kept, mut stalls) = (Value::Null, Vec::new());
    let mut watch = |event: Event| {
        match &event {
            Event::Record(record) => {
                if disk.is_ok() {
                    disk = folder.record(record);
                }
            }
            Event::Sample(record) => {
                if disk.is_ok() {
                    disk = folder.sample(record);
                }
            }
            Event::Step { examples: n, .. } => {
                first_step.get_or_insert_with(|| begun.elapsed());
                examples += *n as u64;
                if disk.is_ok() {
                    disk = folder.keep_up();
                }
            }
            Event::Epoch { stage, variables } => {
                if disk.is_ok() && saved.elapsed() >= SAVE_EVERY {
                    disk = folder.weights(&weights::collect(experiment, variables, Some(stage)));
                    saved = Instant::now();
                }
            }
            Event::Best { stage, best, variables } => {
                if disk.is_ok() {
                    disk = folder.best(&weights::collect(experiment, variables, Some(stage)));
                }
                kept = json!({
                    "stage": stage.name,
                    "name": best.name,
                    "value": best.value,
                    "epoch": best.when.epoch,
                    "step": best.when.step,
                });
            }
            Event::Stalled { stage, when, stalled } => stalls.push(json!({
                "stage": stage.name,
                "name": stalled.name,
                "epoch": when.epoch,
                "step": when.step,
            })),
            Event::Stage { .. } => {}
        }
        if disk.is_err() {
            // A full disk ends the run after this step; the weights are still tried.
            stop.store(true, Ordering::Relaxed);
        }
        progress.event(&event);
    };
    let ended = driver::train(experiment, &checked.tables, &mut variables, &run, &mut watch);
    progress.finish();
    disk = disk.and_then(|()| folder.flush());

    folder.weights(&weights::collect(experiment, &variables, None))?;
    report["ended"] = match &ended {
        Ok(Ended::Finished) => "finished",
        Ok(Ended::Interrupted) => "interrupted",
        Err(problem) if problem.exit == Exit::Diverged => "diverged",
        Err(_) => "failed",
    }
    .into();
    report["best"] = kept.clone();
    report["stopped_early"] = stalls.into();
    report["seconds_to_first_step"] = first_step.map(|t| t.as_secs_f64()).into();
    report["seconds"] = begun.elapsed().as_secs_f64().into();
    report["examples"] = examples.into();
    write_report(&folder, &report)?;
    disk?;
    let ended = ended.map_err(|diagnostic| at(vec![diagnostic]))?;
    if let (Some(name), Some(value)) = (kept["name"].as_str(), kept["value"].as_f64()) {
        progress.say(&format!(
            "best {name}: {value:.4} of stage {} after epoch {}, step {}; its weights are {BEST}",
            kept["stage"].as_str().unwrap_or_default(),
            kept["epoch"],
            kept["step"]
        ));
    }
    progress.say(&format!(
        "{} in {:.1} s; weights and metrics in {}",
        if ended == Ended::Finished { "finished" } else { "interrupted" },
        begun.elapsed().as_secs_f64(),
        folder.path().display()
    ));
    Ok(if ended == Ended::Finished { Exit::Ok } else { Exit::Interrupted })
}

/// How old the weights in the folder may grow while a run goes on.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// What is known of a run when it starts: enough to repeat it.
fn report(args: &RunArgs, experiment: &Experiment, checked: &Checked, options: &MachineOptions) -> Value {
    let main = checked.sources.iter().find(|(_, s)| !s.library);
    let hash = main.map(|(_, s)| hex(&Sha256::digest(s.text.as_bytes())));
    let table = |t: &Table| json!({"name": t.name, "origin": t.origin, "sha256": t.digest, "rows": t.rows});
    let params = experiment.variables.iter().filter(|v| v.kind == VariableKind::Param);
    json!({
        "nnc": env!("CARGO_PKG_VERSION"),
        "spec": args.spec.file.display().to_string(),
        "spec_sha256": hash,
        "settings": experiment.settings.iter().cloned().collect::<BTreeMap<_, _>>(),
        "set": args.spec.set.iter().cloned().collect::<BTreeMap<_, _>>(),
        "seed": experiment.seed,
        "data_dir": args.spec.data.as_ref().map(|dir| dir.display().to_string()),
        "data": checked.tables.iter().map(table).collect::<Vec<_>>(),
        "init": args.init.as_ref().map(|path| path.display().to_string()),
        "max_steps": args.max_steps,
        "parameters": params.map(|v| v.ty.shape.elements()).sum::<usize>(),
        "threads": options.threads,
        "isa": format!("{:?}", Isa::current()).to_lowercase(),
        "interpreted": options.interpret,
        "ended": null,
    })
}

fn write_report(folder: &RunFolder, report: &Value) -> Result<(), Diagnostic> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Diagnostic::internal("the report of the run", error.to_string()))?;
    folder.write("run.json", (text + "\n").as_bytes())
}

/// Writes the spec, and beside it the files that it uses, under the names by which it uses them.
fn write_spec(folder: &RunFolder, sources: &Sources) -> Result<(), Diagnostic> {
    let mut own = sources.iter().filter(|(_, source)| !source.library).map(|(_, source)| source);
    let Some(main) = own.next() else { return Ok(()) };
    folder.write("spec.nn", main.text.as_bytes())?;
    let home = main.path.parent().unwrap_or(Path::new(""));
    for source in own {
        let mut name = PathBuf::new();
        for part in source.path.strip_prefix(home).unwrap_or(&source.path).components() {
            match part {
                Component::Normal(part) => name.push(part),
                Component::ParentDir => {
                    name.pop();
                }
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        folder.write_inside(&name, source.text.as_bytes())?;
    }
    Ok(())
}

/// Writes what there is to know of the data without its rows: `nnc predict` and `nnc sample` need no more of it.
fn write_data(folder: &RunFolder, tables: &[Table]) -> Result<(), Diagnostic> {
    let outlines: Vec<Outline> = tables.iter().map(Outline::of).collect();
    let text = serde_json::to_string_pretty(&outlines)
        .map_err(|error| Diagnostic::internal("what is kept of the data", error.to_string()))?;
    folder.write(DATA, (text + "\n").as_bytes())
}

/// Says what is about to be trained, on which data.
fn introduce(progress: &Progress, experiment: &Experiment, checked: &Checked) {
    for table in &checked.tables {
        progress.say(&format!("data {}: {}", table.name, table.origin));
    }
    for model in &experiment.models {
        let prefix = format!("{}.", model.name);
        let own = experiment
            .variables
            .iter()
            .filter(|v| v.kind == VariableKind::Param && v.path.starts_with(&prefix));
        let parameters: usize = own.map(|v| v.ty.shape.elements()).sum();
        progress.say(&format!("model {}: {} parameters", model.name, terminal::thousands(parameters as u64)));
    }
}

/// The first SIGINT or SIGTERM asks the run to stop after the step under way; the second ends the process.
fn interrupts() -> Result<Arc<AtomicBool>, Diagnostic> {
    let stop = Arc::new(AtomicBool::new(false));
    let count = AtomicUsize::new(0);
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        flag.store(true, Ordering::Relaxed);
        if count.fetch_add(1, Ordering::Relaxed) > 0 {
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
    })
    .map_err(|error| Diagnostic::internal("run", format!("no handler for interrupts: {error}")))?;
    Ok(stop)
}
