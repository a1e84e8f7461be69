//! Text to tree: limits first, then the words, then the grammar; after an error it goes on with the next statement.

use pest::Parser;
use pest::error::{Error, InputLocation};

use super::ast::{Comment, File, Item};
use super::builder::Builder;
use super::grammar::{NnParser, Rule};
use super::scan::{Token, TokenKind, scan};
use super::{explain, lexical, segments};
use crate::base::{Diagnostic, FileId, Span, limits};

/// The stack of the parser's thread: its recursion is bounded by `limits::NESTING`, this is far more than that needs.
const STACK: usize = 64 << 20;

/// Reads a text. All syntax errors are reported, not the first only.
pub fn parse(file: FileId, text: &str) -> Result<File, Vec<Diagnostic>> {
    if text.len() > limits::SPEC_BYTES {
        let place = Span { file, start: 0, end: 0 };
        return Err(vec![
            Diagnostic::error("too-large", "this file is too large for a spec")
                .label(place, format!("{} bytes; at most {} are read", text.len(), limits::SPEC_BYTES))
                .help("numbers belong in data files; layers can be moved to other files with `use`"),
        ]);
    }
    on_big_stack(|| parse_here(file, text)).unwrap_or_else(|problem| Err(vec![problem]))
}

/// Runs `work` on a thread whose stack is known to be large enough.
pub fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Diagnostic> {
    let failed = |why: String| Diagnostic::internal("the parser", why);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|why| failed(format!("no thread: {why}")))?;
        thread.join().map_err(|_| failed("a thread panicked".to_string()))
    })
}

fn parse_here(file: FileId, text: &str) -> Result<File, Vec<Diagnostic>> {
    let tokens = scan(text);
    let builder = Builder::new(file, 0);
    let open = lexical::brackets(text, &tokens, &builder);
    if !open.is_empty() {
        return Err(by_item(file, text, open));
    }
    let items = piece(builder, text, &tokens)?;
    let comments = tokens
        .iter()
        .filter(|token| token.kind == TokenKind::Comment)
        .map(|token| Comment {
            text: token.text(text).to_string(),
            span: Span { file, start: token.start as u32, end: token.end as u32 },
        })
        .collect();
    let mut parsed = File { items, comments };
    attach_docs(text, &mut parsed);
    Ok(parsed)
}

/// Parses a text whose brackets match. After an error the statement is blanked out and the rest is parsed again.
fn piece(mut builder: Builder, text: &str, tokens: &[Token]) -> Result<Vec<Item>, Vec<Diagnostic>> {
    let mut found = lexical::words(text, tokens, &builder);
    let mut work = text.to_string();
    for at in found.iter().filter_map(|d| d.labels.first()).map(|l| l.span.start as usize - builder.base) {
        blank_out(&mut work, at);
    }
    let mut items = Vec::new();
    // Each error costs a parse of the whole piece, so very long ones report fewer.
    let most = (2 * limits::SPEC_BYTES / text.len().max(1)).min(limits::SYNTAX_ERRORS);
    while found.len() < most {
        let at = match NnParser::parse(Rule::file, &work) {
            Ok(pairs) => {
                for node in pairs.flat_map(|file| file.into_inner()) {
                    if node.as_rule() == Rule::EOI {
                        continue;
                    }
                    // An error may leave the builder in the middle of a tree, so each item gets a fresh one.
                    let base = builder.base;
                    match builder.item(node) {
                        Ok(item) => items.push(item),
                        Err(problem) => {
                            found.push(*problem);
                            builder = Builder::new(builder.file, base);
                        }
                    }
                }
                break;
            }
            Err(error) => {
                let at = position(&error);
                found.push(explain::explain(text, tokens, at, &error, &builder));
                at
            }
        };
        if !blank_out(&mut work, at) {
            break;
        }
    }
    if found.is_empty() {
        return Ok(items);
    }
    found.sort_by_key(|diagnostic| diagnostic.labels.first().map_or(0, |label| label.span.start));
    found.truncate(limits::SYNTAX_ERRORS);
    Err(found)
}

fn position(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    }
}

/// Replaces the statement around `at` by blanks; false if there is nothing left to replace.
fn blank_out(work: &mut String, at: usize) -> bool {
    let tokens = scan(work);
    let statement = segments::around(work, &tokens, at);
    let (Some(first), Some(last)) = (statement.tokens.first(), statement.tokens.last()) else {
        return false;
    };
    let Some(part) = work.get(first.start..last.end) else {
        return false;
    };
    let blanks: String = part
        .chars()
        .flat_map(|c| {
            let width = if c == '\n' { 0 } else { c.len_utf8() };
            std::iter::repeat_n(' ', width).chain((c == '\n').then_some('\n'))
        })
        .collect();
    work.replace_range(first.start..last.end, &blanks);
    true
}

/// The errors of a text whose words or brackets are wrong, item by item, so that one open brace hides no other error.
fn by_item(file: FileId, text: &str, whole: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let starts = item_starts(text);
    for (i, start) in starts.iter().enumerate() {
        let end = starts.get(i + 1).copied().unwrap_or(text.len());
        let Some(part) = text.get(*start..end) else { continue };
        let tokens = scan(part);
        let builder = Builder::new(file, *start);
        let mut wrong = lexical::brackets(part, &tokens, &builder);
        if tokens.iter().any(|token| token.kind == TokenKind::OpenText) {
            // An open text has swallowed what follows it: the brackets say nothing.
            wrong = lexical::words(part, &tokens, &builder);
        }
        if wrong.is_empty() {
            found.extend(piece(builder, part, &tokens).err().unwrap_or_default());
        } else {
            found.extend(wrong);
        }
        if found.len() >= limits::SYNTAX_ERRORS {
            found.truncate(limits::SYNTAX_ERRORS);
            break;
        }
    }
    if found.is_empty() { whole } else { found }
}

/// Where items seem to start: at a keyword at the start of a line that hardly stands there for another reason.
fn item_starts(text: &str) -> Vec<usize> {
    let mut starts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or("");
        let second = words.next().unwrap_or("");
        let named = second.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let item = match first {
            "data" | "layer" | "model" => named,
            "train" => named || second.starts_with('{'),
            "use" => second.starts_with('"'),
            _ => false,
        };
        if item && at > 0 && line.starts_with(first) {
            starts.push(at);
        }
        at += line.len();
    }
    starts
}

/// Gives each definition the `##` lines right above it.
fn attach_docs(text: &str, file: &mut File) {
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    let line_of = |at: u32| ends.partition_point(|end| *end < at as usize);
    let lines: Vec<(usize, &Comment)> = file
        .comments
        .iter()
        .filter(|comment| comment.text.starts_with("##"))
        .map(|comment| (line_of(comment.span.start), comment))
        .collect();
    for item in &mut file.items {
        let Item::Def(def) = item else { continue };
        let mut line = line_of(def.span.start);
        let before = lines.partition_point(|(at, _)| *at < line);
        let mut doc: Vec<&str> = Vec::new();
        for (at, comment) in lines[..before].iter().rev() {
            if *at + 1 != line {
                break;
            }
            let words = comment.text.trim_start_matches('#');
            doc.push(words.strip_prefix(' ').unwrap_or(words));
            line = *at;
        }
        doc.reverse();
        def.doc = doc.join("\n");
    }
}
