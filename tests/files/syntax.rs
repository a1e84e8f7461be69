//! The syntax: trees, error messages, hostile texts.

use std::path::{Path, PathBuf};

use nnc::base::{FileId, Sources};
use nnc::syntax;

/// Every `.nn` file below a folder of the project, sorted.
fn specs(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is part of the project") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|e| e == "nn") {
            found.push(path);
        }
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file").to_string_lossy().into_owned()
}

/// The rendered diagnostics of a text; empty if it is right.
fn errors(path: &str, text: &str) -> String {
    let mut sources = Sources::default();
    let file = sources.add(path.into(), text.to_string(), false);
    match syntax::parse(file, text) {
        Ok(_) => String::new(),
        Err(diagnostics) => diagnostics.iter().map(|d| d.render(&sources, false)).collect(),
    }
}

#[test]
fn trees_of_specs() {
    for path in specs("tests/files/specs/syntax").into_iter().chain(specs("models")) {
        let text = std::fs::read_to_string(&path).expect("readable");
        let tree = match syntax::parse(FileId(0), &text) {
            Ok(file) => syntax::dump(&file),
            Err(_) => panic!("{}", errors(&path.display().to_string(), &text)),
        };
        insta::with_settings!({ snapshot_path => "snapshots/trees", omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(stem(&path), tree);
        });
    }
}

#[test]
fn messages_of_wrong_specs() {
    let paths = specs("tests/files/specs/syntax_errors");
    assert!(paths.len() >= 20, "only {} wrong specs", paths.len());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = stem(&path);
        let shown = errors(&format!("{name}.nn"), &text);
        assert!(!shown.is_empty(), "{name} has no error");
        insta::with_settings!({ snapshot_path => "snapshots/errors", omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, shown);
        });
    }
}
