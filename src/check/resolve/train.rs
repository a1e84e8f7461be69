//! The names in `train` blocks.

use super::Names;
use crate::syntax::ast::{Stalls, Train, TrainStatement};

impl<'a> Names<'_, 'a> {
    pub(super) fn train(&mut self, train: &'a Train) {
        self.scopes.push(Vec::new());
        // What is measured or optimized sees all of the stage's `let`s.
        for late in [false, true] {
            for statement in &train.statements {
                self.train_statement(statement, late);
            }
        }
        let locals = self.scopes.pop().unwrap_or_default();
        self.leave(locals);
    }

    fn stalls(&mut self, when: &'a Stalls) {
        self.expr(&when.patience.0);
        if let Some(delta) = &when.min_delta {
            self.expr(delta);
        }
    }

    fn train_statement(&mut self, statement: &'a TrainStatement, late: bool) {
        match statement {
            TrainStatement::Batch { size, from, .. } if !late => {
                self.expr(size);
                self.expr(from);
            }
            TrainStatement::Let(item) if !late => self.bind(item),
            TrainStatement::Minimize { value, over, .. } if !late => {
                self.expr(value);
                if let Some(over) = over {
                    self.selector(over);
                }
            }
            TrainStatement::Reduce { by, when, .. } if !late => {
                self.expr(by);
                self.stalls(when);
            }
            TrainStatement::Clip { limit, selector, .. } if late => {
                self.expr(limit);
                if let Some(selector) = selector {
                    self.selector(selector);
                }
            }
            TrainStatement::Ema { decay, .. } if late => self.expr(decay),
            TrainStatement::Accumulate { count, .. } if !late => self.expr(count),
            TrainStatement::Swa { from: (count, _), every, .. } if !late => {
                self.expr(count);
                if let Some((count, _)) = every {
                    self.expr(count);
                }
            }
            TrainStatement::Stop { when, .. } if !late => self.stalls(when),
            TrainStatement::Epochs { count, .. } | TrainStatement::Steps { count, .. } if !late => {
                self.expr(count)
            }
            TrainStatement::Seed(seed) if !late => self.expr(&seed.value),
            TrainStatement::Optimizer { value, selector, .. } if late => {
                self.expr(value);
                if let Some(selector) = selector {
                    self.selector(selector);
                }
            }
            TrainStatement::Measure { value, on, every, .. } if late => {
                self.expr(value);
                if let Some(on) = on {
                    self.expr(on);
                }
                if let Some((count, _)) = every {
                    self.expr(count);
                }
            }
            TrainStatement::Sample { model, args, every, .. } if late => {
                self.name(&model.name, model.span, false);
                args.iter().for_each(|arg| self.expr(&arg.value));
                if let Some((count, _)) = every {
                    self.expr(count);
                }
            }
            TrainStatement::Batch { .. }
            | TrainStatement::Let(_)
            | TrainStatement::Minimize { .. }
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
}
