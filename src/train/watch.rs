//! Watching a measured value: whether it got better, and for how long it has not.

use crate::ir::experiment::{Better, Every, Stall, Watch, Watched};

/// When something was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The step, from 1.
    pub step: u64,
}

/// The best value so far.
#[derive(Clone, Debug)]
pub struct Best {
    /// What is watched: `valid.loss`.
    pub name: String,
    /// The value.
    pub value: f64,
    /// When it was measured.
    pub when: When,
}

/// Follows one watched value through a stage.
#[derive(Clone, Debug)]
pub struct Tracker<'a> {
    watch: &'a Watch,
    min_delta: f64,
    best: Option<Best>,
    first: Option<When>,
    last: Option<When>,
}

impl<'a> Tracker<'a> {
    /// Values count as better only if they are so by more than `min_delta`.
    pub fn new(watch: &'a Watch, min_delta: f64) -> Tracker<'a> {
        Tracker { watch, min_delta, best: None, first: None, last: None }
    }

    /// Takes note of a value; whether it is the best so far. One that is not a number never is.
    pub fn see(&mut self, value: f64, when: When) -> bool {
        self.first.get_or_insert(when);
        self.last = Some(when);
        let better = !value.is_nan()
            && self.best.as_ref().is_none_or(|best| match self.watch.better {
                Better::Lower => value < best.value - self.min_delta,
                Better::Higher => value > best.value + self.min_delta,
            });
        if better {
            self.best = Some(Best { name: self.watch.name.clone(), value, when });
        }
        better
    }

    /// Takes note of a value if it is the one that is watched.
    pub fn see_if(&mut self, of: Watched, value: f64, when: When) -> bool {
        self.watch.of == of && self.see(value, when)
    }

    /// The best value so far.
    pub fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    /// Whether the value has not got better for so long. Where it never was a number, that counts from the first.
    pub fn stalls_for(&self, patience: Every) -> bool {
        let (Some(last), Some(first)) = (self.last, self.first) else { return false };
        let since = self.best.as_ref().map_or(first, |best| best.when);
        match patience {
            Every::Epochs(n) => last.epoch - since.epoch >= n,
            Every::Steps(n) => last.step - since.step >= n,
        }
    }
}

/// Why a stage ended before its time.
#[derive(Clone, Debug)]
pub struct Stalled {
    /// The best value that was reached, if there was any.
    pub best: Option<Best>,
    /// What was watched.
    pub name: String,
    /// For how long it had not got better.
    pub patience: Every,
}

/// The `stop when` of a stage as it trains.
pub struct Stopper<'a> {
    rule: &'a Stall,
    tracker: Tracker<'a>,
}

impl<'a> Stopper<'a> {
    /// Before the first step.
    pub fn new(rule: &'a Stall) -> Stopper<'a> {
        Stopper { rule, tracker: Tracker::new(&rule.watch, rule.min_delta) }
    }

    /// Takes note of a value; why training stops, if it does.
    pub fn see(&mut self, of: Watched, value: f64, when: When) -> Option<Stalled> {
        if self.rule.watch.of != of {
            return None;
        }
        let better = self.tracker.see(value, when);
        (!better && self.tracker.stalls_for(self.rule.patience)).then(|| Stalled {
            best: self.tracker.best().cloned(),
            name: self.rule.watch.name.clone(),
            patience: self.rule.patience,
        })
    }
}

/// The `reduce lr` of a stage as it trains.
pub struct Reducer<'a> {
    rule: &'a Stall,
    tracker: Tracker<'a>,
    /// When the value was best, or the rates were reduced last.
    since: Option<When>,
}

impl<'a> Reducer<'a> {
    /// Before the first step.
    pub fn new(rule: &'a Stall) -> Reducer<'a> {
        Reducer { rule, tracker: Tracker::new(&rule.watch, rule.min_delta), since: None }
    }

    /// Takes note of a value; whether the rates are to be reduced.
    pub fn see(&mut self, of: Watched, value: f64, when: When) -> bool {
        if self.rule.watch.of != of {
            return false;
        }
        let better = self.tracker.see(value, when);
        let since = self.since.get_or_insert(when);
        let stalls = !better
            && match self.rule.patience {
                Every::Epochs(n) => when.epoch - since.epoch >= n,
                Every::Steps(n) => when.step - since.step >= n,
            };
        if better || stalls {
            *since = when;
        }
        stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Span;

    fn watch(better: Better) -> Watch {
        Watch { name: "valid.x".into(), of: Watched::TrainLoss, better, span: Span::NONE }
    }

    fn stops(better: Better, min_delta: f64, patience: Every, values: &[f64]) -> Option<u64> {
        let rule = Stall { watch: watch(better), patience, min_delta };
        let mut stopper = Stopper::new(&rule);
        (1..).zip(values).find_map(|(epoch, value)| {
            let when = When { epoch, step: 10 * epoch };
            stopper.see(Watched::TrainLoss, *value, when).map(|_| epoch)
        })
    }

    #[test]
    fn a_value_stalls_when_it_has_not_been_better_for_long_enough() {
        let falls = [3.0, 2.0, 2.5, 2.0, 1.9, 2.0, 2.0, 2.0];
        assert_eq!(stops(Better::Lower, 0.0, Every::Epochs(3), &falls), Some(8));
        assert_eq!(stops(Better::Lower, 0.0, Every::Epochs(2), &falls), Some(4));
        assert_eq!(stops(Better::Lower, 0.0, Every::Steps(20), &falls), Some(4));
        assert_eq!(stops(Better::Higher, 0.0, Every::Epochs(2), &falls), Some(3));
        assert_eq!(stops(Better::Lower, 0.5, Every::Epochs(3), &falls), Some(5), "0.1 is not enough");
    }

    #[test]
    fn rates_are_reduced_again_and_again() {
        let rule = Stall { watch: watch(Better::Lower), patience: Every::Epochs(2), min_delta: 0.0 };
        let mut reducer = Reducer::new(&rule);
        let values = [3.0, 2.0, 2.5, 2.0, 2.0, 2.0, 1.9, 2.0, 2.0, 1.8];
        let reduced: Vec<u64> = (1..)
            .zip(values)
            .filter(|(epoch, value)| {
                reducer.see(Watched::TrainLoss, *value, When { epoch: *epoch, step: 10 * epoch })
            })
            .map(|(epoch, _)| epoch)
            .collect();
        assert_eq!(reduced, [4, 6, 9]);
        assert!(!reducer.see(Watched::Measure(0), 9.0, When { epoch: 99, step: 990 }), "another number");
    }

    #[test]
    fn what_is_no_number_is_never_better() {
        let mut tracker = Tracker { ..Tracker::new(Box::leak(Box::new(watch(Better::Higher))), 0.0) };
        assert!(!tracker.see(f64::NAN, When { epoch: 1, step: 1 }));
        assert!(tracker.best().is_none());
        assert!(tracker.see(0.5, When { epoch: 2, step: 2 }));
        assert!(!tracker.see(0.5, When { epoch: 3, step: 3 }), "equal is not better");
        assert!(!tracker.see(f64::NAN, When { epoch: 4, step: 4 }));
        assert_eq!(tracker.best().map(|b| b.when.step), Some(2));
    }

    #[test]
    fn never_a_number_stalls_too() {
        assert_eq!(stops(Better::Lower, 0.0, Every::Epochs(2), &[f64::NAN; 5]), Some(3));
    }
}
