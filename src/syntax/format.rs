//! The formatter: one layout for every text. It keeps words, comments and the line breaks that carry meaning for
//! a reader, and decides blanks, indentation, blank lines and where an operator stands at a break.
//!
//! It works on the words of the text, not on the tree, so that nothing can get lost; the grammar says what each
//! word is (`marks.rs`), `spacing.rs` which blanks stand between two.

use super::marks::Marks;
use super::parse::{on_big_stack, parse};
use super::scan::{Token, TokenKind, scan};
use super::segments::is_infix;
use super::spacing;
use crate::base::{Diagnostic, FileId};

/// The longest line that is not broken.
const WIDTH: usize = 100;
/// Blanks per level.
const INDENT: usize = 2;

/// The text in the canonical layout. Formatting twice changes nothing more.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    parse(FileId(0), text)?;
    on_big_stack(|| layout(text)).map_err(|problem| vec![problem])
}

fn layout(text: &str) -> String {
    let tokens = scan(text);
    let marks = Marks::of(text);
    let lines = break_lines(text, &tokens, &marks);
    let lines = break_long(text, lines, &marks);
    write(text, &lines, &marks)
}

/// A line of the result: its words, and whether a blank line goes before it.
#[derive(Clone, Default)]
struct Line {
    tokens: Vec<Token>,
    blank_before: bool,
}

/// Cuts the words into lines: where the text had a break, and where a block that spans lines needs one.
fn break_lines(text: &str, tokens: &[Token], marks: &Marks) -> Vec<Line> {
    let long = long_braces(text, tokens);
    let mut lines: Vec<Line> = Vec::new();
    let mut line = Line::default();
    let mut breaks = 0;
    // For each open bracket: whether it is a brace whose statements stand on lines of their own.
    let mut open: Vec<bool> = Vec::new();
    for token in tokens {
        let word = token.text(text);
        match token.kind {
            TokenKind::Newline => {
                breaks += 1;
                continue;
            }
            TokenKind::Comment if breaks == 0 => {
                // A trailing comment stays on its line, also where that ended with a `{` or a dropped `;`.
                match lines.last_mut().filter(|_| line.tokens.is_empty()) {
                    Some(last) => last.tokens.push(*token),
                    None => line.tokens.push(*token),
                }
                continue;
            }
            _ => {}
        }
        let closes_long = matches!(word, ")" | "]" | "}") && token.kind == TokenKind::Symbol && {
            open.pop().unwrap_or(false)
        };
        if (breaks > 0 || closes_long) && !line.tokens.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        if line.tokens.is_empty() {
            line.blank_before = breaks > 1;
        }
        breaks = 0;
        if word == ";" && token.kind == TokenKind::Symbol && open.last().copied().unwrap_or(true) {
            if !line.tokens.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            continue;
        }
        line.tokens.push(*token);
        if token.kind == TokenKind::Symbol && matches!(word, "(" | "[" | "{") {
            let own_lines = long.binary_search(&token.start).is_ok();
            open.push(own_lines);
            if own_lines {
                lines.push(std::mem::take(&mut line));
            }
        }
    }
    if !line.tokens.is_empty() {
        lines.push(line);
    }
    operators_first(text, &mut lines, marks);
    lines
}

/// The starts of the braces that have a line break between them and their closing brace.
fn long_braces(text: &str, tokens: &[Token]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut open: Vec<(usize, bool)> = Vec::new();
    for token in tokens {
        match (token.kind, token.text(text)) {
            (TokenKind::Newline | TokenKind::Comment, _) => open.iter_mut().for_each(|o| o.1 = true),
            (TokenKind::Symbol, "{") => open.push((token.start, false)),
            (TokenKind::Symbol, "}") => {
                if let Some((start, true)) = open.pop() {
                    found.push(start);
                }
            }
            _ => {}
        }
    }
    found.sort_unstable();
    found
}

/// Moves an infix operator or `|>` from the end of a line to the start of the next.
fn operators_first(text: &str, lines: &mut [Line], marks: &Marks) {
    for i in 1..lines.len() {
        let (before, after) = lines.split_at_mut(i);
        let (Some(before), Some(after)) = (before.last_mut(), after.first_mut()) else { continue };
        let starts_with_comment = after.tokens.first().is_none_or(|t| t.kind == TokenKind::Comment);
        if before.tokens.len() < 2 || starts_with_comment {
            continue;
        }
        if let Some(last) = before.tokens.last().copied()
            && (last.text(text) == "|>" || is_infix(last.text(text)))
            && !marks.is_prefix(last.start)
            && !marks.in_path(last.start)
        {
            before.tokens.pop();
            after.tokens.insert(0, last);
        }
    }
}

/// Breaks lines that are too long before each `|>` of their outermost pipeline.
fn break_long(text: &str, lines: Vec<Line>, marks: &Marks) -> Vec<Line> {
    let mut out: Vec<Line> = Vec::new();
    for line in lines {
        if spacing::width(text, &line.tokens, marks) <= WIDTH {
            out.push(line);
            continue;
        }
        let mut depth = 0i32;
        let mut part = Line { tokens: Vec::new(), blank_before: line.blank_before };
        for token in line.tokens {
            match token.text(text) {
                "(" | "[" | "{" if token.kind == TokenKind::Symbol => depth += 1,
                ")" | "]" | "}" if token.kind == TokenKind::Symbol => depth -= 1,
                "|>" if depth == 0 && !part.tokens.is_empty() => out.push(std::mem::take(&mut part)),
                _ => {}
            }
            part.tokens.push(token);
        }
        out.push(part);
    }
    out
}

/// A bracket that is open at the start of a line.
struct Open {
    /// The indentation of the line it was opened in.
    indent: usize,
    /// A `{`: what follows are statements.
    brace: bool,
}

/// Writes the lines with their indentation.
fn write(text: &str, lines: &[Line], marks: &Marks) -> String {
    let mut out = String::new();
    let mut open: Vec<Open> = Vec::new();
    // The statement that the line belongs to: its indentation, and whether it begins with its value.
    let mut plain_statement = true;
    for (i, line) in lines.iter().enumerate() {
        let Some(first) = line.tokens.first() else { continue };
        let word = first.text(text);
        let symbol = first.kind == TokenKind::Symbol;
        let closes = symbol && matches!(word, ")" | "]" | "}");
        let inside = open.last().map_or(0, |o| o.indent + INDENT);
        let statements = open.last().is_none_or(|o| o.brace);
        let last = (i > 0).then(|| lines[i - 1].tokens.iter().rfind(|t| t.is_visible())).flatten();
        let last = last.map_or("", |token| token.text(text));
        let goes_on = (marks.goes_on(first.start) || matches!(last, "=" | "=>" | ":")) && !closes;
        let indent = if closes {
            open.last().map_or(0, |o| o.indent)
        } else if goes_on && statements && !(word == "|>" && plain_statement) && word != "{" && word != "else"
        {
            inside + INDENT
        } else {
            inside
        };
        if statements && !goes_on && !closes && first.kind != TokenKind::Comment {
            plain_statement = !marks.is_keyword(first.start);
        }
        if line.blank_before && !out.is_empty() && !closes && last != "{" {
            out.push('\n');
        }
        for token in &line.tokens {
            if token.kind != TokenKind::Symbol {
                continue;
            }
            match token.text(text) {
                symbol @ ("(" | "[" | "{") => open.push(Open { indent, brace: symbol == "{" }),
                ")" | "]" | "}" => {
                    open.pop();
                }
                _ => {}
            }
        }
        out.extend(std::iter::repeat_n(' ', indent));
        spacing::write(&mut out, text, &line.tokens, marks);
        out.push('\n');
    }
    out
}
