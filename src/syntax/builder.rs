//! What the parts of the tree builder share: places, names, and the guard against trees that are too deep.

use super::grammar::{Built, Node};
use crate::base::{Diagnostic, FileId, Ident, Span, limits};

/// Turns what the grammar matched into the syntax tree. One for each piece of text that is parsed.
pub struct Builder {
    /// The file the text belongs to.
    pub file: FileId,
    /// Where the text starts in that file.
    pub base: usize,
    /// How deep in the tree the part under construction stands.
    level: usize,
}

impl Builder {
    /// For a text that starts at byte `base` of `file`.
    pub fn new(file: FileId, base: usize) -> Builder {
        Builder { file, base, level: 0 }
    }

    /// A range of bytes of the text as a place in the file.
    pub fn place(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: (self.base + start) as u32, end: (self.base + end) as u32 }
    }

    /// Where a node stands, without the blanks and line ends that it may have swallowed at its end.
    pub fn span(&self, node: &Node) -> Span {
        let span = node.as_span();
        self.place(span.start(), span.start() + trimmed_length(span.as_str()))
    }

    /// A name.
    pub fn ident(&self, node: &Node) -> Ident {
        Ident { name: node.as_str().to_string(), span: self.span(node) }
    }

    /// Builds parts that stand `by` levels deeper in the tree.
    pub fn deeper<T>(
        &mut self,
        by: usize,
        span: Span,
        build: impl FnOnce(&mut Builder) -> Built<T>,
    ) -> Built<T> {
        if self.level + by > limits::EXPRESSION_DEPTH {
            return Err(Box::new(
                Diagnostic::error("too-deep", "this expression is too deep or too long")
                    .label(
                        span,
                        format!(
                            "more than {} operators, calls or blocks inside each other",
                            limits::EXPRESSION_DEPTH
                        ),
                    )
                    .help("name parts of it with `let`, or use `sum` over a list or tensor"),
            ));
        }
        self.level += by;
        let built = build(self);
        self.level -= by;
        built
    }
}

/// The length of a text without the blanks, line ends and comments at its end.
fn trimmed_length(text: &str) -> usize {
    let mut end = text.trim_end().len();
    // A node that ends with an optional part may have swallowed a comment while looking for it.
    while let Some(start) = comment_start(&text[..end]) {
        end = text[..start].trim_end().len();
    }
    end
}

/// Where the comment on the last line starts, if there is one outside of a string.
fn comment_start(text: &str) -> Option<usize> {
    let line = text.rfind('\n').map_or(0, |at| at + 1);
    let last = text.get(line..)?;
    if !last.contains('#') {
        return None;
    }
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in last.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => return Some(line + at),
            _ => {}
        }
    }
    None
}
