//! Calls and pipelines: what is called, with which arguments, and how the two meet.

use std::rc::Rc;

use super::builtins::{Args, Builtin};
use super::checker::Checker;
use super::scope::{Frame, Scope};
use super::value::{DefRef, Eval, Reported, Value};
use crate::base::{Ident, Span, did_you_mean};
use crate::syntax::ast::{Arg, Def, DefKind, Expr, ExprKind, Param, PipeStage};

/// An argument of a call.
#[derive(Clone)]
pub struct Actual<'a> {
    pub name: Option<&'a Ident>,
    pub value: Value<'a>,
    pub span: Span,
}

/// How a call is written and named.
#[derive(Clone, Copy, Default)]
pub struct How<'t> {
    /// The label in a pipeline.
    pub label: Option<&'t str>,
    /// As written, for reports.
    pub text: &'t str,
}

impl<'a> Checker<'a> {
    /// `callee(args)`, in a pipeline with the value that flows in.
    pub fn call_expr(
        &mut self,
        expr: &'a Expr,
        callee: &'a Expr,
        args: &'a [Arg],
        piped: Option<(Value<'a>, Option<&'a str>)>,
    ) -> Eval<Value<'a>> {
        let function = self.callee(callee);
        let actuals = self.actuals(function.as_ref().ok(), args, piped.is_some());
        let (function, mut actuals) = (function?, actuals?);
        let program = self.program;
        let text = program.sources.text(expr.span);
        let label = piped.as_ref().and_then(|(_, label)| *label);
        let piped = piped.map(|(value, _)| Actual { name: None, value, span: self.here });
        let makes_layer = match &function {
            Value::Definition(def) => def.def.second.is_some(),
            Value::Builtin(builtin) => builtin.makes_layer,
            _ => false,
        };
        if makes_layer {
            let layer = self.call(function, actuals, How { label: None, text })?;
            return match piped {
                Some(piped) => self.apply(layer, vec![piped], How { label, text }),
                None => Ok(layer),
            };
        }
        if let Some(piped) = piped {
            actuals.insert(0, piped);
        }
        let name = program.sources.text(callee.span);
        self.call(function, actuals, How { label, text: if label.is_some() { text } else { name } })
    }

    fn callee(&mut self, callee: &'a Expr) -> Eval<Value<'a>> {
        // `shape` is a list in an initialiser and a function everywhere.
        if let ExprKind::Name(name) = &callee.kind
            && self.scope.get(name).is_none()
            && self.program.find(self.module, name).is_none()
            && let Some(builtin) = super::builtins::find(name)
        {
            return Ok(Value::Builtin(builtin));
        }
        // Options have the names of the layers that they set: `dropout(dropout)`.
        if let ExprKind::Name(name) = &callee.kind
            && let Some(Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::None) = self.scope.get(name)
            && let Some(Ok(Value::Definition(def))) = self.top_level(name)
        {
            return Ok(Value::Definition(def));
        }
        self.eval(callee)
    }

    /// The values of a call's arguments; a bare word is a choice where the callee takes one.
    fn actuals(
        &mut self,
        function: Option<&Value<'a>>,
        args: &'a [Arg],
        piped: bool,
    ) -> Eval<Vec<Actual<'a>>> {
        let mut actuals = Vec::new();
        let mut failed = false;
        for (i, arg) in args.iter().enumerate() {
            let formal = function.and_then(|f| formal(f, i, arg.name.as_ref(), piped));
            let value = match (&arg.value.kind, formal) {
                (ExprKind::Name(word), Some(param)) if super::types::takes_word(param, word) => {
                    Ok(Value::text(word))
                }
                (ExprKind::Name(word), Some(param))
                    if super::types::is_choice(param) && !self.is_known(word) =>
                {
                    Ok(Value::text(word))
                }
                _ => self.eval(&arg.value),
            };
            match value {
                Ok(value) => {
                    actuals.push(Actual { name: arg.name.as_ref(), value, span: arg.value.span });
                }
                Err(Reported) => failed = true,
            }
        }
        if failed { Err(Reported) } else { Ok(actuals) }
    }

    fn is_known(&self, name: &str) -> bool {
        self.scope.get(name).is_some()
            || self.program.find(self.module, name).is_some()
            || super::builtins::find(name).is_some()
            || super::expr::AMBIENT.iter().any(|(known, _)| *known == name)
    }

    /// `input |> stage |> stage`
    pub fn pipe(&mut self, input: &'a Expr, stages: &'a [PipeStage]) -> Eval<Value<'a>> {
        let mut value = self.eval(input);
        for stage in stages {
            value = self.at(stage.apply.span, |c| c.pipe_stage(value, stage));
        }
        value
    }

    fn pipe_stage(&mut self, input: Eval<Value<'a>>, stage: &'a PipeStage) -> Eval<Value<'a>> {
        let label = stage.label.as_ref().map(|label| label.name.as_str());
        if let ExprKind::Call { callee, args } = &stage.apply.kind {
            // Where the input is wrong the stage is still looked at: its own errors do not depend on it.
            let Ok(input) = input else {
                let function = self.callee(callee);
                let actuals = self.actuals(function.as_ref().ok(), args, true);
                if let (Ok(function @ Value::Definition(def)), Ok(actuals)) = (function, actuals)
                    && def.def.second.is_some()
                {
                    let _ = self.call(function, actuals, How::default());
                }
                return Err(Reported);
            };
            return self.call_expr(&stage.apply, callee, args, Some((input, label)));
        }
        let function = self.callee(&stage.apply);
        let (input, function) = (input?, function?);
        let program = self.program;
        let text = program.sources.text(stage.apply.span);
        let actual = Actual { name: None, value: input, span: self.here };
        if let Value::Definition(def) = &function
            && def.def.second.is_some()
        {
            let instance = self.instantiate(*def, Vec::new(), text)?;
            return self.apply(Value::Instance(instance), vec![actual], How { label, text });
        }
        self.apply(function, vec![actual], How { label, text })
    }

    /// Calls a value; a layer with configuration becomes an instance.
    pub fn call(&mut self, function: Value<'a>, actuals: Vec<Actual<'a>>, how: How) -> Eval<Value<'a>> {
        match function {
            Value::Definition(def) if def.def.second.is_some() => {
                if self.is_model_application(def.def, &actuals) {
                    let instance = self.instantiate(def, Vec::new(), how.text)?;
                    return self.apply_instance(&instance, actuals, how);
                }
                self.instantiate(def, actuals, how.text).map(Value::Instance)
            }
            other => self.apply(other, actuals, how),
        }
    }

    /// `Net(x)` where `Net` has configuration with defaults.
    fn is_model_application(&self, def: &Def, actuals: &[Actual<'a>]) -> bool {
        let takes_tensor = def.first.first().and_then(|p| p.ty.as_ref()).is_some_and(|ty| ty.dims.is_some());
        def.kind == DefKind::Model
            && !takes_tensor
            && matches!(actuals.first(), Some(Actual { name: None, value: Value::Tensor(_), .. }))
    }

    /// Applies a function or an instance to its inputs.
    pub fn apply(&mut self, function: Value<'a>, actuals: Vec<Actual<'a>>, how: How) -> Eval<Value<'a>> {
        match function {
            Value::Definition(def) => self.call_function(def, actuals, how),
            Value::Instance(instance) => self.apply_instance(&instance, actuals, how),
            Value::Builtin(builtin) => {
                let first = self.g.b.graph.len();
                let value = self.call_builtin(builtin, actuals)?;
                self.record_builtin(builtin.name(), how, first, &value);
                Ok(value)
            }
            Value::Chain(chain) => {
                let parts = self.chain_parts(&chain, how.label);
                self.apply_chain(&parts?, actuals)
            }
            Value::Closure(closure) => {
                if closure.names.len() != actuals.len() {
                    let title = format!(
                        "this function takes {}, not {}",
                        count(closure.names.len(), "argument"),
                        actuals.len()
                    );
                    return self.error("wrong-arguments", title, "called here");
                }
                let scope = Scope::inside(&closure.scope);
                for (name, actual) in closure.names.iter().zip(actuals) {
                    if actual.name.is_some() {
                        return self.error_at(
                            actual.span,
                            "wrong-arguments",
                            "the arguments of `=>` have no names here",
                            "leave the name out",
                        );
                    }
                    scope.define(&name.name, actual.value);
                }
                let path = closure.frame.child("function");
                let frame = Frame::new(path, "function", closure.frame.in_model, closure.frame.depth);
                self.deeper("=>", |c| {
                    c.in_module(closure.module, |c| {
                        c.framed(frame, |c| c.scoped(scope, |c| c.eval(closure.body)))
                    })
                })
            }
            other => {
                let found = self.describe(&other);
                self.error("not-a-function", format!("{found} cannot be called"), "called here")
            }
        }
    }

    fn apply_chain(&mut self, parts: &[Value<'a>], mut actuals: Vec<Actual<'a>>) -> Eval<Value<'a>> {
        for part in parts {
            let value = self.call(part.clone(), actuals.clone(), How::default())?;
            if let Some(first) = actuals.first_mut() {
                first.value = value;
            }
        }
        match actuals.into_iter().next() {
            Some(first) => Ok(first.value),
            None => self.error("wrong-arguments", "a chain of layers needs an input", "called without one"),
        }
    }

    /// Binds actual to formal arguments of a definition, with defaults and types.
    pub fn bind_params(
        &mut self,
        def: DefRef<'a>,
        params: &'a [Param],
        actuals: Vec<Actual<'a>>,
        scope: &Rc<Scope<'a>>,
    ) -> Eval<()> {
        let names: Vec<&str> = params.iter().map(|p| p.name.name.as_str()).collect();
        let places = self.place_arguments(&def.def.name.name, &names, &actuals)?;
        let mut given: Vec<Option<Actual<'a>>> = vec![None; params.len()];
        for (place, actual) in places.into_iter().zip(actuals) {
            given[place] = Some(actual);
        }
        let mut failed = false;
        for (param, actual) in params.iter().zip(given) {
            let (value, span) = match (actual, &param.default) {
                (Some(actual), _) => (Ok(actual.value), actual.span),
                (None, Some(default)) => {
                    let value = self.in_module(def.module, |c| {
                        c.scoped(scope.clone(), |c| c.default_value(param, default))
                    });
                    (value, default.span)
                }
                (None, None) => {
                    let title = format!("`{}` needs `{}`", def.def.name.name, param.name.name);
                    let problem = self
                        .problem("missing-argument", title, "not given here")
                        .help(format!("`{}`", signature_of(def.def)));
                    (Err(self.report(problem)), Span::NONE)
                }
            };
            let value = value.and_then(|value| self.fit_param(def, param, value, span, scope));
            failed |= value.is_err();
            scope.define(&param.name.name, value.unwrap_or(Value::Poison));
        }
        if failed { Err(Reported) } else { Ok(()) }
    }

    fn default_value(&mut self, param: &'a Param, default: &'a Expr) -> Eval<Value<'a>> {
        match &default.kind {
            ExprKind::Name(word) if super::types::takes_word(param, word) => Ok(Value::text(word)),
            _ => self.eval(default),
        }
    }

    /// For each actual argument the place of its formal one.
    pub fn place_arguments(
        &mut self,
        what: &str,
        names: &[&str],
        actuals: &[Actual<'a>],
    ) -> Eval<Vec<usize>> {
        let mut places: Vec<usize> = Vec::new();
        let mut failed = false;
        for (i, actual) in actuals.iter().enumerate() {
            let place = match actual.name {
                Some(name) => names.iter().position(|n| *n == name.name),
                None => (i < names.len()).then_some(i),
            };
            match (place, actual.name) {
                (Some(place), _) if !places.contains(&place) => places.push(place),
                (Some(place), _) => {
                    let title = format!("`{}` of `{what}` is given twice", names[place]);
                    let _ = self.error_at::<()>(actual.span, "wrong-arguments", title, "the second time");
                    failed = true;
                }
                (None, Some(name)) => {
                    let title = format!("`{what}` has no argument `{}`", name.name);
                    let problem = self.problem_at(name.span, "unknown-argument", title, "unknown");
                    let problem = match did_you_mean(&name.name, names.iter().copied()) {
                        Some(near) => problem.help(format!("did you mean `{near}`?")),
                        None if names.is_empty() => problem.help("it takes none"),
                        None => problem.help(format!("it takes {}", list_of(names))),
                    };
                    self.report(problem);
                    failed = true;
                }
                (None, None) => {
                    let title =
                        format!("`{what}` takes {}, not {}", count(names.len(), "argument"), actuals.len());
                    let problem = self.problem_at(actual.span, "wrong-arguments", title, "one too many");
                    let problem = if names.is_empty() {
                        problem
                    } else {
                        problem.help(format!("it takes {}", list_of(names)))
                    };
                    self.report(problem);
                    failed = true;
                }
            }
            if failed {
                break;
            }
        }
        if failed { Err(Reported) } else { Ok(places) }
    }

    fn call_builtin(&mut self, builtin: &'static Builtin, actuals: Vec<Actual<'a>>) -> Eval<Value<'a>> {
        let args = Args::bind(self, builtin, actuals)?;
        (builtin.run)(self, &args)
    }
}

/// The formal argument that an actual one goes to, where that is known from the definition alone.
fn formal<'a>(function: &Value<'a>, i: usize, name: Option<&Ident>, piped: bool) -> Option<&'a Param> {
    let (params, piped) = match function {
        Value::Definition(def) => (&def.def.first, piped && def.def.second.is_none()),
        Value::Instance(instance) => (instance.def.def.second.as_ref()?, piped),
        _ => return None,
    };
    match name {
        Some(name) => params.iter().find(|p| p.name.name == name.name),
        None => params.get(i + usize::from(piped)),
    }
}

/// `dense(units, bias = true)(x)`
pub fn signature_of(def: &Def) -> String {
    let list = |params: &[Param]| {
        let parts: Vec<String> = params
            .iter()
            .map(|p| if p.default.is_some() { format!("[{}]", p.name.name) } else { p.name.name.clone() })
            .collect();
        format!("({})", parts.join(", "))
    };
    let second = def.second.as_ref().map(|params| list(params)).unwrap_or_default();
    format!("{}{}{second}", def.name.name, list(&def.first))
}

/// `1 argument`, `2 arguments`
pub fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// "`a`, `b` and `c`"
pub fn list_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}
