//! Floor 8: what happens to a file, top to bottom.
//!
//! ```text
//! text --parse--> syntax tree --check--> experiment (data, variables, a graph per stage: forward, gradient,
//! update) --passes--> simplified graph --plan--> fused kernels, phases, memory --jit--> machine code
//! --train--> steps, metrics, weights
//! ```
//!
//! Parsing happens in [`check::check`], since a spec may use other files. The steps from a stage's graph to
//! running code are those of [`compile`]; [`train::run()`] goes the same way for each stage.

use std::path::Path;

use crate::base::{Diagnostic, Sources};
use crate::check::{self, CheckOptions, Checked};
use crate::exec::{Program, in_one_call};
use crate::ir::experiment::{Experiment, Stage};
use crate::ir::{Computation, text};
use crate::jit;
use crate::passes;
use crate::passes::plan::show;
use crate::readers::Table;
use crate::syntax;
pub use crate::train::machine::plan_of;
use crate::train::run::step_of;
use crate::train::{self, Ended, Event, MachineOptions, RunOptions, Variables, weights};
use crate::ty::Type;

/// Text to experiment: everything short of running.
pub fn check(path: &Path, options: &CheckOptions) -> Checked {
    check::check(path, options)
}

/// The types of an experiment's variables, in their order.
pub fn types(experiment: &Experiment) -> Vec<Type> {
    experiment.variables.iter().map(|v| v.ty.clone()).collect()
}

/// Graph to machine code.
///
/// # Errors
/// Faults of the compiler, and too little memory.
pub fn compile(
    computation: &Computation,
    types: &[Type],
    batch: usize,
    options: &MachineOptions,
) -> Result<Program, Diagnostic> {
    Program::compile(plan_of(computation, types, batch, options)?, options.threads)
}

/// First values of all variables, or those of a weights file where one is given.
///
/// # Errors
/// Too little memory, a weights file that does not fit.
pub fn variables(
    experiment: &Experiment,
    options: &MachineOptions,
    init: Option<&Path>,
) -> Result<Variables, Vec<Diagnostic>> {
    let mut variables = Variables::new(&types(experiment), options).map_err(|error| vec![error])?;
    weights::initialize(experiment, &mut variables, experiment.seed);
    if let Some(path) = init {
        weights::load(experiment, &mut variables, path)?;
    }
    Ok(variables)
}

/// Experiment to trained variables.
///
/// # Errors
/// As [`train::run()`].
pub fn train(
    experiment: &Experiment,
    tables: &[Table],
    variables: &mut Variables,
    options: &RunOptions,
    watch: &mut dyn FnMut(Event),
) -> Result<Ended, Diagnostic> {
    train::run(experiment, tables, variables, options, watch)
}

/// The syntax tree of a file as text.
///
/// # Errors
/// A file that cannot be read or parsed, with its text.
pub fn syntax_tree(path: &Path) -> Result<String, (Sources, Vec<Diagnostic>)> {
    let mut sources = Sources::default();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let diagnostic = Diagnostic::error("file", format!("{}: {error}", path.display()));
            return Err((sources, vec![diagnostic.help("check the path of the spec")]));
        }
    };
    let file = sources.add(path.to_path_buf(), text.clone(), false);
    match syntax::parse(file, &text) {
        Ok(tree) => Ok(syntax::dump(&tree)),
        Err(diagnostics) => Err((sources, diagnostics)),
    }
}

/// The forms of a stage's step on its way to machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The forward graph, to the loss.
    Forward,
    /// With the gradient of every trained parameter.
    Gradient,
    /// With the new value of every variable.
    Update,
    /// After the passes.
    Simplified,
    /// Fused kernels in order.
    Fused,
    /// Memory and phases.
    Plan,
    /// Cranelift's intermediate code of every loop nest.
    Clif,
    /// Machine code of every loop nest.
    Asm,
}

/// A stage's step in one of its forms, as text.
///
/// # Errors
/// Faults of the compiler.
pub fn emit(
    experiment: &Experiment,
    stage: &Stage,
    sources: &Sources,
    form: Form,
    options: &MachineOptions,
) -> Result<String, Diagnostic> {
    let types = types(experiment);
    let computation = match form {
        Form::Forward => first_nodes(&stage.step, stage.forward_end),
        Form::Gradient => first_nodes(&stage.step, stage.gradient_end),
        Form::Update => stage.step.clone(),
        Form::Simplified | Form::Fused | Form::Plan | Form::Clif | Form::Asm => step_of(stage, &types),
    };
    let plan = || plan_of(&computation, &types, stage.batches[0].size, options);
    let code = |stage| {
        let plan = plan()?;
        let nests: Vec<_> = (plan.kernels.iter())
            .flat_map(|k| k.nests().into_iter().map(|nest| (k.name.as_str(), nest)))
            .collect();
        let mut text = jit::dump(&nests, &plan.buffers, stage)?;
        if let Some(step) = in_one_call(&plan) {
            text += "; the whole step of a full batch\n";
            text += &jit::dump_step(&step, &plan.buffers, stage)?;
        }
        Ok(text)
    };
    match form {
        Form::Forward | Form::Gradient | Form::Update => {
            let needed = passes::needed(computation)?;
            Ok(format!("{}{}", text::LEGEND, text::print(&needed, Some(sources))))
        }
        Form::Simplified => {
            let (simplified, _) = passes::run(computation, &options.passes())?;
            Ok(format!("{}{}", text::LEGEND, text::print(&simplified, Some(sources))))
        }
        Form::Fused => Ok(show::fused(&plan()?)),
        Form::Plan => Ok(show::plan(&plan()?)),
        Form::Clif => code(jit::Stage::Clif),
        Form::Asm => code(jit::Stage::Asm),
    }
}

/// The part of a step that stands before node `end`.
fn first_nodes(step: &Computation, end: usize) -> Computation {
    let mut graph = step.graph.clone();
    graph.truncate(end);
    let outputs = step.outputs.iter().filter(|(_, id)| id.index() < end).cloned().collect();
    Computation { graph, outputs, updates: Vec::new() }
}
