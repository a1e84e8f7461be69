//! A diagnostic is a value: what is wrong, where, why, and a way out. Only the command line prints it.

use std::ops::Range;

use super::{Exit, FileId, Sources, Span};

/// The longest line of a spec that is drawn under a message.
const DRAWN_LINE: usize = 500;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The experiment does not run.
    Error,
    /// It runs, but something is likely not what was meant.
    Warning,
}

/// A place with what is to be said about it.
#[derive(Clone, Debug)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What stands there, or what was expected there.
    pub text: String,
}

/// One thing to tell the user.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable short name in kebab case, such as `unknown-name`.
    pub code: &'static str,
    /// One line without a full stop.
    pub title: String,
    /// The places; the first is the primary one.
    pub labels: Vec<Label>,
    /// Background, one sentence each.
    pub notes: Vec<String>,
    /// A way out.
    pub help: Option<String>,
    /// The exit code that this error leads to.
    pub exit: Exit,
}

impl Diagnostic {
    /// An error in the spec.
    pub fn error(code: &'static str, title: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code,
            title: title.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
            exit: Exit::Spec,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, title: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, exit: Exit::Ok, ..Diagnostic::error(code, title) }
    }

    /// A fault of nnc itself, named by the stage it happened in.
    pub fn internal(stage: &str, title: impl Into<String>) -> Diagnostic {
        Diagnostic::error("internal", format!("internal error in {stage}: {}", title.into()))
            .exit(Exit::Internal)
            .help("this is a bug in nnc; please report it with the spec that shows it")
    }

    /// Adds a place. Spans that no text wrote are left out.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        if !span.is_none() {
            self.labels.push(Label { span, text: text.into() });
        }
        self
    }

    /// Adds background.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }

    /// Sets the way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help = Some(text.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Diagnostic {
        self.exit = exit;
        self
    }

    /// The text a person reads, drawn by ariadne; `color` adds terminal colours.
    pub fn render(&self, sources: &Sources, color: bool) -> String {
        use ariadne::{CharSet, Color, Config, IndexType, Report, ReportKind};
        type Place = (FileId, Range<usize>);
        let (kind, paint) = match self.severity {
            Severity::Error => (ReportKind::Error, Color::Red),
            Severity::Warning => (ReportKind::Warning, Color::Yellow),
        };
        let Some(first) = self.labels.first() else {
            return self.render_without_drawing(sources);
        };
        if self.labels.iter().any(|label| sources.line_bytes(label.span) > DRAWN_LINE) {
            return self.render_without_drawing(sources);
        }
        let place = |span: Span| -> Place { (span.file, span.start as usize..span.end as usize) };
        let config = Config::default()
            .with_color(color)
            .with_index_type(IndexType::Byte)
            .with_char_set(CharSet::Unicode);
        let mut report = Report::build(kind, place(first.span))
            .with_config(config)
            .with_code(self.code)
            .with_message(&self.title);
        for (i, label) in self.labels.iter().enumerate() {
            let paint = if i == 0 { paint } else { Color::Blue };
            report = report.with_label(
                ariadne::Label::new(place(label.span))
                    .with_message(&label.text)
                    .with_color(paint)
                    .with_order(i as i32),
            );
        }
        for note in &self.notes {
            report = report.with_note(note);
        }
        if let Some(help) = &self.help {
            report = report.with_help(help);
        }
        let mut out = Vec::new();
        let written = report.finish().write(Cache::new(sources), &mut out);
        match written {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(_) => self.render_without_drawing(sources),
        }
    }

    fn render_without_drawing(&self, sources: &Sources) -> String {
        let word = match self.severity {
            Severity::Error => "Error",
            Severity::Warning => "Warning",
        };
        let mut out = format!("[{}] {word}: {}\n", self.code, self.title);
        for label in &self.labels {
            out.push_str(&format!("  at {}: {}\n", sources.place(label.span), label.text));
        }
        for note in &self.notes {
            out.push_str(&format!("  Note: {note}\n"));
        }
        if let Some(help) = &self.help {
            out.push_str(&format!("  Help: {help}\n"));
        }
        out
    }
}

/// Hands the texts of an experiment to ariadne.
struct Cache {
    files: Vec<(String, ariadne::Source)>,
    none: ariadne::Source,
}

impl Cache {
    fn new(sources: &Sources) -> Cache {
        let files = sources
            .iter()
            .map(|(_, s)| (s.path.display().to_string(), ariadne::Source::from(s.text.clone())))
            .collect();
        Cache { files, none: ariadne::Source::from(String::new()) }
    }
}

impl ariadne::Cache<FileId> for Cache {
    type Storage = String;

    fn fetch(&mut self, id: &FileId) -> Result<&ariadne::Source, impl std::fmt::Debug> {
        Ok::<_, String>(self.files.get(id.0 as usize).map_or(&self.none, |file| &file.1))
    }

    fn display<'a>(&self, id: &'a FileId) -> Option<impl std::fmt::Display + 'a> {
        Some(self.files.get(id.0 as usize).map_or_else(|| "?".to_string(), |file| file.0.clone()))
    }
}

/// Everything that stopped a piece of work: one diagnostic or more.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What went wrong, in the order it was found.
    pub diagnostics: Vec<Diagnostic>,
}

impl Failure {
    /// The exit code: that of the first error.
    pub fn exit(&self) -> Exit {
        self.diagnostics.iter().find(|d| d.severity == Severity::Error).map_or(Exit::Internal, |d| d.exit)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Failure {
        Failure { diagnostics: vec![diagnostic] }
    }
}

impl From<Vec<Diagnostic>> for Failure {
    fn from(diagnostics: Vec<Diagnostic>) -> Failure {
        Failure { diagnostics }
    }
}
