//! `accumulate` and `clip`: what happens to gradients before the optimizers see them.

use std::collections::HashMap;

use super::checker::Checker;
use super::stage::{Frameworks, Parts};
use super::value::{Eval, Reported};
use crate::base::Span;
use crate::ir::computation::{Update, VariableId};
use crate::ir::experiment::{Variable, VariableKind};
use crate::ir::{Attrs, Builder, Level, NodeId};
use crate::ops;
use crate::syntax::ast::{ClipBy, TrainStatement};
use crate::ty::{Shape, Type};

/// `accumulate n`: which steps make an update, and which update a step belongs to.
pub struct Rhythm {
    /// Whether this step makes one: a truth value.
    due: NodeId,
    /// The number of the update, from 1.
    pub update: NodeId,
}

/// Updates of sums of gradients, before they start over: these wait until the optimizers are done.
pub type Sums = Vec<Update>;

/// A `clip` with what it is for.
struct Clip {
    by: ClipBy,
    limit: NodeId,
    /// Places in the list of gradients.
    gradients: Vec<usize>,
    span: Span,
}

impl<'a> Checker<'a> {
    /// The `accumulate` of a stage. From here on `step` and `total_steps` count updates.
    pub fn rhythm(&mut self, parts: &Parts<'a>, framework: Option<&Frameworks>) -> Eval<Option<Rhythm>> {
        let [(count, span), others @ ..] = &parts.accumulates[..] else { return Ok(None) };
        if let [(_, again), ..] = others {
            let problem = self
                .problem_at(*again, "given-twice", "`accumulate` is given twice", "the second time")
                .label(*span, "the first");
            return Err(self.report(problem));
        }
        let n = self.int(count, "`accumulate`")?;
        let total = framework.ok_or(Reported)?.total_steps;
        if n < 2 {
            let problem = self
                .problem_at(count.span, "bad-range", format!("`accumulate {n}`"), "at least 2")
                .help("leave it out where each batch makes an update");
            return Err(self.report(problem));
        }
        let n = n as u64;
        if n > total {
            let title = format!("{n} batches never come: the stage has {total} steps");
            return self.error_at(count.span, "no-effect", title, "longer than the stage");
        }
        self.at(*span, |c| {
            let step = c.op("step", &[], Attrs::none())?;
            let (size, before) = (c.constant(n as f64)?, c.constant((n - 1) as f64)?);
            let last = c.op("add", &[step, before], Attrs::none())?;
            let rounds = c.op("div", &[last, size], Attrs::none())?;
            let update = c.op("floor", &[rounds], Attrs::none())?;
            let full = c.op("mul", &[update, size], Attrs::none())?;
            let mut due = c.op("eq", &[full, step], Attrs::none())?;
            if total % n != 0 {
                // The last batches of the stage make an update too, though they are fewer.
                let end = c.constant(total as f64)?;
                let ends = c.op("eq", &[step, end], Attrs::none())?;
                due = c.op("or", &[due, ends], Attrs::none())?;
            }
            c.g.update = Some((update, total.div_ceil(n)));
            Ok(Some(Rhythm { due, update }))
        })
    }

    /// A variable of the stage itself, filled with a number at first.
    pub fn own_variable(
        &mut self,
        path: String,
        ty: &Type,
        first: f64,
        span: Span,
    ) -> Eval<(VariableId, NodeId)> {
        let mut b = Builder::default();
        b.span.0 = span;
        let value = ops::constant(&mut b, first);
        let value = ops::broadcast(&mut b, value, &ty.shape);
        let (kind, ty) = (VariableKind::OptimizerState, ty.clone());
        self.variables.push(Variable { path: path.clone(), kind, ty, init: (b.graph, value), span });
        let id = VariableId(self.variables.len() as u32 - 1);
        self.by_path.insert(path, id);
        Ok((id, self.read(id)?))
    }

    /// The mean gradients of all batches of an update, weighted by their examples, and the sums that they come from.
    pub fn accumulated(
        &mut self,
        rhythm: Option<&Rhythm>,
        parts: &Parts<'a>,
        gradients: &[(VariableId, NodeId)],
        stage: &str,
    ) -> Eval<(Vec<(VariableId, NodeId)>, Sums)> {
        let ([(_, span), ..], Some(_)) = (&parts.accumulates[..], rhythm) else {
            return Ok((gradients.to_vec(), Vec::new()));
        };
        self.at(*span, |c| {
            let mut sums = Vec::new();
            let size = c.op("batch_size", &[], Attrs::none())?;
            let path = format!("{stage}.accumulate.examples");
            let (id, before) = c.own_variable(path, &Type::f32(Shape::scalar()), 0.0, *span)?;
            let examples = c.op("add", &[before, size], Attrs::none())?;
            sums.push(Update { variable: id, value: examples });
            let mut means = Vec::new();
            for (param, gradient) in gradients {
                let ty = c.ty(*gradient).clone();
                let path = format!("{stage}.accumulate.{}", c.variables[param.0 as usize].path);
                let (id, before) = c.own_variable(path, &ty, 0.0, *span)?;
                let sum = c.elementwise("mul", "accumulate", *gradient, size)?;
                let sum = c.op("add", &[before, sum], Attrs::none())?;
                sums.push(Update { variable: id, value: sum });
                means.push((*param, c.elementwise("div", "accumulate", sum, examples)?));
            }
            Ok((means, sums))
        })
    }

    /// Makes what the optimizers change wait for the last batch of an update, where the sums start over.
    pub fn settle(&mut self, rhythm: Option<&Rhythm>, parts: &Parts<'a>, sums: Sums) -> Eval<()> {
        let ([(_, span), ..], Some(rhythm)) = (&parts.accumulates[..], rhythm) else { return Ok(()) };
        self.at(*span, |c| {
            for i in 0..c.g.updates.len() {
                let Update { variable, value } = c.g.updates[i];
                if c.variables[variable.0 as usize].kind == VariableKind::State {
                    continue;
                }
                let before = c.g.variable_nodes.get(&variable).copied().ok_or(Reported)?;
                c.g.updates[i].value = c.choose(rhythm.due, value, before)?;
            }
            for Update { variable, value } in sums {
                let zero = c.constant(0.0)?;
                let value = c.choose(rhythm.due, zero, value)?;
                c.g.updates.push(Update { variable, value });
            }
            Ok(())
        })
    }

    /// `value`, but `before` while the update waits for more batches.
    pub fn when_due(&mut self, rhythm: Option<&Rhythm>, value: NodeId, before: NodeId) -> Eval<NodeId> {
        match rhythm {
            Some(rhythm) => self.choose(rhythm.due, value, before),
            None => Ok(value),
        }
    }

    /// `select` with broadcasting.
    pub fn choose(&mut self, condition: NodeId, x: NodeId, y: NodeId) -> Eval<NodeId> {
        let shape = self.common_shape("select", &[condition, x, y])?;
        let [condition, x, y] =
            [self.broadcast(condition, &shape)?, self.broadcast(x, &shape)?, self.broadcast(y, &shape)?];
        self.op("select", &[condition, x, y], Attrs::none())
    }

    /// The gradients after the `clip` statements of the stage.
    pub fn clipped(
        &mut self,
        parts: &Parts<'a>,
        gradients: Vec<(VariableId, NodeId)>,
    ) -> Eval<Vec<(VariableId, NodeId)>> {
        let mut clips: Vec<Clip> = Vec::new();
        let mut owner: HashMap<usize, Span> = HashMap::new();
        let mut failed = false;
        for statement in &parts.clips {
            match self.clip(statement, &gradients) {
                Ok(clip) => {
                    failed |= self.clipped_twice(&clip, &mut owner, &gradients);
                    clips.push(clip);
                }
                Err(Reported) => failed = true,
            }
        }
        if failed {
            return Err(Reported);
        }
        let mut gradients = gradients;
        for clip in clips {
            self.at(clip.span, |c| c.apply_clip(&clip, &mut gradients))?;
        }
        Ok(gradients)
    }

    fn clip(&mut self, statement: &'a TrainStatement, gradients: &[(VariableId, NodeId)]) -> Eval<Clip> {
        let TrainStatement::Clip { by, limit, selector, span } = statement else { return Err(Reported) };
        let what = format!("`clip {}`", by.name());
        let value = self.eval(limit)?;
        if let Some(number) = value.number()
            && !(number > 0.0 && number.is_finite())
        {
            let title = format!("{what} to {}", self.literal(&value));
            return self.error_at(limit.span, "bad-range", title, "a limit is above 0");
        }
        let node = self.at(limit.span, |c| c.scalar(&value, limit.span, &what))?;
        if self.g.b.graph[node].level == Level::Each {
            let title = format!("{what} needs one limit for the step");
            return self.error_at(limit.span, "each-limit", title, "every example has another one");
        }
        let selected = selector.as_ref().map(|selector| self.select(selector)).transpose()?;
        let places = 0..gradients.len();
        let gradients: Vec<usize> = places
            .filter(|i| selected.as_ref().is_none_or(|selected| selected.contains(&gradients[*i].0)))
            .collect();
        if gradients.is_empty() {
            return self.error_at(
                *span,
                "no-effect",
                "this `clip` limits nothing",
                "none of its parameters is trained in this stage",
            );
        }
        Ok(Clip { by: *by, limit: node, gradients, span: *span })
    }

    /// Reports a gradient that has been clipped before.
    fn clipped_twice(
        &mut self,
        clip: &Clip,
        owner: &mut HashMap<usize, Span>,
        gradients: &[(VariableId, NodeId)],
    ) -> bool {
        for place in &clip.gradients {
            let Some(first) = owner.insert(*place, clip.span) else { continue };
            let path = self.variables[gradients[*place].0.0 as usize].path.clone();
            let problem = self
                .problem_at(clip.span, "given-twice", format!("the gradient of `{path}` is clipped twice"), "the second time")
                .label(first, "the first")
                .help("keep one `clip`, or let selectors part the parameters: `clip norm: 1.0 for Net.**.weight`");
            self.report(problem);
            return true;
        }
        false
    }

    fn apply_clip(&mut self, clip: &Clip, gradients: &mut [(VariableId, NodeId)]) -> Eval<()> {
        match clip.by {
            ClipBy::Value => {
                let low = self.op("neg", &[clip.limit], Attrs::none())?;
                for place in &clip.gradients {
                    let gradient = &mut gradients[*place].1;
                    let above = self.elementwise("maximum", "clip", *gradient, low)?;
                    *gradient = self.elementwise("minimum", "clip", above, clip.limit)?;
                }
            }
            ClipBy::Norm => {
                for place in &clip.gradients {
                    let gradient = &mut gradients[*place].1;
                    let squares = self.squares(*gradient)?;
                    let factor = self.clip_factor(squares, clip.limit)?;
                    *gradient = self.elementwise("mul", "clip", *gradient, factor)?;
                }
            }
            ClipBy::GlobalNorm => {
                let mut total: Option<NodeId> = None;
                for place in &clip.gradients {
                    let squares = self.squares(gradients[*place].1)?;
                    total = Some(match total {
                        None => squares,
                        Some(before) => self.op("add", &[before, squares], Attrs::none())?,
                    });
                }
                let factor = self.clip_factor(total.ok_or(Reported)?, clip.limit)?;
                for place in &clip.gradients {
                    let gradient = &mut gradients[*place].1;
                    *gradient = self.elementwise("mul", "clip", *gradient, factor)?;
                }
            }
        }
        Ok(())
    }

    /// The sum of the squares of all elements: of each row first, so that the rows are dealt out to the workers and
    /// long sums lose few digits.
    fn squares(&mut self, x: NodeId) -> Eval<NodeId> {
        let square = self.op("mul", &[x, x], Attrs::none())?;
        let rank = self.shape(x).rank();
        if rank == 0 {
            return Ok(square);
        }
        let rows = self.op("sum", &[square], Attrs::none().sizes("axes", &[rank - 1]))?;
        if rank == 1 {
            return Ok(rows);
        }
        let rest: Vec<usize> = (0..rank - 1).collect();
        self.op("sum", &[rows], Attrs::none().sizes("axes", &rest))
    }

    /// What a gradient is multiplied with so that its length is at most `limit`; 1 where it is.
    fn clip_factor(&mut self, squares: NodeId, limit: NodeId) -> Eval<NodeId> {
        let length = self.op("sqrt", &[squares], Attrs::none())?;
        let least = self.op("maximum", &[length, limit], Attrs::none())?;
        self.op("div", &[limit, least], Attrs::none())
    }
}
