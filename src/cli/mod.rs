//! Floor 9: the command line, one file per sub-command; the only place that prints and exits.

mod bench;
mod check;
mod emit;
mod eval;
mod fmt;
mod gradcheck;
mod grid;
mod ops;
mod plan;
mod predict;
mod progress;
mod run;
mod sample;
mod terminal;
mod trained;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use crate::base::{Diagnostic, Exit, Sources, did_you_mean};
use crate::check::{CheckOptions, Checked};
use crate::driver;
use crate::passes::{self, Off};
use crate::readers::Table;
use crate::train::MachineOptions;

/// A compiler for machine-learning experiments written as one text file.
#[derive(Debug, Parser)]
#[command(name = "nnc", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile and train an experiment; writes a run folder
    Run(run::RunArgs),
    /// Check everything short of running; shows all errors
    Check(check::CheckArgs),
    /// Show layers, operations and memory before any work
    Plan(plan::PlanArgs),
    /// Make the measurements of a spec with trained weights
    Eval(eval::EvalArgs),
    /// Print a trained model's results for rows of the data
    Predict(predict::PredictArgs),
    /// Let a trained language model write
    Sample(sample::SampleArgs),
    /// Time training steps
    Bench(bench::BenchArgs),
    /// Compare the gradients of a spec's losses with finite differences
    Gradcheck(gradcheck::GradcheckArgs),
    /// Print what the compiler makes of a file, stage by stage
    Emit(emit::EmitArgs),
    /// Format specs
    Fmt(fmt::FmtArgs),
    /// Document layers, functions and primitive operations
    Ops(ops::OpsArgs),
}

/// What every command that reads a spec takes.
#[derive(Clone, Debug, Args)]
struct SpecArgs {
    /// The spec, a `.nn` file
    file: PathBuf,
    /// Give a setting (`let` at top level) another value
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// The seed, instead of the file's
    #[arg(long)]
    seed: Option<u64>,
    /// A folder with MNIST or Fashion-MNIST in IDX form, for `mnist()`
    #[arg(long, value_name = "DIR", env = "NNC_DATA")]
    data: Option<PathBuf>,
}

/// How code is compiled.
#[derive(Debug, Args)]
struct CodeArgs {
    /// Threads; results do not depend on their number [default: the machine's cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    #[command(flatten)]
    passes: PassArgs,
}

/// Which passes run.
#[derive(Debug, Args)]
struct PassArgs {
    /// Compile without the optimising passes
    #[arg(long)]
    no_passes: bool,
    /// Compile without this pass; may be given several times
    #[arg(long, value_name = "PASS", value_parser = PossibleValuesParser::new(passes::optional()))]
    #[arg(conflicts_with = "no_passes")]
    off: Vec<String>,
}

impl PassArgs {
    /// For compiled code with this many threads.
    fn options(&self, threads: usize) -> MachineOptions {
        let off = self.off.iter().fold(Off::NONE, |off, name| off.and(name));
        MachineOptions { threads, interpret: false, optimize: !self.no_passes, off }
    }
}

impl CodeArgs {
    fn options(&self) -> MachineOptions {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or(cores, usize::from);
        self.passes.options(threads)
    }
}

/// How steps are run.
#[derive(Debug, Args)]
struct MachineArgs {
    #[command(flatten)]
    code: CodeArgs,
    /// Run the 64-bit reference evaluator instead of compiled code (slow)
    #[arg(long, conflicts_with_all = ["threads", "no_passes", "off"])]
    interpret: bool,
}

impl MachineArgs {
    fn options(&self) -> MachineOptions {
        MachineOptions { interpret: self.interpret, ..self.code.options() }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_string(), value.trim().to_string()))
        }
        _ => Err("a setting has the form NAME=VALUE".to_string()),
    }
}

/// Why a command ends without what was asked for; the diagnostics have been made, not yet shown.
struct Stopped {
    diagnostics: Vec<Diagnostic>,
    sources: Sources,
}

impl From<Diagnostic> for Stopped {
    fn from(diagnostic: Diagnostic) -> Stopped {
        Stopped { diagnostics: vec![diagnostic], sources: Sources::default() }
    }
}

impl Stopped {
    fn at(sources: &Sources, diagnostics: Vec<Diagnostic>) -> Stopped {
        Stopped { diagnostics, sources: sources.clone() }
    }
}

type Outcome = Result<Exit, Stopped>;

impl SpecArgs {
    /// Reads and checks the spec; shows warnings.
    fn check(&self) -> Result<Checked, Stopped> {
        self.check_with(Vec::new())
    }

    /// The same with tables that are not to be read.
    fn check_with(&self, tables: Vec<Table>) -> Result<Checked, Stopped> {
        let options = CheckOptions {
            set: self.set.clone(),
            seed: self.seed,
            data_dir: self.data.clone(),
            tables,
            ..CheckOptions::default()
        };
        let checked = driver::check(&self.file, &options);
        if checked.experiment.is_none() {
            return Err(Stopped::at(&checked.sources, checked.diagnostics));
        }
        terminal::show(&checked.diagnostics, &checked.sources);
        Ok(checked)
    }

    /// The name of the experiment: that of its file.
    fn name(&self) -> String {
        self.file.file_stem().map_or_else(|| "run".to_string(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// Reads the command line, does what it says, and returns the exit code.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to complain.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    // A panic is a fault of nnc: one message instead of a trace, with its own exit code.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(|| dispatch(&cli.command)));
    let stopped = match outcome {
        Ok(Ok(exit)) => return exit,
        Ok(Err(stopped)) => stopped,
        Err(panic) => Stopped::from(Diagnostic::internal("nnc", terminal::panic_text(panic.as_ref()))),
    };
    terminal::show(&stopped.diagnostics, &stopped.sources);
    let error = stopped.diagnostics.iter().find(|d| d.exit != Exit::Ok);
    error.map_or(Exit::Internal, |d| d.exit)
}

fn dispatch(command: &Command) -> Outcome {
    match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(args),
        Command::Plan(args) => plan::plan(args),
        Command::Eval(args) => eval::eval(args),
        Command::Predict(args) => predict::predict(args),
        Command::Sample(args) => sample::sample(args),
        Command::Bench(args) => bench::bench(args),
        Command::Gradcheck(args) => gradcheck::gradcheck(args),
        Command::Emit(args) => emit::emit(args),
        Command::Fmt(args) => fmt::fmt(args),
        Command::Ops(args) => ops::ops(args),
    }
}

/// A problem with what the command line asks for.
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
