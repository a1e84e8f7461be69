//! Expressions: each is evaluated to a [`Value`]; tensors become nodes of the graph under construction.

use super::checker::Checker;
use super::scope::Scope;
use super::value::{Closure, Eval, Reported, Value};
use crate::base::{Diagnostic, Ident, did_you_mean};
use crate::ir::NodeId;
use crate::syntax::ast::{Expr, ExprKind, Item, Pattern, UnaryOp};
use std::rc::Rc;

/// Names whose meaning depends on where they stand.
pub const AMBIENT: &[(&str, &str)] = &[
    ("training", "whether this is a training step (true) or a measurement or prediction (false)"),
    ("step", "the number of the step, from 1"),
    ("batch_size", "the number of examples in the batch"),
    ("total_steps", "the number of steps of the stage"),
    ("shape", "in an initialiser: the extents of the tensor"),
    ("fan_in", "in an initialiser: how many inputs feed one output"),
    ("fan_out", "in an initialiser: how many outputs one input feeds"),
    ("none", "what an argument is that was not given: `if mask == none { .. }`"),
];

impl<'a> Checker<'a> {
    /// The value of an expression.
    pub fn eval(&mut self, expr: &'a Expr) -> Eval<Value<'a>> {
        self.at(expr.span, |c| c.eval_kind(expr))
    }

    fn eval_kind(&mut self, expr: &'a Expr) -> Eval<Value<'a>> {
        match &expr.kind {
            ExprKind::Number { value, whole, .. } => {
                // Beyond 2^53 a whole number is not exact as a float.
                if *whole && value.abs() < 9_007_199_254_740_992.0 {
                    Ok(Value::Int(*value as i64))
                } else {
                    Ok(Value::Float(*value))
                }
            }
            ExprKind::Bool(value) => Ok(Value::Bool(*value)),
            ExprKind::Text(text) => Ok(Value::text(text)),
            ExprKind::Name(name) => self.name(name),
            ExprKind::Selector(selector) => self.selected(selector),
            ExprKind::Field(base, field) => self.field(base, field),
            ExprKind::Call { callee, args } => self.call_expr(expr, callee, args, None),
            ExprKind::Index(base, items) => {
                let base = self.eval(base);
                self.index(base, items)
            }
            ExprKind::List(items) => {
                let values: Vec<Eval<Value>> = items.iter().map(|item| self.eval(item)).collect();
                Ok(Value::list(values.into_iter().collect::<Eval<Vec<Value>>>()?))
            }
            ExprKind::Range(from, to) => {
                let (from, to) = (self.int(from, "a range"), self.int(to, "a range"));
                Ok(Value::Range(from?, to?))
            }
            ExprKind::Unary(UnaryOp::Neg, inner) => {
                let value = self.eval(inner)?;
                self.negate(value)
            }
            ExprKind::Unary(UnaryOp::Not, inner) => {
                let value = self.eval(inner)?;
                self.not(value)
            }
            ExprKind::Binary(op, left, right) => {
                let (left, right) = (self.eval(left), self.eval(right));
                let (left, right) = (left?, right?);
                self.binary(*op, left, right)
            }
            ExprKind::Pipe(input, stages) => self.pipe(input, stages),
            ExprKind::Lambda(names, body) => Ok(Value::Closure(Rc::new(Closure {
                names,
                body,
                scope: self.scope.clone(),
                module: self.module,
                frame: self.frame.clone(),
            }))),
            ExprKind::Scan(scan) => self.scan(scan),
            ExprKind::If { condition, then, otherwise } => {
                let chosen = if self.condition(condition)? { Some(then) } else { otherwise.as_ref() };
                match chosen {
                    Some(block) => self.inner_block(block),
                    None => Ok(Value::Nothing),
                }
            }
        }
    }

    /// A condition that is known at compile time.
    pub fn condition(&mut self, condition: &'a Expr) -> Eval<bool> {
        match self.eval(condition)? {
            Value::Bool(value) => Ok(value),
            other => {
                let found = self.describe(&other);
                let problem = self
                    .problem_at(condition.span, "not-a-condition", "`if` needs true or false", &found)
                    .note("`if` is decided when the file is compiled")
                    .help("to choose element by element, write `select(condition, a, b)`");
                Err(self.report(problem))
            }
        }
    }

    /// A whole number that is known at compile time.
    pub fn int(&mut self, expr: &'a Expr, what: &str) -> Eval<i64> {
        let value = self.eval(expr)?;
        self.whole(&value, expr.span, what)
    }

    /// The whole number in a value.
    pub fn whole(&mut self, value: &Value<'a>, span: crate::base::Span, what: &str) -> Eval<i64> {
        match value {
            Value::Int(value) => Ok(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Ok(*value as i64),
            // Outside of first values, `shape` is the function of that name.
            Value::Builtin(builtin) if builtin.name() == "shape" => {
                let title =
                    "the `shape` that an initialiser fills is known only where a parameter or state begins";
                let problem = self
                    .problem_at(span, "no-initial", title, "this is not such a place")
                    .help("hand the initialiser on as a function: `init: () => normal(stddev: 1)`");
                Err(self.report(problem))
            }
            other => {
                let found = self.describe(other);
                self.error_at(
                    span,
                    "not-whole",
                    format!("{what} needs a whole number"),
                    &format!("this is {found}"),
                )
            }
        }
    }

    /// What a name means.
    pub fn name(&mut self, name: &str) -> Eval<Value<'a>> {
        if let Some(value) = self.scope.get(name) {
            return match value {
                Value::Poison => Err(Reported),
                Value::Pending(_) => self.force(name),
                value => Ok(value),
            };
        }
        if let Some(value) = self.top_level(name) {
            return value;
        }
        if let Some(value) = self.ambient(name) {
            return value;
        }
        if let Some(builtin) = super::builtins::find(name) {
            return Ok(Value::Builtin(builtin));
        }
        let problem = self.unknown_name(name);
        Err(self.report(problem))
    }

    /// The diagnostic for a name that nothing defines.
    fn unknown_name(&self, name: &str) -> Diagnostic {
        let problem = self.problem("unknown-name", format!("there is no `{name}`"), "not defined here");
        let mut known = self.scope.names();
        known.extend(self.visible(self.module));
        match did_you_mean(name, known.iter().map(String::as_str)) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        }
    }

    /// The names that a module sees everywhere, in a fixed order.
    pub fn visible(&self, module: usize) -> Vec<String> {
        let mut names: Vec<String> = self.program.names(module).map(str::to_string).collect();
        names.sort();
        names.extend(super::builtins::all().map(|builtin| builtin.name().to_string()));
        names.extend(AMBIENT.iter().map(|(name, _)| (*name).to_string()));
        names
    }

    /// What a name at the top of a file means: a setting, data, a definition.
    pub fn top_level(&mut self, name: &str) -> Option<Eval<Value<'a>>> {
        let at = self.program.find(self.module, name)?;
        match self.program.item(at)? {
            Item::Let(_) => Some(self.setting(at)),
            Item::Data(_) => Some(self.table(at)),
            Item::Def(def) => Some(Ok(Value::Definition(super::value::DefRef { def, module: at.module }))),
            Item::Use(_) | Item::Seed(_) | Item::Train(_) => None,
        }
    }

    fn ambient(&mut self, name: &str) -> Option<Eval<Value<'a>>> {
        let value = match name {
            "none" => Ok(Value::None),
            "training" => Ok(Value::Bool(self.g.training)),
            "step" if self.g.update.is_some() => {
                self.g.update.map(|(update, _)| Value::Tensor(update)).ok_or(Reported)
            }
            "total_steps" if self.g.update.is_some() => {
                self.g.update.map(|(_, total)| Value::Int(total as i64)).ok_or(Reported)
            }
            "step" => self.op("step", &[], crate::ir::Attrs::none()).map(Value::Tensor),
            "batch_size" => self.op("batch_size", &[], crate::ir::Attrs::none()).map(Value::Tensor),
            "total_steps" => match self.g.total_steps {
                Some(steps) => Ok(Value::Int(steps as i64)),
                // The stage's length is wrong, which has been reported.
                None if self.g.training => Err(Reported),
                None => self.error("no-steps", "`total_steps` is known only in a training step", "used here"),
            },
            "shape" | "fan_in" | "fan_out" => return self.ambient_initial(name),
            _ => return None,
        };
        Some(value)
    }

    fn ambient_initial(&mut self, name: &str) -> Option<Eval<Value<'a>>> {
        let Some(initial) = self.initial.clone() else {
            if name == "shape" {
                return None;
            }
            let title = format!("`{name}` is known only in the first value of a parameter or state");
            return Some(self.error("no-initial", title, "used here"));
        };
        let shape = &initial.shape;
        // As Keras counts them.
        let (fan_in, fan_out) = match shape[..] {
            [] => (1, 1),
            [n] => (n, n),
            [n, m] => (n, m),
            [ref window @ .., n, m] => {
                let field: i64 = window.iter().product();
                (field.saturating_mul(n), field.saturating_mul(m))
            }
        };
        Some(Ok(match name {
            "shape" => Value::list(shape.iter().map(|n| Value::Int(*n)).collect()),
            "fan_in" => Value::Int(fan_in),
            _ => Value::Int(fan_out),
        }))
    }

    /// Elaborates a stage's `let` that has not been needed before.
    fn force(&mut self, name: &str) -> Eval<Value<'a>> {
        let Some(owner) = self.scope.owner(name) else { return Err(Reported) };
        let Some(Value::Pending(item)) = owner.get(name) else { return self.name(name) };
        for ident in names_of(&item.pattern) {
            owner.define(&ident.name, Value::Poison);
        }
        let outer = owner.parent().unwrap_or_else(Scope::root);
        let value = self.scoped(outer, |c| c.let_value(item));
        self.scoped(owner.clone(), |c| c.bind(&item.pattern, value));
        match owner.get(name) {
            Some(Value::Poison) | None => Err(Reported),
            Some(value) => Ok(value),
        }
    }

    /// The value of a `let`, with its name as the name of an instance or function.
    pub fn let_value(&mut self, item: &'a crate::syntax::ast::Let) -> Eval<Value<'a>> {
        let value = self.eval(&item.value)?;
        if let (Pattern::Name(name), Value::Instance(instance)) = (&item.pattern, &value) {
            instance.name(Some(&name.name));
        }
        if let (Pattern::Name(name), Value::Chain(chain)) = (&item.pattern, &value) {
            self.chain_parts(chain, Some(&name.name))?;
        }
        Ok(value)
    }

    /// Binds the names of a pattern here.
    pub fn bind(&mut self, pattern: &'a Pattern, value: Eval<Value<'a>>) {
        match (pattern, value) {
            (Pattern::Name(name), Ok(value)) => self.scope.define(&name.name, value),
            (Pattern::Name(name), Err(Reported)) => self.scope.define(&name.name, Value::Poison),
            (Pattern::List(names, span), value) => {
                let parts = value.and_then(|value| self.at(*span, |c| c.parts(value, names.len())));
                for (i, name) in names.iter().enumerate() {
                    let part = parts.as_ref().ok().and_then(|p| p.get(i)).cloned().unwrap_or(Value::Poison);
                    self.scope.define(&name.name, part);
                }
            }
        }
    }

    /// The parts of a list, or of a tensor along its first axis.
    fn parts(&mut self, value: Value<'a>, count: usize) -> Eval<Vec<Value<'a>>> {
        let parts = match &value {
            Value::List(values) => values.as_ref().clone(),
            Value::Tensor(node) if self.shape(*node).rank() > 0 => {
                let node = *node;
                if self.shape(node)[0] != count {
                    let (extent, found) = (self.shape(node)[0], self.ty(node).to_string());
                    return self.wrong_count(count, extent, &found);
                }
                return (0..count as i64).map(|i| self.take(node, 0, i).map(Value::Tensor)).collect();
            }
            other => {
                let found = self.describe(other);
                return self.error(
                    "not-a-list",
                    "only a list or a tensor has parts",
                    &format!("this is {found}"),
                );
            }
        };
        if parts.len() != count {
            let found = self.describe(&value);
            return self.wrong_count(count, parts.len(), &found);
        }
        Ok(parts)
    }

    fn wrong_count<T>(&mut self, names: usize, parts: usize, found: &str) -> Eval<T> {
        let title = format!("{names} names for {parts} parts");
        self.error("wrong-count", title, &format!("the value is {found}"))
    }

    /// A value as a tensor: numbers become constants, lists of numbers vectors.
    pub fn tensor(&mut self, value: &Value<'a>) -> Eval<NodeId> {
        match value {
            Value::Tensor(node) => Ok(*node),
            Value::Int(v) => self.constant(*v as f64),
            Value::Float(v) => self.constant(*v),
            Value::Bool(v) => {
                let number = self.constant(f64::from(u8::from(*v)))?;
                let half = self.constant(0.5)?;
                self.op("lt", &[half, number], crate::ir::Attrs::none())
            }
            Value::List(values) if !values.is_empty() => {
                let parts: Vec<NodeId> = values.iter().map(|v| self.tensor(v)).collect::<Eval<_>>()?;
                self.stack(&parts, 0)
            }
            other => {
                let found = self.describe(other);
                self.error("not-a-tensor", "a tensor or a number is needed", &format!("this is {found}"))
            }
        }
    }

    /// `base.field`
    fn field(&mut self, base: &'a Expr, field: &'a Ident) -> Eval<Value<'a>> {
        if let Some(selector) = self.path_of(base, field) {
            return self.selected_path(&selector, self.here);
        }
        match self.eval(base)? {
            Value::Table(table) => self.table_field(table, field),
            other => {
                let found = self.describe(&other);
                self.error_at(
                    field.span,
                    "no-field",
                    format!("{found} has no parts by name"),
                    "asked for here",
                )
            }
        }
    }
}

/// The names that a pattern binds.
pub fn names_of(pattern: &Pattern) -> &[Ident] {
    match pattern {
        Pattern::Name(name) => std::slice::from_ref(name),
        Pattern::List(names, _) => names,
    }
}
