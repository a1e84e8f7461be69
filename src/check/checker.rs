//! The state of a check, and how errors are reported and nodes are added.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::program::{ItemRef, Program};
use super::scan::Step;
use super::scope::{Frame, Scope};
use super::value::{Eval, Reported, Value};
use super::{CheckOptions, library_note};
use crate::base::{Diagnostic, Severity, Span, limits};
use crate::ir::computation::{Update, VariableId};
use crate::ir::experiment::{InputField, LayerUse, ModelGraph, Variable};
use crate::ir::{Attrs, Builder, Mismatch, NodeId};
use crate::ops;
use crate::readers::Table;
use crate::ty::{DType, Shape, Type};

/// A graph under construction, with what belongs to it.
#[derive(Default)]
pub struct GraphState {
    pub b: Builder,
    /// What feeds the inputs.
    pub inputs: Vec<InputField>,
    /// The nodes of the inputs.
    pub input_nodes: Vec<NodeId>,
    /// New values of states.
    pub updates: Vec<Update>,
    /// The value of each state that has been updated in this graph so far.
    pub states: HashMap<VariableId, NodeId>,
    /// `training` as the spec sees it.
    pub training: bool,
    /// Which tables may be read, each with the split that feeds it.
    pub feed: Vec<(usize, Span)>,
    /// What is said of a table that is not in `feed`.
    pub feed_hint: String,
    /// How many examples `batch` brings together: those of a training batch, or the rows of a split.
    pub examples: Option<usize>,
    /// Where `batch` or `example` was first called.
    pub batched: Option<Span>,
    /// The number of steps of the stage.
    pub total_steps: Option<u64>,
    /// The number of this update and of all, for optimizers, where they are not those of the steps.
    pub update: Option<(NodeId, u64)>,
    /// Records the applications of layers, for models.
    pub layers: Option<Vec<LayerUse>>,
    /// Variables whose parameters have been counted in `layers`.
    pub counted: HashSet<VariableId>,
    /// The node of each variable that is read: one, so that a gradient is whole.
    pub variable_nodes: HashMap<VariableId, NodeId>,
    /// How many random nodes each path has made.
    pub streams: HashMap<String, u64>,
}

/// What an initialiser sees.
#[derive(Clone)]
pub struct Initial {
    pub path: String,
    pub shape: Vec<i64>,
}

/// The check of one experiment.
pub struct Checker<'a> {
    pub program: &'a Program,
    pub options: &'a CheckOptions,
    pub diagnostics: Vec<Diagnostic>,
    seen: HashSet<(&'static str, Option<Span>, String)>,
    pub settings: HashMap<ItemRef, Value<'a>>,
    pub tables: Vec<Table>,
    pub table_ids: HashMap<ItemRef, Option<usize>>,
    /// Where each table is declared.
    pub table_spans: Vec<Span>,
    pub variables: Vec<Variable>,
    pub by_path: BTreeMap<String, VariableId>,
    pub models: Vec<ModelGraph>,
    /// Models that have been elaborated, or have failed to be.
    pub modelled: HashSet<(usize, String)>,
    /// Those in which something is wrong: what is missing of them is no error more.
    pub broken: HashSet<String>,
    pub g: GraphState,
    pub frame: Rc<Frame>,
    pub scope: Rc<Scope<'a>>,
    /// The module whose names are in force.
    pub module: usize,
    /// The text being elaborated.
    pub here: Span,
    /// The innermost place in the user's own files.
    pub site: Span,
    /// Depth of nested expressions.
    pub depth: usize,
    /// Depth of nested calls.
    pub calls: usize,
    pub initial: Option<Initial>,
    /// The step of a `scan` that is being elaborated.
    pub step: Option<Step<'a>>,
    /// Whether an optimizer's body is being elaborated.
    pub optimizing: bool,
    /// The seed of the main file.
    pub seed: Option<u64>,
    /// Above 0 nothing is reported.
    pub quiet: usize,
}

/// The deepest nesting of expressions over all calls: far below what the checking thread's stack holds.
const DEPTH: usize = 20_000;

impl<'a> Checker<'a> {
    pub fn new(program: &'a Program, options: &'a CheckOptions) -> Checker<'a> {
        Checker {
            program,
            options,
            diagnostics: Vec::new(),
            seen: HashSet::new(),
            settings: HashMap::new(),
            tables: Vec::new(),
            table_ids: HashMap::new(),
            table_spans: Vec::new(),
            variables: Vec::new(),
            by_path: BTreeMap::new(),
            models: Vec::new(),
            modelled: HashSet::new(),
            broken: HashSet::new(),
            g: GraphState::default(),
            frame: Frame::new(String::new(), "", false, 0),
            scope: Scope::root(),
            module: 0,
            here: Span::NONE,
            site: Span::NONE,
            depth: 0,
            calls: 0,
            initial: None,
            step: None,
            optimizing: false,
            seed: None,
            quiet: 0,
        }
    }

    /// Adds a diagnostic unless the same has been reported: bodies may be elaborated several times.
    pub fn report(&mut self, problem: Diagnostic) -> Reported {
        if self.quiet > 0 {
            return Reported;
        }
        let key = (problem.code, problem.labels.first().map(|label| label.span), problem.title.clone());
        if self.seen.insert(key) {
            self.diagnostics.push(problem);
        }
        Reported
    }

    /// Whether an error has been reported.
    pub fn failed(&self) -> bool {
        self.errors() > 0
    }

    /// How many errors there are so far.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// A diagnostic about a place. What is wrong in the library is shown at the user's call of it.
    pub fn problem_at(
        &self,
        span: Span,
        code: &'static str,
        title: impl Into<String>,
        label: &str,
    ) -> Diagnostic {
        let problem = Diagnostic::error(code, title);
        if !self.program.in_library(span) || self.site.is_none() {
            return problem.label(span, label);
        }
        problem.label(self.site, label).note(library_note(self.program, &self.frame.name, span))
    }

    /// A diagnostic about what is being elaborated.
    pub fn problem(&self, code: &'static str, title: impl Into<String>, label: &str) -> Diagnostic {
        self.problem_at(self.here, code, title, label)
    }

    /// Reports an error about what is being elaborated.
    pub fn error<T>(&mut self, code: &'static str, title: impl Into<String>, label: &str) -> Eval<T> {
        let problem = self.problem(code, title, label);
        Err(self.report(problem))
    }

    /// Reports an error about a place.
    pub fn error_at<T>(
        &mut self,
        span: Span,
        code: &'static str,
        title: impl Into<String>,
        label: &str,
    ) -> Eval<T> {
        let problem = self.problem_at(span, code, title, label);
        Err(self.report(problem))
    }

    /// Elaborates something that stands at a place.
    pub fn at<T>(&mut self, span: Span, work: impl FnOnce(&mut Self) -> Eval<T>) -> Eval<T> {
        let saved = (self.here, self.site);
        self.here = span;
        if !self.program.in_library(span) && !span.is_none() {
            self.site = span;
        }
        self.depth += 1;
        let result = if self.depth > DEPTH {
            self.error("too-deep", "expressions are nested too deeply", "here")
        } else {
            work(self)
        };
        self.depth -= 1;
        (self.here, self.site) = saved;
        result
    }

    /// Elaborates something with other local names.
    pub fn scoped<T>(&mut self, scope: Rc<Scope<'a>>, work: impl FnOnce(&mut Self) -> T) -> T {
        let saved = std::mem::replace(&mut self.scope, scope);
        let result = work(self);
        self.scope = saved;
        result
    }

    /// Elaborates something with the names of a module.
    pub fn in_module<T>(&mut self, module: usize, work: impl FnOnce(&mut Self) -> T) -> T {
        let saved = std::mem::replace(&mut self.module, module);
        let result = work(self);
        self.module = saved;
        result
    }

    /// Elaborates something within a body.
    pub fn framed<T>(&mut self, frame: Rc<Frame>, work: impl FnOnce(&mut Self) -> T) -> T {
        let saved = std::mem::replace(&mut self.frame, frame);
        let result = work(self);
        self.frame = saved;
        result
    }

    /// Elaborates something into a graph of its own, which is handed back.
    pub fn in_graph<T>(&mut self, graph: GraphState, work: impl FnOnce(&mut Self) -> T) -> (T, GraphState) {
        let saved = std::mem::replace(&mut self.g, graph);
        let result = work(self);
        (result, std::mem::replace(&mut self.g, saved))
    }

    /// The builder, set to the place of what is being elaborated.
    pub fn build(&mut self) -> &mut Builder {
        self.g.b.span.0 = if self.site.is_none() { self.here } else { self.site };
        if self.g.b.scope != self.frame.path {
            self.g.b.scope.clone_from(&self.frame.path);
        }
        &mut self.g.b
    }

    /// Adds a node, or reports why it does not fit.
    pub fn op(&mut self, name: &'static str, inputs: &[NodeId], attrs: Attrs) -> Eval<NodeId> {
        let Some(op) = ops::find(name) else {
            let problem = Diagnostic::internal("the checker", format!("there is no op `{name}`"));
            return Err(self.report(problem));
        };
        match self.build().try_add(op, inputs, attrs) {
            Ok(id) => Ok(id),
            Err(mismatch) => Err(self.mismatch(name, inputs, mismatch)),
        }
    }

    /// Reports that operands do not fit an operation, with the places where they were made.
    pub fn mismatch(&mut self, name: &str, inputs: &[NodeId], mismatch: Mismatch) -> Reported {
        let mut problem =
            self.problem("shape-mismatch", mismatch.message, &format!("`{name}` does not fit here"));
        for input in &mismatch.inputs {
            if let Some(node) = inputs.get(*input) {
                problem = self.with_origin(problem, *node, "");
            }
        }
        if let Some(help) = mismatch.help {
            problem = problem.help(help);
        }
        self.report(problem)
    }

    /// Adds the place where a tensor was made, unless it is already shown.
    pub fn with_origin(&self, problem: Diagnostic, node: NodeId, what: &str) -> Diagnostic {
        let made = &self.g.b.graph[node];
        // A field of the batch is read in many places; the first of them says nothing.
        if made.op.name == "input" && !self.g.feed.is_empty() {
            return problem;
        }
        let known = problem.labels.iter().any(|label| label.span == made.span);
        if known || made.span.is_none() || self.program.in_library(made.span) {
            return problem;
        }
        let what = if what.is_empty() { String::new() } else { format!("{what}: ") };
        problem.label(made.span, format!("{what}{} is made here", made.ty))
    }

    /// The type of a tensor.
    pub fn ty(&self, node: NodeId) -> &Type {
        &self.g.b.graph[node].ty
    }

    /// The shape of a tensor.
    pub fn shape(&self, node: NodeId) -> Shape {
        self.g.b.graph[node].ty.shape.clone()
    }

    /// A number as a scalar.
    pub fn constant(&mut self, value: f64) -> Eval<NodeId> {
        self.op("constant", &[], Attrs::none().float("value", value))
    }

    /// A tensor in a larger shape.
    pub fn broadcast(&mut self, node: NodeId, shape: &Shape) -> Eval<NodeId> {
        if self.shape(node) == *shape {
            return Ok(node);
        }
        self.op("broadcast", &[node], Attrs::none().sizes("shape", shape))
    }

    /// A tensor in another shape with as many elements.
    pub fn reshape(&mut self, node: NodeId, shape: &[i64]) -> Eval<NodeId> {
        let same = self.ty(node).shape.iter().map(|n| *n as i64).eq(shape.iter().copied());
        if same {
            return Ok(node);
        }
        self.op("reshape", &[node], Attrs::none().ints("shape", shape))
    }

    /// A tensor as f32.
    pub fn as_numbers(&mut self, node: NodeId) -> Eval<NodeId> {
        match self.ty(node).dtype {
            DType::F32 => Ok(node),
            DType::Bool | DType::Index(_) => self.op("cast", &[node], Attrs::none().int("bound", -1)),
        }
    }

    /// A list of extents as a shape, or an error.
    pub fn checked_shape(&mut self, extents: &[i64]) -> Eval<Shape> {
        match Shape::checked(extents) {
            Ok(shape) => Ok(shape),
            Err(bad) => {
                let text: Vec<String> = extents.iter().map(i64::to_string).collect();
                self.error("bad-shape", bad.to_string(), &format!("[{}]", text.join(", ")))
            }
        }
    }

    /// The random stream of the next random node of a path: the same for the same text around it.
    pub fn stream(&mut self, path: &str) -> i64 {
        let count = self.g.streams.entry(path.to_string()).or_insert(0);
        *count += 1;
        // FNV-1a over the path and the count, folded to 31 bits.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in path.bytes().chain(count.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        ((hash ^ (hash >> 32)) & 0x7fff_ffff) as i64
    }

    /// Goes one call deeper.
    pub fn deeper<T>(&mut self, what: &str, work: impl FnOnce(&mut Self) -> Eval<T>) -> Eval<T> {
        if self.calls >= limits::CALL_DEPTH {
            let problem = self
                .problem(
                    "too-deep",
                    format!("calls are nested more than {} deep", limits::CALL_DEPTH),
                    &format!("`{what}` is called once more here"),
                )
                .help("a layer cannot apply itself without end; `repeat(n, layer)` chains a fixed number");
            return Err(self.report(problem));
        }
        self.calls += 1;
        let result = work(self);
        self.calls -= 1;
        result
    }
}
