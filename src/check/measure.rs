//! `measure` statements: graphs in inference mode over the rows of a split.

use super::checker::{Checker, GraphState};
use super::scope::Frame;
use super::stage::{Frameworks, Parts, scopes_of};
use super::value::{Eval, Reported, Value};
use crate::base::{Span, limits};
use crate::ir::experiment::{Every, InputField, Length, Measure, SplitRef};
use crate::ir::{Computation, Graph, Kernel, Level, NodeId};
use crate::syntax::ast::{self, Expr, ExprKind, TrainStatement, Unit};

impl<'a> Checker<'a> {
    /// The measurements of a stage.
    pub fn measures(&mut self, parts: &Parts<'a>, framework: Option<&Frameworks>) -> Eval<Vec<Measure>> {
        let mut measures: Vec<Measure> = Vec::new();
        let mut failed = false;
        for statement in &parts.measures {
            let TrainStatement::Measure { value, on, every, alias, span } = statement else { continue };
            let name = alias.as_ref().map_or_else(|| name_of(value), |alias| alias.name.clone());
            let every = self.every(every.as_ref(), framework);
            let rows = match on {
                Some(on) => self.split_of(on),
                None => framework.and_then(|f| f.batches.first()).map(|b| b.rows).ok_or(Reported),
            };
            let on_span = on.as_ref().map_or(*span, |on| on.span);
            let measured = rows.and_then(|rows| Ok((rows, self.measurement(value, rows, parts, on_span)?)));
            let (Ok(every), Ok((rows, (computation, inputs)))) = (every, measured) else {
                failed = true;
                continue;
            };
            let split = self.tables[rows.table].splits[rows.split].name.clone();
            if let Some(twin) = measures.iter().find(|m| m.name == name && m.split == split) {
                let problem = self
                    .problem_at(
                        *span,
                        "defined-twice",
                        format!("two measurements are named `{split}.{name}`"),
                        "the second",
                    )
                    .label(twin.span, "the first")
                    .help("name one of them: `measure .. as other`");
                self.report(problem);
                failed = true;
            }
            measures.push(Measure { name, rows, split, every, computation, inputs, span: *span });
        }
        if failed { Err(Reported) } else { Ok(measures) }
    }

    /// How often something is done: without a word of it at the end of each epoch, or of a stage of steps.
    pub fn every(&mut self, every: Option<&'a (Expr, Unit)>, framework: Option<&Frameworks>) -> Eval<Every> {
        match every {
            Some((count, unit)) => self.period(count, *unit, "`every`", framework),
            None => Ok(match framework.map(|f| (f.length, f.total_steps)) {
                Some((Length::Steps(_), total)) => Every::Steps(total),
                _ => Every::Epochs(1),
            }),
        }
    }

    fn measurement(
        &mut self,
        value: &'a Expr,
        rows: SplitRef,
        parts: &Parts<'a>,
        on: Span,
    ) -> Eval<(Computation, Vec<InputField>)> {
        let scope = scopes_of(&parts.lets).pop().ok_or(Reported)?;
        self.measured(rows, on, value.span, |c| {
            c.scoped(scope, |c| {
                let result = c.eval(value)?;
                c.at(value.span, |c| {
                    let node = c.measurable(&result, value.span)?;
                    c.over_batch(node)
                })
            })
        })
    }

    /// The loss of the stage on other rows, for those who watch it.
    pub fn loss_on(&mut self, rows: SplitRef, of: &ast::Watched, parts: &Parts<'a>) -> Eval<Measure> {
        let place = parts.minimized.first().map_or(of.span, |m| m.span);
        let (computation, inputs) = self.measured(rows, of.span, place, |c| c.loss_again(parts))?;
        let (name, split) = (of.name.name.clone(), of.split.name.clone());
        Ok(Measure { name, rows, split, every: Every::Epochs(1), computation, inputs, span: of.span })
    }

    /// A value over the rows of a split, in inference mode.
    fn measured(
        &mut self,
        rows: SplitRef,
        on: Span,
        place: Span,
        build: impl FnOnce(&mut Self) -> Eval<NodeId>,
    ) -> Eval<(Computation, Vec<InputField>)> {
        let table = self.tables[rows.table].name.clone();
        let state = GraphState {
            feed: vec![(rows.table, on)],
            examples: Some(self.rows_of(rows)),
            feed_hint: format!("this measurement sees only the rows of `{table}`"),
            ..GraphState::default()
        };
        let frame = Frame::new(String::new(), "", false, 0);
        let (node, state) = self.in_graph(state, |c| {
            c.framed(frame, |c| {
                let node = build(c)?;
                c.one_pass(node, place)?;
                Ok(node)
            })
        });
        let node = node?;
        // What a generator makes of random numbers reads no field, and still each row counts.
        if state.b.graph.iter().all(|(_, node)| node.level == Level::Once) {
            return self.error_at(
                place,
                "no-effect",
                "this measurement does not depend on the data",
                "it reads no field and draws no random number for each example",
            );
        }
        let computation = Computation {
            graph: state.b.graph,
            outputs: vec![("value".to_string(), node)],
            updates: Vec::new(),
        };
        Ok((computation, state.inputs))
    }

    /// Refuses what cannot be measured in one pass over the rows, and what is too large to be evaluated behind it.
    fn one_pass(&mut self, node: NodeId, place: Span) -> Eval<()> {
        let graph = &self.g.b.graph;
        if nested(graph, node) {
            let title = "a sum over the split depends on another one";
            let problem = self
                .problem_at(place, "nested-sum", title, "this cannot be measured in one pass")
                .help("`measure` takes the mean over the examples itself; leave the inner `batch_mean` out");
            return Err(self.report(problem));
        }
        let behind = behind(graph, node);
        let elements = |id: &NodeId| graph[*id].ty.shape.elements();
        let collects = behind.iter().any(|id| graph.kernel(*id) == Some(Kernel::Batch));
        let largest = behind.into_iter().max_by_key(elements).filter(|_| collects);
        if let Some(large) = largest.filter(|id| elements(id) > limits::COLLECTED) {
            let title = format!("{} is too large for a measurement", graph[large].ty);
            let problem = self
                .problem_at(place, "too-large", title, "made of the rows of the whole split")
                .note(format!(
                    "a value made of what `batch` collects has at most {} elements",
                    limits::COLLECTED
                ))
                .help(
                    "measure it on a smaller split, or with sums over the batch instead of all rows at once",
                );
            return Err(self.report(problem));
        }
        Ok(())
    }

    /// What is measured: a number, or a tensor that is not too large to be written down each time.
    fn measurable(&mut self, value: &Value<'a>, span: Span) -> Eval<NodeId> {
        let node = self.tensor(value)?;
        let elements = self.shape(node).elements();
        if elements > limits::MEASURED {
            let found = self.ty(node).to_string();
            let title =
                format!("a measurement of {elements} numbers; at most {} are possible", limits::MEASURED);
            let problem = self
                .problem_at(span, "too-large", title, &format!("this is {found}"))
                .help("take the `mean(..)` or the `sum(..)` over some of its axes");
            let problem = self.with_origin(problem, node, "");
            return Err(self.report(problem));
        }
        self.as_numbers(node)
    }

    /// A number of epochs or steps that comes within the stage: how often, or how long.
    pub fn period(
        &mut self,
        count: &'a Expr,
        unit: Unit,
        what: &str,
        framework: Option<&Frameworks>,
    ) -> Eval<Every> {
        let n = self.int(count, what)?;
        let word = what.trim_matches('`');
        if n < 1 {
            return self.error_at(count.span, "bad-range", format!("{word} {n}"), "at least 1");
        }
        let n = n as u64;
        if let Some(framework) = framework {
            let (needed, unit) = match unit {
                Unit::Epochs => (n.saturating_mul(framework.steps_per_epoch), "epochs"),
                Unit::Steps => (n, "steps"),
            };
            if needed > framework.total_steps {
                let title =
                    format!("{word} {n} {unit} never comes: the stage has {} steps", framework.total_steps);
                let problem = self.problem_at(count.span, "no-effect", title, "longer than the stage");
                let problem = if unit == "epochs" {
                    problem.note(format!("an epoch has {} steps", framework.steps_per_epoch))
                } else {
                    problem
                };
                return Err(self.report(problem));
            }
        }
        Ok(match unit {
            Unit::Epochs => Every::Epochs(n),
            Unit::Steps => Every::Steps(n),
        })
    }
}

/// The name of the outermost call.
pub fn name_of(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Name(name) => name.clone(),
        ExprKind::Call { callee, .. } => name_of(callee),
        ExprKind::Pipe(_, stages) => stages.last().map_or("value".to_string(), |stage| name_of(&stage.apply)),
        ExprKind::Field(_, field) => field.name.clone(),
        _ => "value".to_string(),
    }
}

/// What is evaluated once, behind the pass over the rows: from what brings the rows together on.
fn behind(graph: &Graph, root: NodeId) -> Vec<NodeId> {
    let mut needed = vec![false; root.index() + 1];
    needed[root.index()] = true;
    let mut behind = Vec::new();
    for id in graph.ids().rev().filter(|id| *id <= root) {
        if !needed[id.index()] {
            continue;
        }
        behind.push(id);
        if !matches!(graph.kernel(id), Some(Kernel::BatchSum | Kernel::Batch)) {
            graph[id].inputs.iter().for_each(|input| needed[input.index()] = true);
        }
    }
    behind
}

/// Whether what brings the rows of a split together depends on what has done so before.
fn nested(graph: &Graph, root: NodeId) -> bool {
    // For each node whether a sum over the batch feeds it.
    let mut summed = vec![false; root.index() + 1];
    let mut needed = vec![false; root.index() + 1];
    needed[root.index()] = true;
    for i in (0..=root.index()).rev() {
        if needed[i] {
            for input in &graph[NodeId(i as u32)].inputs {
                needed[input.index()] = true;
            }
        }
    }
    for (id, node) in graph.iter().take(root.index() + 1) {
        if !needed[id.index()] {
            continue;
        }
        let fed = node.inputs.iter().any(|input| summed[input.index()]);
        let is_sum = matches!(graph.kernel(id), Some(Kernel::BatchSum | Kernel::Batch));
        if is_sum && fed {
            return true;
        }
        summed[id.index()] = fed || is_sum;
    }
    false
}
