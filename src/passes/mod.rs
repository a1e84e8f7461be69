//! Floor 4: graph to graph, and graph to plan; one pass per file.
//!
//! A pass is a value with a name; [`PIPELINE`] is the list of them, in the order in which they run. [`run`]
//! runs it: after each pass the verifier checks the result, and a pass that fails is blamed by name.
//! Differentiation ([`autodiff`]) happens before, while a stage is built; planning ([`plan`]) after.

pub mod autodiff;
mod conv_pool;
mod copies;
mod cse;
mod dce;
mod decompose;
pub mod guard;
mod hoist;
pub mod plan;
mod region;
mod rewrite;
mod scans;
mod simplify;
mod unpad;
mod winograd;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::base::Diagnostic;
use crate::ir::Computation;
use crate::ir::verify::{Fault, verify};

/// A rewriting of a computation that keeps the values of its outputs and updates.
#[derive(Debug)]
pub struct Pass {
    /// Its name, for options, dumps and blame.
    pub name: &'static str,
    /// What it does, one line.
    pub help: &'static str,
    /// Whether nothing can be compiled without it.
    pub required: bool,
    /// Does it.
    pub run: fn(Computation) -> Computation,
}

/// The passes, in order. `simplify` runs before `cse`, so that equal values look alike, and once more after
/// it, because sharing uncovers chances such as both branches of a `select` being one value.
pub static PIPELINE: &[&Pass] = &[
    &scans::PASS,
    &decompose::PASS,
    &simplify::PASS,
    &cse::PASS,
    &unpad::PASS,
    &simplify::PASS,
    &dce::PASS,
    &hoist::PASS,
    &region::PASS,
    &conv_pool::PASS,
    &winograd::PASS,
    &copies::PASS,
];

/// The passes that also run on the bodies of loops.
static IN_BODIES: &[&Pass] = &[&decompose::PASS, &simplify::PASS, &cse::PASS, &dce::PASS];

/// The pass of this name.
pub fn find(name: &str) -> Option<&'static Pass> {
    PIPELINE.iter().find(|pass| pass.name == name).copied()
}

/// Optional passes that are left out, by their places in [`PIPELINE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Off(u64);

impl Off {
    /// None: all passes run.
    pub const NONE: Off = Off(0);

    /// This pass, too, and each time it stands in the pipeline.
    #[must_use]
    pub fn and(self, name: &str) -> Off {
        let named = PIPELINE.iter().enumerate().filter(|(_, pass)| pass.name == name);
        Off(named.fold(self.0, |bits, (i, _)| bits | 1 << i))
    }

    /// The names.
    pub fn names(self) -> Vec<&'static str> {
        let off = PIPELINE.iter().enumerate().filter(|(i, _)| self.0 & (1 << i) != 0);
        off.map(|(_, pass)| pass.name).collect()
    }
}

/// The names of the passes that may be left out.
pub fn optional() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for pass in PIPELINE.iter().filter(|pass| !pass.required) {
        if !names.contains(&pass.name) {
            names.push(pass.name);
        }
    }
    names
}

/// Which passes run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names of passes that are left out.
    pub off: Vec<String>,
}

impl Options {
    /// Only what nothing can be compiled without: for comparisons with the full pipeline.
    pub fn bare() -> Options {
        let optional = PIPELINE.iter().filter(|pass| !pass.required);
        Options { off: optional.map(|pass| pass.name.to_string()).collect() }
    }

    fn runs(&self, pass: &Pass) -> bool {
        pass.required || !self.off.iter().any(|name| name == pass.name)
    }
}

/// What one pass did, for people who look for where time goes.
#[derive(Clone, Debug)]
pub struct Report {
    /// The pass.
    pub pass: &'static str,
    /// Number of nodes before.
    pub before: usize,
    /// Number of nodes after.
    pub after: usize,
    /// How long the pass and the check of its result took.
    pub time: Duration,
}

/// Runs the pipeline.
///
/// # Errors
/// An internal error that names the pass at fault, or the builder of the graph.
pub fn run(computation: Computation, options: &Options) -> Result<(Computation, Vec<Report>), Diagnostic> {
    run_watched(computation, options, &mut |_, _| {})
}

/// As [`run`], showing what each pass made.
///
/// # Errors
/// As [`run`].
pub fn run_watched(
    computation: Computation,
    options: &Options,
    seen: &mut dyn FnMut(&Pass, &Computation),
) -> Result<(Computation, Vec<Report>), Diagnostic> {
    verify(&computation).map_err(|fault| blame("building the graph", &fault))?;
    let mut reports = Vec::new();
    let mut computation = computation;
    for pass in PIPELINE.iter().filter(|pass| options.runs(pass)) {
        let (before, start) = (computation.graph.len(), Instant::now());
        computation = run_pass(pass, computation)?;
        let (after, time) = (computation.graph.len(), start.elapsed());
        reports.push(Report { pass: pass.name, before, after, time });
        seen(pass, &computation);
    }
    Ok((computation, reports))
}

/// Only what the results need: rules of gradients also append what nobody asked for.
///
/// # Errors
/// As [`run`].
pub fn needed(computation: Computation) -> Result<Computation, Diagnostic> {
    run_pass(&dce::PASS, computation)
}

/// Runs one pass and checks its result.
///
/// # Errors
/// An internal error that names the pass: it panicked, or what it made breaks the law of the IR.
pub fn run_pass(pass: &Pass, computation: Computation) -> Result<Computation, Diagnostic> {
    let stage = format!("the pass `{}`", pass.name);
    let inside = IN_BODIES.iter().any(|other| other.name == pass.name);
    let work = || (pass.run)(if inside { scans::in_bodies(computation, pass.run) } else { computation });
    let made = catch_unwind(AssertUnwindSafe(work))
        .map_err(|panic| Diagnostic::internal(&stage, message(panic.as_ref())))?;
    verify(&made).map_err(|fault| blame(&stage, &fault))?;
    Ok(made)
}

fn blame(stage: &str, fault: &Fault) -> Diagnostic {
    Diagnostic::internal(stage, fault.to_string()).label(fault.span, "while compiling this")
}

/// What a panic said.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_string())
}
