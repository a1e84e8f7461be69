//! The examples in `docs/LANGUAGE.md`: each is what its fence says it is.

use std::path::Path;

use nnc::check::{CheckOptions, check};
use nnc::syntax;

/// A fenced example: what stands behind the fence, its text, its line.
struct Example {
    kind: String,
    text: String,
    line: usize,
}

/// What an example that is only a part stands in.
const SETTING: &str = "data digits = mnist()\n\
    model Net(image: f32[28, 28, 1]) -> f32[10] { image |> flatten |> dense(10) }\n";

fn examples(page: &str) -> Vec<Example> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).expect("the page");
    let mut found = Vec::new();
    let mut open: Option<Example> = None;
    for (i, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => {
                open = Some(Example { kind: kind.trim().to_string(), text: String::new(), line: i + 1 });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(example), None) => {
                example.text.push_str(line);
                example.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page}: an example does not end");
    found.retain(|example| example.kind == "nn" || example.kind.starts_with("nn "));
    found
}

/// A whole file from an example.
fn whole(example: &Example) -> String {
    let text = &example.text;
    match example.kind.as_str() {
        "nn train" => format!("{SETTING}train {{\nbatch 64 from digits.train\n{text}}}\n"),
        "nn body" => format!(
            "let width = 8\nlayer part(x: f32[6, 4]) -> f32 {{\n{text}}}\ndata digits = mnist()\n\
             model Net(image: f32[28, 28, 1]) -> f32 {{ image |> flatten |> dense(24) |> reshape([6, 4]) |> part }}\n\
             train {{\nbatch 64 from digits.train\nminimize Net(digits.image)\noptimizer sgd\nsteps 1\n}}\n"
        ),
        _ => text.clone(),
    }
}

#[test]
fn examples_of_the_language_page() {
    let examples = examples("docs/LANGUAGE.md");
    assert!(examples.len() >= 10, "only {} examples", examples.len());
    // Paths in the examples are those of the models that ship with the project.
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/example.nn");
    for example in examples {
        let options = CheckOptions { text: Some(whole(&example)), ..CheckOptions::default() };
        let checked = check(&place, &options);
        let shown: String = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
        match example.kind.strip_prefix("nn wrong ") {
            Some(code) => assert!(
                checked.diagnostics.iter().any(|d| d.code == code),
                "the example in line {} should be wrong with `{code}`: {shown}",
                example.line
            ),
            None => assert!(!checked.failed(), "the example in line {} is wrong:\n{shown}", example.line),
        }
    }
}

#[test]
fn examples_of_the_language_page_are_formatted() {
    for example in examples("docs/LANGUAGE.md").iter().filter(|example| example.kind == "nn") {
        let formatted = syntax::format(&example.text).expect("it parses");
        assert_eq!(
            formatted, example.text,
            "the example in line {} is not as `nnc fmt` prints it",
            example.line
        );
    }
}
