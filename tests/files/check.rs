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
