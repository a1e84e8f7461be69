//! Printing: a closed pipe is quiet, diagnostics go to standard error.

use std::io::{IsTerminal, Write};

use crate::base::{Diagnostic, Severity, Sources};

/// Prints a line to standard output; quiet when nobody reads.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints text to standard output as it is; quiet when nobody reads.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line to standard error.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Shows diagnostics on standard error, in colour on a terminal; then counts the errors if there are several.
pub fn show(diagnostics: &[Diagnostic], sources: &Sources) {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for diagnostic in diagnostics {
        note(diagnostic.render(sources, color).trim_end());
    }
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    if errors > 1 {
        note(&format!("{errors} errors"));
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_string())
}

/// A whole number with commas: `121,930`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the unit that suits: `12.3 MB`.
pub fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        _ if n < 1e3 => format!("{n} B"),
        _ if n < 1e6 => format!("{:.1} kB", n / 1e3),
        _ if n < 1e9 => format!("{:.1} MB", n / 1e6),
        _ => format!("{:.2} GB", n / 1e9),
    }
}

/// A count in the unit that suits: `14.8 M`.
pub fn count(n: f64) -> String {
    match n {
        _ if n < 1e4 => format!("{n:.0}"),
        _ if n < 1e6 => format!("{:.1} k", n / 1e3),
        _ if n < 1e9 => format!("{:.2} M", n / 1e6),
        _ => format!("{:.2} G", n / 1e9),
    }
}
