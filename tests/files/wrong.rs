//! Wrong specs: each file of `tests/files/wrong/` has its diagnostics pinned.

use super::check::{checked, rendered};

/// The files, in alphabetical order.
fn files() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir("tests/files/wrong")
        .expect("the folder of wrong specs")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".nn").map(str::to_string))
        .collect();
    names.sort();
    names
}

#[test]
fn every_wrong_spec_is_explained() {
    let names = files();
    assert!(names.len() >= 60, "{} wrong specs", names.len());
    let mut silent = Vec::new();
    for name in names {
        let checked = checked(&format!("tests/files/wrong/{name}.nn"));
        if checked.diagnostics.is_empty() || checked.failed() == checked.experiment.is_some() {
            silent.push(name.clone());
        }
        assert!(checked.diagnostics.iter().all(|d| d.exit as u8 != 70), "{name}:\n{}", rendered(&checked));
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "wrong/messages" }, {
            insta::assert_snapshot!(name, rendered(&checked));
        });
    }
    assert!(silent.is_empty(), "nothing was found wrong in {silent:?}");
}
