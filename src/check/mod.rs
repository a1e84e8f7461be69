//! Floor 4: the meaning of a spec. The tree is elaborated: constants are computed, layers expanded into nodes
//! with known shapes, instances given their parameters, stages turned into what one step computes.
//!
//! [`check`] is the way in. Values are in `value.rs`, expressions in `expr.rs`, calls in `call.rs`, bodies of
//! layers in `body.rs`, declared types in `types.rs`, `train` blocks in `stage.rs`. What is wrong is reported
//! and evaluation goes on with what does not depend on it, so that all errors of a file are found.

mod arith;
mod averages;
mod body;
pub mod builtins;
mod call;
mod checker;
mod data;
mod data_csv;
mod data_text;
mod describe;
mod docs;
mod expr;
mod gradients;
mod index;
mod instance;
pub mod library;
mod measure;
mod model;
mod objective;
mod optimizer;
mod program;
mod resolve;
mod sample;
mod scan;
mod scope;
mod selector;
mod settings;
mod stage;
mod types;
mod value;
mod watch;

pub use docs::{Documented, documentation};

use std::path::{Path, PathBuf};

use crate::base::{Diagnostic, Severity, Sources, Span};
use crate::ir::experiment::Experiment;
use crate::readers::Table;
use crate::syntax::ast::Item;
use checker::Checker;
use program::Program;

/// What may be said about a check from outside of the file.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// Settings that replace those of the file: `--set key=value`.
    pub set: Vec<(String, String)>,
    /// Replaces the file's seed.
    pub seed: Option<u64>,
    /// Where `mnist()` finds its files.
    pub data_dir: Option<PathBuf>,
    /// Paths in the spec may lead out of its folder.
    pub allow_outside: bool,
    /// The text of the file, where it is not to be read from the path.
    pub text: Option<String>,
    /// The tables of an earlier check, in its order: they are not read once more. They may be without rows
    /// ([`crate::readers::Outline::table`]).
    pub tables: Vec<Table>,
}

/// What a check has found.
#[derive(Debug, Default)]
pub struct Checked {
    /// The texts that took part.
    pub sources: Sources,
    /// The data, in the order of the experiment's table numbers.
    pub tables: Vec<Table>,
    /// The experiment, if there is no error.
    pub experiment: Option<Experiment>,
    /// What is wrong or doubtful, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// Whether there is an error.
    pub fn failed(&self) -> bool {
        self.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }
}

/// The stack of the checking thread: virtual memory that is used only by deeply nested files.
const STACK: usize = 1 << 30;

/// Checks a file: reads it with all it uses, and turns it into an experiment.
pub fn check(path: &Path, options: &CheckOptions) -> Checked {
    let work = || check_here(path, options);
    let done = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("check".to_string()).stack_size(STACK);
        match thread.spawn_scoped(scope, work) {
            Ok(thread) => thread.join().map_err(|_| "a thread panicked".to_string()),
            Err(why) => Err(format!("no thread: {why}")),
        }
    });
    done.unwrap_or_else(|why| Checked {
        diagnostics: vec![Diagnostic::internal("the checker", why)],
        ..Checked::default()
    })
}

fn check_here(path: &Path, options: &CheckOptions) -> Checked {
    let mut diagnostics = Vec::new();
    let mut program = Program::load(path, options.text.clone(), options.allow_outside, &mut diagnostics);
    for (key, value) in &options.set {
        program.override_setting(key, value, &mut diagnostics);
    }
    if diagnostics.iter().any(|d| d.severity == Severity::Error) {
        return Checked { sources: program.sources, diagnostics, ..Checked::default() };
    }
    let (experiment, tables, found) = {
        let mut checker = Checker::new(&program, options);
        let experiment = elaborate(&mut checker);
        let failed = checker.failed();
        (experiment.filter(|_| !failed), checker.tables, checker.diagnostics)
    };
    diagnostics.extend(found);
    diagnostics.sort_by_key(|d| {
        let place =
            d.labels.first().map_or((u32::MAX, 0), |label| (u32::from(label.span.file.0), label.span.start));
        (d.severity == Severity::Warning, place)
    });
    Checked { sources: program.sources, tables, experiment, diagnostics }
}

fn elaborate(c: &mut Checker) -> Option<Experiment> {
    resolve::resolve(c);
    let settings = c.all_settings();
    c.seed = file_seed(c);
    c.all_tables();
    c.all_models();
    let stages = c.all_stages();
    c.untrained_models(&stages);
    Some(Experiment {
        seed: c.options.seed.or(c.seed).unwrap_or(0),
        settings,
        variables: std::mem::take(&mut c.variables),
        models: std::mem::take(&mut c.models),
        stages,
    })
}

/// The `seed` of the main file.
fn file_seed(c: &mut Checker) -> Option<u64> {
    let program = c.program;
    let mut seed = None;
    for item in &program.modules.first()?.ast.items {
        let Item::Seed(item) = item else { continue };
        if seed.is_some() {
            let _ = c.error_at::<()>(item.span, "given-twice", "`seed` is given twice", "the second time");
        }
        seed = c.seed(&item.value).ok().or(Some(0));
    }
    seed
}

/// Where in the library something went wrong.
fn library_note(program: &Program, name: &str, span: Span) -> String {
    let place = program.sources.place(span);
    if name.is_empty() {
        format!("in the library: {place}")
    } else {
        format!("in `{name}` of the library: {place}")
    }
}
