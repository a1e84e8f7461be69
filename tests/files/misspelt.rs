//! Every word of every model is misspelt in turn: each time something must be found wrong.

use std::path::Path;

use nnc::check::{CheckOptions, check};

use super::check::models;

/// A word of a spec: where it stands, what stands before and after it.
struct Word {
    start: usize,
    end: usize,
    before: String,
    after: char,
    paragraph: usize,
}

/// The words of a spec outside of comments and texts.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let bytes = text.as_bytes();
    let (mut at, mut paragraph, mut before) = (0, 0, String::new());
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'#' => {
                while at < bytes.len() && bytes[at] != b'\n' {
                    at += 1;
                }
                continue;
            }
            b'"' => {
                at += 1 + text[at + 1..].find('"').expect("the end of a text") + 1;
                before = "\"".to_string();
                continue;
            }
            c if c.is_ascii_alphabetic() || c == b'_' => {
                while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_') {
                    at += 1;
                }
                let after = text[at..].trim_start_matches(' ').chars().next().unwrap_or(' ');
                words.push(Word { start, end: at, before: before.clone(), after, paragraph });
                before = text[start..at].to_string();
                continue;
            }
            c if c.is_ascii_digit() => {
                while at < bytes.len() && (bytes[at].is_ascii_alphanumeric() || b"._".contains(&bytes[at])) {
                    // `1..3`
                    if text[at..].starts_with("..") {
                        break;
                    }
                    at += 1;
                    if bytes[at - 1] == b'e' && at < bytes.len() && b"+-".contains(&bytes[at]) {
                        at += 1;
                    }
                }
                before = "0".to_string();
                continue;
            }
            b'\n' if text[at..].starts_with("\n\n") => paragraph += 1,
            c if c.is_ascii_whitespace() => {}
            b'|' => before = "|>".to_string(),
            b'>' if before == "|>" => {}
            c => before = (c as char).to_string(),
        }
        at += 1;
    }
    words
}

/// Whether a word may be anything: a name that is given and that nothing refers to.
fn is_free(text: &str, word: &Word, all: &[Word]) -> bool {
    let name = &text[word.start..word.end];
    let is = |w: &&Word| &text[w.start..w.end] == name;
    let alias = word.before == "as";
    let label = word.before == "|>" && word.after == ':';
    let stage = word.before == "train" && !text.contains(&format!("after {name}"));
    // A loop may count without its counter being read.
    let counter = word.before == "for";
    // A dimension that documents a type.
    let alone = all.iter().filter(|w| w.paragraph == word.paragraph).filter(is).count() == 1;
    let dimension =
        alone && matches!(word.before.as_str(), "[" | "," | "<") && matches!(word.after, ',' | ']' | '>');
    let referred = all.iter().filter(is).count() > 1;
    (label && !referred) || stage || alias || (alone && counter) || dimension
}

#[test]
fn every_misspelling_is_found() {
    let missed = std::thread::scope(|scope| {
        let work: Vec<_> = models().into_iter().map(|path| scope.spawn(move || missed_in(&path))).collect();
        work.into_iter().map(|thread| thread.join().expect("a check")).collect::<Vec<_>>().concat()
    });
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
}

fn missed_in(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("a model");
    let all = words(&text);
    assert!(all.len() > 20, "{path}");
    // The data need not be read anew for words that say nothing of them.
    let tables = check(Path::new(path), &CheckOptions::default()).tables;
    let of_data: Vec<bool> = text.split("\n\n").map(|paragraph| paragraph.contains("data ")).collect();
    let mut missed = Vec::new();
    for word in all.iter().filter(|word| !is_free(&text, word, &all)) {
        let wrong = format!("{}q{}", &text[..word.end], &text[word.end..]);
        let tables = if of_data[word.paragraph] { Vec::new() } else { tables.clone() };
        let options = CheckOptions { text: Some(wrong), tables, ..CheckOptions::default() };
        let checked = check(Path::new(path), &options);
        if checked.diagnostics.is_empty() {
            let line = text[..word.start].lines().count();
            missed.push(format!("{path}:{line}: `{}q`", &text[word.start..word.end]));
        }
        assert!(checked.diagnostics.iter().all(|d| d.exit as u8 != 70), "a fault of the checker in {path}");
    }
    missed
}
