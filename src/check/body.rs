//! Bodies of layers: statements, parameters, states, results.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::call::{Actual, How};
use super::checker::{Checker, GraphState, Initial};
use super::scope::{Frame, Scope};
use super::value::{DefRef, Eval, Instance, Reported, Value};
use crate::base::{Diagnostic, Ident, Span, limits};
use crate::ir::computation::{Update, VariableId};
use crate::ir::experiment::{LayerUse, Variable, VariableKind};
use crate::ir::{Graph, Level, NodeId};
use crate::ops;
use crate::syntax::ast::{Block, DefKind, Expr, ExprKind, Statement, TypeExpr};
use crate::ty::{DType, Shape, Type};

impl<'a> Checker<'a> {
    /// Calls a definition with one list of arguments.
    pub fn call_function(&mut self, def: DefRef<'a>, actuals: Vec<Actual<'a>>, how: How) -> Eval<Value<'a>> {
        let name = &def.def.name.name;
        let scope = Scope::root();
        self.bind_params(def, &def.def.first, actuals, &scope)?;
        let path = match def.def.kind {
            DefKind::Model => name.clone(),
            DefKind::Layer | DefKind::Optimizer => self.frame.child(how.label.unwrap_or(name)),
        };
        let shown = if self.frame.in_model && how.label.is_none() { name.clone() } else { path.clone() };
        let frame = self.body_frame(def, path);
        self.run_body(def, scope, frame, shown, how)
    }

    /// Applies an instance.
    pub fn apply_instance(
        &mut self,
        instance: &Rc<Instance<'a>>,
        actuals: Vec<Actual<'a>>,
        how: How,
    ) -> Eval<Value<'a>> {
        let def = instance.def;
        let path = instance.name(how.label);
        let frame = self.body_frame(def, path.clone());
        let scope = Scope::inside(&self.own_layers(instance, &frame)?);
        let inputs = def.def.second.as_deref().unwrap_or_default();
        self.bind_params(def, inputs, actuals, &scope)?;
        let text = instance.text.clone();
        self.run_body(def, scope, frame, path, How { label: how.label, text: &text })
    }

    fn body_frame(&self, def: DefRef<'a>, path: String) -> Rc<Frame> {
        let model = def.def.kind == DefKind::Model;
        let depth = if model { 0 } else { self.frame.depth + 1 };
        Frame::new(path, &def.def.name.name, model || self.frame.in_model, depth)
    }

    fn run_body(
        &mut self,
        def: DefRef<'a>,
        scope: Rc<Scope<'a>>,
        frame: Rc<Frame>,
        shown: String,
        how: How,
    ) -> Eval<Value<'a>> {
        let name = &def.def.name.name;
        if def.def.kind == DefKind::Model {
            self.ensure_model(def, scope.parent());
        }
        let (path, depth) = (frame.path.clone(), frame.depth);
        let first = self.g.b.graph.len();
        let place = self.g.layers.as_ref().map(Vec::len);
        let value = self.deeper(name, |c| {
            c.in_module(def.module, |c| {
                c.framed(frame, |c| {
                    c.scoped(scope, |c| {
                        let value = c.block(&def.def.body);
                        c.result(def, value)
                    })
                })
            })
        });
        if let (Some(place), Ok(Value::Tensor(node)), true) = (place, &value, depth > 0) {
            self.record(place, path, shown, how, depth, first, *node);
        }
        value
    }

    /// Notes the application of a function of the language in the user's own text, for `nnc plan`.
    pub fn record_builtin(&mut self, name: &str, how: How, first: usize, value: &Value<'a>) {
        let Value::Tensor(node) = value else { return };
        let Some(layers) = &self.g.layers else { return };
        if !self.program.in_library(self.here) && self.g.b.graph.len() > first {
            let place = layers.len();
            let depth = self.frame.depth + 1;
            self.record(place, name.to_string(), name.to_string(), how, depth, first, *node);
        }
    }

    /// Notes the application of a layer, for `nnc plan`.
    #[allow(clippy::too_many_arguments)]
    fn record(
        &mut self,
        place: usize,
        path: String,
        shown: String,
        how: How,
        depth: usize,
        first: usize,
        result: NodeId,
    ) {
        // What the library does inside of its own functions is of no interest, nor is a first value.
        let function = shown != path;
        if (function && self.program.in_library(self.here)) || self.initial.is_some() {
            return;
        }
        let mut parameters = 0;
        let prefix = path + ".";
        let below = self.by_path.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        for (path, id) in below {
            let variable = &self.variables[id.0 as usize];
            if !path[prefix.len()..].contains('.')
                && variable.kind == VariableKind::Param
                && self.g.counted.insert(*id)
            {
                parameters += variable.ty.shape.elements();
            }
        }
        let output = self.ty(result).clone();
        let text = if how.text.is_empty() { shown.clone() } else { how.text.to_string() };
        let nodes = first..self.g.b.graph.len();
        if let Some(layers) = &mut self.g.layers {
            layers.insert(place, LayerUse { path: shown, text, depth, nodes, output, parameters });
        }
    }

    /// Checks a body's value against the declared result.
    fn result(&mut self, def: DefRef<'a>, value: Eval<Value<'a>>) -> Eval<Value<'a>> {
        let Some(ty) = &def.def.result else { return value };
        match value {
            Ok(value) => {
                let last = def.def.body.statements.last();
                let span = match last {
                    Some(Statement::Expr(expr)) => expr.span,
                    _ => def.def.name.span,
                };
                let what = format!("the result of `{}`", def.def.name.name);
                self.fit(&what, ty, value, span, Some(ty.span))
            }
            Err(Reported) => {
                // The declared type stands in for the value, so that what follows is checked too.
                match self.known_type(ty) {
                    Some(declared) if declared.dtype == DType::F32 => {
                        let zero = self.constant(0.0)?;
                        self.broadcast(zero, &declared.shape).map(Value::Tensor)
                    }
                    _ => Err(Reported),
                }
            }
        }
    }

    /// A block in a scope of its own.
    pub fn inner_block(&mut self, block: &'a Block) -> Eval<Value<'a>> {
        let scope = Scope::inside(&self.scope);
        self.scoped(scope, |c| c.block(block))
    }

    /// The statements of a block; the value of the last.
    pub fn block(&mut self, block: &'a Block) -> Eval<Value<'a>> {
        let mut last = Ok(Value::Nothing);
        let mut failed = false;
        let count = block.statements.len();
        for (i, statement) in block.statements.iter().enumerate() {
            let value = self.statement(statement, i + 1 == count);
            // A `let` that failed has poisoned its name; other failures make the block fail.
            failed |= value.is_err() && !matches!(statement, Statement::Let(_) | Statement::Assign { .. });
            if value.is_err() && matches!(statement, Statement::Expr(_)) {
                // A `require` that does not hold: what follows relies on it.
                return Err(Reported);
            }
            last = value;
        }
        if failed { Err(Reported) } else { last }
    }

    fn statement(&mut self, statement: &'a Statement, last: bool) -> Eval<Value<'a>> {
        match statement {
            Statement::Let(item) => {
                let value = self.let_value(item);
                let failed = value.is_err();
                self.bind(&item.pattern, value);
                if failed { Err(Reported) } else { Ok(Value::Nothing) }
            }
            Statement::Assign { name, value, span } => {
                let new = self.eval(value);
                let Some(owner) = self.scope.owner(&name.name) else {
                    let problem = self
                        .problem_at(
                            *span,
                            "unknown-name",
                            format!("there is no `{}` to change", name.name),
                            "not defined here",
                        )
                        .help(format!("`let {} = ..` defines it", name.name));
                    return Err(self.report(problem));
                };
                let failed = new.is_err();
                owner.define(&name.name, new.unwrap_or(Value::Poison));
                if failed { Err(Reported) } else { Ok(Value::Nothing) }
            }
            Statement::Variable { state, name, ty, init, span } => {
                let node = self.at(*span, |c| c.variable(*state, name, ty.as_ref(), init));
                let failed = node.is_err();
                self.scope.define(&name.name, node.map_or(Value::Poison, Value::Tensor));
                if failed { Err(Reported) } else { Ok(Value::Nothing) }
            }
            Statement::Update { name, value, span } => {
                self.at(*span, |c| c.update(name, value)).map(|()| Value::Nothing)
            }
            Statement::Yield { value, span } => self.yielded(value, *span).map(|()| Value::Nothing),
            Statement::For { name, over, body, span } => self.for_loop(name, over, body, *span),
            Statement::Expr(expr) => {
                let value = self.eval(expr)?;
                let effect = matches!(value, Value::Nothing) || matches!(expr.kind, ExprKind::If { .. });
                if !last && !effect {
                    let problem = self
                        .problem_at(expr.span, "no-effect", "this value is not used", "it has no effect")
                        .help("bind it with `let`, or remove it; the value of a body is its last expression");
                    return Err(self.report(problem));
                }
                Ok(value)
            }
        }
    }

    fn for_loop(&mut self, name: &'a Ident, over: &'a Expr, body: &'a Block, span: Span) -> Eval<Value<'a>> {
        let values: Vec<Value> = match self.eval(over)? {
            Value::Range(from, to) => {
                let length = to.saturating_sub(from);
                if length > limits::UNROLL as i64 {
                    let title =
                        format!("this loop runs {length} times; at most {} are possible", limits::UNROLL);
                    let problem = self
                        .problem_at(over.span, "too-large", title, "here")
                        .note("loops are unrolled when the file is compiled");
                    return Err(self.report(problem));
                }
                (from..to).map(Value::Int).collect()
            }
            Value::List(values) => values.as_ref().clone(),
            other => {
                let found = self.describe(&other);
                let title = "`for` runs over a range or a list";
                return self.error_at(over.span, "not-a-list", title, &format!("this is {found}"));
            }
        };
        for value in values {
            let scope = Scope::inside(&self.scope);
            scope.define(&name.name, value);
            let value = self.at(span, |c| c.scoped(scope, |c| c.block(body)))?;
            if !matches!(value, Value::Nothing) {
                let problem = self
                    .problem_at(
                        body.span.unwrap_or(span),
                        "no-effect",
                        "the value of a loop's body is not used",
                        "it has no effect",
                    )
                    .help("assign it to a name from outside: `x = ..`");
                return Err(self.report(problem));
            }
        }
        Ok(Value::Nothing)
    }

    /// `param w: T = init` and `state s: T = init`
    fn variable(
        &mut self,
        state: bool,
        name: &'a Ident,
        ty: Option<&'a TypeExpr>,
        init: &'a Expr,
    ) -> Eval<NodeId> {
        let word = if state { "state" } else { "param" };
        if !(self.frame.in_model || state && self.optimizing) {
            let title = format!("`{}` has a {word}, so it must stand in a model", self.frame.name);
            let problem = self
                .problem("param-outside-model", title, "used outside of a model")
                .help("parameters are trained, saved and exported by the name of their model: `model Net(..) { .. }`");
            return Err(self.report(problem));
        }
        let path = format!("{}.{}", self.frame.path, name.name);
        let declared = match ty {
            Some(ty) => Some(self.variable_type(&name.name, ty)?),
            None => None,
        };
        let known = self.by_path.get(&path).copied();
        let id = match known {
            Some(id) => id,
            None => {
                let kind = match (state, self.optimizing) {
                    (false, _) => VariableKind::Param,
                    (true, false) => VariableKind::State,
                    (true, true) => VariableKind::OptimizerState,
                };
                let (graph, node) = self.initial_value(&path, declared.as_ref(), init)?;
                let ty = graph[node].ty.clone();
                let span = if self.program.in_library(self.here) { self.site } else { self.here };
                self.variables.push(Variable { path: path.clone(), kind, ty, init: (graph, node), span });
                let id = VariableId(self.variables.len() as u32 - 1);
                self.by_path.insert(path.clone(), id);
                id
            }
        };
        if let (Some(declared), Some(variable)) = (&declared, self.variables.get(id.0 as usize))
            && variable.ty != *declared
        {
            let problem = self
                .problem(
                    "param-twice",
                    format!("`{path}` is {declared} here and {} elsewhere", variable.ty),
                    "the second use",
                )
                .label(variable.span, format!("{} here", variable.ty))
                .note("one instance has one set of parameters, so its inputs always have one shape")
                .help("make a second instance for the other shape");
            return Err(self.report(problem));
        }
        self.read(id)
    }

    fn variable_type(&mut self, name: &str, ty: &'a TypeExpr) -> Eval<Type> {
        let declared = self.concrete(ty)?;
        if declared.dtype != DType::F32 {
            let title = format!("`{name}` is {declared}; parameters and states are f32");
            return self.error_at(ty.span, "wrong-type", title, "write `f32[..]`");
        }
        Ok(declared)
    }

    /// The graph of a variable's first value, of the declared type.
    fn initial_value(
        &mut self,
        path: &str,
        declared: Option<&Type>,
        init: &'a Expr,
    ) -> Eval<(Graph, NodeId)> {
        let mark = self.g.b.graph.len();
        let inner = declared.map(|ty| Initial {
            path: path.to_string(),
            shape: ty.shape.iter().map(|n| *n as i64).collect(),
        });
        let saved = std::mem::replace(&mut self.initial, inner);
        let streams = std::mem::take(&mut self.g.streams);
        let node = self.initial_node(path, declared, init);
        self.initial = saved;
        self.g.streams = streams;
        let node = node?;
        let graph = self.extract(node, init.span)?;
        self.g.b.truncate(mark);
        Ok(graph)
    }

    fn initial_node(&mut self, path: &str, declared: Option<&Type>, init: &'a Expr) -> Eval<NodeId> {
        let value = self.eval(init)?;
        let value = if value.is_function() { self.call(value, Vec::new(), How::default())? } else { value };
        let node = self.at(init.span, |c| c.tensor(&value))?;
        let node = self.as_numbers(node)?;
        let Some(declared) = declared else { return Ok(node) };
        if self.shape(node).rank() == 0 {
            return self.broadcast(node, &declared.shape);
        }
        if self.shape(node) != declared.shape {
            let found = self.ty(node).to_string();
            let title = format!("the first value of `{path}` is {found}, not {declared}");
            return self.error_at(init.span, "shape-mismatch", title, "this value");
        }
        Ok(node)
    }

    /// Copies a node with all it needs into a graph of its own.
    fn extract(&mut self, node: NodeId, span: Span) -> Eval<(Graph, NodeId)> {
        // Only what the node reaches is walked: the graph around it may be a whole step.
        let mut needed = BTreeSet::from([node]);
        let mut open = vec![node];
        while let Some(id) = open.pop() {
            open.extend(self.g.b.graph[id].inputs.iter().copied().filter(|input| needed.insert(*input)));
        }
        let mut out = GraphState::default();
        let mut map: HashMap<NodeId, NodeId> = HashMap::new();
        let unfit = |source: &crate::ir::Node| {
            source.level == Level::Each || source.op.name == "variable" || source.op.name == "step"
        };
        if needed.iter().any(|id| unfit(&self.g.b.graph[*id])) {
            let problem = self
                .problem_at(
                    span,
                    "not-initial",
                    "a first value cannot depend on data or on other parameters",
                    "this value does",
                )
                .help("use numbers and initialisers such as `zeros()` or `glorot_uniform()`");
            return Err(self.report(problem));
        }
        for id in needed {
            let source = &self.g.b.graph[id];
            let inputs: Vec<NodeId> = source.inputs.iter().map(|input| map[input]).collect();
            out.b.span.0 = source.span;
            out.b.scope.clone_from(&source.scope);
            map.insert(id, out.b.add(source.op, &inputs, source.attrs.clone()));
        }
        Ok((out.b.graph, map[&node]))
    }

    /// The value of a variable as it stands at this point of the step.
    pub fn read(&mut self, id: VariableId) -> Eval<NodeId> {
        if let Some(node) = self.g.states.get(&id) {
            return Ok(*node);
        }
        if let Some(node) = self.g.variable_nodes.get(&id) {
            return Ok(*node);
        }
        let shape: Shape = self.variables[id.0 as usize].ty.shape.clone();
        let scope = self.variables[id.0 as usize].path.clone();
        let b = self.build();
        b.scope = scope;
        let node = ops::variable(b, id, &shape);
        self.g.variable_nodes.insert(id, node);
        Ok(node)
    }

    /// `update s = value`
    fn update(&mut self, name: &'a Ident, value: &'a Expr) -> Eval<()> {
        let path = format!("{}.{}", self.frame.path, name.name);
        let Some(id) = self
            .by_path
            .get(&path)
            .copied()
            .filter(|id| self.variables[id.0 as usize].kind != VariableKind::Param)
        else {
            let problem = self
                .problem_at(
                    name.span,
                    "not-a-state",
                    format!("`{}` is not a state of this layer", name.name),
                    "only states are updated",
                )
                .help(format!("declare it first: `state {}: f32[..] = zeros()`", name.name));
            return Err(self.report(problem));
        };
        let new = self.eval(value)?;
        let node = self.at(value.span, |c| {
            let node = c.tensor(&new)?;
            c.as_numbers(node)
        })?;
        let ty = self.variables[id.0 as usize].ty.clone();
        let node = if self.shape(node).rank() == 0 { self.broadcast(node, &ty.shape)? } else { node };
        if *self.ty(node) != ty {
            let found = self.ty(node).to_string();
            let title = format!("the new value of `{}` is {found}, not {ty}", name.name);
            let problem = self.problem_at(value.span, "shape-mismatch", title, "this value");
            let problem = self.with_origin(problem, node, "");
            return Err(self.report(problem));
        }
        if self.g.b.graph[node].level == Level::Each {
            let problem = self
                .problem_at(
                    value.span,
                    "each-update",
                    format!("every example has a different new value of `{}`", name.name),
                    "this depends on the example",
                )
                .help("take `batch_mean(..)` of what depends on the example");
            return Err(self.report(problem));
        }
        if !self.g.training {
            return Ok(());
        }
        if self.g.states.insert(id, node).is_some() {
            self.g.updates.retain(|update| update.variable != id);
        }
        self.g.updates.push(Update { variable: id, value: node });
        Ok(())
    }

    /// A constant in the shape of the initialiser's tensor, for `zeros()` and its like.
    pub fn initial_shape(&mut self, what: &str) -> Eval<Vec<i64>> {
        match &self.initial {
            Some(initial) => Ok(initial.shape.clone()),
            None => {
                let problem: Diagnostic = self
                    .problem("missing-argument", format!("`{what}()` needs a shape here"), "no shape given")
                    .note("only as the first value of a `param` or `state` is the shape known")
                    .help(format!("`{what}(3, 4)` makes a matrix"));
                Err(self.report(problem))
            }
        }
    }
}
