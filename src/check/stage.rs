//! `train` blocks: what one step computes, how many there are, and on which rows.

use std::rc::Rc;

use super::checker::{Checker, GraphState};
use super::objective::Minimize;
use super::scope::{Frame, Scope};
use super::value::{Eval, Reported, Value};
use crate::base::{Diagnostic, Span};
use crate::ir::computation::VariableId;
use crate::ir::experiment::{BatchFrom, Length, Objective, Reduce, SplitRef, Stage};
use crate::ir::{Computation, NodeId};
use crate::syntax::ast::{Expr, Item, Let, Selector, Train, TrainStatement};

/// The statements of a stage, by kind.
#[derive(Default)]
pub struct Parts<'a> {
    pub batches: Vec<&'a TrainStatement>,
    pub lets: Vec<&'a Let>,
    pub optimizers: Vec<(&'a Expr, Option<&'a Selector>, Span)>,
    pub measures: Vec<&'a TrainStatement>,
    pub samples: Vec<&'a TrainStatement>,
    pub minimized: Vec<Minimize<'a>>,
    pub stops: Vec<&'a TrainStatement>,
    pub saves: Vec<&'a TrainStatement>,
    pub reduces: Vec<&'a TrainStatement>,
    pub clips: Vec<&'a TrainStatement>,
    pub accumulates: Vec<(&'a Expr, Span)>,
    /// `ema` and `swa`.
    pub averages: Vec<&'a TrainStatement>,
    lengths: Vec<(&'a Expr, bool, Span)>,
    seeds: Vec<(&'a Expr, Span)>,
}

/// What a stage needs to know before its step is elaborated.
pub struct Frameworks {
    pub batches: Vec<BatchFrom>,
    pub length: Length,
    pub steps_per_epoch: u64,
    pub total_steps: u64,
}

impl<'a> Checker<'a> {
    /// Elaborates every stage in the order in which they run.
    pub fn all_stages(&mut self) -> Vec<Stage> {
        let program = self.program;
        let Some(main) = program.modules.first() else { return Vec::new() };
        let trains: Vec<&Train> = main
            .ast
            .items
            .iter()
            .filter_map(|item| if let Item::Train(train) = item { Some(train) } else { None })
            .collect();
        if trains.is_empty() {
            let problem = Diagnostic::warning("no-stage", "nothing is trained: there is no `train` block");
            self.report(problem.help("add `train { batch 32 from data.train  ... }`"));
        }
        let names = self.stage_names(&trains);
        let order = self.stage_order(&trains, &names);
        order.into_iter().filter_map(|i| self.stage(trains[i], &names[i]).ok()).collect()
    }

    fn stage_names(&mut self, trains: &[&'a Train]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for train in trains {
            let name = train.name.as_ref().map_or("train", |name| name.name.as_str());
            if let Some(first) = names.iter().position(|n| n == name) {
                let span = train.name.as_ref().map_or(train.header, |name| name.span);
                let problem = self
                    .problem_at(
                        span,
                        "defined-twice",
                        format!("there are two stages named `{name}`"),
                        "the second",
                    )
                    .label(trains[first].header, "the first")
                    .help("give each stage a name of its own: `train warm { .. }`");
                self.report(problem);
            }
            names.push(name.to_string());
        }
        names
    }

    /// Text order, except that a stage comes after the one it names.
    fn stage_order(&mut self, trains: &[&'a Train], names: &[String]) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::new();
        let mut left: Vec<usize> = (0..trains.len()).collect();
        for train in trains {
            if let Some(after) = &train.after
                && !names.contains(&after.name)
            {
                let problem = self.problem_at(
                    after.span,
                    "unknown-stage",
                    format!("there is no stage `{}`", after.name),
                    "not found",
                );
                let problem = match crate::base::did_you_mean(&after.name, names.iter().map(String::as_str)) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem,
                };
                self.report(problem);
            }
        }
        while !left.is_empty() {
            let ready = left.iter().position(|i| {
                let after =
                    trains[*i].after.as_ref().and_then(|after| names.iter().position(|n| *n == after.name));
                after.is_none_or(|before| order.contains(&before))
            });
            match ready {
                Some(place) => order.push(left.remove(place)),
                None => {
                    let span = trains[left[0]].header;
                    let _ = self.error_at::<()>(
                        span,
                        "circle",
                        "these stages wait for each other",
                        "this one is part of the circle",
                    );
                    order.append(&mut left);
                }
            }
        }
        order
    }

    fn stage(&mut self, train: &'a Train, name: &str) -> Eval<Stage> {
        self.at(train.header, |c| {
            let frame = Frame::new(String::new(), name, false, 0);
            c.framed(frame, |c| c.in_module(0, |c| c.scoped(Scope::root(), |c| c.stage_body(train, name))))
        })
    }

    fn stage_body(&mut self, train: &'a Train, name: &str) -> Eval<Stage> {
        let parts = sort(&train.statements);
        let framework = self.framework(train, &parts);
        let seed = match parts.seeds[..] {
            [] => Ok(None),
            [(value, _), ..] => self.seed(value).map(Some),
        };
        if let [_, (_, again), ..] = parts.seeds[..] {
            let _ = self.error_at::<()>(again, "given-twice", "`seed` is given twice", "the second time");
        }
        // Without its batches a stage is still looked at, so that its other errors are found.
        let feed = match &framework {
            Ok(f) => f.batches.iter().map(|b| (b.rows.table, b.span)).collect(),
            Err(Reported) => (0..self.tables.len()).map(|t| (t, Span::NONE)).collect(),
        };
        let state = GraphState {
            training: true,
            feed,
            feed_hint: "add a `batch .. from` statement for it".to_string(),
            total_steps: framework.as_ref().ok().map(|f| f.total_steps),
            examples: framework.as_ref().ok().and_then(|f| f.batches.first()).map(|batch| batch.size),
            ..GraphState::default()
        };
        let known = framework.as_ref().ok();
        let (step, state) = self.in_graph(state, |c| c.step(train, &parts, known, name));
        let full = match (known, state.batched) {
            (Some(framework), Some(batched)) => self.full_batches(framework, batched),
            _ => Ok(()),
        };
        let measures = self.measures(&parts, framework.as_ref().ok());
        let samples = self.written(&parts, framework.as_ref().ok());
        full?;
        let (framework, mut measures) = (framework?, measures?);
        let stops = self.stops(&parts, &framework, &mut measures);
        let best = self.best(&parts, &framework, &mut measures);
        let stall = self.reduction(&parts, &framework, &mut measures);
        let (step, stops, best, stall, samples, seed) = (step?, stops?, best?, stall?, samples?, seed?);
        let reduce =
            step.scale.zip(stall).map(|((variable, factor), stall)| Reduce { variable, factor, stall });
        let mut outputs = vec![("loss".to_string(), step.loss)];
        if step.objectives.len() > 1 {
            outputs.extend(step.objectives.iter().map(|o| (o.name.clone(), o.loss)));
        }
        for (id, gradient) in &step.trained {
            outputs.push((format!("gradient {}", self.variables[id.0 as usize].path), *gradient));
        }
        Ok(Stage {
            name: name.to_string(),
            seed,
            batches: framework.batches,
            length: framework.length,
            steps_per_epoch: framework.steps_per_epoch,
            total_steps: framework.total_steps,
            step: Computation { graph: state.b.graph, outputs, updates: state.updates },
            forward_end: step.forward_end,
            gradient_end: step.gradient_end,
            inputs: state.inputs,
            trained: step.trained,
            objectives: step.objectives,
            measures,
            samples,
            stops,
            best,
            reduce,
            accumulators: step.accumulators,
            averages: step.averages,
            span: train.header,
        })
    }

    /// Batches and length.
    fn framework(&mut self, train: &'a Train, parts: &Parts<'a>) -> Eval<Frameworks> {
        let batches = self.batches(train, parts);
        let length = self.length(train, parts);
        let (batches, length) = (batches?, length?);
        let first = batches.first().ok_or(Reported)?;
        let rows = self.rows_of(first.rows);
        let steps_per_epoch = first.per_epoch(rows) as u64;
        let total_steps = match length {
            Length::Epochs(n) => n.checked_mul(steps_per_epoch),
            Length::Steps(n) => Some(n),
        };
        match total_steps {
            Some(total_steps) => Ok(Frameworks { batches, length, steps_per_epoch, total_steps }),
            None => self.error("too-large", "this stage has more than 2^64 steps", "here"),
        }
    }

    fn batches(&mut self, train: &'a Train, parts: &Parts<'a>) -> Eval<Vec<BatchFrom>> {
        if parts.batches.is_empty() {
            let problem = self
                .problem_at(train.header, "no-batch", "this stage takes no data", "there is no `batch` in it")
                .help("add `batch 32 from data.train`");
            return Err(self.report(problem));
        }
        let mut batches: Vec<Eval<BatchFrom>> = Vec::new();
        for statement in &parts.batches {
            let TrainStatement::Batch { size, from, in_order, drop_last, span } = statement else { continue };
            let batch = self.batch(size, from, *span);
            let batch = batch.and_then(|batch| self.dealt(batch, *in_order, *drop_last));
            if let Ok(batch) = &batch {
                let earlier =
                    batches.iter().flatten().find(|b: &&BatchFrom| b.rows.table == batch.rows.table);
                if let Some(earlier) = earlier {
                    let problem = self
                        .problem_at(
                            *span,
                            "given-twice",
                            "a second batch is taken from the same data",
                            "its fields could not be told apart",
                        )
                        .label(earlier.span, "the first");
                    batches.push(Err(self.report(problem)));
                    continue;
                }
                let first = batches.first().and_then(|b| b.as_ref().ok()).map(|b| (b.size, b.span));
                if let Some((first, at)) = first
                    && first != batch.size
                {
                    let problem = self
                        .problem_at(
                            *span,
                            "batch-sizes",
                            format!("this batch has {} examples, the first {first}", batch.size),
                            "another size",
                        )
                        .label(at, "the first batch")
                        .help("all batches of a stage have one size");
                    batches.push(Err(self.report(problem)));
                    continue;
                }
            }
            batches.push(batch);
        }
        batches.into_iter().collect()
    }

    /// How the rows of a split are dealt out.
    fn dealt(&mut self, batch: BatchFrom, in_order: bool, drop_last: bool) -> Eval<BatchFrom> {
        let rows = self.rows_of(batch.rows);
        if drop_last && rows.is_multiple_of(batch.size) {
            let title = format!("`drop last` drops nothing: {rows} rows are full batches of {}", batch.size);
            let problem = self.problem_at(batch.span, "no-effect", title, "no batch is smaller");
            return Err(self.report(problem.help("leave `drop last` out")));
        }
        Ok(BatchFrom { in_order, drop_last, ..batch })
    }

    fn batch(&mut self, size: &'a Expr, from: &'a Expr, span: Span) -> Eval<BatchFrom> {
        let rows = self.split_of(from);
        let count = self.int(size, "the size of a batch");
        let (rows, count) = (rows?, count?);
        let available = self.rows_of(rows);
        if count < 1 {
            return self.error_at(
                size.span,
                "bad-range",
                format!("a batch of {count} examples"),
                "it has at least 1",
            );
        }
        if count as u64 > available as u64 {
            let problem = self
                .problem_at(
                    size.span,
                    "batch-too-large",
                    format!("a batch of {count} from {available} rows"),
                    "more than there are",
                )
                .label(from.span, format!("has {available} rows"));
            return Err(self.report(problem));
        }
        Ok(BatchFrom { rows, size: count as usize, in_order: false, drop_last: false, span })
    }

    /// That every batch has as many examples, where the step brings them together at `batched`.
    fn full_batches(&mut self, framework: &Frameworks, batched: Span) -> Eval<()> {
        for batch in &framework.batches {
            let (rows, size) = (self.rows_of(batch.rows), batch.size);
            if !rows.is_multiple_of(size) && !batch.drop_last {
                let title = format!("the last batch has {} examples, the others {size}", rows % size);
                let problem = self
                    .problem_at(
                        batch.span,
                        "batch-sizes",
                        title,
                        &format!("{rows} rows in batches of {size}"),
                    )
                    .label(batched, "this needs batches of one size")
                    .help("write `drop last` behind it to leave the smaller batch of each epoch out");
                return Err(self.report(problem));
            }
        }
        Ok(())
    }

    /// `data.split`
    pub fn split_of(&mut self, expr: &'a Expr) -> Eval<SplitRef> {
        match self.eval(expr)? {
            Value::Split(rows) => Ok(rows),
            Value::Table(table) => {
                let splits: Vec<String> = self.tables[table].splits.iter().map(|s| s.name.clone()).collect();
                let problem = self
                    .problem_at(expr.span, "not-a-split", "a split is needed here", "this is all of the data")
                    .help(format!("write `{}.{}`", self.tables[table].name, splits.join("` or `.")));
                Err(self.report(problem))
            }
            other => {
                let found = self.describe(&other);
                self.error_at(
                    expr.span,
                    "not-a-split",
                    "a split such as `data.train` is needed here",
                    &format!("this is {found}"),
                )
            }
        }
    }

    /// How many rows a split has.
    pub fn rows_of(&self, rows: SplitRef) -> usize {
        self.tables.get(rows.table).and_then(|t| t.splits.get(rows.split)).map_or(0, |s| s.rows.len())
    }

    fn length(&mut self, train: &'a Train, parts: &Parts<'a>) -> Eval<Length> {
        match parts.lengths[..] {
            [(count, epochs, _)] => {
                let word = if epochs { "epochs" } else { "steps" };
                let n = self.int(count, &format!("`{word}`"))?;
                if n < 1 {
                    return self.error_at(count.span, "bad-range", format!("{n} {word}"), "at least 1");
                }
                Ok(if epochs { Length::Epochs(n as u64) } else { Length::Steps(n as u64) })
            }
            [] => {
                let problem = self
                    .problem_at(
                        train.header,
                        "no-length",
                        "this stage has no length",
                        "neither `epochs` nor `steps` is given",
                    )
                    .help("add `epochs 10` or `steps 1000`");
                Err(self.report(problem))
            }
            [(_, _, first), (_, _, second), ..] => {
                let problem = self
                    .problem_at(second, "given-twice", "this stage has two lengths", "the second")
                    .label(first, "the first")
                    .help("keep one of `epochs` and `steps`");
                Err(self.report(problem))
            }
        }
    }

    /// A seed: a whole number from 0.
    pub fn seed(&mut self, value: &'a Expr) -> Eval<u64> {
        match self.int(value, "a seed")? {
            n if n >= 0 => Ok(n as u64),
            n => self.error_at(value.span, "bad-range", format!("the seed is {n}"), "a seed is at least 0"),
        }
    }

    /// Elaborates the statements of a step: the losses, their gradients, the updates.
    fn step(
        &mut self,
        train: &'a Train,
        parts: &Parts<'a>,
        framework: Option<&Frameworks>,
        name: &str,
    ) -> Eval<Step> {
        let goals = self.goals(train, parts);
        let scope = self.scope.clone();
        let rhythm = self.rhythm(parts, framework);
        let scale = self.rate_scale(parts, name);
        let optimizers = self.optimizers(train, parts, scale.as_ref().ok().and_then(|scale| scale.as_ref()));
        let (goals, rhythm, scale) = (goals?, rhythm?, scale?);
        let rhythm = rhythm.as_ref();
        let loss = self.sum_of(&goals, train)?;
        let forward_end = self.g.b.graph.len();
        let mut objectives = Vec::new();
        let mut trained: Vec<(VariableId, NodeId, NodeId)> = Vec::new();
        for (goal, params) in goals.iter().zip(self.trained(&goals, train)?) {
            let nodes: Vec<NodeId> = params.iter().map(|(_, node)| *node).collect();
            let gradients = self.gradients(goal.loss, &nodes, train.header)?;
            let ids = params.iter().map(|(id, _)| *id).collect();
            objectives.push(Objective { name: goal.name(), loss: goal.loss, trained: ids });
            trained.extend(params.iter().zip(gradients).map(|((id, node), gradient)| (*id, *node, gradient)));
        }
        trained.sort_unstable();
        let gradient_end = self.g.b.graph.len();
        let params: Vec<_> = trained.iter().map(|(id, node, _)| (*id, *node)).collect();
        let trained: Vec<_> = trained.iter().map(|(id, _, gradient)| (*id, *gradient)).collect();
        let (accumulators, averages) = self.scoped(scope, |c| {
            let optimizers = optimizers?;
            let (gradients, sums) = c.accumulated(rhythm, parts, &trained, name)?;
            let gradients = c.clipped(parts, gradients)?;
            c.apply_optimizers(optimizers, &params, &gradients, train, name)?;
            let accumulators = sums.iter().map(|sum| sum.variable).collect();
            c.settle(rhythm, parts, sums)?;
            Ok((accumulators, c.averages(parts, framework, rhythm, &params, name)?))
        })?;
        let scale = scale.map(|scale| (scale.variable, scale.factor));
        Ok(Step { loss, forward_end, gradient_end, objectives, trained, scale, accumulators, averages })
    }
}

/// What the elaboration of a step gives.
struct Step {
    loss: NodeId,
    forward_end: usize,
    gradient_end: usize,
    objectives: Vec<Objective>,
    trained: Vec<(VariableId, NodeId)>,
    /// The factor of all learning rates, and by what it is multiplied when it is.
    scale: Option<(VariableId, f64)>,
    accumulators: Vec<VariableId>,
    averages: Vec<(VariableId, VariableId)>,
}

/// The statements of a stage by kind.
fn sort(statements: &[TrainStatement]) -> Parts<'_> {
    let mut parts = Parts::default();
    for statement in statements {
        match statement {
            TrainStatement::Batch { .. } => parts.batches.push(statement),
            TrainStatement::Let(item) => parts.lets.push(item),
            TrainStatement::Minimize { value, over, span } => {
                let (over, lets) = (over.as_ref(), parts.lets.len());
                parts.minimized.push(Minimize { value, over, lets, span: *span });
            }
            TrainStatement::Stop { .. } => parts.stops.push(statement),
            TrainStatement::Save { .. } => parts.saves.push(statement),
            TrainStatement::Reduce { .. } => parts.reduces.push(statement),
            TrainStatement::Clip { .. } => parts.clips.push(statement),
            TrainStatement::Accumulate { count, span } => parts.accumulates.push((count, *span)),
            TrainStatement::Ema { .. } | TrainStatement::Swa { .. } => parts.averages.push(statement),
            TrainStatement::Optimizer { value, selector, span } => {
                parts.optimizers.push((value, selector.as_ref(), *span));
            }
            TrainStatement::Epochs { count, span } => parts.lengths.push((count, true, *span)),
            TrainStatement::Steps { count, span } => parts.lengths.push((count, false, *span)),
            TrainStatement::Measure { .. } => parts.measures.push(statement),
            TrainStatement::Sample { .. } => parts.samples.push(statement),
            TrainStatement::Seed(seed) => parts.seeds.push((&seed.value, seed.span)),
        }
    }
    parts
}

/// For each number of `let`s the scope with so many of them, each within that of the one before, so that shadowing
/// works when they are forced late.
pub fn scopes_of<'a>(lets: &[&'a Let]) -> Vec<Rc<Scope<'a>>> {
    let mut scopes = vec![Scope::root()];
    for item in lets {
        let scope = Scope::inside(&scopes[scopes.len() - 1]);
        for name in super::expr::names_of(&item.pattern) {
            scope.define(&name.name, Value::Pending(item));
        }
        scopes.push(scope);
    }
    scopes
}
