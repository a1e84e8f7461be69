//! `cargo bench --bench zoo`: trains the models of `models/` and writes `docs/MODELS.md`.
//!
//! Arguments after `--`: names of models (all if there are none), `threads=N` (2 if not said), and `runs=DIR` to take
//! the figures of the runs `DIR/NAME` that are there already. Rows of other models stay as they are. The figure goes
//! also into the model's own text, after `# Reached:`. A model that misses what it must reach ends the command with 1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use serde_json::Value;

/// What a model is judged by.
struct Model {
    name: &'static str,
    /// Each the split and the metric, of which the last value counts, and what that must be.
    figures: &'static [(&'static str, Goal)],
    /// What another framework reaches, and with what.
    peer: &'static str,
}

/// What a figure must be.
#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// At least the first number, and by the second more than another figure of the same run.
    Above(f64, f64, &'static str),
    /// Only shown.
    Shown,
}

use Goal::{Above, AtLeast, AtMost, Shown};

const fn model(name: &'static str, figures: &'static [(&'static str, Goal)], peer: &'static str) -> Model {
    Model { name, figures, peer }
}

/// The best of the linear bags of words in `tests/bench/peers/zoo/sections.py`, on the same rows.
const BAG_OF_WORDS: f64 = 0.7566;
const BAG_OF_WORDS_BY: &str = "scikit-learn, linear bag of words: 0.7566";
/// The same with the few labels that `bert` has.
const FEW_LABELS: f64 = 0.6344;
const FEW_LABELS_BY: &str = "scikit-learn, linear bag of words with the same labels: 0.6344";

/// Figures of peers are what the scripts in `tests/bench/peers/zoo/` reach; 3 % more of an error is allowed.
const MODELS: &[Model] = &[
    model("mlp", &[("test.accuracy", AtLeast(0.955))], ""),
    model("lenet", &[("test.accuracy", AtLeast(0.975))], ""),
    model("alexnet", &[("test.accuracy", AtLeast(0.975))], ""),
    model("resnet", &[("test.accuracy", AtLeast(0.98))], ""),
    model("vit", &[("test.accuracy", AtLeast(0.95))], ""),
    model("capsules", &[("test.accuracy", AtLeast(0.975))], ""),
    model("mnist_cnn", &[("test.accuracy", Shown)], ""),
    model("mnist_batch_norm", &[("test.accuracy", Shown)], ""),
    model("adversarial_pgd", &[("test.clean", Shown), ("test.robust", Shown)], ""),
    model("autoencoder", &[("test.error", AtMost(0.013499 * 1.03))], "PyTorch 0.01350"),
    model("vae", &[("test.negative_elbo", AtMost(109.688 * 1.03))], "PyTorch 109.7"),
    // The mean over seeds 0 to 2, which differ by up to a tenth.
    model("unet", &[("test.error", AtMost(0.010381 * 1.03))], "PyTorch 0.01038 (mean of 3 seeds)"),
    model("gan", &[("test.score", Shown), ("test.critic_right", Shown)], ""),
    model("char_mlp", &[("valid.nats", Shown)], ""),
    model("char_gpt", &[("valid.nats", AtMost(1.48))], "PyTorch 1.389"),
    model("char_lstm", &[("valid.nats", AtMost(1.72))], "PyTorch 1.697"),
    model("char_gru", &[("valid.nats", Shown)], "PyTorch 1.535"),
    model("own_cell", &[("valid.nats", Shown)], ""),
    model("bag_of_embeddings", &[("test.accuracy", AtLeast(BAG_OF_WORDS))], BAG_OF_WORDS_BY),
    model("text_cnn", &[("test.accuracy", AtLeast(BAG_OF_WORDS))], BAG_OF_WORDS_BY),
    model(
        "bert",
        &[("test.accuracy", Above(FEW_LABELS, 0.02, "test.plain")), ("test.plain", Shown)],
        FEW_LABELS_BY,
    ),
    model("seq2seq", &[("test.exact_match", AtLeast(0.98))], ""),
    model("seq2seq_lstm", &[("test.exact_match", AtLeast(0.98))], ""),
    model("iris", &[("test.accuracy", Shown)], ""),
    model("wine_penalty", &[("test.accuracy", Shown)], ""),
    model("own_optimizer", &[("test.accuracy", Shown), ("test.auroc", Shown)], ""),
];

const PAGE: &str = "docs/MODELS.md";
const HEAD: &str = "\
# The models

Each file in `models/` is one experiment, short enough to read at once. The figures are those of the default seed, taken
at the end of the run; they do not depend on the number of threads. `cargo bench --bench zoo` trains all models and writes
this page, `cargo bench --bench zoo -- lenet vit` only those rows. Peers are the same networks in another framework, or what
the row says, by the scripts in `tests/bench/peers/zoo/`.

";
const COLUMNS: &str =
    "| model | what | parameters | steps | figures | must reach | peer |\n|---|---|---|---|---|---|---|\n";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let threads = arguments.iter().find_map(|a| a.strip_prefix("threads=")).unwrap_or("2").to_string();
    let runs = arguments.iter().find_map(|a| a.strip_prefix("runs=")).map(PathBuf::from);
    let names: Vec<&String> = arguments.iter().filter(|a| !a.contains('=')).collect();
    if let Some(unknown) = names.iter().find(|name| !MODELS.iter().any(|m| m.name == name.as_str())) {
        let known: Vec<&str> = MODELS.iter().map(|m| m.name).collect();
        fail(&format!("there is no model `{unknown}`; there are {}", known.join(", ")));
    }
    let mut missed = Vec::new();
    for model in MODELS.iter().filter(|m| names.is_empty() || names.iter().any(|name| *name == m.name)) {
        let run = match &runs {
            Some(folder) => result(model, &made(model, folder)),
            None => result(model, &train(model, &threads)),
        };
        let reached = model.figures.iter().all(|(figure, goal)| goal.is_met(figure, &run));
        println!("{}: {}{}", model.name, run.text(), if reached { "" } else { " (missed)" });
        if !reached {
            missed.push(model.name);
        }
        note(model, &run);
        // After each model, so that what is done stays done.
        write_page(model, &run);
    }
    if !missed.is_empty() {
        fail(&format!("below what they must reach: {}", missed.join(", ")));
    }
}

fn fail(why: &str) -> ! {
    eprintln!("{why}");
    exit(1)
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| fail(&format!("{}: {error}", path.display())))
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| fail(&format!("{}: {error}", path.display())));
}

/// What came of a model.
struct Run {
    figures: Vec<(&'static str, f64)>,
    parameters: u64,
    steps: u64,
}

impl Run {
    fn value(&self, figure: &str) -> f64 {
        self.figures.iter().find(|(name, _)| *name == figure).map_or(f64::NAN, |(_, value)| *value)
    }

    fn text(&self) -> String {
        let texts =
            self.figures.iter().map(|(name, v)| format!("{} {}", name.replace('.', " "), four_digits(*v)));
        texts.collect::<Vec<_>>().join(", ")
    }
}

impl Goal {
    fn is_met(self, figure: &str, run: &Run) -> bool {
        let value = run.value(figure);
        match self {
            AtLeast(goal) => value >= goal,
            AtMost(goal) => value <= goal,
            Above(goal, more, other) => value >= goal && value >= run.value(other) + more,
            Shown => true,
        }
    }

    fn text(self) -> Option<String> {
        match self {
            AtLeast(goal) => Some(four_digits(goal)),
            AtMost(goal) => Some(format!("at most {}", four_digits(goal))),
            Above(goal, more, other) => {
                let other = other.replace('.', " ");
                Some(format!("{}, and {more} more than {other}", four_digits(goal)))
            }
            Shown => None,
        }
    }
}

/// A run that is there already: it must have been of the model as it is.
fn made(model: &Model, folder: &Path) -> PathBuf {
    let folder = folder.join(model.name);
    let bare = |path: &Path| {
        let text = read(path);
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_string).collect::<Vec<_>>()
    };
    if bare(&folder.join("spec.nn")) != bare(&source(model)) {
        fail(&format!("{}: is a run of another text than that of the model", folder.display()));
    }
    folder
}

fn source(model: &Model) -> PathBuf {
    home().join("models").join(format!("{}.nn", model.name))
}

/// Trains a model; returns the folder of the run.
fn train(model: &Model, threads: &str) -> PathBuf {
    let out = home().join("target/zoo").join(model.name);
    let _ = std::fs::remove_dir_all(&out);
    let status = Command::new(env!("CARGO_BIN_EXE_nnc"))
        .current_dir(home())
        .args(["run", &format!("models/{}.nn", model.name), "--threads", threads, "--out"])
        .arg(&out)
        .status();
    if !status.is_ok_and(|status| status.success()) {
        fail(&format!("{}: the run has failed", model.name));
    }
    out
}

/// The figures of a run, and how large it was.
fn result(model: &Model, out: &Path) -> Run {
    let mut values: BTreeMap<String, f64> = BTreeMap::new();
    let mut steps: BTreeMap<String, u64> = BTreeMap::new();
    for line in read(&out.join("metrics.jsonl")).lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_default();
        steps.insert(record["stage"].to_string(), record["step"].as_u64().unwrap_or(0));
        let text = |key: &str| record[key].as_str().unwrap_or_default().to_string();
        if let Some(value) = record["value"].as_f64() {
            values.insert(format!("{}.{}", text("split"), text("name")), value);
        }
    }
    let figures = model.figures.iter().map(|(figure, _)| match values.get(*figure) {
        Some(value) => (*figure, *value),
        None => fail(&format!("{}: no {figure} was measured", model.name)),
    });
    let figures = figures.collect();
    let report: Value = serde_json::from_str(&read(&out.join("run.json"))).unwrap_or_default();
    let Some(parameters) = report["parameters"].as_u64() else {
        fail(&format!("{}: no number of parameters in run.json", out.display()))
    };
    Run { figures, parameters, steps: steps.values().sum() }
}

/// Four significant digits, as far as they stand behind the point.
fn four_digits(value: f64) -> String {
    let before = value.abs().log10().floor().clamp(-6.0, 3.0) as i32;
    format!("{value:.*}", (3 - before).clamp(0, 6) as usize)
}

/// Writes the figure into the model's text.
fn note(model: &Model, run: &Run) {
    let path = source(model);
    let text = read(&path);
    let line = format!("# Reached: {}", run.text());
    let mut lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("# Reached:")).collect();
    let end = lines.iter().position(|l| !l.starts_with('#')).unwrap_or(0);
    lines.insert(end, &line);
    write(&path, &(lines.join("\n") + "\n"));
}

/// The first sentence of a model's text.
fn what(model: &Model) -> String {
    let text = read(&source(model));
    let head = text.lines().map_while(|l| l.strip_prefix('#')).collect::<Vec<_>>().concat();
    let end = head.find(". ").map_or(head.len(), |at| at + 1);
    head[..end].trim().trim_end_matches(['.', ':']).replace('|', "\\|")
}

/// Writes the page with a new row; the others stay.
fn write_page(changed: &Model, run: &Run) {
    let path = home().join(PAGE);
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let rows: BTreeMap<&str, &str> = (old.lines().filter_map(|line| {
        let name = line.strip_prefix("| [")?.split(']').next()?;
        Some((name, line))
    }))
    .collect();
    let mut page = HEAD.to_string() + COLUMNS;
    for model in MODELS {
        if model.name == changed.name {
            let goals: Vec<String> = model.figures.iter().filter_map(|(_, goal)| goal.text()).collect();
            page += &format!(
                "| [{0}](../models/{0}.nn) | {1} | {2} | {3} | {4} | {5} | {6} |\n",
                model.name,
                what(model),
                thousands(run.parameters),
                thousands(run.steps),
                run.text(),
                goals.join(", "),
                model.peer,
            );
        } else if let Some(row) = rows.get(model.name) {
            page += row;
            page.push('\n');
        }
    }
    write(&path, &page);
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|c| std::str::from_utf8(c).ok()).collect();
    parts.join(",")
}
