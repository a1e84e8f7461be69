//! Which blanks stand between two words of a formatted line.

use super::marks::Marks;
use super::scan::{Token, TokenKind};
use super::words::RESERVED;

/// Writes the words of a line with the right blanks between them, without trailing ones.
pub fn write(out: &mut String, text: &str, tokens: &[Token], marks: &Marks) {
    let mut before: Option<Token> = None;
    for token in tokens {
        if let Some(before) = before {
            out.push_str(between(text, before, *token, marks));
        }
        // `index<2>= x` is a bound's end and an assignment.
        let glued = token.text(text) == ">=" && marks.is_bound(token.start);
        out.push_str(if glued { "> =" } else { token.text(text) });
        before = Some(*token);
    }
}

/// The width of a line in characters, without its trailing comment.
pub fn width(text: &str, tokens: &[Token], marks: &Marks) -> usize {
    let mut line = String::new();
    let words: Vec<Token> = tokens.iter().filter(|t| t.kind != TokenKind::Comment).copied().collect();
    write(&mut line, text, &words, marks);
    line.chars().count()
}

fn between(text: &str, before: Token, after: Token, marks: &Marks) -> &'static str {
    if after.kind == TokenKind::Comment {
        return "  ";
    }
    // Inside a glob nothing is moved: a blank would make it a product.
    if marks.in_path(after.start) && marks.in_path(before.start) && before.end == after.start {
        return "";
    }
    let (left, right) = (before.text(text), after.text(text));
    if marks.is_prefix(before.start) {
        return if left == "not" { " " } else { "" };
    }
    if marks.is_bound(before.start) && left == "<" || marks.is_bound(after.start) {
        return "";
    }
    let tight_after = matches!(left, "(" | "[" | "." | ".." | "^");
    let tight_before = matches!(right, ")" | "]" | "," | ";" | ":" | "." | ".." | "^");
    if left == ".." && marks.is_lone(before.start) && !tight_before {
        return " ";
    }
    if right == ".." && matches!(left, "," | ":") {
        return " ";
    }
    if tight_after || tight_before || (left == "{" && right == "}") {
        return "";
    }
    if matches!(right, "(" | "[") && marks.is_postfix(after.start) && !RESERVED.contains(&left) {
        return "";
    }
    " "
}
