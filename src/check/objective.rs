//! `minimize` statements: what a step makes small, and which parameters follow the gradient of what.

use std::collections::{HashMap, HashSet};

use super::builtins::reaches;
use super::checker::Checker;
use super::stage::{Parts, scopes_of};
use super::value::{Eval, Reported};
use crate::base::Span;
use crate::ir::computation::VariableId;
use crate::ir::experiment::VariableKind;
use crate::ir::{Attrs, Level, NodeId};
use crate::syntax::ast::{Expr, Selector, Train, TrainStatement};

/// A `minimize` statement with the number of `let`s that stand before it.
#[derive(Clone, Copy)]
pub struct Minimize<'a> {
    pub value: &'a Expr,
    pub over: Option<&'a Selector>,
    pub lets: usize,
    pub span: Span,
}

/// One thing to make small: the sum of all that has no `over`, or what stands before one.
pub struct Goal<'a> {
    pub loss: NodeId,
    over: Option<&'a Selector>,
    span: Span,
}

impl Goal<'_> {
    /// Its name in the log.
    pub fn name(&self) -> String {
        self.over.map_or("loss".to_string(), |over| format!("loss over {}", over.segments.join(".")))
    }
}

/// The losses of a step by level; what differs between examples is averaged over them.
#[derive(Default)]
struct Total {
    each: Option<NodeId>,
    once: Option<NodeId>,
}

impl Total {
    fn add(&mut self, c: &mut Checker, node: NodeId) -> Eval<()> {
        let level = c.g.b.graph[node].level;
        let sum = if level == Level::Each { &mut self.each } else { &mut self.once };
        *sum = Some(match *sum {
            None => node,
            Some(before) => c.op("add", &[before, node], Attrs::none())?,
        });
        Ok(())
    }

    /// A scalar.
    fn close(self, c: &mut Checker) -> Eval<NodeId> {
        let each = self.each.map(|node| c.over_batch(node)).transpose()?;
        match (each, self.once) {
            (Some(a), Some(b)) => c.op("add", &[a, b], Attrs::none()),
            (Some(one), None) | (None, Some(one)) => Ok(one),
            (None, None) => Err(Reported),
        }
    }
}

impl<'a> Checker<'a> {
    /// Elaborates the `let` and `minimize` statements of a step in their order.
    pub fn goals(&mut self, train: &'a Train, parts: &Parts<'a>) -> Eval<Vec<Goal<'a>>> {
        let mut total = Total::default();
        let mut goals = Vec::new();
        let mut failed = self.mixed(&parts.minimized);
        for statement in &train.statements {
            match statement {
                TrainStatement::Let(item) => {
                    let value = self.let_value(item);
                    failed |= value.is_err();
                    self.bind(&item.pattern, value);
                }
                TrainStatement::Minimize { value, over, span } => {
                    let Ok(node) = self.term(value) else {
                        failed = true;
                        continue;
                    };
                    match over {
                        None => total.add(self, node)?,
                        Some(over) => {
                            let loss = self.at(*span, |c| c.over_batch(node))?;
                            goals.push(Goal { loss, over: Some(over), span: *span });
                        }
                    }
                }
                TrainStatement::Batch { .. }
                | TrainStatement::Optimizer { .. }
                | TrainStatement::Epochs { .. }
                | TrainStatement::Steps { .. }
                | TrainStatement::Measure { .. }
                | TrainStatement::Sample { .. }
                | TrainStatement::Stop { .. }
                | TrainStatement::Save { .. }
                | TrainStatement::Reduce { .. }
                | TrainStatement::Clip { .. }
                | TrainStatement::Accumulate { .. }
                | TrainStatement::Ema { .. }
                | TrainStatement::Swa { .. }
                | TrainStatement::Seed(_) => {}
            }
        }
        let Some(last) = parts.minimized.last() else {
            let problem = self
                .problem_at(
                    train.header,
                    "no-objective",
                    "this stage minimizes nothing",
                    "there is no `minimize` in it",
                )
                .help("add `minimize cross_entropy(logits, data.label)` or another loss");
            return Err(self.report(problem));
        };
        if failed {
            return Err(Reported);
        }
        if goals.is_empty() {
            let loss = self.at(last.span, |c| total.close(c))?;
            goals.push(Goal { loss, over: None, span: last.span });
        }
        Ok(goals)
    }

    /// Reports a stage some of whose objectives have an `over` and some not.
    fn mixed(&mut self, minimized: &[Minimize<'a>]) -> bool {
        let all = minimized.iter().find(|m| m.over.is_none());
        let some = minimized.iter().find(|m| m.over.is_some());
        let (Some(all), Some(some)) = (all, some) else { return false };
        let problem = self
            .problem_at(
                all.span,
                "objective-of-all",
                "this objective is for all parameters, another one for some of them",
                "there is no `over` here",
            )
            .label(some.span, "this one is only for some")
            .help("say which parameters each is for: `minimize .. over Net.**`");
        self.report(problem);
        true
    }

    fn term(&mut self, value: &'a Expr) -> Eval<NodeId> {
        let loss = self.eval(value)?;
        self.at(value.span, |c| c.scalar(&loss, value.span, "`minimize`"))
    }

    /// The sum of all objectives: what must stay finite.
    pub fn sum_of(&mut self, goals: &[Goal<'a>], train: &'a Train) -> Eval<NodeId> {
        let (first, others) = goals.split_first().ok_or(Reported)?;
        others.iter().try_fold(first.loss, |sum, goal| {
            self.at(train.header, |c| c.op("add", &[sum, goal.loss], Attrs::none()))
        })
    }

    /// What is minimized as one scalar, in the graph under construction: for `valid.loss`.
    pub fn loss_again(&mut self, parts: &Parts<'a>) -> Eval<NodeId> {
        let scopes = scopes_of(&parts.lets);
        let mut total = Total::default();
        for minimize in &parts.minimized {
            let scope = scopes.get(minimize.lets).ok_or(Reported)?.clone();
            let node = self.scoped(scope, |c| c.term(minimize.value))?;
            total.add(self, node)?;
        }
        let span = parts.minimized.first().map_or(Span::NONE, |m| m.span);
        self.at(span, |c| total.close(c))
    }

    /// For each objective the parameters that it trains, with their nodes.
    pub fn trained(&mut self, goals: &[Goal<'a>], train: &'a Train) -> Eval<Vec<Vec<(VariableId, NodeId)>>> {
        let mut used: Vec<(VariableId, NodeId)> = self
            .g
            .variable_nodes
            .iter()
            .map(|(id, node)| (*id, *node))
            .filter(|(id, _)| self.variables[id.0 as usize].kind == VariableKind::Param)
            .collect();
        used.sort_unstable();
        // After other errors a stand-in may have taken a model's place.
        if self.failed() {
            return Err(Reported);
        }
        let mut owner: HashMap<VariableId, Span> = HashMap::new();
        let mut all = Vec::new();
        let mut failed = false;
        for goal in goals {
            let one = match goal.over {
                None => self.trained_by_all(goal.loss, &used, train),
                Some(over) => self.trained_over(goal, over, &used),
            };
            let Ok(one) = one else {
                failed = true;
                continue;
            };
            let twice = one.iter().find_map(|(id, _)| Some((*id, *owner.get(id)?)));
            if let Some((id, first)) = twice {
                let path = self.variables[id.0 as usize].path.clone();
                let problem = self
                    .problem_at(
                        goal.span,
                        "two-objectives",
                        format!("`{path}` has two objectives"),
                        "the second",
                    )
                    .label(first, "the first")
                    .help("let selectors part the parameters, or minimize the sum of both");
                self.report(problem);
                failed = true;
            }
            owner.extend(one.iter().map(|(id, _)| (*id, goal.span)));
            all.push(one);
        }
        if failed { Err(Reported) } else { Ok(all) }
    }

    /// The parameters that the only objective depends on.
    fn trained_by_all(
        &mut self,
        loss: NodeId,
        used: &[(VariableId, NodeId)],
        train: &'a Train,
    ) -> Eval<Vec<(VariableId, NodeId)>> {
        let reached = reaches(&self.g.b.graph, loss);
        let (trained, idle): (Vec<_>, Vec<_>) =
            used.iter().partition(|(_, node)| reached.get(node.index()).copied().unwrap_or(false));
        if trained.is_empty() {
            let problem = self
                .problem_at(
                    train.header,
                    "nothing-trained",
                    "the objective depends on no parameter",
                    "nothing can be trained here",
                )
                .help("apply a model to the data, and minimize a loss of its result");
            return Err(self.report(problem));
        }
        let root = |c: &Self, id: VariableId| {
            let path = &c.variables[id.0 as usize].path;
            path.split('.').next().unwrap_or_default().to_string()
        };
        let models: HashSet<String> = trained.iter().map(|(id, _)| root(self, *id)).collect();
        // A model all of which stands behind `stop_gradient` is not meant to be trained.
        let idle = idle.into_iter().map(|(id, _)| id).filter(|id| models.contains(&root(self, *id)));
        let idle: Vec<VariableId> = idle.collect();
        self.without_gradient(&idle, train.header, "the objective of this stage does not depend on it")?;
        Ok(trained)
    }

    /// The parameters that a selector names; the objective must depend on each.
    fn trained_over(
        &mut self,
        goal: &Goal<'a>,
        over: &'a Selector,
        used: &[(VariableId, NodeId)],
    ) -> Eval<Vec<(VariableId, NodeId)>> {
        let reached = reaches(&self.g.b.graph, goal.loss);
        let (mut trained, mut idle) = (Vec::new(), Vec::new());
        for id in self.select(over)? {
            match used.iter().find(|(other, _)| *other == id) {
                Some((_, node)) if reached.get(node.index()).copied().unwrap_or(false) => {
                    trained.push((id, *node));
                }
                _ => idle.push(id),
            }
        }
        self.without_gradient(&idle, goal.span, "this objective does not depend on it")?;
        Ok(trained)
    }

    /// Reports parameters that should be trained but have no gradient: once for each layer that is left out.
    fn without_gradient(&mut self, idle: &[VariableId], place: Span, why: &str) -> Eval<()> {
        let mut left_out: Vec<(Span, Vec<String>)> = Vec::new();
        for id in idle {
            let variable = &self.variables[id.0 as usize];
            match left_out.iter_mut().find(|(span, _)| *span == variable.span) {
                Some((_, paths)) => paths.push(variable.path.clone()),
                None => left_out.push((variable.span, vec![variable.path.clone()])),
            }
        }
        let failed = !left_out.is_empty();
        for (span, paths) in left_out {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let (noun, verb) = if paths.len() == 1 { ("parameter", "has") } else { ("parameters", "have") };
            let title = format!("the {noun} {} {verb} no gradient", super::call::list_of(&paths));
            let problem = self
                .problem_at(span, "no-gradient", title, "declared here")
                .label(place, why)
                .help("remove it, or use it on the way to the loss");
            self.report(problem);
        }
        if failed { Err(Reported) } else { Ok(()) }
    }
}
