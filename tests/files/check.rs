//! Checked experiments: what the elaboration of whole files gives.

use std::path::Path;

use nnc::check::{CheckOptions, Checked, check};

/// Checks a file of the project.
pub fn checked(path: &str) -> Checked {
    check(Path::new(path), &CheckOptions::default())
}

/// All diagnostics as a person sees them.
pub fn rendered(checked: &Checked) -> String {
    let parts: Vec<String> = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
    parts.join("\n")
}

/// Every model that ships with the project.
pub fn models() -> Vec<String> {
    let mut paths: Vec<String> = std::fs::read_dir("models")
        .expect("the folder of models")
        .filter_map(|entry| Some(entry.ok()?.path().display().to_string()))
        .filter(|path| path.ends_with(".nn"))
        .collect();
    paths.sort();
    assert!(paths.len() > 1);
    paths
}

#[test]
fn models_are_right() {
    let mut wrong = String::new();
    for path in models() {
        let checked = checked(&path);
        wrong += &rendered(&checked);
    }
    assert_eq!(wrong, "", "\n{wrong}");
}

#[test]
fn every_name_is_documented() {
    let all = nnc::check::documentation();
    assert!(all.len() > 60, "{}", all.len());
    for entry in &all {
        assert!(!entry.doc.trim().is_empty(), "`{}` has no documentation", entry.name);
        assert!(entry.signature.starts_with(&entry.name), "{}", entry.signature);
    }
    for name in ["dense", "einsum", "adam", "cross_entropy", "training"] {
        assert!(all.iter().any(|entry| entry.name == name), "`{name}` is missing");
    }
}

/// What an experiment is made of, in lines.
fn summary(checked: &Checked) -> String {
    let experiment = checked.experiment.as_ref().expect("an experiment");
    let mut text = format!("seed {}\n", experiment.seed);
    for (name, value) in &experiment.settings {
        text += &format!("setting {name} = {value}\n");
    }
    for variable in &experiment.variables {
        text += &format!("{:?} {}: {}\n", variable.kind, variable.path, variable.ty);
    }
    for model in &experiment.models {
        let inputs: Vec<String> = model.inputs.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
        text += &format!("\nmodel {}({})\n", model.name, inputs.join(", "));
        for layer in &model.layers {
            let indent = "  ".repeat(layer.depth);
            text +=
                &format!("{indent}{} `{}` {} {}\n", layer.path, layer.text, layer.output, layer.parameters);
        }
    }
    for stage in &experiment.stages {
        text += &format!("\nstage {}: {:?}, {} steps\n", stage.name, stage.length, stage.total_steps);
        for measure in &stage.measures {
            text += &format!("  {}.{} {:?}\n", measure.split, measure.name, measure.every);
        }
        for update in &stage.step.updates {
            text += &format!("  updates {}\n", experiment.variable(update.variable).path);
        }
    }
    text
}

#[test]
fn paths_layers_and_updates_of_the_models() {
    for path in models() {
        let name = Path::new(&path).file_stem().expect("a name").to_string_lossy().into_owned();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots/models" }, {
            insta::assert_snapshot!(name, summary(&checked(&path)));
        });
    }
}

#[test]
fn names_of_instances_and_what_they_share() {
    let text = "
data digits = mnist()
layer pair()(x: f32[d]) -> f32[d] { x |> dense(d) |> inner: dense(d) }
layer plain(x: f32[d]) -> f32[d] { x |> dense(d) }
model Net(units: int = 6)(image: f32[28, 28, 1]) -> f32[10] {
  let twice = dense(units)
  let x = image |> flatten |> dense(units) |> twice |> twice
  let y = x |> pair() |> second: pair() |> plain |> plain |> repeat(2, pair()) |> tail: repeat(2, dense(units))
  y |> dense(10)
}
train {
  batch 64 from digits.train
  minimize cross_entropy(Net(digits.image), digits.label) + 1e-4 * l2(Net.**.weight)
  optimizer sgd(lr: 0.1) for Net.**.weight
  optimizer adam for Net.**.bias
  steps 30
  measure accuracy(Net(digits.image), digits.label) on digits.test every 10 steps as right
}
";
    let options = CheckOptions { text: Some(text.to_string()), ..CheckOptions::default() };
    let checked = check(Path::new("names.nn"), &options);
    assert_eq!(rendered(&checked), "");
    insta::assert_snapshot!(summary(&checked));
}
