//! Declared types against actual values: named dimensions are bound by the first value that shows them.

use std::rc::Rc;

use super::checker::Checker;
use super::scope::Scope;
use super::value::{DefRef, Eval, Value};
use crate::base::{Diagnostic, Span, did_you_mean};
use crate::ir::{Level, NodeId};
use crate::syntax::ast::{DimExpr, Expr, ExprKind, Param, TypeExpr};
use crate::ty::{DType, Shape, Type};

/// The names of types, with what they take.
pub const TYPES: &[(&str, &str)] = &[
    ("f32", "a number, or with dimensions a tensor of numbers"),
    ("index", "whole numbers below a bound: `index<10>[t]`"),
    ("bool", "true or false"),
    ("int", "a whole number known at compile time"),
    ("str", "a text"),
    ("choice", "one of some words: `choice[valid, same]`; `int` and `list` among them admit those too"),
    ("list", "a list"),
    ("function", "a layer or a function"),
    ("schedule", "a number that may change from step to step"),
    ("any", "anything"),
];

/// The name under which the dimensions behind `..` are bound.
const REST: &str = "..";

/// Why a type does not fit, each with the tensor that fixed the dimension.
type Reasons = Vec<(String, Option<NodeId>)>;

/// What a dimension is worth.
enum Dim {
    Known(i64),
    Free(String),
}

/// Whether a formal argument takes this bare word.
pub fn takes_word(param: &Param, word: &str) -> bool {
    param.ty.as_ref().is_some_and(|ty| is_choice(param) && words(ty).contains(&word))
}

/// Whether a formal argument takes one of some words.
pub fn is_choice(param: &Param) -> bool {
    param.ty.as_ref().is_some_and(|ty| ty.name.name == "choice")
}

/// Whether a formal argument is `none` where it is not given.
fn may_be_none(param: &Param) -> bool {
    matches!(&param.default, Some(Expr { kind: ExprKind::Name(name), .. }) if name == "none")
}

fn words(ty: &TypeExpr) -> Vec<&str> {
    let dims = ty.dims.as_deref().unwrap_or_default();
    dims.iter()
        .filter_map(|dim| match dim {
            DimExpr::Expr(Expr { kind: ExprKind::Name(name), .. }) => Some(name.as_str()),
            _ => None,
        })
        .collect()
}

impl<'a> Checker<'a> {
    /// Fits a value to the type of a formal argument; binds its dimensions in `scope`.
    pub fn fit_param(
        &mut self,
        def: DefRef<'a>,
        param: &'a Param,
        value: Value<'a>,
        span: Span,
        scope: &Rc<Scope<'a>>,
    ) -> Eval<Value<'a>> {
        let Some(ty) = &param.ty else { return Ok(value) };
        if matches!(value, Value::None) && may_be_none(param) {
            return Ok(value);
        }
        let what = format!("`{}` of `{}`", param.name.name, def.def.name.name);
        let declared = (!self.program.in_library(ty.span)).then_some(ty.span);
        self.in_module(def.module, |c| c.scoped(scope.clone(), |c| c.fit(&what, ty, value, span, declared)))
    }

    /// Fits a value to a type; dimensions that are not known yet are bound here.
    pub fn fit(
        &mut self,
        what: &str,
        ty: &'a TypeExpr,
        value: Value<'a>,
        span: Span,
        declared: Option<Span>,
    ) -> Eval<Value<'a>> {
        let fits = match ty.name.name.as_str() {
            "f32" | "index" => return self.fit_tensor(what, ty, value, span, declared),
            "bool" if ty.dims.is_none() && matches!(value, Value::Bool(_)) => true,
            "bool" => return self.fit_tensor(what, ty, value, span, declared),
            "int" => match &value {
                Value::Float(v) if v.fract() == 0.0 && v.abs() < 9e15 => return Ok(Value::Int(*v as i64)),
                value => matches!(value, Value::Int(_)),
            },
            "str" => matches!(value, Value::Text(_)),
            "choice" => return self.fit_choice(what, ty, value, span),
            "list" => matches!(value, Value::List(_)),
            "function" => value.is_function(),
            "schedule" => match &value {
                Value::Tensor(node) => {
                    self.shape(*node).rank() == 0 && self.g.b.graph[*node].level == Level::Once
                }
                value => value.number().is_some(),
            },
            "any" => true,
            other => {
                let problem = self.problem_at(
                    ty.name.span,
                    "unknown-type",
                    format!("there is no type `{other}`"),
                    "unknown",
                );
                let problem = match did_you_mean(other, TYPES.iter().map(|(name, _)| *name)) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem,
                };
                return Err(self.report(problem));
            }
        };
        if fits {
            return Ok(value);
        }
        let expected = TYPES.iter().find(|(name, _)| *name == ty.name.name).map_or("", |(_, doc)| *doc);
        let found = self.describe(&value);
        let title = format!("{what} is {found}, not `{}`", ty.name.name);
        let mut problem = self
            .problem_at(span, "wrong-type", title, &format!("this is {found}"))
            .note(format!("`{}` is {expected}", ty.name.name));
        if let Some(declared) = declared {
            problem = problem.label(declared, "declared here");
        }
        Err(self.report(problem))
    }

    fn fit_choice(&mut self, what: &str, ty: &'a TypeExpr, value: Value<'a>, span: Span) -> Eval<Value<'a>> {
        let words = words(ty);
        let fits = match &value {
            Value::Text(text) => words.contains(&text.as_ref()),
            Value::Int(_) => words.contains(&"int"),
            Value::List(_) => words.contains(&"list"),
            _ => false,
        };
        if fits {
            return Ok(value);
        }
        let found = match &value {
            Value::Text(text) => format!("`{text}`"),
            other => self.describe(other),
        };
        let problem =
            self.problem_at(span, "unknown-choice", format!("{what} is {found}"), "not one of its values");
        let near = match &value {
            Value::Text(text) => did_you_mean(text, words.iter().copied()),
            _ => None,
        };
        let problem = match near {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("it takes {}", super::call::list_of(&words))),
        };
        Err(self.report(problem))
    }

    fn fit_tensor(
        &mut self,
        what: &str,
        ty: &'a TypeExpr,
        value: Value<'a>,
        span: Span,
        declared: Option<Span>,
    ) -> Eval<Value<'a>> {
        let is_float = ty.name.name == "f32";
        let node = match &value {
            Value::Tensor(node) => *node,
            Value::Int(_) | Value::Float(_) if is_float && ty.dims.is_none() => return Ok(value),
            Value::Int(_) | Value::Float(_) | Value::List(_) if is_float => {
                let node = self.at(span, |c| c.tensor(&value));
                node?
            }
            other => {
                let found = self.describe(other);
                let title = format!("{what} is {found}, not {}", self.type_text(ty));
                let mut problem = self.problem_at(span, "wrong-type", title, &format!("this is {found}"));
                if let Some(declared) = declared {
                    problem = problem.label(declared, "declared here");
                }
                if value.is_function() {
                    problem = problem.help("a layer is applied with `|>` or with parentheses");
                }
                return Err(self.report(problem));
            }
        };
        let node = if is_float && self.ty(node).dtype == DType::Bool {
            self.at(span, |c| c.as_numbers(node))?
        } else {
            node
        };
        match self.unify(ty, node, what)? {
            None => Ok(Value::Tensor(node)),
            Some(reasons) => {
                let problem = self.does_not_fit(what, ty, node, span, declared, reasons);
                Err(self.report(problem))
            }
        }
    }

    fn does_not_fit(
        &mut self,
        what: &str,
        ty: &'a TypeExpr,
        node: NodeId,
        span: Span,
        declared: Option<Span>,
        reasons: Reasons,
    ) -> Diagnostic {
        let found = self.ty(node).to_string();
        let title = format!("{what} is {found}, not {}", self.type_text(ty));
        let mut problem = self.problem_at(span, "shape-mismatch", title, &format!("this is {found}"));
        problem = self.with_origin(problem, node, "");
        if let Some(declared) = declared {
            problem = problem.label(declared, "declared here");
        }
        for (reason, origin) in reasons {
            problem = problem.note(reason);
            if let Some(origin) = origin {
                problem = self.with_origin(problem, origin, "");
            }
        }
        let declared_index = ty.name.name == "index";
        let actual = self.ty(node).dtype;
        if ty.name.name == "bool" && actual != DType::Bool {
            return problem.help("a comparison gives truth values: `x != 0`");
        }
        match (declared_index, actual) {
            (false, DType::Index(n)) => problem.help(format!(
                "`one_hot(x, {n})` or `embedding(..)` makes numbers of an index; `cast(x)` takes its value as a number"
            )),
            (true, DType::F32) => problem.help("`argmax(x)` gives an index; `cast(x, bound: n)` makes one of whole numbers"),
            _ => problem,
        }
    }

    /// Matches a type with a tensor; the reasons why it does not fit, if so.
    fn unify(&mut self, ty: &'a TypeExpr, node: NodeId, what: &str) -> Eval<Option<Reasons>> {
        let actual = self.ty(node).clone();
        let origin = (format!("{what} is {actual}"), node);
        let mut reasons = Vec::new();
        let kind_fits = match (ty.name.name.as_str(), actual.dtype) {
            ("f32", DType::F32) | ("bool", DType::Bool) => true,
            ("index", DType::Index(bound)) => match &ty.bound {
                None => true,
                Some(expr) => self.match_dim(expr, bound as i64, &origin, &mut reasons)?,
            },
            _ => false,
        };
        let dims = ty.dims.as_deref().unwrap_or_default();
        let rest = dims.iter().position(|dim| matches!(dim, DimExpr::Rest(_)));
        let fixed = dims.len() - usize::from(rest.is_some());
        let rank = actual.shape.rank();
        if !kind_fits || rank < fixed || (rest.is_none() && rank != fixed) {
            return Ok(Some(reasons));
        }
        let mut fits = true;
        let mut axis = 0;
        for dim in dims {
            match dim {
                DimExpr::Rest(_) => {
                    let extents = &actual.shape[axis..axis + rank - fixed];
                    fits &= self.match_rest(extents, &origin, &mut reasons);
                    axis += rank - fixed;
                }
                DimExpr::Expr(expr) => {
                    fits &= self.match_dim(expr, actual.shape[axis] as i64, &origin, &mut reasons)?;
                    axis += 1;
                }
            }
        }
        Ok((!fits).then_some(reasons))
    }

    fn match_rest(&mut self, extents: &[usize], origin: &(String, NodeId), reasons: &mut Reasons) -> bool {
        let found: Vec<i64> = extents.iter().map(|n| *n as i64).collect();
        match self.scope.get(REST) {
            Some(Value::List(known)) => {
                let known: Vec<i64> = known.iter().filter_map(|v| v.number()).map(|v| v as i64).collect();
                if known == found {
                    return true;
                }
                reasons.push((format!("`..` is {known:?}{}", self.because(REST)), self.fixed_by(REST)));
                false
            }
            _ => {
                self.scope.define(REST, Value::list(found.into_iter().map(Value::Int).collect()));
                self.fixes(REST, origin);
                true
            }
        }
    }

    fn match_dim(
        &mut self,
        expr: &'a Expr,
        extent: i64,
        origin: &(String, NodeId),
        reasons: &mut Reasons,
    ) -> Eval<bool> {
        match self.dim(expr)? {
            Dim::Known(n) if n == extent => Ok(true),
            Dim::Known(n) => {
                if !matches!(expr.kind, ExprKind::Number { .. }) {
                    let program = self.program;
                    let name = program.sources.text(expr.span);
                    reasons.push((format!("`{name}` is {n}{}", self.because(name)), self.fixed_by(name)));
                }
                Ok(false)
            }
            Dim::Free(name) => {
                self.scope.define(&name, Value::Int(extent));
                self.fixes(&name, origin);
                Ok(true)
            }
        }
    }

    /// Notes what has fixed a dimension.
    fn fixes(&self, name: &str, (text, node): &(String, NodeId)) {
        self.scope.define(&format!("@{name}"), Value::text(text));
        self.scope.define(&format!("@@{name}"), Value::Tensor(*node));
    }

    /// The tensor that has fixed a dimension.
    fn fixed_by(&self, name: &str) -> Option<NodeId> {
        match self.scope.get(&format!("@@{name}")) {
            Some(Value::Tensor(node)) => Some(node),
            _ => None,
        }
    }

    /// Why a dimension has its value.
    fn because(&self, name: &str) -> String {
        match self.scope.get(&format!("@{name}")) {
            Some(Value::Text(origin)) => format!(" because {origin}"),
            _ => String::new(),
        }
    }

    /// The worth of a dimension; a single name that means nothing yet is free.
    fn dim(&mut self, expr: &'a Expr) -> Eval<Dim> {
        if let ExprKind::Name(name) = &expr.kind
            && self.dim_name(name)?.is_none()
        {
            return Ok(Dim::Free(name.clone()));
        }
        let value = self.eval(expr)?;
        match value {
            Value::Int(n) => Ok(Dim::Known(n)),
            other => {
                let found = self.describe(&other);
                self.error_at(
                    expr.span,
                    "not-whole",
                    "a dimension needs a whole number",
                    &format!("this is {found}"),
                )
            }
        }
    }

    /// The number that a name stands for in a type, if it stands for one.
    fn dim_name(&mut self, name: &str) -> Eval<Option<i64>> {
        let value = match self.scope.get(name) {
            Some(value) => Some(value),
            None => {
                let setting = self.program.find(self.module, name).and_then(|at| self.program.item(at));
                match setting {
                    Some(crate::syntax::ast::Item::Let(_)) => self.top_level(name).transpose()?,
                    _ => None,
                }
            }
        };
        match value {
            Some(Value::Int(n)) => Ok(Some(n)),
            Some(Value::Poison) => Err(super::value::Reported),
            Some(other) => {
                let found = self.describe(&other);
                self.error("not-whole", format!("`{name}` is no dimension"), &format!("it is {found}"))
            }
            None => Ok(None),
        }
    }

    /// A type all of whose dimensions are known.
    pub fn concrete(&mut self, ty: &'a TypeExpr) -> Eval<Type> {
        let mut extents = Vec::new();
        for dim in ty.dims.as_deref().unwrap_or_default() {
            match dim {
                DimExpr::Rest(span) => match self.scope.get(REST) {
                    Some(Value::List(known)) => {
                        extents.extend(known.iter().filter_map(|v| v.number()).map(|v| v as i64));
                    }
                    _ => {
                        return self.error_at(
                            *span,
                            "unknown-size",
                            "the dimensions behind `..` are not known here",
                            "write them out",
                        );
                    }
                },
                DimExpr::Expr(expr) => extents.push(self.known_dim(expr)?),
            }
        }
        let shape = match Shape::checked(&extents) {
            Ok(shape) => shape,
            Err(bad) => return self.error_at(ty.span, "bad-shape", bad.to_string(), &format!("{extents:?}")),
        };
        let dtype = match (ty.name.name.as_str(), &ty.bound) {
            ("f32", None) => DType::F32,
            ("bool", None) => DType::Bool,
            ("index", Some(bound)) => match self.known_dim(bound)? {
                n if n > 0 => DType::Index(n as u64),
                n => {
                    return self.error_at(
                        bound.span,
                        "bad-shape",
                        format!("the bound of an index is {n}"),
                        "it is at least 1",
                    );
                }
            },
            ("index", None) => {
                return self.error_at(
                    ty.span,
                    "wrong-type",
                    "an index needs its bound here",
                    "write `index<10>`",
                );
            }
            _ => {
                return self.error_at(
                    ty.span,
                    "wrong-type",
                    "a tensor's type is needed here",
                    "`f32[..]`, `index<n>[..]` or `bool[..]`",
                );
            }
        };
        Ok(Type::new(dtype, shape))
    }

    fn known_dim(&mut self, expr: &'a Expr) -> Eval<i64> {
        match self.dim(expr)? {
            Dim::Known(n) => Ok(n),
            Dim::Free(name) => {
                let problem = self.problem_at(
                    expr.span,
                    "unknown-name",
                    format!("there is no `{name}`"),
                    "this dimension is not known here",
                );
                let mut known = self.scope.names();
                known.extend(self.visible(self.module));
                let problem = match did_you_mean(&name, known.iter().map(String::as_str)) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help("write a number, or a name that an input's type has bound"),
                };
                Err(self.report(problem))
            }
        }
    }

    /// A type all of whose dimensions happen to be known; says nothing if they are not.
    pub fn known_type(&mut self, ty: &'a TypeExpr) -> Option<Type> {
        self.quiet += 1;
        let found = self.concrete(ty).ok();
        self.quiet -= 1;
        found
    }

    /// A type as written.
    fn type_text(&self, ty: &TypeExpr) -> String {
        self.program.sources.text(ty.span).to_string()
    }
}
