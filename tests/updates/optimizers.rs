//! Every optimizer and every option of it against Keras, PyTorch or the paper's formula: `optimizers.txt`, which
//! `optimizers.py` made with Keras 3.15 and PyTorch 2.15 in float64.

use nnc::base::FileId;
use nnc::syntax;
use nnc::syntax::ast::{DefKind, Item};

use super::{PARAMETERS, Problem, close, digest};

/// Keras computes some factors in f32, whatever it is told.
const TOLERANCE: f64 = 3e-7;

/// What compiled code may differ by from the reference.
const COMPILED: f64 = 2e-5;

struct Case {
    optimizer: String,
    /// The digests of the parameters after the first and after the eighth step.
    expected: Vec<f64>,
}

fn cases() -> Vec<Case> {
    let parse = |line: &str| {
        let mut parts = line.split(" | ");
        let optimizer = parts.next().expect("a name").to_string();
        Case { optimizer, expected: parts.map(|v| v.parse().expect("a number")).collect() }
    };
    include_str!("optimizers.txt").lines().map(parse).collect()
}

#[test]
fn optimizers_follow_their_formulas() {
    let cases = cases();
    let stages: Vec<String> = cases.iter().map(|c| format!("optimizer {}\nsteps 8", c.optimizer)).collect();
    let problem = Problem::new(&stages);
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let [exact, compiled] = [true, false].map(|interpret| {
            let steps = problem.steps(number, interpret);
            let digests = |values: &Vec<Vec<f64>>| {
                PARAMETERS.map(|path| digest(&values[problem.variable(path).0 as usize]))
            };
            [digests(&steps[0]), digests(&steps[7])].concat()
        });
        for (i, expected) in case.expected.iter().enumerate() {
            if !close(exact[i], *expected, TOLERANCE) || !close(compiled[i], *expected, COMPILED) {
                wrong.push(format!("{}: {} is {} and {}", case.optimizer, expected, exact[i], compiled[i]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each optimizer is in the table with its defaults, and each of its options with a value that changes something.
#[test]
fn every_option_of_an_optimizer_has_an_effect() {
    let cases = cases();
    let text = include_str!("../../src/std/optimizers.nn");
    let file = syntax::parse(FileId(0), text).expect("the library parses");
    let mut count = 0;
    let mut pairs: Vec<[String; 2]> = Vec::new();
    for item in &file.items {
        let Item::Def(def) = item else { continue };
        if def.kind != DefKind::Optimizer {
            continue;
        }
        count += 1;
        let name = &def.name.name;
        let own = || cases.iter().map(|c| &c.optimizer).filter(|c| c.split('(').next() == Some(name));
        assert!(own().any(|case| case == name), "`{name}` with its defaults is in no case");
        for option in def.first.iter().map(|param| format!("{}: ", param.name.name)) {
            let given =
                own().find(|c| c.contains(&format!("({option}")) || c.contains(&format!(", {option}")));
            let Some(given) = given else { panic!("`{option}` of `{name}` is in no case") };
            let inner = given.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
            let rest: Vec<&str> = inner.split(", ").filter(|part| !part.starts_with(&option)).collect();
            pairs.push([given.clone(), format!("{name}({})", rest.join(", "))]);
        }
    }
    assert!(count >= 14, "only {count} optimizers");
    let stages: Vec<String> =
        pairs.iter().flatten().map(|text| format!("optimizer {text}\nsteps 8")).collect();
    let problem = Problem::new(&stages);
    for (i, [with, without]) in pairs.iter().enumerate() {
        let [a, b] = [2 * i, 2 * i + 1].map(|stage| {
            let last = problem.steps(stage, true).pop().expect("eight steps");
            PARAMETERS.map(|path| digest(&last[problem.variable(path).0 as usize]))
        });
        assert_ne!(a, b, "{with} does what {without} does");
    }
}
