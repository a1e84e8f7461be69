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

/// Each of these must end in a tree or in a message, whatever its size: never in a stack overflow.
#[test]
fn hostile_texts() {
    let many = |part: &str, count: usize| part.repeat(count);
    let cases: Vec<(&str, String, &str)> = vec![
        ("brackets", format!("let a = {}1{}", many("(", 10_000), many(")", 10_000)), "too-deep"),
        ("open brackets", format!("let a = {}", many("(", 10_000)), "too-deep"),
        ("lists", format!("let a = {}{}", many("[", 10_000), many("]", 10_000)), "too-deep"),
        ("braces", many("layer f() {", 10_000), "too-deep"),
        ("minus signs", format!("let a = {}1", many("-", 10_000)), "too-deep"),
        ("minus signs apart", format!("let a = {}1", many("- ", 10_000)), "too-deep"),
        ("not", format!("let a = {}b", many("not ", 10_000)), "too-deep"),
        ("sum", format!("let a = 1{}", many("+1", 100_000)), "too-deep"),
        ("powers", format!("let a = 1{}", many("^2", 100_000)), "too-deep"),
        ("lambdas", format!("let a = {}x", many("x => ", 100_000)), "too-deep"),
        ("calls", format!("let a = f{}", many("()", 100_000)), "too-deep"),
        ("fields", format!("let a = f{}", many(".x", 100_000)), "too-deep"),
        ("else if", format!("let a = if b {{ 1 }} {}", many("else if b { 1 } ", 10_000)), "too-deep"),
        ("pipeline", format!("let a = x{}", many(" |> f", 100_000)), ""),
        ("statements", format!("layer f(x: f32) {{ {} x }}", many("let y = x;", 100_000)), ""),
        ("items", many("let y = 1\n", 100_000), ""),
        ("closing brackets", many(")", 10_000), "unopened"),
        ("quotes", many("\"", 10_001), "open-text"),
        ("strange characters", many("\u{1f600} ", 1_000), "unknown-symbol"),
        ("control characters", "let a = \u{0}\u{1}".to_string(), "unknown-symbol"),
        ("too large", many(" ", 5 << 20), "too-large"),
        ("nothing", String::new(), ""),
        ("nested errors", format!("let a = {}x[1..{}", many("x[1..", 100), many("]", 101)), ""),
        ("mixed", format!("let a = {}1{}", many("(1+[", 90), many("])", 90)), ""),
    ];
    for (name, text, code) in cases {
        let shown = match syntax::parse(FileId(0), &text) {
            Ok(file) => format!("fine: {}", syntax::dump(&file).len()),
            Err(diagnostics) => format!("{:?}", diagnostics.iter().map(|d| d.code).collect::<Vec<_>>()),
        };
        let right = if code.is_empty() {
            shown.starts_with("fine") || name == "nested errors"
        } else {
            shown.contains(code)
        };
        assert!(right, "{name}: expected {code:?}, got {shown}");
    }
}

/// The text in canonical layout; checks that the tree stays the same, no comment gets lost, and twice changes nothing.
fn formatted(path: &Path, text: &str) -> String {
    let tree = |text: &str| match syntax::parse(FileId(0), text) {
        Ok(file) => (syntax::dump(&file), file.comments.iter().map(|c| c.text.clone()).collect::<Vec<_>>()),
        Err(_) => panic!("{}\n{text}", errors(&path.display().to_string(), text)),
    };
    let once =
        syntax::format(text).unwrap_or_else(|_| panic!("{}", errors(&path.display().to_string(), text)));
    let twice =
        syntax::format(&once).unwrap_or_else(|_| panic!("formatting broke {}:\n{once}", path.display()));
    assert_eq!(once, twice, "{}: formatting is not idempotent", path.display());
    assert_eq!(tree(text), tree(&once), "{}: formatting changes the meaning", path.display());
    once
}

#[test]
fn formatted_specs() {
    for path in specs("tests/files/specs/fmt").into_iter().chain(specs("tests/files/specs/syntax")) {
        let text = std::fs::read_to_string(&path).expect("readable");
        insta::with_settings!({ snapshot_path => "snapshots/fmt", omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(stem(&path), formatted(&path, &text));
        });
    }
}

/// The specs that ship with the project are in canonical layout already.
#[test]
fn shipped_specs_are_formatted() {
    for path in specs("models").into_iter().chain(specs("src/std")) {
        let text = std::fs::read_to_string(&path).expect("readable");
        assert_eq!(formatted(&path, &text), text, "{} is not as `nnc fmt` prints it", path.display());
    }
}

/// Texts that are damaged in one place: each ends in a tree or in messages that point into the text, and what still
/// parses can be formatted.
#[test]
fn damaged_texts() {
    let mut wrong = 0;
    for path in specs("models").into_iter().chain(specs("tests/files/specs/syntax")) {
        let text = std::fs::read_to_string(&path).expect("readable");
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for (i, at) in places.iter().enumerate().step_by(4) {
            let (before, after) = text.split_at(*at);
            let rest = &after[after.chars().next().map_or(0, char::len_utf8)..];
            // Every place is damaged in one of these ways, neighbours in different ones.
            let damaged = match i % 7 {
                0 => before.to_string(),
                1 => format!("{before}{rest}"),
                2 => format!("{before}({after}"),
                3 => format!("{before} }}\n{after}"),
                4 => format!("{before}\"{after}"),
                5 => format!("{before} x {after}"),
                _ => format!("{before}\u{e9}={after}"),
            };
            match syntax::parse(FileId(0), &damaged) {
                Ok(_) => {
                    formatted(&path, &damaged);
                }
                Err(diagnostics) => {
                    wrong += 1;
                    assert!(!diagnostics.is_empty());
                    for diagnostic in diagnostics {
                        assert_ne!(diagnostic.code, "internal", "{}\n{damaged}", diagnostic.title);
                        for label in diagnostic.labels {
                            let range = label.span.start as usize..label.span.end as usize;
                            assert!(
                                damaged.get(range.clone()).is_some(),
                                "{range:?} is no place in:\n{damaged}"
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(wrong > 500, "only {wrong} of the damaged texts were wrong");
}
