//! `ema` and `swa`: averages of the trained parameters, which are measured and kept in their place.

use super::checker::Checker;
use super::gradients::Rhythm;
use super::stage::{Frameworks, Parts};
use super::value::{Eval, Reported};
use super::watch::steps_of;
use crate::base::Span;
use crate::ir::computation::{Update, VariableId};
use crate::ir::experiment::Every;
use crate::ir::{Attrs, Level, NodeId};
use crate::syntax::ast::{Expr, TrainStatement, Unit};

/// How the averages of a stage are made.
enum Average {
    /// How much is kept at each update.
    Moving(NodeId),
    /// The mean of the weights after step `first` and each `every` steps.
    Mean { first: u64, every: u64 },
}

impl<'a> Checker<'a> {
    /// Appends the averages that a stage keeps: each trained parameter with its average.
    pub fn averages(
        &mut self,
        parts: &Parts<'a>,
        framework: Option<&Frameworks>,
        rhythm: Option<&Rhythm>,
        params: &[(VariableId, NodeId)],
        stage: &str,
    ) -> Eval<Vec<(VariableId, VariableId)>> {
        let [statement, others @ ..] = &parts.averages[..] else { return Ok(Vec::new()) };
        let (span, word) = place(statement);
        if let [second, ..] = others {
            let (again, _) = place(second);
            let problem = self
                .problem_at(again, "given-twice", "the weights are averaged twice", "the second average")
                .label(span, "the first")
                .help("keep one of them: there is one set of weights to measure and to save");
            return Err(self.report(problem));
        }
        let average = match statement {
            TrainStatement::Ema { decay, .. } => Average::Moving(self.decay(decay)?),
            TrainStatement::Swa { from, every, .. } => {
                self.samples(from, every.as_ref(), framework.ok_or(Reported)?)?
            }
            _ => return Err(Reported),
        };
        self.at(span, |c| {
            let mut pairs = Vec::new();
            for (id, _) in params {
                let variable = &c.variables[id.0 as usize];
                let (path, ty) = (format!("{stage}.{word}.{}", variable.path), variable.ty.clone());
                let (average_id, before) = c.own_variable(path, &ty, 0.0, span)?;
                let new = c.g.updates.iter().find(|update| update.variable == *id).ok_or(Reported)?.value;
                let next = match average {
                    Average::Moving(decay) => c.moving(decay, rhythm, before, new)?,
                    Average::Mean { first, every } => c.mean_of_samples(first, every, before, new)?,
                };
                c.g.updates.push(Update { variable: average_id, value: next });
                pairs.push((*id, average_id));
            }
            Ok(pairs)
        })
    }

    fn decay(&mut self, decay: &'a Expr) -> Eval<NodeId> {
        let value = self.eval(decay)?;
        if let Some(number) = value.number()
            && !(number > 0.0 && number < 1.0)
        {
            let problem = self
                .problem_at(
                    decay.span,
                    "bad-range",
                    format!("`ema {}`", self.literal(&value)),
                    "above 0 and below 1",
                )
                .help("0.999 averages over about 1000 updates");
            return Err(self.report(problem));
        }
        let node = self.at(decay.span, |c| c.scalar(&value, decay.span, "`ema`"))?;
        if self.g.b.graph[node].level == Level::Each {
            return self.error_at(
                decay.span,
                "each-limit",
                "`ema` needs one number for the step",
                "every example has another one",
            );
        }
        Ok(node)
    }

    /// `swa from epoch 8 every 2 epochs` in steps.
    fn samples(
        &mut self,
        (count, unit): &'a (Expr, Unit),
        every: Option<&'a (Expr, Unit)>,
        framework: &Frameworks,
    ) -> Eval<Average> {
        let first = self.period(count, *unit, "`from`", Some(framework))?;
        let every = match every {
            Some((count, unit)) => self.period(count, *unit, "`every`", Some(framework))?,
            None => match unit {
                Unit::Epochs => Every::Epochs(1),
                Unit::Steps => Every::Steps(1),
            },
        };
        let (first, every) = (steps_of(first, framework), steps_of(every, framework));
        if first.saturating_add(every) > framework.total_steps {
            let title = format!("nothing is averaged: the stage has {} steps", framework.total_steps);
            let problem = self
                .problem_at(count.span, "no-effect", title, "only one set of weights is taken from here on")
                .note(format!(
                    "the first is that of step {first}, the next would be that of step {}",
                    first + every
                ));
            return Err(self.report(problem));
        }
        Ok(Average::Mean { first, every })
    }

    /// The first update gives the average, each further one moves it.
    fn moving(
        &mut self,
        decay: NodeId,
        rhythm: Option<&Rhythm>,
        before: NodeId,
        new: NodeId,
    ) -> Eval<NodeId> {
        let update = match rhythm {
            Some(rhythm) => rhythm.update,
            None => self.op("step", &[], Attrs::none())?,
        };
        let one = self.constant(1.0)?;
        let share = self.op("sub", &[one, decay], Attrs::none())?;
        let next = self.blend(before, new, share)?;
        let next = self.when_due(rhythm, next, before)?;
        let later = self.op("lt", &[one, update], Attrs::none())?;
        self.choose(later, next, new)
    }

    /// Until the first sample the weights themselves, then the mean of the samples.
    fn mean_of_samples(&mut self, first: u64, every: u64, before: NodeId, new: NodeId) -> Eval<NodeId> {
        let step = self.op("step", &[], Attrs::none())?;
        let [one, first, every] =
            [self.constant(1.0)?, self.constant(first as f64)?, self.constant(every as f64)?];
        let since = self.op("sub", &[step, first], Attrs::none())?;
        let rounds = self.op("div", &[since, every], Attrs::none())?;
        let round = self.op("floor", &[rounds], Attrs::none())?;
        let due = self.op("eq", &[rounds, round], Attrs::none())?;
        let count = self.op("add", &[round, one], Attrs::none())?;
        let count = self.op("maximum", &[count, one], Attrs::none())?;
        let share = self.op("div", &[one, count], Attrs::none())?;
        let next = self.blend(before, new, share)?;
        let next = self.choose(due, next, before)?;
        let begun = self.op("lt", &[first, step], Attrs::none())?;
        self.choose(begun, next, new)
    }

    /// `before + share * (new - before)`
    fn blend(&mut self, before: NodeId, new: NodeId, share: NodeId) -> Eval<NodeId> {
        let way = self.op("sub", &[new, before], Attrs::none())?;
        let part = self.elementwise("mul", "*", way, share)?;
        self.op("add", &[before, part], Attrs::none())
    }
}

/// Where a statement stands, and its word.
fn place(statement: &TrainStatement) -> (Span, &'static str) {
    match statement {
        TrainStatement::Ema { span, .. } => (*span, "ema"),
        TrainStatement::Swa { span, .. } => (*span, "swa"),
        _ => (Span::NONE, "average"),
    }
}
