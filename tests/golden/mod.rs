//! Golden numbers: what PyTorch, Keras, scikit-learn or a paper's formula gives, against the library, both in the
//! reference evaluator and in compiled code. The numbers stand in the JSON files beside this one, each with
//! its origin; the scripts in `origin/` made them.

use std::path::Path;

use nnc::base::Severity;
use nnc::check::{CheckOptions, Checked, check};
use nnc::driver;
use nnc::ir::computation::VariableId;
use nnc::ir::experiment::Experiment;
use nnc::ir::op::Moment;
use nnc::readers::{Field, Values};
use nnc::train::measure::Gauge;
use nnc::train::{Feed, MachineOptions, Task, Variables};
use nnc::ty::{DType, Shape};
use serde::Deserialize;

/// A function of some inputs, for each example of a batch.
#[derive(Deserialize)]
struct ValueCase {
    name: String,
    /// Where the numbers come from.
    origin: String,
    /// Definitions before the model.
    definitions: String,
    /// The body of the model.
    body: String,
    /// Name, type and the values of each example.
    inputs: Vec<(String, String, Vec<Vec<f64>>)>,
    /// The parameters by their path below the model, each with the seed of its values.
    variables: std::collections::BTreeMap<String, u32>,
    /// The results of all examples, one after the other.
    expected: Vec<f64>,
}

/// Numbers between -0.5 and 0.5, as `noise` of `origin/golden.py` makes them.
fn noise(seed: u32, count: usize) -> Vec<f32> {
    let number = |i: usize| {
        let mut v = (i as u32)
            .wrapping_mul(2_891_336_453)
            .wrapping_add(seed.wrapping_mul(747_796_405))
            .wrapping_add(12_345);
        for _ in 0..2 {
            v ^= v >> 16;
            v = v.wrapping_mul(0x45d_9f3b);
        }
        v ^= v >> 16;
        (v >> 20) as f32 / 4096.0 - 0.5
    };
    (0..count).map(number).collect()
}

const MACHINES: [(&str, f64, MachineOptions); 3] = [
    (
        "interpreted",
        1e-6,
        MachineOptions { threads: 1, interpret: true, optimize: true, off: nnc::passes::Off::NONE },
    ),
    (
        "compiled",
        2e-5,
        MachineOptions { threads: 2, interpret: false, optimize: true, off: nnc::passes::Off::NONE },
    ),
    (
        "without passes",
        2e-5,
        MachineOptions { threads: 1, interpret: false, optimize: false, off: nnc::passes::Off::NONE },
    ),
];

fn experiment(name: &str, text: &str, checked: &Checked) -> Experiment {
    let shown: Vec<String> = checked
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| d.render(&checked.sources, false))
        .collect();
    assert!(shown.is_empty(), "{name}\n{text}\n{}", shown.join("\n"));
    checked.experiment.clone().unwrap_or_else(|| panic!("{name}: no experiment"))
}

/// The largest difference, relative to the largest number, at least 1.
fn assert_near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: numbers");
    let scale = expected.iter().fold(1.0, |scale: f64, v| scale.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * scale, "{what}, number {i}: {a}, not {b}");
    }
}

fn run_value_case(case: &ValueCase) {
    let what = format!("{} ({})", case.name, case.origin);
    let inputs: Vec<String> = case.inputs.iter().map(|(name, ty, _)| format!("{name}: {ty}")).collect();
    let text = format!("{}\nmodel M({}) {{\n{}\n}}\n", case.definitions, inputs.join(", "), case.body);
    let options = CheckOptions { text: Some(text.clone()), ..CheckOptions::default() };
    let checked = check(Path::new("golden.nn"), &options);
    let experiment = experiment(&what, &text, &checked);
    let model = &experiment.models[0];
    let count = case.inputs[0].2.len();
    let fields: Vec<Field> = model
        .inputs
        .iter()
        .zip(&case.inputs)
        .map(|((name, ty), (_, _, rows))| {
            let flat = rows.iter().flatten();
            let values = match ty.dtype {
                DType::F32 => Values::F32(flat.map(|v| *v as f32).collect()),
                DType::Index(_) | DType::Bool => Values::I32(flat.map(|v| *v as i32).collect()),
            };
            Field {
                name: name.clone(),
                dtype: ty.dtype,
                shape: Shape::of(&ty.shape),
                values,
                vocabulary: None,
            }
        })
        .collect();
    let types = driver::types(&experiment);
    let mut given: Vec<String> = case.variables.keys().map(|path| format!("M.{path}")).collect();
    let mut made: Vec<String> = experiment.variables.iter().map(|v| v.path.clone()).collect();
    given.sort();
    made.sort();
    assert_eq!(given, made, "{what}: parameters");
    for (machine, tolerance, options) in &MACHINES {
        let mut variables = Variables::new(&types, options).expect("memory");
        for (i, variable) in experiment.variables.iter().enumerate() {
            let seed = case.variables[&variable.path["M.".len()..]];
            let shift = if seed >= 1000 { 1.0 } else { 0.0 };
            let mut values = noise(seed % 1000, variable.ty.shape.elements());
            values.iter_mut().for_each(|v| *v += shift);
            variables.set(VariableId(i as u32), &values);
        }
        let mut task = Task::new(&model.computation, &types, count, options).expect("it compiles");
        let rows: Vec<u32> = (0..count as u32).collect();
        let at = |i: usize| (&fields[i], rows.as_slice());
        let moment = Moment { seed: 0, step: 0, example: 0, batch: count as u64 };
        task.run(&mut variables, &Feed { inputs: fields.len(), at: &at }, moment);
        let mut found = task.output(0).to_vec();
        if found.len() * count == case.expected.len() {
            // The same for all examples.
            found = found.repeat(count);
        }
        assert_near(&format!("{what}, {machine}"), &found, &case.expected, *tolerance);
    }
}

/// The name of a field, its type, its bound where it is an index, and its rows.
type TableField = (String, String, Option<u64>, Vec<Vec<f64>>);

/// Measurements over the rows of a table.
#[derive(Deserialize)]
struct TableCase {
    /// Name, type, the bound where the numbers are indices, and the rows.
    fields: Vec<TableField>,
    /// Expression, origin and value, a number or nested lists.
    measures: Vec<(String, String, serde_json::Value)>,
}

/// The table as the checker reads it, with fields `t.NAME`.
fn table_spec(case: &TableCase, folder: &Path) -> String {
    let rows = case.fields[0].3.len();
    let mut csv = vec![String::new(); rows + 1];
    let mut fields = String::new();
    for (name, ty, _, values) in &case.fields {
        let columns: Vec<String> = (0..values[0].len()).map(|i| format!("{name}{i}")).collect();
        csv[0] += &format!("{},", columns.join(","));
        for (line, row) in csv[1..].iter_mut().zip(values) {
            row.iter().for_each(|v| *line += &format!("{v},"));
        }
        let source = match columns.len() {
            1 => format!("column(\"{}\")", columns[0]),
            n => format!("columns(\"{}\"..\"{}\")", columns[0], columns[n - 1]),
        };
        fields += &format!("  {name}: {ty} = {source}\n");
    }
    let lines: Vec<&str> = csv.iter().map(|line| line.trim_end_matches(',')).collect();
    std::fs::write(folder.join("t.csv"), lines.join("\n") + "\n").expect("the table is written");
    let (name, ty, ..) = &case.fields[0];
    let mut text = format!("data t = csv(\"t.csv\") {{\n{fields}}}\n");
    text += &format!("model Net(x: {ty}) -> f32 {{\n  param w: f32 = zeros()\n  w * sum(x)\n}}\n");
    text +=
        &format!("train {{\n  batch 2 from t.all\n  minimize Net(t.{name})\n  optimizer sgd\n  steps 1\n");
    for (i, (expression, ..)) in case.measures.iter().enumerate() {
        let mut expression = expression.clone();
        for (name, _, bound, _) in &case.fields {
            if let Some(bound) = bound {
                let field = format!("t.{name}");
                expression = expression.replace(&field, &format!("cast({field}, bound: {bound})"));
            }
        }
        text += &format!("  measure {expression} on t.all as m{i}\n");
    }
    text + "}\n"
}

fn flat(value: &serde_json::Value) -> Vec<f64> {
    match value {
        serde_json::Value::Array(parts) => parts.iter().flat_map(flat).collect(),
        value => vec![value.as_f64().expect("a number")],
    }
}

fn run_table_case(case: &TableCase) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = table_spec(case, folder.path());
    let path = folder.path().join("golden.nn");
    std::fs::write(&path, &text).expect("the spec is written");
    let checked = check(&path, &CheckOptions::default());
    let experiment = experiment("a table", &text, &checked);
    let types = driver::types(&experiment);
    let stage = &experiment.stages[0];
    assert_eq!(stage.measures.len(), case.measures.len());
    for (machine, tolerance, options) in &MACHINES {
        let mut variables = Variables::new(&types, options).expect("memory");
        for (measure, (expression, origin, value)) in stage.measures.iter().zip(&case.measures) {
            let mut gauge = Gauge::new(measure, &checked.tables, &types, options).expect("it compiles");
            let moment = Moment { seed: 0, step: 1, example: 0, batch: 0 };
            let found = gauge.run(&mut variables, &types, &checked.tables, moment);
            let what = format!("{expression} ({origin}), {machine}");
            // As it stands in the log: the shape counts, too.
            let logged = serde_json::to_value(&found).expect("it is written");
            assert_eq!(logged.is_number(), value.is_number(), "{what}: {logged}");
            assert_near(&what, &flat(&logged), &flat(value), *tolerance);
        }
    }
}

fn run_file<C: for<'a> Deserialize<'a>>(file: &str, least: usize, run: impl Fn(&C)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let text = std::fs::read_to_string(path).expect("the file of golden numbers");
    let cases: Vec<C> = serde_json::from_str(&text).expect("cases");
    assert!(cases.len() >= least, "{file}: only {} cases", cases.len());
    cases.iter().for_each(run);
}

#[test]
fn attention_is_that_of_pytorch() {
    run_file("attention.json", 15, run_value_case);
}

#[test]
fn volumes() {
    run_file("volumes.json", 14, run_value_case);
}

#[test]
fn recurrent_layers_with_masks() {
    run_file("recurrent.json", 12, run_value_case);
}

#[test]
fn norms_and_blocks_are_those_of_keras_and_pytorch() {
    run_file("normalization.json", 18, run_value_case);
}

#[test]
fn losses_are_those_of_keras_and_pytorch() {
    run_file("losses.json", 30, run_value_case);
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    run_file("metrics.json", 4, run_table_case);
}
