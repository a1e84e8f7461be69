//! What can be seen wrong in the words alone: brackets that do not match or nest too deep, open texts, strange characters.

use super::builder::Builder;
use super::scan::{Token, TokenKind};
use crate::base::{Diagnostic, limits};

/// The faults of single words.
pub fn words(text: &str, tokens: &[Token], builder: &Builder) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut before: Option<Token> = None;
    for token in tokens {
        let span = builder.place(token.start, token.end);
        match token.kind {
            TokenKind::OpenText => found.push(
                Diagnostic::error("open-text", "this text has no closing quote")
                    .label(span, "opened here, and the line ends")
                    .help("close it with `\"`; a line end inside a text is written `\\n`"),
            ),
            TokenKind::BadNumber => found.push(bad_number(token.text(text), builder, *token)),
            // Of a run of strange characters only the first is reported.
            TokenKind::Unknown if before.is_some_and(|b| b.kind == token.kind && b.end == token.start) => {}
            TokenKind::Unknown => found.push(strange(text, builder, *token)),
            TokenKind::Symbol => {
                let doubled = before.is_some_and(|b| b.end == token.start && b.text(text) == "/");
                if token.text(text) == "/" && doubled {
                    let place = builder.place(token.start - 1, token.end);
                    found.push(
                        Diagnostic::error("unknown-symbol", "`//` is not part of the language")
                            .label(place, "not an operator")
                            .help("comments start with `#`"),
                    );
                }
            }
            _ => {}
        }
        before = Some(*token);
    }
    found
}

fn bad_number(number: &str, builder: &Builder, token: Token) -> Diagnostic {
    let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &number[digits.len()..];
    let help = match suffix {
        "k" | "K" => format!("write `{digits}_000` or `{digits}e3`"),
        "M" => format!("write `{digits}e6`"),
        "kB" | "KB" | "MB" | "GB" | "mb" | "gb" | "kb" => {
            "sizes in bytes are written with KiB, MiB or GiB, as in `512MiB`".to_string()
        }
        _ => "numbers are written as `10`, `10_000`, `0.5`, `1e-3`, `90%` or `512MiB`; names start with a letter"
            .to_string(),
    };
    Diagnostic::error("bad-number", format!("`{number}` is not a number"))
        .label(builder.place(token.start, token.end), "digits that run into letters")
        .help(help)
}

fn strange(text: &str, builder: &Builder, token: Token) -> Diagnostic {
    let rest = &text[token.start..];
    let (length, help) = if rest.starts_with("&&") {
        (2, "write `and`".to_string())
    } else if rest.starts_with("||") {
        (2, "write `or`".to_string())
    } else {
        let help = match token.text(text) {
            "!" => "write `not`".to_string(),
            "|" => "the pipe is written `|>`".to_string(),
            "%" => "a percentage is written without a blank, as in `90%`".to_string(),
            "'" | "`" | "\u{201c}" | "\u{201d}" | "\u{2018}" | "\u{2019}" => {
                "texts stand in straight double quotes: `\"text\"`".to_string()
            }
            "\u{d7}" | "\u{b7}" => "write `*`".to_string(),
            "\u{2212}" | "\u{2013}" => "write `-`".to_string(),
            "\u{2192}" => "write `->`".to_string(),
            other if other.chars().all(char::is_alphabetic) => {
                "names are written with the letters a to z, digits and `_`".to_string()
            }
            _ => "take it out; in texts and comments every character may stand".to_string(),
        };
        (token.end - token.start, help)
    };
    let place = builder.place(token.start, token.start + length);
    let shown = rest.get(..length).unwrap_or("");
    Diagnostic::error("unknown-symbol", format!("`{}` is not part of the language", shown.escape_debug()))
        .label(place, "no word or operator starts like this")
        .help(help)
}

/// The bracket that closes `open`.
pub fn closing(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

/// The faults of the brackets.
pub fn brackets(text: &str, tokens: &[Token], builder: &Builder) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut open: Vec<Token> = Vec::new();
    let place = |token: &Token| builder.place(token.start, token.end);
    for token in tokens.iter().filter(|token| token.kind == TokenKind::Symbol) {
        let symbol = token.text(text);
        match symbol {
            "(" | "[" | "{" => {
                open.push(*token);
                if open.len() > limits::NESTING {
                    found.push(
                        Diagnostic::error("too-deep", "brackets are nested too deep")
                            .label(place(token), format!("more than {} open brackets here", limits::NESTING))
                            .help("name the inner parts with `let`"),
                    );
                    return found;
                }
            }
            ")" | "]" | "}" => match open.last() {
                Some(last) if closing(last.text(text)) == symbol => {
                    open.pop();
                }
                Some(last) => {
                    let wanted = closing(last.text(text));
                    found.push(
                        Diagnostic::error("unclosed", format!("`{}` is not closed", last.text(text)))
                            .label(place(last), "opened here")
                            .label(place(token), format!("expected `{wanted}` before this, found `{symbol}`"))
                            .help(format!("add the missing `{wanted}`, or take out `{symbol}`")),
                    );
                    match open.iter().rposition(|o| closing(o.text(text)) == symbol) {
                        Some(at) => open.truncate(at),
                        None => {
                            open.pop();
                        }
                    }
                }
                None => found.push(
                    Diagnostic::error("unopened", format!("`{symbol}` closes nothing"))
                        .label(place(token), "no bracket is open here")
                        .help("take it out, or add the opening bracket"),
                ),
            },
            _ => {}
        }
    }
    if let Some(last) = open.last() {
        let wanted = closing(last.text(text));
        let end = tokens.iter().rev().find(|t| t.is_visible()).map_or(last.end, |t| t.end);
        let mut diagnostic = Diagnostic::error("unclosed", format!("`{}` is not closed", last.text(text)))
            .label(place(last), "opened here")
            .help(format!("add the missing `{wanted}`"));
        if end > last.end {
            diagnostic = diagnostic
                .label(builder.place(end - 1, end), format!("expected `{wanted}` after this at the latest"));
        }
        found.push(diagnostic);
    }
    found
}
