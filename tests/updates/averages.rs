//! `ema` and `swa`.

use super::{Problem, close};

/// A parameter and its average after each step.
fn averaged(statement: &str, interpret: bool) -> (Vec<f64>, Vec<f64>) {
    let word = if statement.contains("ema") { "ema" } else { "swa" };
    let problem = Problem::new(&[format!("{statement}\noptimizer sgd(lr: 0.1)\nsteps 8")]);
    let second = |values: Vec<Vec<f64>>| values.iter().map(|v| v[1]).collect();
    (
        second(problem.watch(0, "Net.v", interpret)),
        second(problem.watch(0, &format!("s0.{word}.Net.v"), interpret)),
    )
}

#[test]
fn averages_follow_their_formulas() {
    type Rule = fn(&[f64]) -> Vec<f64>;
    fn moving(p: &[f64], decay: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut average = p[0];
        let step = |(i, p): (usize, &f64)| {
            if i > 0 {
                let decay = decay(i as f64 + 1.0);
                average = decay * average + (1.0 - decay) * p;
            }
            average
        };
        p.iter().enumerate().map(step).collect()
    }
    let mean = |p: &[f64], at: &[usize]| at.iter().map(|i| p[*i]).sum::<f64>() / at.len() as f64;
    let cases: &[(&str, Rule)] = &[
        ("ema 0.9", |p| moving(p, |_| 0.9)),
        ("ema minimum(0.9, step / 10)", |p| moving(p, |t| (t / 10.0).min(0.9))),
        ("accumulate 2\nema 0.9", |p| {
            // Moves with the updates of steps 2, 4, 6, 8; before the first it is the parameter.
            let moved = moving(&[p[1], p[3], p[5], p[7]], |_| 0.9);
            vec![p[0], moved[0], moved[0], moved[1], moved[1], moved[2], moved[2], moved[3]]
        }),
    ];
    for (statement, rule) in cases {
        for (interpret, tolerance) in [(true, 1e-12), (false, 1e-6)] {
            let (p, average) = averaged(statement, interpret);
            let expected = rule(&p);
            let near = average.iter().zip(&expected).all(|(a, b)| close(*a, *b, tolerance));
            assert!(near, "{statement}: {average:?}, not {expected:?}");
        }
    }
    let samples: &[(&str, &[&[usize]])] = &[
        (
            "swa from step 3",
            &[&[0], &[1], &[2], &[2, 3], &[2, 3, 4], &[2, 3, 4, 5], &[2, 3, 4, 5, 6], &[2, 3, 4, 5, 6, 7]],
        ),
        (
            "swa from step 3 every 2 steps",
            &[&[0], &[1], &[2], &[2], &[2, 4], &[2, 4], &[2, 4, 6], &[2, 4, 6]],
        ),
        // Two steps an epoch.
        (
            "batch 4000 from digits.train in order\nswa from epoch 2",
            &[&[0], &[1], &[2], &[3], &[3], &[3, 5], &[3, 5], &[3, 5, 7]],
        ),
        (
            "batch 4000 from digits.train in order\nswa from epoch 1 every 2 epochs",
            &[&[0], &[1], &[1], &[1], &[1], &[1, 5], &[1, 5], &[1, 5]],
        ),
    ];
    for (statement, at) in samples {
        for (interpret, tolerance) in [(true, 1e-12), (false, 1e-6)] {
            if interpret && statement.contains("batch") {
                continue; // Thousands of examples take the reference long, and have no part in it.
            }
            let (p, average) = averaged(statement, interpret);
            for (found, at) in average.iter().zip(*at) {
                assert!(close(*found, mean(&p, at), tolerance), "{statement}: {average:?} of {p:?}");
            }
        }
    }
}
