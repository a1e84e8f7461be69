//! What optimizers, schedules and the statements about gradients do to parameters, step by step: in f64 by the
//! reference evaluator, and in compiled code.
//!
//! All of it on one small problem: a vector, a matrix and the kernel of a convolution, each pulled towards values of
//! its own. What the data says is added with `pull`, where a test needs examples that differ.

mod averages;
mod gradients;
mod optimizers;
mod runs;
mod schedules;

use std::path::Path;

use nnc::check::{CheckOptions, Checked, check};
use nnc::interp::Session;
use nnc::ir::computation::VariableId;
use nnc::ir::experiment::Stage;
use nnc::ir::op::Moment;
use nnc::train::run::step_of;
use nnc::train::{Feed, MachineOptions, Task, Variables, weights};
use nnc::ty::Type;

/// The parameters of the problem.
const PARAMETERS: [&str; 3] = ["Net.v", "Net.m", "Net.k"];

const MODEL: &str = "
data digits = mnist()

layer bowl(p: f32[..]) -> f32 {
  let row = reshape(p, [-1])
  let i = iota(len(row))
  sum((1 + i / 4) * (row - sin(5 * i))^2) / 2
}

model Net(pull: f32) -> f32 {
  param v: f32[3] = cos(iota(3) + 1)
  param m: f32[4, 2] = reshape(cos(2 * iota(8)), [4, 2])
  param k: f32[2, 1, 2, 3] = reshape(sin(3 * iota(12) + 1), [2, 1, 2, 3])
  bowl(v) + bowl(m) + bowl(k) + pull * (sum(v) + sum(m) + sum(k))
}
";

/// The problem with several ways to solve it: one stage for each.
struct Problem {
    checked: Checked,
    types: Vec<Type>,
}

impl Problem {
    /// A stage of these statements for each text; `minimize` is added where a text has none.
    fn new<S: AsRef<str>>(stages: &[S]) -> Problem {
        let mut text = MODEL.to_string();
        for (i, statements) in stages.iter().map(AsRef::as_ref).enumerate() {
            let objective =
                if statements.contains("minimize") { "" } else { "minimize Net(0 * mean(digits.image))" };
            let batch = if statements.contains("batch") { "" } else { "batch 2 from digits.train in order" };
            text += &format!("train s{i} {{\n{batch}\n{objective}\n{statements}\n}}\n");
        }
        let options = CheckOptions { text: Some(text.clone()), ..CheckOptions::default() };
        let checked = check(Path::new("problem.nn"), &options);
        let shown: String = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
        let Some(experiment) = &checked.experiment else { panic!("{shown}\n{text}") };
        let types = experiment.variables.iter().map(|v| v.ty.clone()).collect();
        Problem { checked, types }
    }

    fn stage(&self, number: usize) -> &Stage {
        &self.checked.experiment.as_ref().expect("checked").stages[number]
    }

    /// The values of all variables after each step of a stage, from their first values.
    fn steps(&self, number: usize, interpret: bool) -> Vec<Vec<Vec<f64>>> {
        let experiment = self.checked.experiment.as_ref().expect("checked");
        let stage = self.stage(number);
        let machine = MachineOptions { threads: 2, interpret, optimize: true, off: nnc::passes::Off::NONE };
        let size = stage.batches[0].size;
        let mut task =
            Task::new(&step_of(stage, &self.types), &self.types, size, &machine).expect("it compiles");
        let start = Moment { seed: 0, step: 0, example: 0, batch: 1 };
        let mut variables = if interpret {
            Variables::Interpreted(Session::initial(&experiment.variables, start))
        } else {
            let mut variables = Variables::new(&self.types, &machine).expect("there is memory");
            weights::initialize(experiment, &mut variables, 0);
            variables
        };
        let rows = &self.checked.tables[stage.batches[0].rows.table].splits[stage.batches[0].rows.split].rows;
        let rows: Vec<u32> = (0..rows.len()).map(|i| rows.row(i) as u32).collect();
        let at_once = |step: u64| {
            let first = ((step - 1) % stage.steps_per_epoch) as usize * size;
            &rows[first..(first + size).min(rows.len())]
        };
        let mut seen = Vec::new();
        for step in 1..=stage.total_steps {
            let batch = at_once(step);
            let field = |i: usize| &self.checked.tables[stage.inputs[i].table].fields[stage.inputs[i].field];
            let feed = Feed { inputs: stage.inputs.len(), at: &|i| (field(i), batch) };
            task.run(&mut variables, &feed, Moment { seed: 0, step, example: 0, batch: batch.len() as u64 });
            seen.push(variables.arrays(&self.types).into_iter().map(|array| array.data).collect());
        }
        seen
    }

    fn variable(&self, path: &str) -> VariableId {
        let experiment = self.checked.experiment.as_ref().expect("checked");
        let place = experiment.variables.iter().position(|v| v.path == path);
        VariableId(place.unwrap_or_else(|| panic!("there is no {path}")) as u32)
    }

    /// A variable after each step.
    fn watch(&self, number: usize, path: &str, interpret: bool) -> Vec<Vec<f64>> {
        let id = self.variable(path).0 as usize;
        self.steps(number, interpret).into_iter().map(|mut values| std::mem::take(&mut values[id])).collect()
    }
}

/// The sum of the elements times sin(1 + i): differs if any of them does.
fn digest(values: &[f64]) -> f64 {
    values.iter().enumerate().map(|(i, v)| v * (1.0 + i as f64).sin()).sum()
}

fn close(found: f64, expected: f64, tolerance: f64) -> bool {
    (found - expected).abs() <= tolerance * (1.0 + expected.abs())
}
