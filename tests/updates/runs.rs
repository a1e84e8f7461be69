//! Whole runs: what is measured and kept of a stage with averages, rates that are reduced, bits for any number of threads.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use nnc::check::{CheckOptions, Checked, check};
use nnc::driver;
use nnc::ir::computation::VariableId;
use nnc::train::{Event, MachineOptions, Record, RunOptions, weights};

fn checked(text: &str) -> Checked {
    let options = CheckOptions { text: Some(text.to_string()), ..CheckOptions::default() };
    let checked = check(Path::new("run.nn"), &options);
    let shown: String = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
    assert!(checked.experiment.is_some(), "{shown}\n{text}");
    checked
}

/// A run: its records, the weights that would be written after each epoch, and all variables at the end.
struct Run {
    records: Vec<Record>,
    written: Vec<Vec<f32>>,
    values: Vec<(String, Vec<f32>)>,
}

impl Run {
    /// `path` is the parameter whose written values are noted.
    fn new(text: &str, path: &str, threads: usize) -> Run {
        Run::on(text, path, threads, false)
    }

    /// As [`Run::new`], with compiled code or the interpreter.
    fn on(text: &str, path: &str, threads: usize, interpret: bool) -> Run {
        let checked = checked(text);
        let experiment = checked.experiment.as_ref().expect("checked");
        let machine = MachineOptions { threads, interpret, optimize: true, off: nnc::passes::Off::NONE };
        let mut variables = driver::variables(experiment, &machine, None).expect("first values");
        let stop = AtomicBool::new(false);
        let options = RunOptions { machine, max_steps: None, stop: &stop };
        let (mut records, mut written) = (Vec::new(), Vec::new());
        let mut watch = |event: Event| match event {
            Event::Record(record) => records.push(record),
            Event::Epoch { stage, variables } => {
                written.push(weights::collect(experiment, variables, Some(stage))[path].1.clone());
            }
            _ => {}
        };
        driver::train(experiment, &checked.tables, &mut variables, &options, &mut watch).expect("it trains");
        let all = experiment.variables.iter().enumerate();
        let values = all.map(|(i, v)| (v.path.clone(), variables.get(VariableId(i as u32)))).collect();
        Run { records, written, values }
    }

    fn value(&self, path: &str) -> &[f32] {
        let found = self.values.iter().find(|(name, _)| name == path);
        &found.unwrap_or_else(|| panic!("there is no {path}")).1
    }

    fn recorded(&self, name: &str) -> Vec<f64> {
        self.records.iter().filter(|r| r.name == name).map(|r| r.value).collect()
    }
}

/// One number that is pulled to 0, and a loss that grows by one each step.
const FALLING: &str = "data digits = mnist()\n\
    model Net(x: f32[28, 28, 1]) -> f32 { param w: f32 = constant(1)\n w * w / 2 + 0 * mean(x) }\n";

#[test]
fn averages_are_measured_written_and_left_behind() {
    let stage = |name: &str, more: &str| {
        format!(
            "train {name} {{\nbatch 4000 from digits.train in order\nminimize Net(digits.image)\n\
             optimizer sgd(lr: 0.1)\n{more}\nmeasure Net(digits.image) on digits.test as m\n}}\n"
        )
    };
    let text = FALLING.to_string() + &stage("a", "epochs 3\nema 0.5") + &stage("b after a", "epochs 1");
    let run = Run::new(&text, "Net.w", 1);
    // Two steps an epoch, each multiplies with 0.9.
    let (mut w, mut averages) = (1.0f64, Vec::new());
    for step in 0..6 {
        w *= 0.9;
        averages.push(averages.last().map_or(w, |a| 0.5 * a + 0.5 * w));
        assert_eq!(averages.len(), step + 1);
    }
    let ends = [averages[1], averages[3], averages[5]];
    let measured = run.recorded("m");
    for (i, end) in ends.iter().enumerate() {
        assert!((measured[i] - end * end / 2.0).abs() < 1e-6, "measured after epoch {i}: {measured:?}");
        assert!((f64::from(run.written[i][0]) - end).abs() < 1e-6, "written after epoch {i}");
    }
    // The second stage starts from the average.
    let last = ends[2] * 0.81;
    assert!((measured[3] - last * last / 2.0).abs() < 1e-6, "{measured:?}, expected {last}");
    assert!((f64::from(run.value("Net.w")[0]) - last).abs() < 1e-6);
}

#[test]
fn rates_are_reduced_when_a_value_stalls() {
    let text = FALLING.to_string()
        + "train {\nbatch 4000 from digits.train in order\nminimize Net(digits.image) + step\n\
           optimizer sgd(lr: 0.1)\nreduce lr by 0.5 when train.loss stalls for 2 epochs\nepochs 6\n}\n";
    let run = Run::new(&text, "Net.w", 1);
    // The loss is best in the first epoch: reduced after the third and the fifth.
    assert_eq!(run.recorded("lr_scale"), [0.5, 0.25]);
    let epochs: Vec<u64> = run.records.iter().filter(|r| r.name == "lr_scale").map(|r| r.epoch).collect();
    assert_eq!(epochs, [3, 5]);
    let expected = 0.9f64.powi(6) * 0.95f64.powi(4) * 0.975f64.powi(2);
    let found = f64::from(run.value("Net.w")[0]);
    assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
}

#[test]
fn an_optimizer_without_a_selector_takes_the_rest() {
    let model = "data digits = mnist()\n\
        model Net(x: f32[28, 28, 1]) -> f32 { param w: f32 = constant(1)\n param v: f32 = constant(1)\n\
        w * w / 2 + v * v / 2 + 0 * mean(x) }\n";
    let [own, rest] = ["optimizer sgd(lr: 0.1) for Net.w\n", "optimizer sgd(lr: 0.5)\n"];
    for optimizers in [own.to_string() + rest, rest.to_string() + own] {
        let stage = format!(
            "train {{\nbatch 4000 from digits.train in order\nminimize Net(digits.image)\n{optimizers}steps 2\n}}\n"
        );
        let run = Run::new(&(model.to_string() + &stage), "Net.w", 1);
        assert!((run.value("Net.w")[0] - 0.81).abs() < 1e-6, "{optimizers}");
        assert!((run.value("Net.v")[0] - 0.25).abs() < 1e-6, "{optimizers}");
    }
}

/// A layer that is summed in parts of its weights' rows, as products in `tests/plan` show.
#[test]
fn large_layers_train_as_in_the_interpreter_and_alike_on_any_number_of_threads() {
    let text = "data digits = mnist()\n\
        model Net(x: f32[28, 28, 1]) -> f32[10] { x |> flatten |> dense(96) |> relu |> dense(10) }\n\
        train {\nbatch 24 from digits.train\nminimize cross_entropy(Net(digits.image), digits.label)\n\
        optimizer adam(lr: 1e-3)\nsteps 3\n}\n";
    let exact = Run::on(text, "Net.dense.weight", 1, true);
    let one = Run::new(text, "Net.dense.weight", 1);
    for ((path, exact), (_, found)) in exact.values.iter().zip(&one.values) {
        let far = exact.iter().zip(found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-4, "{path}: {far}");
    }
    for threads in [2, 3, 4, 8] {
        let several = Run::new(text, "Net.dense.weight", threads);
        for ((path, a), (_, b)) in one.values.iter().zip(&several.values) {
            assert!(a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()), "{path}, {threads} threads");
        }
    }
}

/// Batches so large that values behind a batch norm are made again, as `tests/plan` shows.
#[test]
fn values_that_are_made_again_are_the_same() {
    let text = "data digits = mnist()\n\
        model Net(x: f32[28, 28, 1]) -> f32[10] {\n\
        x |> conv2d(8, kernel: 3) |> batch_norm |> relu |> max_pool2d(2)\n\
        |> conv2d(6, kernel: 3, padding: same) |> batch_norm |> relu |> flatten |> dense(10) }\n\
        train {\nbatch 96 from digits.train\nminimize cross_entropy(Net(digits.image), digits.label)\n\
        optimizer sgd(lr: 1e-2)\nsteps 2\n}\n";
    let exact = Run::on(text, "Net.dense.weight", 1, true);
    let [one, three] = [1, 3].map(|threads| Run::new(text, "Net.dense.weight", threads));
    for (((path, exact), (_, a)), (_, b)) in exact.values.iter().zip(&one.values).zip(&three.values) {
        let far = exact.iter().zip(a).map(|(x, y)| (x - y).abs() / (1.0 + x.abs())).fold(0.0, f32::max);
        assert!(far < 1e-4, "{path}: {far}");
        assert!(a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()), "{path}");
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let text = "data digits = mnist()\n\
        model Net(x: f32[28, 28, 1]) -> f32[10] { x |> conv2d(8, kernel: 3) |> relu |> max_pool2d(2) |> flatten |> dense(32) |> relu |> dense(10) }\n\
        train {\nbatch 48 from digits.train\nminimize cross_entropy(Net(digits.image), digits.label)\n\
        optimizer muon(lr: 1e-2) for Net.dense\noptimizer adafactor for Net.dense_2\noptimizer lamb for Net.conv2d\n\
        clip global_norm: 0.5\naccumulate 3\nema 0.9\nsteps 20\n}\n";
    let [one, two] = [1, 2].map(|threads| Run::new(text, "Net.dense.weight", threads));
    for ((path, a), (_, b)) in one.values.iter().zip(&two.values) {
        assert!(a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits()), "{path}");
    }
    let loss = one.recorded("loss");
    assert!(loss.iter().all(|v| v.is_finite()), "{loss:?}");
}
