//! `optimizer` statements: which parameters are trained, by what, and the update of each.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::call::Actual;
use super::checker::Checker;
use super::scope::{Frame, Scope};
use super::stage::Parts;
use super::value::{Eval, Instance, Reported, Value};
use crate::base::Span;
use crate::ir::computation::{Update, VariableId};
use crate::ir::{Level, NodeId};
use crate::syntax::ast::{BinaryOp, DefKind, Train, TrainStatement};
use crate::ty::{Shape, Type};

/// An optimizer with the parameters that it is for; `None` for all.
pub struct Chosen<'a> {
    instance: Rc<Instance<'a>>,
    selected: Option<HashSet<VariableId>>,
    span: Span,
}

/// `reduce lr by factor ..`
pub struct RateScale {
    /// Holds the product of all factors so far.
    pub variable: VariableId,
    node: NodeId,
    /// One of them.
    pub factor: f64,
    span: Span,
}

impl<'a> Checker<'a> {
    /// The optimizers that a stage names.
    pub fn optimizers(
        &mut self,
        train: &'a Train,
        parts: &Parts<'a>,
        scale: Option<&RateScale>,
    ) -> Eval<Vec<Chosen<'a>>> {
        if parts.optimizers.is_empty() {
            let problem = self
                .problem_at(
                    train.header,
                    "no-optimizer",
                    "this stage has no optimizer",
                    "there is no `optimizer` in it",
                )
                .help("add `optimizer adam(lr: 1e-3)`");
            return Err(self.report(problem));
        }
        let mut chosen = Vec::new();
        let mut failed = false;
        for (value, selector, span) in &parts.optimizers {
            let instance = self.at(value.span, |c| {
                let value = c.eval(value)?;
                match value {
                    Value::Instance(instance) if instance.def.def.kind == DefKind::Optimizer => Ok(instance),
                    Value::Definition(def) if def.def.kind == DefKind::Optimizer => {
                        c.instantiate(def, Vec::new(), &def.def.name.name)
                    }
                    other => {
                        let found = c.describe(&other);
                        c.error(
                            "not-an-optimizer",
                            "an optimizer is needed here",
                            &format!("this is {found}"),
                        )
                    }
                }
            });
            let instance = match scale {
                Some(scale) => instance.and_then(|instance| self.scaled(&instance, scale, *span)),
                None => instance,
            };
            let selected = selector.map(|selector| self.select(selector)).transpose();
            match (instance, selected) {
                (Ok(instance), Ok(selected)) => {
                    let selected = selected.map(HashSet::from_iter);
                    chosen.push(Chosen { instance, selected, span: *span });
                }
                _ => failed = true,
            }
        }
        if failed { Err(Reported) } else { Ok(chosen) }
    }

    /// The factor that `reduce lr` makes smaller: a variable that the training loop sets.
    pub fn rate_scale(&mut self, parts: &Parts<'a>, stage: &str) -> Eval<Option<RateScale>> {
        let [TrainStatement::Reduce { by, span, .. }, others @ ..] = &parts.reduces[..] else {
            return Ok(None);
        };
        if let [TrainStatement::Reduce { span: again, .. }, ..] = others {
            let problem = self
                .problem_at(*again, "given-twice", "`reduce lr` is given twice", "the second time")
                .label(*span, "the first");
            return Err(self.report(problem));
        }
        let value = self.eval(by)?;
        match value.number() {
            Some(factor) if factor > 0.0 && factor < 1.0 => {
                let path = format!("{stage}.reduce.lr");
                let (variable, node) = self.own_variable(path, &Type::f32(Shape::scalar()), 1.0, *span)?;
                Ok(Some(RateScale { variable, node, factor, span: *span }))
            }
            _ => {
                let found = self.literal(&value);
                self.error_at(
                    by.span,
                    "bad-range",
                    format!("`reduce lr by {found}`"),
                    "a factor above 0 and below 1",
                )
            }
        }
    }

    /// The optimizer with its `lr` times the factor of `reduce lr`.
    fn scaled(
        &mut self,
        instance: &Rc<Instance<'a>>,
        scale: &RateScale,
        span: Span,
    ) -> Eval<Rc<Instance<'a>>> {
        let Some(lr) = instance.config.get("lr") else {
            let name = &instance.def.def.name.name;
            let problem = self
                .problem_at(
                    span,
                    "no-effect",
                    format!("`{name}` has no `lr` that could be reduced"),
                    "this optimizer",
                )
                .label(scale.span, "`reduce lr` changes the argument `lr` of all optimizers of the stage");
            return Err(self.report(problem));
        };
        let scaled = self.at(span, |c| c.binary(BinaryOp::Mul, lr, Value::Tensor(scale.node)))?;
        let config = Scope::inside(&instance.config);
        config.define("lr", scaled);
        Ok(Rc::new(self.instance(instance.def, config, &instance.text)))
    }

    /// Appends the update of every trained parameter. An optimizer without a selector takes what no other selects.
    pub fn apply_optimizers(
        &mut self,
        chosen: Vec<Chosen<'a>>,
        params: &[(VariableId, NodeId)],
        trained: &[(VariableId, NodeId)],
        train: &'a Train,
        stage: &str,
    ) -> Eval<()> {
        let mut owner: HashMap<VariableId, usize> = HashMap::new();
        let mut failed = false;
        let selects = |i: &usize| chosen[*i].selected.is_some();
        let (some, rest): (Vec<usize>, Vec<usize>) = (0..chosen.len()).partition(selects);
        for i in some.into_iter().chain(rest) {
            let optimizer = &chosen[i];
            let mut effect = false;
            for (id, _) in trained {
                let of_another = match &optimizer.selected {
                    Some(selected) => !selected.contains(id),
                    None => owner.get(id).is_some_and(selects),
                };
                if of_another {
                    continue;
                }
                effect = true;
                if let Some(first) = owner.insert(*id, i) {
                    let path = self.variables[id.0 as usize].path.clone();
                    let problem = self
                        .problem_at(
                            optimizer.span,
                            "two-optimizers",
                            format!("`{path}` has two optimizers"),
                            "the second",
                        )
                        .label(chosen[first].span, "the first")
                        .help("let selectors part the parameters: `optimizer .. for Net.**.weight`");
                    self.report(problem);
                    failed = true;
                    break;
                }
            }
            if !effect {
                let why = match optimizer.selected {
                    Some(_) => "none of its parameters is trained in this stage",
                    None => "the others leave no parameter to it",
                };
                let title = "this optimizer updates nothing";
                let problem = self.problem_at(optimizer.span, "no-effect", title, why);
                self.report(problem);
                failed = true;
            }
        }
        let missing: Vec<String> = trained
            .iter()
            .filter(|(id, _)| !owner.contains_key(id))
            .map(|(id, _)| self.variables[id.0 as usize].path.clone())
            .collect();
        if !failed && let Some(first) = missing.first() {
            let more =
                if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
            let problem = self
                .problem_at(
                    train.header,
                    "no-optimizer",
                    format!("no optimizer is for `{first}`{more}"),
                    "in this stage",
                )
                .help("add an `optimizer` for them, or remove the `for` of one");
            self.report(problem);
            failed = true;
        }
        if failed {
            return Err(Reported);
        }
        for ((id, gradient), (_, node)) in trained.iter().zip(params) {
            if let Some(optimizer) = owner.get(id).and_then(|i| chosen.get(*i)) {
                let new = self.at(optimizer.span, |c| c.new_value(optimizer, *id, *node, *gradient, stage));
                match new {
                    Ok(value) => self.g.updates.push(Update { variable: *id, value }),
                    Err(Reported) => failed = true,
                }
            }
        }
        if failed { Err(Reported) } else { Ok(()) }
    }

    /// One parameter's new value.
    fn new_value(
        &mut self,
        chosen: &Chosen<'a>,
        id: VariableId,
        node: NodeId,
        gradient: NodeId,
        stage: &str,
    ) -> Eval<NodeId> {
        let instance = &chosen.instance;
        let def = instance.def;
        let name = &def.def.name.name;
        let path = format!("{stage}.{name}.{}", self.variables[id.0 as usize].path);
        let scope = Scope::inside(&instance.config);
        let inputs = def.def.second.as_deref().unwrap_or_default();
        let actual = |node| Actual { name: None, value: Value::Tensor(node), span: chosen.span };
        if inputs.len() != 2 {
            let problem = self
                .problem_at(
                    def.def.header,
                    "wrong-arguments",
                    format!("the optimizer `{name}` needs two inputs"),
                    "the parameter and its gradient",
                )
                .help(format!("`optimizer {name}(lr: schedule)(p, g) {{ .. }}`"));
            return Err(self.report(problem));
        }
        self.bind_params(def, inputs, vec![actual(node), actual(gradient)], &scope)?;
        let frame = Frame::new(path, name, false, 0);
        let saved = std::mem::replace(&mut self.optimizing, true);
        let value = self.deeper(name, |c| {
            c.in_module(def.module, |c| c.framed(frame, |c| c.scoped(scope, |c| c.block(&def.def.body))))
        });
        self.optimizing = saved;
        let value = value?;
        let new = self.tensor(&value)?;
        let ty = self.variables[id.0 as usize].ty.clone();
        if *self.ty(new) != ty || self.g.b.graph[new].level != Level::Once {
            let found = self.ty(new).to_string();
            let problem = self
                .problem_at(
                    def.def.header,
                    "shape-mismatch",
                    format!("the value of `{name}` is {found}, the parameter {ty}"),
                    "the value of an optimizer's body is the new parameter",
                )
                .label(chosen.span, "used here");
            return Err(self.report(problem));
        }
        Ok(new)
    }
}
