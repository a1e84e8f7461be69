//! Numbers and texts: from how people write them to their values.

use super::ast::ExprKind;
use super::builder::Builder;
use super::grammar::{Built, Node};
use crate::base::Diagnostic;

/// The largest whole number that a 64-bit float holds together with all smaller ones.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What may stand behind the digits, and what it multiplies by.
const SUFFIXES: [(&str, f64); 4] =
    [("%", 0.01), ("KiB", 1024.0), ("MiB", 1024.0 * 1024.0), ("GiB", 1024.0 * 1024.0 * 1024.0)];

impl Builder {
    /// `1e-3`, `10_000`, `90%`, `512MiB`.
    pub fn number(&self, node: &Node) -> Built<ExprKind> {
        let text = node.as_str();
        let (digits, suffix) = split_suffix(text);
        let plain = digits.replace('_', "");
        let wrong = |why: &str| {
            Box::new(
                Diagnostic::error("number-range", "this number cannot be used").label(self.span(node), why),
            )
        };
        let value: f64 = plain.parse().map_err(|_| wrong("not a number"))?;
        // Dividing keeps `90%` the same number as `0.9`; `* 0.01` would not.
        let value = match suffix {
            Some(("%", _)) => value / 100.0,
            Some((_, factor)) => value * factor,
            None => value,
        };
        if !value.is_finite() {
            return Err(wrong("larger than any 64-bit float"));
        }
        let whole = plain.bytes().all(|b| b.is_ascii_digit()) && suffix.is_none_or(|(name, _)| name != "%");
        if whole && value > EXACT {
            return Err(wrong("whole numbers go up to 2^53 = 9007199254740992"));
        }
        Ok(ExprKind::Number { value, whole, text: text.to_string() })
    }

    /// The text between the quotes, its escapes replaced.
    pub fn text(&self, node: &Node) -> Built<String> {
        let written = node.as_str();
        let inner = written.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(written);
        let mut out = String::with_capacity(inner.len());
        let mut rest = inner.char_indices();
        while let Some((at, c)) = rest.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            match rest.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('0') => out.push('\0'),
                Some(c @ ('"' | '\\')) => out.push(c),
                other => {
                    let start = node.as_span().start() + 1 + at;
                    let length = 1 + other.map_or(0, char::len_utf8);
                    return Err(Box::new(
                        Diagnostic::error("unknown-escape", "unknown escape in a text")
                            .label(self.place(start, start + length), "this escape has no meaning")
                            .help(
                                r#"the escapes are \n, \t, \r, \0, \" and \\; write a plain backslash as \\"#,
                            ),
                    ));
                }
            }
        }
        Ok(out)
    }
}

/// The digits of a number and its suffix.
fn split_suffix(text: &str) -> (&str, Option<(&'static str, f64)>) {
    for suffix in SUFFIXES {
        if let Some(digits) = text.strip_suffix(suffix.0) {
            return (digits, Some(suffix));
        }
    }
    (text, None)
}
