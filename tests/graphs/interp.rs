//! The reference evaluator: given values, training steps, what is kept.

use std::collections::HashMap;

use nnc::interp::{Env, Session, Value, evaluate, evaluate_holding, evaluate_with, watch};
use nnc::ir::op::Moment;
use nnc::ir::text::parse;
use nnc::ir::{Array, Computation, NodeId};
use nnc::ops;
use nnc::ty::Shape;

fn computation(text: &str) -> Computation {
    parse(text, ops::find).unwrap_or_else(|why| panic!("{why}"))
}

fn scalars(values: &[f64]) -> Vec<Array> {
    values.iter().map(|value| Array::scalar(*value)).collect()
}

fn moment(batch: u64) -> Moment {
    Moment { seed: 1, step: 4, example: 0, batch }
}

const MEAN: &str = "
%0 = input {index: 0} : each f32
%1 = batch_sum %0 : once f32
%2 = batch_size : once f32
%3 = div %1, %2 : once f32
%4 = exp %3 : once f32
output mean = %3
";

#[test]
fn a_mean_over_the_batch() {
    let c = computation(MEAN);
    let inputs = [scalars(&[1.0, 2.0, 6.0])];
    let env = Env { variables: &[], inputs: &inputs, moment: moment(3) };
    let values = evaluate(&c.graph, &[NodeId(3), NodeId(0)], &env);
    assert_eq!(values[0], Value::Once(Array::scalar(3.0)));
    assert_eq!(values[1], Value::Each(scalars(&[1.0, 2.0, 6.0])));
}

#[test]
fn given_values_stand_for_what_they_name() {
    // As a measurement over a whole split: the sums come from outside, no batch is there at all.
    let c = computation(MEAN);
    let given = HashMap::from([(NodeId(1), Array::scalar(10.0)), (NodeId(2), Array::scalar(4.0))]);
    let env = Env { variables: &[], inputs: &[], moment: moment(0) };
    let values = evaluate_with(&c.graph, &given, &[NodeId(3), NodeId(1)], &env);
    assert_eq!(values, [Value::Once(Array::scalar(2.5)), Value::Once(Array::scalar(10.0))]);
}

#[test]
fn values_of_both_levels_can_be_held() {
    let c = computation(MEAN);
    let inputs = [scalars(&[1.0, 2.0])];
    let env = Env { variables: &[], inputs: &inputs, moment: moment(2) };
    let held = HashMap::from([(NodeId(0), Value::Each(scalars(&[5.0, 7.0])))]);
    assert_eq!(evaluate_holding(&c.graph, &held, &[NodeId(3)], &env), [Value::Once(Array::scalar(6.0))]);
}

#[test]
fn only_what_is_needed_is_computed_in_order() {
    let c = computation(MEAN);
    let inputs = [scalars(&[1.0, 2.0])];
    let env = Env { variables: &[], inputs: &inputs, moment: moment(2) };
    let mut seen = Vec::new();
    watch(&c.graph, &HashMap::new(), &[NodeId(3)], &env, &mut |id, _| seen.push(id.0));
    assert_eq!(seen, [0, 1, 2, 3]);
}

#[test]
fn updates_see_the_old_values_and_are_written_after_the_step() {
    // Two variables swap their values, and one counts the steps.
    let c = computation(
        "%0 = variable {id: 0} : once f32[2]
         %1 = variable {id: 1} : once f32[2]
         %2 = variable {id: 2} : once f32
         %3 = step : once f32
         %4 = add %2, %3 : once f32
         output before = %2
         update variable 0 = %1
         update variable 1 = %0
         update variable 2 = %4",
    );
    let pair = |x: f64, y: f64| Array::new(Shape::of(&[2]), vec![x, y]);
    let mut session = Session::new(vec![pair(1.0, 2.0), pair(3.0, 4.0), Array::scalar(0.5)]);
    let outputs = session.step(&c, &[], moment(1));
    assert_eq!(outputs, [("before".to_string(), Value::Once(Array::scalar(0.5)))]);
    assert_eq!(session.variables, [pair(3.0, 4.0), pair(1.0, 2.0), Array::scalar(4.5)]);
}

#[test]
fn a_step_of_gradient_descent_goes_down() {
    // Least squares: the loss after 60 steps is that of the solution, w = 2.
    let c = computation(
        "%0 = input {index: 0} : each f32
         %1 = input {index: 1} : each f32
         %2 = variable {id: 0} : once f32
         %3 = mul %0, %2 : each f32
         %4 = sub %3, %1 : each f32
         %5 = mul %4, %0 : each f32
         %6 = batch_sum %5 : once f32
         %7 = constant {value: 0.05} : once f32
         %8 = mul %6, %7 : once f32
         %9 = sub %2, %8 : once f32
         update variable 0 = %9",
    );
    let inputs = [scalars(&[1.0, 2.0, 3.0]), scalars(&[2.0, 4.0, 6.0])];
    let mut session = Session::new(scalars(&[0.0]));
    (0..60).for_each(|_| drop(session.step(&c, &inputs, moment(3))));
    assert!((session.variables[0].data[0] - 2.0).abs() < 1e-12);
}
