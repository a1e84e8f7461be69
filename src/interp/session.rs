//! Training in f64 with the reference evaluator, step by step.

use super::{Env, Value, evaluate};
use crate::ir::experiment::Variable;
use crate::ir::op::Moment;
use crate::ir::{Array, Computation};

/// The state of a training run: its variables.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The variables, by their number.
    pub variables: Vec<Array>,
}

impl Session {
    /// Starts from these values.
    pub fn new(variables: Vec<Array>) -> Session {
        Session { variables }
    }

    /// Starts from the first values that an experiment's variables have; `moment` carries the seed.
    pub fn initial(variables: &[Variable], moment: Moment) -> Session {
        Session { variables: variables.iter().map(|variable| initial_value(variable, moment)).collect() }
    }

    /// Runs one step on a batch (for each input, the value of every example): returns the outputs by name,
    /// then writes the updates.
    ///
    /// # Panics
    /// As [`evaluate`].
    pub fn step(
        &mut self,
        computation: &Computation,
        inputs: &[Vec<Array>],
        moment: Moment,
    ) -> Vec<(String, Value)> {
        let roots: Vec<_> = computation.roots().collect();
        let env = Env { variables: &self.variables, inputs, moment };
        let mut values = evaluate(&computation.graph, &roots, &env);
        let updates = values.split_off(computation.outputs.len());
        for (update, value) in computation.updates.iter().zip(updates) {
            self.variables[update.variable.0 as usize] = match value {
                Value::Once(value) => value,
                Value::Each(_) => panic!("the new value of variable {} is per example", update.variable.0),
            };
        }
        computation.outputs.iter().map(|(name, _)| name.clone()).zip(values).collect()
    }
}

/// The first value of a variable, as its initialiser computes it.
pub fn initial_value(variable: &Variable, moment: Moment) -> Array {
    let (graph, node) = &variable.init;
    let env = Env { variables: &[], inputs: &[], moment: Moment { example: 0, batch: 1, ..moment } };
    match evaluate(graph, &[*node], &env).pop() {
        Some(Value::Once(value)) => value,
        other => panic!("the first value of {} is {other:?}", variable.path),
    }
}
