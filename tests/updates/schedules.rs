//! Schedules, seen through plain gradient descent: the rate is what each step did.

use super::Problem;
use std::f64::consts::PI;

/// The rates of stages of `STEPS` steps.
fn rates(schedules: &[&str]) -> Vec<Vec<f64>> {
    let stages: Vec<String> =
        schedules.iter().map(|text| format!("optimizer sgd(lr: {text})\nsteps {STEPS}")).collect();
    let problem = Problem::new(&stages);
    let stage = |number: usize| {
        let mut before = 1f64.cos();
        let mut rates = Vec::new();
        for values in problem.watch(number, "Net.v", true) {
            // The gradient of the first element is the element itself.
            rates.push((before - values[0]) / before);
            before = values[0];
        }
        rates
    };
    (0..schedules.len()).map(stage).collect()
}

const STEPS: usize = 20;

/// Half a cosine from `a` to `b`.
fn half(a: f64, b: f64, way: f64) -> f64 {
    b + (a - b) * 0.5 * (1.0 + (PI * way).cos())
}

/// A schedule with its formula; the step counts from 0 as in most of the field.
type Case = (&'static str, fn(f64) -> f64);

const CASES: &[Case] = &[
    ("0.2", |_| 0.2),
    ("cosine(0.2)", |t| half(0.2, 0.0, t / 19.0)),
    ("cosine(0.2, final: 0.05)", |t| half(0.2, 0.05, t / 19.0)),
    ("cosine(0.2, warmup: 4)", |t| if t < 4.0 { 0.05 * (t + 1.0) } else { half(0.2, 0.0, (t - 4.0) / 15.0) }),
    ("linear(0.2)", |t| 0.2 * (1.0 - t / 19.0)),
    ("linear(0.2, final: 0.1)", |t| 0.2 - 0.1 * t / 19.0),
    ("linear(0.2, warmup: 2)", |t| if t < 2.0 { 0.1 * (t + 1.0) } else { 0.2 * (1.0 - (t - 2.0) / 17.0) }),
    // Keras' PolynomialDecay over the whole stage.
    ("polynomial(0.2, power: 2)", |t| 0.2 * (1.0 - t / 19.0).powi(2)),
    ("polynomial(0.2, power: 0.5, final: 0.1)", |t| 0.1 + 0.1 * (1.0 - t / 19.0).sqrt()),
    ("polynomial(0.2, power: 1.5, warmup: 3)", |t| {
        if t < 3.0 { 0.2 * (t + 1.0) / 3.0 } else { 0.2 * (1.0 - (t - 3.0) / 16.0).powf(1.5) }
    }),
    // Vaswani and others (2017), scaled to its peak.
    ("inverse_sqrt(0.2, warmup: 4)", |t| 0.2 * ((t + 1.0) / 4.0).min((4.0 / (t + 1.0)).sqrt())),
    // Keras' ExponentialDecay.
    ("exponential(0.2, decay_steps: 4, decay_rate: 0.5)", |t| 0.2 * 0.5f64.powf(t / 4.0)),
    ("exponential(0.2, decay_steps: 4, decay_rate: 0.5, staircase: true)", |t| {
        0.2 * 0.5f64.powf((t / 4.0).floor())
    }),
    ("exponential(0.2, decay_steps: 4, decay_rate: 0.5, warmup: 2)", |t| {
        if t < 1.0 { 0.1 } else { 0.2 * 0.5f64.powf((t - 2.0).max(0.0) / 4.0) }
    }),
    ("stepwise(0.2, at: [2, 5])", |t| {
        if t < 2.0 {
            0.2
        } else if t < 5.0 {
            0.02
        } else {
            0.002
        }
    }),
    ("stepwise(0.2, at: [2, 5], factor: 0.5)", |t| {
        if t < 2.0 {
            0.2
        } else if t < 5.0 {
            0.1
        } else {
            0.05
        }
    }),
    ("stepwise(0.2, at: [8], warmup: 2)", |t| {
        if t < 1.0 {
            0.1
        } else if t < 8.0 {
            0.2
        } else {
            0.02
        }
    }),
    // Keras' PiecewiseConstantDecay.
    ("piecewise([0.1, 0.3, 0.2], at: [3, 7])", |t| {
        if t < 3.0 {
            0.1
        } else if t < 7.0 {
            0.3
        } else {
            0.2
        }
    }),
    ("piecewise([0.2, 0.1], at: [10], warmup: 4)", |t| {
        if t < 4.0 {
            0.05 * (t + 1.0)
        } else if t < 10.0 {
            0.2
        } else {
            0.1
        }
    }),
    // Keras' CosineDecayRestarts: rounds of 2, 4, 8 and 16 steps.
    ("cosine_restarts(0.2, first: 2)", |t| {
        let (start, length) =
            [(14.0, 16.0), (6.0, 8.0), (2.0, 4.0), (0.0, 2.0)].into_iter().find(|r| t >= r.0).unwrap();
        half(0.2, 0.0, (t - start) / length)
    }),
    ("cosine_restarts(0.2, first: 5, t_mul: 1)", |t| half(0.2, 0.0, t % 5.0 / 5.0)),
    ("cosine_restarts(0.2, first: 5, t_mul: 1, m_mul: 0.5, final: 0.01)", |t| {
        half(0.2 * 0.5f64.powf((t / 5.0).floor()), 0.01, t % 5.0 / 5.0)
    }),
    ("cosine_restarts(0.2, first: 4, t_mul: 1.5, m_mul: 0.5, warmup: 2)", |t| {
        if t < 1.0 {
            return 0.1;
        }
        let t = (t - 2.0).max(0.0);
        let (start, length, height) =
            [(10.0, 9.0, 0.05), (4.0, 6.0, 0.1), (0.0, 4.0, 0.2)].into_iter().find(|r| t >= r.0).unwrap();
        half(height, 0.0, (t - start) / length)
    }),
    // PyTorch's OneCycleLR: up to step 5, down to the last.
    (
        "one_cycle(0.2)",
        |t| if t <= 5.0 { half(0.008, 0.2, t / 5.0) } else { half(0.2, 8e-7, (t - 5.0) / 14.0) },
    ),
    ("one_cycle(0.2, pct_start: 0.5, div_factor: 10, final_div_factor: 2, anneal: linear)", |t| {
        if t <= 9.0 { 0.02 + 0.18 * t / 9.0 } else { 0.2 - 0.19 * (t - 9.0) / 10.0 }
    }),
    ("warmup(0.2, steps: 4)", |t| 0.2 * ((t + 1.0) / 4.0).min(1.0)),
    ("warmup(exponential(0.2, decay_steps: 4, decay_rate: 0.5), steps: 5)", |t| {
        0.2 * 0.5f64.powf(t / 4.0) * ((t + 1.0) / 5.0).min(1.0)
    }),
];

#[test]
fn schedules_have_their_values() {
    let texts: Vec<&str> = CASES.iter().map(|(text, _)| *text).collect();
    for ((text, formula), found) in CASES.iter().zip(rates(&texts)) {
        let expected: Vec<f64> = (0..STEPS).map(|t| formula(t as f64)).collect();
        let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near, "{text}: {found:?}, not {expected:?}");
    }
}

/// Each option of a schedule is in the table with a value that changes something.
#[test]
fn every_option_of_a_schedule_has_an_effect() {
    let text = include_str!("../../src/std/schedules.nn");
    let file = nnc::syntax::parse(nnc::base::FileId(0), text).expect("the library parses");
    let mut pairs: Vec<(String, String)> = Vec::new();
    for item in &file.items {
        let nnc::syntax::ast::Item::Def(def) = item else { continue };
        let name = &def.name.name;
        if name.starts_with("schedule_") {
            continue;
        }
        let own = || CASES.iter().map(|(text, _)| *text).filter(|t| t.split('(').next() == Some(name));
        assert!(own().count() > 0, "`{name}` is in no case");
        for option in def.first.iter().filter(|param| param.default.is_some()).map(|param| &param.name.name) {
            let part = format!(", {option}: ");
            let given = own().find(|text| text.contains(&part));
            let Some(given) = given else { panic!("`{option}` of `{name}` is in no case") };
            let (before, rest) = given.split_once(&part).expect("it contains it");
            let after = rest.find([',', ')']).map_or("", |end| &rest[end..]);
            pairs.push((given.to_string(), format!("{before}{after}")));
        }
    }
    let texts: Vec<&str> =
        pairs.iter().flat_map(|(with, without)| [with.as_str(), without.as_str()]).collect();
    let found = rates(&texts);
    for (i, (with, without)) in pairs.iter().enumerate() {
        assert_ne!(found[2 * i], found[2 * i + 1], "{with} is the same as {without}");
    }
}
