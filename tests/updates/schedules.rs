//! Schedules, seen through plain gradient descent: the rate is what each step did.

use super::Problem;

/// The rates of a stage of `steps` steps.
fn rates(schedule: &str, steps: usize) -> Vec<f64> {
    let problem = Problem::new(&[format!("optimizer sgd(lr: {schedule})\nsteps {steps}")]);
    let mut before = 1f64.cos();
    let mut rates = Vec::new();
    for values in problem.watch(0, "Net.v", true) {
        // The gradient of the first element is the element itself.
        rates.push((before - values[0]) / before);
        before = values[0];
    }
    rates
}
