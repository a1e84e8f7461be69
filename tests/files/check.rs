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

#[test]
fn mnist_cnn() {
    let checked = checked("models/mnist_cnn.nn");
    assert_eq!(rendered(&checked), "");
    let experiment = checked.experiment.expect("an experiment");
    let mut text = String::new();
    for v in &experiment.variables {
        text += &format!("{:?} {} {}\n", v.kind, v.path, v.ty);
    }
    for m in &experiment.models {
        for l in &m.layers {
            text += &format!(
                "{} {} | {} | {:?} {} {}\n",
                l.depth, l.path, l.text, l.nodes, l.output, l.parameters
            );
        }
    }
    for s in &experiment.stages {
        text += &format!(
            "{} {} {} {} {} {}\n",
            s.name,
            s.steps_per_epoch,
            s.total_steps,
            s.forward_end,
            s.gradient_end,
            s.step.graph.len()
        );
        for (id, n) in s.step.graph.iter() {
            text += &format!(
                "{id} {} {:?} {:?} {} {:?} {} {}\n",
                n.op.name,
                n.inputs,
                n.attrs,
                n.ty,
                n.level,
                n.scope,
                checked.sources.place(n.span)
            );
        }
        for m in &s.measures {
            text += &format!("{} {} {:?} {}\n", m.name, m.split, m.every, m.computation.graph.len());
        }
    }
    println!("{text}");
}
