//! Places in source text.

use std::fmt;
use std::path::PathBuf;

/// One file of an experiment, an index into [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u16);

/// A range of bytes in one file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The place of things that no text wrote.
    pub const NONE: Span = Span { file: FileId(u16::MAX), start: 0, end: 0 };

    /// The smallest range that covers both; `self` where they stand in different files.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether no text wrote this.
    pub fn is_none(self) -> bool {
        self.file == Span::NONE.file
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// A name with its place.
#[derive(Clone, Debug)]
pub struct Ident {
    /// The text.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// One text that takes part in an experiment.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as messages show it: relative to where the user stands, or `std/NAME.nn`.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
    /// Part of the standard library: messages prefer the user's own lines.
    pub library: bool,
}

/// All texts of an experiment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a text and names it.
    pub fn add(&mut self, path: PathBuf, text: String, library: bool) -> FileId {
        self.files.push(Source { path, text, library });
        FileId((self.files.len() - 1) as u16)
    }

    /// The source with this id, if it is one of these.
    pub fn get(&self, id: FileId) -> Option<&Source> {
        self.files.get(id.0 as usize)
    }

    /// The text under a span, empty where there is none.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file)
            .and_then(|source| source.text.get(span.start as usize..span.end as usize))
            .unwrap_or("")
    }

    /// `path:line` of a span's start, for the text forms of the IR and for profiles.
    pub fn place(&self, span: Span) -> String {
        match self.get(span.file) {
            None => String::new(),
            Some(source) => {
                let before = &source.text.as_bytes()[..(span.start as usize).min(source.text.len())];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                format!("{}:{line}", source.path.display())
            }
        }
    }

    /// The line that a span starts in, without the space around it.
    pub fn line(&self, span: Span) -> String {
        let Some(source) = self.get(span.file) else { return String::new() };
        let (before, after) = source.text.split_at((span.start as usize).min(source.text.len()));
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = after.find('\n').map_or(source.text.len(), |at| before.len() + at);
        source.text[start..end].trim().to_string()
    }

    /// The length in bytes of the line that a span starts in.
    pub fn line_bytes(&self, span: Span) -> usize {
        let Some(source) = self.get(span.file) else { return 0 };
        let start = (span.start as usize).min(source.text.len());
        let (before, after) = source.text.as_bytes().split_at(start);
        let is_end = |byte: &u8| *byte == b'\n';
        let head = before.iter().rev().position(is_end).unwrap_or(before.len());
        head + after.iter().position(is_end).unwrap_or(after.len())
    }

    /// Every file with its id.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.files.iter().enumerate().map(|(i, s)| (FileId(i as u16), s))
    }
}
