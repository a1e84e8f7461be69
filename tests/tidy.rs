//! The rules of the house, as far as a machine can check them.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of the building, lowest first. A folder of `src` uses what stands in earlier lines and itself,
/// not its neighbours in the same line.
const FLOORS: &[&[&str]] = &[
    &["base"],
    &["ty"],
    &["kernels"],
    &["syntax", "readers"],
    &["ir"],
    &["ops"],
    &["passes", "interp"],
    &["check", "jit"],
    &["exec"],
    &["train"],
    &["driver"],
    &["cli"],
];
/// The only folders that may hold `unsafe`.
const UNSAFE_FOLDERS: &[&str] = &["kernels", "jit", "exec"];
/// The most lines of a source file.
const LINES: usize = 550;

/// A text file of the project, by its path from the top.
struct Text {
    path: String,
    text: String,
}

impl Text {
    /// `passes` for `src/passes/plan/mod.rs`.
    fn folder(&self) -> &str {
        let rest = self.path.trim_start_matches("src/");
        rest.split('/').next().unwrap_or(rest).trim_end_matches(".rs")
    }

    /// How many `super::` lead from this file's module to the root of the crate.
    fn depth(&self) -> usize {
        self.path.trim_start_matches("src/").trim_end_matches("/mod.rs").split('/').count()
    }

    /// The text without comments; line breaks stay.
    fn code(&self) -> String {
        self.text.lines().map(|line| line.split("//").next().unwrap_or("").to_string() + "\n").collect()
    }
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All text files below a folder, but for what is made and not written.
fn texts(folder: &str) -> Vec<Text> {
    let mut found = Vec::new();
    walk(&top().join(folder), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, found: &mut Vec<Text>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".git", "runs"].contains(&name.as_str()) {
                walk(&path, found);
            }
        } else if name != ".git"
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(top()).unwrap().to_string_lossy().replace('\\', "/");
            found.push(Text { path, text });
        }
    }
}

fn rust(folder: &str) -> Vec<Text> {
    texts(folder).into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What follows each occurrence of a path or word that does not go on an earlier word.
fn after<'a>(code: &'a str, what: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(what)
        .filter(|(at, _)| !code[..*at].ends_with(is_word))
        .map(move |(at, _)| &code[at + what.len()..])
}

fn first_word(text: &str) -> &str {
    text.split(|c| !is_word(c)).next().unwrap_or("")
}

/// The first segments after `crate::`, also those of `crate::{a, b::c}`.
fn imports(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for rest in after(code, "crate::") {
        let Some(group) = rest.strip_prefix('{') else {
            found.push(first_word(rest));
            continue;
        };
        let (mut depth, mut start) = (0, true);
        for (at, c) in group.char_indices() {
            match c {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                c if is_word(c) && start => {
                    found.push(first_word(&group[at..]));
                    start = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn floor(folder: &str) -> Option<usize> {
    FLOORS.iter().position(|names| names.contains(&folder))
}

/// Fails with all that was found.
fn none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}\n  {}", found.join("\n  "));
}

#[test]
fn folders_use_only_lower_floors() {
    let mut wrong = Vec::new();
    for file in rust("src") {
        let folder = file.folder();
        if ["lib", "main"].contains(&folder) {
            continue;
        }
        let Some(mine) = floor(folder) else {
            wrong.push(format!("{}: the folder {folder} has no floor", file.path));
            continue;
        };
        let code = file.code();
        for used in imports(&code) {
            if used != folder && floor(used).is_none_or(|theirs| theirs >= mine) {
                wrong.push(format!("{} uses {used}", file.path));
            }
        }
        let code = code.split("#[cfg(test)]").next().unwrap_or("");
        if code.contains(&"super::".repeat(file.depth())) {
            wrong.push(format!("{} climbs to the root by `super`", file.path));
        }
    }
    none(wrong, "a folder uses only lower floors (see FLOORS)");
}

#[test]
fn imports_are_seen_in_every_form() {
    let code = "use crate::a::X; let y = crate::b(1); use crate::{c::{D, E}, f, g::H as I};\nmycrate::z";
    assert_eq!(imports(code), ["a", "b", "c", "f", "g"]);
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let files = rust("src").into_iter().chain(rust("tests"));
    let wrong = files.filter(|file| !file.text.starts_with("//! ")).map(|file| file.path).collect();
    none(wrong, "a file starts with `//! ` and what it is for");
}

#[test]
fn files_are_short() {
    let files = rust("src").into_iter().chain(rust("tests"));
    let wrong = files
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, _)| *lines > LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    none(wrong, "a file holds one idea: 550 lines are the most");
}

#[test]
fn unsafe_stands_where_it_may() {
    let wrong = rust("src")
        .into_iter()
        .filter(|file| !UNSAFE_FOLDERS.contains(&file.folder()))
        .filter(|file| after(&file.code(), "unsafe").any(|rest| !rest.starts_with(is_word)))
        .map(|file| file.path)
        .collect();
    none(wrong, "`unsafe` stands only in kernels, jit and exec");
}

#[test]
fn nothing_is_left_undone() {
    let marks = ["todo!", "unimplemented!", "FIXME", "TODO", "XXX"];
    let mut wrong = Vec::new();
    for file in texts("src").into_iter().chain(texts("tests")).filter(|file| file.path != "tests/tidy.rs") {
        for mark in marks {
            if after(&file.text, mark).any(|rest| mark.ends_with('!') || !rest.starts_with(is_word)) {
                wrong.push(format!("{}: {mark}", file.path));
            }
        }
    }
    none(wrong, "work that is left is not left in the text");
}

#[test]
fn no_path_of_somebodys_machine() {
    let mut wrong = Vec::new();
    for file in texts("").into_iter().filter(|file| file.path != "tests/tidy.rs") {
        for (i, line) in file.text.lines().enumerate() {
            let machine = ["/home/", "/root/", "/Users/", "C:\\Users"];
            // `network/home/` is no path from the root.
            let absolute = |prefix: &str| after(line, prefix).next().is_some();
            if machine.iter().any(|prefix| absolute(prefix)) {
                wrong.push(format!("{}:{}", file.path, i + 1));
            }
        }
    }
    none(wrong, "a path of one machine means nothing on another");
}

#[test]
fn ops_are_listed_by_name() {
    let names: Vec<&str> = nnc::ops::ALL.iter().map(|op| op.name).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted, "ops::ALL is in alphabetical order, each name once");
}

#[test]
fn every_op_is_listed() {
    let files = rust("src/ops");
    let list = &files.iter().find(|file| file.path == "src/ops/mod.rs").unwrap().text;
    let mut wrong = Vec::new();
    let mut records = 0;
    for file in &files {
        for rest in after(&file.code(), "static ") {
            let name = first_word(rest);
            if rest[name.len()..].starts_with(": Op ") {
                records += 1;
                let entry =
                    format!("&{}::{name},", file.path.trim_start_matches("src/ops/").trim_end_matches(".rs"));
                if !list.contains(&entry) {
                    wrong.push(format!("{}: {name}", file.path));
                }
            }
        }
    }
    none(wrong, "every record of an op stands in ops::ALL");
    assert_eq!(records, nnc::ops::ALL.len(), "a record is written `static NAME: Op = Op {{`");
}
