//! `clip` and `accumulate`.

use super::{PARAMETERS, Problem, close};

/// How many elements a parameter has, and the first value of each.
type Start = (usize, fn(f64) -> f64);

/// The gradient of the problem at its start, by the formula: `(1 + i / 4) * (p - sin(5 * i))`.
fn gradients() -> [Vec<f64>; 3] {
    let start: [Start; 3] =
        [(3, |i| (i + 1.0).cos()), (8, |i| (2.0 * i).cos()), (12, |i| (3.0 * i + 1.0).sin())];
    start.map(|(count, first)| {
        let element = |i| (1.0 + i / 4.0) * (first(i) - (5.0 * i).sin());
        (0..count).map(|i| element(i as f64)).collect()
    })
}

fn norm<'a>(parts: impl IntoIterator<Item = &'a Vec<f64>>) -> f64 {
    parts.into_iter().flatten().map(|v| v * v).sum::<f64>().sqrt()
}

/// What a step of plain gradient descent with rate 1 moved each parameter by.
fn moved(problem: &Problem, stage: usize, interpret: bool) -> [Vec<f64>; 3] {
    let start = Problem::new(&["optimizer sgd(lr: 0)\nsteps 1"]).steps(0, true).remove(0);
    let after = problem.steps(stage, interpret).remove(0);
    PARAMETERS.map(|path| {
        let id = problem.variable(path).0 as usize;
        start[id].iter().zip(&after[id]).map(|(a, b)| a - b).collect()
    })
}

#[test]
fn clip_limits_elements_tensors_or_all_together() {
    let plain = gradients();
    let value = |limit: f64| plain.clone().map(|g| g.iter().map(|v| v.clamp(-limit, limit)).collect());
    let scaled = |factors: [f64; 3]| {
        let mut out = plain.clone();
        for (g, factor) in out.iter_mut().zip(factors) {
            g.iter_mut().for_each(|v| *v *= factor);
        }
        out
    };
    let own = |limit: f64| [0, 1, 2].map(|i| limit / norm([&plain[i]]).max(limit));
    let all = norm(&plain);
    assert!(norm([&plain[0]]) > 1.0 && norm([&plain[1]]) > 1.5 && all > 4.0, "the limits below bind");
    let [v, m, k] = own(1.0);
    let cases: &[(&str, [Vec<f64>; 3])] = &[
        ("clip value: 0.5", value(0.5)),
        ("clip value: 100", plain.clone()),
        ("clip norm: 1.0", scaled([v, m, k])),
        ("clip norm: 2 / (1 + step)", scaled([v, m, k])),
        ("clip norm: 1.0 for Net.m", scaled([1.0, m, 1.0])),
        ("clip norm: 1000", plain.clone()),
        ("clip global_norm: 1.5", scaled([1.5 / all; 3])),
        ("clip global_norm: 1000", plain.clone()),
        (
            "clip global_norm: 0.5 for Net.v\nclip value: 0.5 for Net.k",
            [scaled([0.5 / norm([&plain[0]]); 3])[0].clone(), plain[1].clone(), value(0.5)[2].clone()],
        ),
    ];
    let stages: Vec<String> =
        cases.iter().map(|(clip, _)| format!("{clip}\noptimizer sgd(lr: 1)\nsteps 1")).collect();
    let problem = Problem::new(&stages);
    for (stage, (clip, expected)) in cases.iter().enumerate() {
        for (interpret, tolerance) in [(true, 1e-12), (false, 2e-6)] {
            let found = moved(&problem, stage, interpret);
            let near =
                found.iter().flatten().zip(expected.iter().flatten()).all(|(a, b)| close(*a, *b, tolerance));
            assert!(near, "{clip}: {found:?}, not {expected:?}");
        }
    }
}

/// With the data in it, so that every batch has another gradient.
const DATA: &str = "minimize Net(3 * mean(digits.image))\n";

/// Four batches and one update are one batch of all their examples, for every optimizer and schedule: they count
/// updates.
#[test]
fn batches_that_are_accumulated_are_one_large_batch() {
    let optimizer = "optimizer adam(lr: cosine(0.1, warmup: 1))\nclip global_norm: 2.0\n";
    let problem = Problem::new(&[
        format!("batch 3 from digits.train in order\n{DATA}{optimizer}accumulate 4\nsteps 12"),
        format!("batch 12 from digits.train in order\n{DATA}{optimizer}steps 3"),
    ]);
    for (interpret, tolerance) in [(true, 1e-12), (false, 2e-6)] {
        let (small, large) = (problem.steps(0, interpret), problem.steps(1, interpret));
        for path in PARAMETERS {
            let id = problem.variable(path).0 as usize;
            for (update, after) in large.iter().enumerate() {
                for (a, b) in small[4 * update + 3][id].iter().zip(&after[id]) {
                    assert!(close(*a, *b, tolerance), "{path} after update {}: {a}, not {b}", update + 1);
                }
                if update + 1 < large.len() {
                    let between = &small[4 * update + 4..4 * update + 7];
                    assert!(between.iter().all(|v| v[id] == small[4 * update + 3][id]), "{path} waits");
                }
            }
        }
    }
}

/// Batches count by their examples, and the last ones of a stage make an update though they are fewer.
#[test]
fn accumulation_weighs_batches_by_their_examples() {
    let rows = |text: &str| text.to_string() + DATA + "optimizer sgd(lr: 0.1)\n";
    let problem = Problem::new(&[
        // 8000 rows: batches of 5000 and 3000, and the same again.
        rows("batch 5000 from digits.train in order\n") + "accumulate 2\nsteps 3",
        rows("batch 8000 from digits.train in order\n") + "steps 1",
        rows("batch 5000 from digits.train in order\n") + "steps 1",
    ]);
    let whole = problem.watch(1, "Net.m", false).remove(0);
    let after = problem.watch(0, "Net.m", false);
    for (a, b) in after[1].iter().zip(&whole) {
        assert!(close(*a, *b, 2e-6), "{a}, not {b}");
    }
    assert_ne!(after[2], after[1], "the last batch makes an update of its own");
    let examples = problem.watch(0, "s0.accumulate.examples", false);
    assert_eq!(examples.concat(), [5000.0, 0.0, 0.0]);
    assert_ne!(whole, problem.watch(2, "Net.m", false)[0], "batches differ");
}
