//! What the language offers by name, with documentation: for `nnc ops` and for did-you-mean on the command line.

use std::path::Path;

use super::builtins;
use super::expr::AMBIENT;
use super::library;
use crate::base::Sources;
use crate::syntax::ast::{DefKind, Item};
use crate::syntax::parse;

/// One documented name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documented {
    /// The name: `dense`.
    pub name: String,
    /// What it is: `function`, `layer`, `optimizer`, `name`.
    pub kind: &'static str,
    /// How it is written: `dense(units: int, bias: bool = true)(x: f32[.., n]) -> f32[.., units]`.
    pub signature: String,
    /// What it does; the first line is a summary.
    pub doc: String,
    /// The file of the library that defines it, with its text there; empty for what the language has itself.
    pub file: String,
    /// Its definition, as written.
    pub text: String,
}

/// Every name that a spec may use without defining it, in alphabetical order.
pub fn documentation() -> Vec<Documented> {
    let mut all: Vec<Documented> = Vec::new();
    for builtin in builtins::all() {
        all.push(Documented {
            name: builtin.name().to_string(),
            kind: "function",
            signature: builtin.signature.to_string(),
            doc: builtin.doc.to_string(),
            file: String::new(),
            text: String::new(),
        });
    }
    for (name, doc) in AMBIENT {
        // `shape` is a function too.
        if builtins::find(name).is_none() {
            all.push(Documented {
                name: (*name).to_string(),
                kind: "name",
                signature: (*name).to_string(),
                doc: (*doc).to_string(),
                file: String::new(),
                text: String::new(),
            });
        }
    }
    let mut sources = Sources::default();
    for (path, text) in library::FILES {
        let file = sources.add(Path::new(path).to_path_buf(), (*text).to_string(), true);
        let Ok(parsed) = parse(file, text) else { continue };
        for item in &parsed.items {
            let Item::Def(def) = item else { continue };
            let header = sources.text(def.header);
            all.push(Documented {
                name: def.name.name.clone(),
                kind: match def.kind {
                    DefKind::Layer if def.second.is_some() => "layer",
                    DefKind::Layer => "function",
                    DefKind::Model => "model",
                    DefKind::Optimizer => "optimizer",
                },
                signature: header.split_once(' ').map_or(header, |(_, rest)| rest).trim().to_string(),
                doc: def.doc.clone(),
                file: (*path).to_string(),
                text: sources.text(def.span).to_string(),
            });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    // A definition of the library stands before the function of the same name that it hides.
    all.dedup_by(|b, a| a.name == b.name && b.file.is_empty());
    all
}
