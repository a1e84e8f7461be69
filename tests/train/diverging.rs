//! A step that diverges is named exactly, although the parameters are not looked through after every step.

use std::sync::atomic::AtomicBool;

use nnc::driver;
use nnc::ir::computation::VariableId;
use nnc::train::RunOptions;

use super::{checked, machine};

/// A weight that grows by a factor at each step, while the loss, which sees its tanh alone, stays finite.
fn spec(factor: f32) -> String {
    format!(
        "data points = csv(\"points.csv\") {{\n\
           x: f32[1] = columns(\"x\")\n\
           y: f32 = column(\"y\")\n\
           split train: 100%\n\
         }}\n\
         model Net(x: f32[1]) -> f32 {{\n\
           param w: f32[1] = constant(1)\n\
           sum(tanh(x * w))\n\
         }}\n\
         optimizer growing()(p, g) {{ {factor:e} * p + 0 * g }}\n\
         train {{\n\
           batch 4 from points.train\n\
           minimize mse(Net(points.x), points.y)\n\
           optimizer growing()\n\
           steps 1000\n\
         }}\n"
    )
}

/// The first step that leaves the range, and the weight before it.
fn expected(factor: f32) -> (u64, f32) {
    let (mut step, mut weight) = (1, 1f32);
    while (weight * factor).is_finite() {
        weight *= factor;
        step += 1;
    }
    (step, weight)
}

/// Within the first look, between two looks, and many copies of the variables later.
#[test]
fn the_first_bad_step_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows: String = (1..9).map(|i| format!("{i},{}\n", i % 2)).collect();
    std::fs::write(folder.path().join("points.csv"), format!("x,y\n{rows}")).expect("a file");
    let path = folder.path().join("growing.nn");
    for factor in [1e30, 1.9, 1.11] {
        std::fs::write(&path, spec(factor)).expect("a file");
        let (step, weight) = expected(factor);
        let checked = checked(&path);
        let experiment = checked.experiment.as_ref().expect("no errors");
        let mut variables = driver::variables(experiment, &machine(2), None).expect("first values");
        let stop = AtomicBool::new(false);
        let options = RunOptions { machine: machine(2), max_steps: None, stop: &stop };
        let result = driver::train(experiment, &checked.tables, &mut variables, &options, &mut |_| {});
        let problem = result.expect_err("it diverges");
        assert!(problem.title.contains(&format!("at step {step} of")), "{}, not {step}", problem.title);
        assert!(problem.title.contains("`Net.w` is not finite"), "{}", problem.title);
        // The weights before that step are kept.
        assert_eq!(variables.get(VariableId(0)), [weight]);
    }
}
