//! What is watched while a stage trains: `stop when` and `save best`.

use super::checker::Checker;
use super::stage::{Frameworks, Parts};
use super::value::{Eval, Reported};
use crate::base::{Diagnostic, did_you_mean};
use crate::ir::experiment::{Better, Every, Measure, SplitRef, Stall, Watch, Watched};
use crate::syntax::ast::{self, Expr, ExprKind, Item, TrainStatement, Unit};

impl<'a> Checker<'a> {
    /// The `stop when` statements of a stage. A loss that is watched but not measured is added to the measurements.
    pub fn stops(
        &mut self,
        parts: &Parts<'a>,
        framework: &Frameworks,
        measures: &mut Vec<Measure>,
    ) -> Eval<Vec<Stall>> {
        let mut stops = Vec::new();
        let mut failed = false;
        for statement in &parts.stops {
            let TrainStatement::Stop { when, .. } = statement else { continue };
            match self.stall(when, parts, framework, measures) {
                Ok(stall) => stops.push(stall),
                Err(Reported) => failed = true,
            }
        }
        if failed { Err(Reported) } else { Ok(stops) }
    }

    /// The `save best` statement of a stage.
    pub fn best(
        &mut self,
        parts: &Parts<'a>,
        framework: &Frameworks,
        measures: &mut Vec<Measure>,
    ) -> Eval<Option<Watch>> {
        let [TrainStatement::Save { of, span }, others @ ..] = &parts.saves[..] else { return Ok(None) };
        if let [TrainStatement::Save { span: again, .. }, ..] = others {
            let problem = self
                .problem_at(*again, "given-twice", "`save` is given twice", "the second time")
                .label(*span, "the first")
                .help("a stage keeps the best weights by one measure");
            return Err(self.report(problem));
        }
        self.watch(of, parts, framework, measures).map(Some)
    }

    /// What the `reduce lr` statement of a stage waits for.
    pub fn reduction(
        &mut self,
        parts: &Parts<'a>,
        framework: &Frameworks,
        measures: &mut Vec<Measure>,
    ) -> Eval<Option<Stall>> {
        let [TrainStatement::Reduce { when, .. }, ..] = &parts.reduces[..] else { return Ok(None) };
        self.stall(when, parts, framework, measures).map(Some)
    }

    /// `valid.loss stalls for 3 epochs min_delta: 1e-3`
    fn stall(
        &mut self,
        ast::Stalls { of, patience, min_delta }: &'a ast::Stalls,
        parts: &Parts<'a>,
        framework: &Frameworks,
        measures: &mut Vec<Measure>,
    ) -> Eval<Stall> {
        let watch = self.watch(of, parts, framework, measures);
        let patience = self.patience(&patience.0, patience.1, framework);
        let min_delta = min_delta.as_ref().map_or(Ok(0.0), |delta| self.min_delta(delta));
        Ok(Stall { watch: watch?, patience: patience?, min_delta: min_delta? })
    }

    fn patience(&mut self, count: &'a Expr, unit: Unit, framework: &Frameworks) -> Eval<Every> {
        let patience = self.period(count, unit, "`for`", Some(framework))?;
        if steps_of(patience, framework) >= framework.total_steps {
            return self.error_at(
                count.span,
                "no-effect",
                format!("this never comes: the stage has {} steps", framework.total_steps),
                "as long as the stage",
            );
        }
        Ok(patience)
    }

    fn min_delta(&mut self, delta: &'a Expr) -> Eval<f64> {
        match self.eval(delta)?.number() {
            Some(value) if value >= 0.0 && value.is_finite() => Ok(value),
            _ => self.error_at(delta.span, "bad-range", "`min_delta` is a number from 0", "this is not"),
        }
    }

    /// `valid.loss` as one of the numbers that a stage gives while it trains.
    pub fn watch(
        &mut self,
        of: &'a ast::Watched,
        parts: &Parts<'a>,
        framework: &Frameworks,
        measures: &mut Vec<Measure>,
    ) -> Eval<Watch> {
        let name = format!("{}.{}", of.split.name, of.name.name);
        let known = measures.iter().position(|m| m.split == of.split.name && m.name == of.name.name);
        let (found, better) = match known {
            Some(at) => {
                if steps_of(measures[at].every, framework) >= framework.total_steps {
                    let problem = self
                        .problem_at(
                            of.span,
                            "no-effect",
                            format!("`{name}` is measured once, at the end of the stage"),
                            "there is nothing to compare it with",
                        )
                        .label(measures[at].span, "measured here")
                        .help("measure it more often: `measure .. every 1 epoch`");
                    return Err(self.report(problem));
                }
                let (node, graph) = (measures[at].computation.outputs[0].1, &measures[at].computation.graph);
                if graph[node].ty.shape.rank() > 0 {
                    let title = format!("`{name}` is {}, not one number", graph[node].ty);
                    let problem = self
                        .problem_at(of.span, "not-a-scalar", title, "which of two of these is better?")
                        .label(measures[at].span, "measured here")
                        .help("measure a number made of it as well, such as a `mean(..)`");
                    return Err(self.report(problem));
                }
                (Watched::Measure(at), self.said_by_metric(parts, &of.name.name))
            }
            None if of.name.name == "loss" => {
                (self.watched_loss(of, parts, framework, measures)?, Some(Better::Lower))
            }
            None => {
                let names: Vec<String> = measures.iter().map(|m| format!("{}.{}", m.split, m.name)).collect();
                let problem = self.problem_at(
                    of.span,
                    "not-measured",
                    format!("`{name}` is not measured in this stage"),
                    "there is no such number",
                );
                let near = did_you_mean(&name, names.iter().map(String::as_str));
                return Err(self.report(match near {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help(
                        "add `measure .. on data.split`, and name the split and the metric; or watch the loss: `valid.loss`",
                    ),
                }));
            }
        };
        let said = of.higher.map(|higher| if higher { Better::Higher } else { Better::Lower });
        let Some(better) = said.or(better) else {
            let problem = self
                .problem_at(
                    of.span,
                    "which-is-better",
                    format!("is more or less of `{name}` better?"),
                    "nobody says",
                )
                .help(format!("write `highest {name}` or `lowest {name}`"))
                .note("the metrics of the library say it in their documentation: `Higher is better.`");
            return Err(self.report(problem));
        };
        Ok(Watch { name, of: found, better, span: of.span })
    }

    /// What the documentation of the metric says that makes a measurement: one's own metrics can say it as well.
    fn said_by_metric(&self, parts: &Parts<'a>, name: &str) -> Option<Better> {
        let statement = parts.measures.iter().find_map(|statement| match statement {
            TrainStatement::Measure { value, alias, .. } => {
                let own = alias.as_ref().map_or_else(|| super::measure::name_of(value), |a| a.name.clone());
                (own == name).then_some(value)
            }
            _ => None,
        })?;
        let at = self.program.find(self.module, called(statement)?)?;
        let Some(Item::Def(def)) = self.program.item(at) else { return None };
        match (def.doc.contains("Higher is better."), def.doc.contains("Lower is better.")) {
            (true, false) => Some(Better::Higher),
            (false, true) => Some(Better::Lower),
            _ => None,
        }
    }

    /// The loss on a split: that of the steps, or one more measurement.
    fn watched_loss(
        &mut self,
        of: &'a ast::Watched,
        parts: &Parts<'a>,
        framework: &Frameworks,
        measures: &mut Vec<Measure>,
    ) -> Eval<Watched> {
        if let [first, second, ..] = &parts.minimized[..]
            && first.over.is_some()
        {
            let problem = self
                .problem_at(of.span, "which-loss", "this stage has several losses", "which one is watched?")
                .label(first.span, "one")
                .label(second.span, "another")
                .help("measure the one that is meant, and watch that: `measure .. on data.valid as name`");
            return Err(self.report(problem));
        }
        if framework.total_steps <= framework.steps_per_epoch {
            let problem = self
                .problem_at(
                    of.span,
                    "no-effect",
                    "the loss of a split is measured after each epoch, and this stage has but one",
                    "there is nothing to compare it with",
                )
                .note(format!("an epoch has {} steps", framework.steps_per_epoch))
                .help("measure it more often: `measure .. on data.valid every 100 steps as loss`");
            return Err(self.report(problem));
        }
        let mut splits = Vec::new();
        for batch in &framework.batches {
            let table = &self.tables[batch.rows.table];
            if let Some(split) = table.splits.iter().position(|s| s.name == of.split.name) {
                let rows = SplitRef { table: batch.rows.table, split };
                if rows == framework.batches[0].rows {
                    return Ok(Watched::TrainLoss);
                }
                let measure = self.loss_on(rows, of, parts)?;
                measures.push(measure);
                return Ok(Watched::Measure(measures.len() - 1));
            }
            splits.extend(table.splits.iter().map(|s| s.name.clone()));
        }
        let problem: Diagnostic = self.problem_at(
            of.split.span,
            "unknown-split",
            format!("the data of this stage has no split `{}`", of.split.name),
            "not found",
        );
        let names: Vec<&str> = splits.iter().map(String::as_str).collect();
        Err(self.report(match did_you_mean(&of.split.name, names.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("it has {}", super::call::list_of(&names))),
        }))
    }
}

/// A number of epochs as steps.
pub fn steps_of(every: Every, framework: &Frameworks) -> u64 {
    match every {
        Every::Epochs(n) => n.saturating_mul(framework.steps_per_epoch),
        Every::Steps(n) => n,
    }
}

/// The name of what is called outermost.
fn called(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name),
        ExprKind::Call { callee, .. } => called(callee),
        ExprKind::Pipe(_, stages) => stages.last().and_then(|stage| called(&stage.apply)),
        _ => None,
    }
}
