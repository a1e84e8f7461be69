//! The standard library: it is documented, all of it can be used, and its functions have the values they should.

use std::path::Path;

use nnc::base::FileId;
use nnc::check::{CheckOptions, check, library};
use nnc::interp::Session;
use nnc::interp::{Env, evaluate};
use nnc::ir::Array;
use nnc::ir::experiment::Experiment;
use nnc::ir::op::Moment;
use nnc::syntax;
use nnc::syntax::ast::{Def, Item, Let, Pattern};
use nnc::ty::Shape;

/// All definitions of the library with the file they stand in.
pub fn definitions() -> Vec<(String, Def)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/std");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the library") {
        let path = entry.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let file = syntax::parse(FileId(0), &text).expect("the library parses");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        for item in file.items {
            if let Item::Def(def) = item {
                found.push((name.clone(), def));
            }
        }
    }
    assert!(found.len() > 60, "only {} definitions", found.len());
    found
}

/// A checked text, or its messages.
fn checked(text: &str) -> Experiment {
    let options = CheckOptions { text: Some(text.to_string()), ..CheckOptions::default() };
    let checked = check(Path::new("test.nn"), &options);
    let shown: String = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
    checked.experiment.unwrap_or_else(|| panic!("{shown}\n{text}"))
}

#[test]
fn names_are_known_without_parsing() {
    let mut count = 0;
    for (number, (path, text)) in library::FILES.iter().enumerate() {
        let file = syntax::parse(FileId(0), text).expect("the library parses");
        for (place, item) in file.items.iter().enumerate() {
            let name = match item {
                Item::Def(def) => &def.name.name,
                Item::Let(Let { pattern: Pattern::Name(name), .. }) => &name.name,
                other => panic!("{path}: {other:?}"),
            };
            assert_eq!(library::NAMES.get(name.as_str()), Some(&[number, place]), "{path}: {name}");
            count += 1;
        }
    }
    assert_eq!(library::NAMES.len(), count);
}

#[test]
fn every_definition_is_documented_with_an_example() {
    for (file, def) in definitions() {
        let name = &def.name.name;
        let example = def.doc.split("Example: `").nth(1).and_then(|rest| rest.split('`').next());
        let Some(example) = example else { panic!("{file}: `{name}` has no example in its documentation") };
        assert!(
            example.contains(name.as_str()),
            "{file}: the example of `{name}` does not use it: {example}"
        );
        let first = example.split_whitespace().next().unwrap_or("");
        let text = match first {
            "minimize" | "measure" | "optimizer" => format!("train {{ {example} }}"),
            "param" | "let" => format!("layer f() {{ {example} }}"),
            _ => format!("let value = {example}"),
        };
        assert!(
            syntax::parse(FileId(0), &text).is_ok(),
            "{file}: the example of `{name}` does not parse: {example}"
        );
    }
}

#[test]
fn the_specs_of_the_library_check() {
    let specs = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files/specs/library"));
    for entry in specs.expect("the specs") {
        checked(&std::fs::read_to_string(entry.expect("readable").path()).expect("readable"));
    }
}

/// Expressions with their values, from the formulas by hand. `v` is a vector, `z` is 0 and depends on the example.
const VALUES: &[(&str, f64)] = &[
    ("softmax(v)[2]", 0.8437947344813395),
    ("log_softmax(v)[0]", -3.1698460195562856),
    ("log_softmax(1000 * v)[0]", -3000.0),
    ("logsumexp(v)[0]", 4.169846019556285),
    ("sum(softmax(1000 * v))", 1.0),
    ("leaky_relu(z - 2, slope: 0.1)", -0.2),
    ("leaky_relu(z + 2, slope: 0.1)", 2.0),
    ("relu6(z + 7) + relu6(z - 1)", 6.0),
    ("gelu(z + 1.5)", 1.399789198096713),
    ("gelu(z + 1.5, approximate: true)", 1.3995715769802328),
    ("elu(z - 2, alpha: 0.5)", -0.43233235838169365),
    ("elu(z + 800)", 800.0),
    ("selu(z - 1)", -1.1113307378125625),
    ("silu(z + 2)", 1.7615941559557646),
    ("softplus(z - 3)", 0.04858735157374206),
    ("softplus(z + 4000)", 4000.0),
    ("softsign(z - 3)", -0.75),
    ("mish(z + 1)", 0.8650983882673103),
    ("hard_sigmoid(z + 1.5)", 0.75),
    ("hard_sigmoid(z - 9)", 0.0),
    ("clamp(z + 5, -1, 2) + clamp(z - 5, -1, 2)", 1.0),
    ("norm(v)", 4.58257569495584),
    ("normalize(v)[1]", 0.4364357804719848),
    ("cross_entropy(v, one)", 2.1698460195562856),
    ("cross_entropy(v, one, smoothing: 0.1)", 2.1365126862229524),
    ("soft_cross_entropy(v, [0.2, 0.3, 0.5])", 1.3698460195562856),
    ("kl_divergence([0.2, 0.3, 0.5], v)", 0.3401930054917121),
    ("kl_divergence(softmax(v), v)", 0.0),
    ("distillation(v, [3, 1, 0.5])", 2.6332034212818547),
    ("binary_cross_entropy(z + [0.5, -2], [1, 0.25])", 0.5505024976115396),
    ("binary_cross_entropy(z - 2000, 1)", 2000.0),
    ("mse(v, [1, 1, 1])", 10.0 / 3.0),
    ("mae(v, [2, 2, 2])", 1.0),
    ("huber(z + [0.5, 3], [0, 0])", 1.3125),
    ("huber(z + 3, 0, delta: 2)", 4.0),
    ("hinge(z + [2, -0.5], [1, 1])", 0.75),
    ("accuracy(v, one)", 0.0),
    ("accuracy(-v, cast(z, bound: 3))", 1.0),
    ("top_k(v, one, k: 1)", 0.0),
    ("top_k(v, one, k: 2)", 1.0),
    ("binary_accuracy(z + [1, -1, 2, -2], [1, 1, 0, 0])", 0.5),
    ("mean(global_avg_pool(reshape(z + iota(2, 2, 3, axis: 1), [2, 2, 3])))", 0.5),
    ("max(global_max_pool(reshape(z + iota(2, 2, 3, axis: 2), [2, 2, 3])))", 2.0),
    ("max_pool2d(reshape(z + iota(16), [4, 4, 1]))[1, 0, 0]", 13.0),
    ("avg_pool2d(reshape(z + iota(16), [4, 4, 1]))[1, 0, 0]", 10.5),
    // The last window of a padded pool holds one element, and its mean is that element.
    ("avg_pool2d(reshape(z + iota(9), [3, 3, 1]), padding: same)[1, 1, 0]", 8.0),
    ("sum(max_pool1d(reshape(z + iota(6), [6, 1])))", 9.0),
    ("avg_pool1d(reshape(z + iota(5), [5, 1]), padding: same)[2, 0]", 4.0),
    // The sum over all places of the image of the element of the window that covers (2, 2).
    (
        "convolve_transpose(reshape(z + [1, 2, 3, 4], [2, 2, 1]), reshape(iota(9), [3, 3, 1, 1]), stride: 2)[2, 2, 0]",
        26.0,
    ),
    (
        "convolve_transpose(reshape(z + [1, 2, 3, 4], [2, 2, 1]), reshape(iota(9), [3, 3, 1, 1]), stride: 2, padding: \"same\")[2, 2, 0]",
        26.0,
    ),
    // As torch.nn.functional.conv_transpose2d with padding 1.
    (
        "convolve_transpose(reshape(z + [1, 2, 3, 4], [2, 2, 1]), reshape(iota(9), [3, 3, 1, 1]), stride: 2, padding: 1)[1, 1, 0]",
        26.0,
    ),
    // With middles of pixels as places, column 3 of 8 stands at 1.25 of 4, row 1 at 0.25, row 0 at the edge.
    ("resize(reshape(z + iota(16), [4, 4, 1]), 8)[1, 3, 0]", 2.25),
    ("resize(reshape(z + iota(16), [4, 4, 1]), 8)[0, 7, 0]", 3.0),
    ("resize(reshape(z + iota(16), [4, 4, 1]), [2, 2])[1, 0, 0]", 10.5),
    ("resize(reshape(z + iota(16), [4, 4, 1]), [2, 2], method: nearest)[1, 0, 0]", 13.0),
    ("upsampling2d(reshape(z + iota(4), [2, 2, 1]), [1, 3])[1, 2, 0]", 2.0),
    ("upsampling2d(reshape(z + iota(4), [2, 2, 1]), method: bilinear)[1, 1, 0]", 0.75),
    ("sum(tril(reshape(z + iota(9), [3, 3])))", 28.0),
    ("sum(triu(reshape(z + iota(9), [3, 3]), diagonal: 1))", 8.0),
    ("sort(z + [3, 1, 2, 1], descending: true)[1]", 2.0),
    ("sort(reshape(z + [3, 1, 2, 4], [2, 2]), axis: 0)[0, 1]", 1.0),
    ("cast(argsort(z + [3, 1, 2, 1]))[1]", 3.0),
    ("sum(take_along(v, argsort(v, descending: true)[..2]))", 6.0),
    (
        "take_along(reshape(z + iota(6), [2, 3]), cast(reshape(z + [1, 0, 1], [1, 3]), bound: 2), axis: 0)[0, 2]",
        5.0,
    ),
    // What is taken from an index is an index.
    ("one_hot(take_along(argsort(v), argsort(v, descending: true)))[0, 2]", 1.0),
    ("one_hot(sort(argsort(v), descending: true))[0, 2]", 1.0),
    ("one_hot(argsort(v)[argsort(v, descending: true)])[0, 2]", 1.0),
    ("scatter_along(v, cast(z + [1, 0, 1], bound: 2), 2)[1]", 5.0),
    (
        "sum(scatter_along(reshape(z + iota(6), [2, 3]), argsort(reshape(z + iota(6), [2, 3]), axis: 0), 2, axis: 0) * reshape([0, 1], [2, 1]))",
        12.0,
    ),
    ("cumsum(v)[2]", 7.0),
    ("cumsum(v, exclusive: true, reverse: true)[0]", 6.0),
    ("dropout(v, 0.5)[2]", 4.0),
    ("gaussian_noise(v, 0.5)[2]", 4.0),
];

#[test]
fn functions_have_their_values() {
    let mut text = "data digits = mnist()\nmodel Net(x: f32[28, 28, 1]) -> f32[1] { x |> flatten |> dense(1) }\n\
                    train {\nbatch 2 from digits.train\nminimize sum(Net(digits.image))\noptimizer sgd\nsteps 1\n\
                    let z = 0 * mean(digits.image)\nlet v = z + [1, 2, 4]\nlet one = cast(z + 1, bound: 3)\n"
        .to_string();
    for (i, (expression, _)) in VALUES.iter().enumerate() {
        text += &format!("measure {expression} on digits.train every 1 steps as m{i}\n");
    }
    let experiment = checked(&(text + "}\n"));
    let measures = &experiment.stages[0].measures;
    assert_eq!(measures.len(), VALUES.len());
    for (measure, (expression, value)) in measures.iter().zip(VALUES) {
        let node = measure.computation.outputs[0].1;
        let image = Array::new(Shape::of(&[28, 28, 1]), vec![0.5; 784]);
        let inputs: Vec<Vec<Array>> = measure.inputs.iter().map(|_| vec![image.clone(); 2]).collect();
        let moment = Moment { seed: 0, step: 1, example: 0, batch: 2 };
        let found =
            evaluate(&measure.computation.graph, &[node], &Env { variables: &[], inputs: &inputs, moment });
        let found = found[0].of(0).data[0];
        assert!((found - value).abs() <= 1e-9 * (1.0 + value.abs()), "{expression} is {found}, not {value}");
    }
}

/// Mean and standard deviation of what initialisers draw, and the bounds of those that have some.
#[test]
fn initialisers_have_their_moments() {
    let (rows, columns) = (200, 100);
    let glorot = (2.0 / f64::from(rows + columns)).sqrt();
    let cases: &[(&str, f64, f64)] = &[
        ("uniform(-1, 3)", 1.0, 4.0 / 12f64.sqrt()),
        ("normal(mean: 1, stddev: 2)", 1.0, 2.0),
        ("truncated_normal(stddev: 1)", 0.0, 0.879_625_661_034_239_8),
        ("glorot_uniform()", 0.0, glorot),
        ("glorot_normal()", 0.0, glorot),
        ("he_uniform()", 0.0, 0.1),
        ("he_normal()", 0.0, 0.1),
        ("lecun_uniform()", 0.0, 0.005f64.sqrt()),
        ("lecun_normal()", 0.0, 0.005f64.sqrt()),
        ("constant(3)", 3.0, 0.0),
    ];
    for (text, mean, deviation) in cases {
        let experiment = checked(&format!(
            "data digits = mnist()\nmodel Net(x: f32[28, 28, 1]) -> f32 {{ param w: f32[{rows}, {columns}] = {text}\n\
             sum(w * w) + 0 * mean(x) }}\n\
             train {{\nbatch 2 from digits.train\nminimize Net(digits.image)\noptimizer sgd\nsteps 1\n}}\n"
        ));
        let session =
            Session::initial(&experiment.variables, Moment { seed: 1, step: 0, example: 0, batch: 1 });
        let values = &session.variables[0].data;
        let count = values.len() as f64;
        let average = values.iter().sum::<f64>() / count;
        let spread = (values.iter().map(|v| (v - average).powi(2)).sum::<f64>() / count).sqrt();
        assert!((average - mean).abs() <= 0.04 * deviation, "{text}: mean {average}, not {mean}");
        assert!(
            (spread - deviation).abs() <= 0.03 * deviation,
            "{text}: deviation {spread}, not {deviation}"
        );
        if text.starts_with("truncated") {
            assert!(values.iter().all(|v| v.abs() <= 2.0), "{text}: a value beyond two standard deviations");
        }
    }
}

#[test]
fn shipped_models_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for entry in std::fs::read_dir(folder).expect("the models") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|e| e != "nn") {
            continue;
        }
        let checked = check(&path, &CheckOptions::default());
        let shown: String = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
        assert_eq!(shown, "", "{}", path.display());
    }
}
