//! `nnc ops`: the documentation of primitives, functions of the language and the library, from their sources.

use clap::Args;

use super::{Outcome, terminal};
use crate::base::{Diagnostic, Exit, Sources, did_you_mean};
use crate::check::{builtins, library};
use crate::ir::AttrKind;
use crate::ops;
use crate::syntax::{self, ast};

/// Arguments of `nnc ops`.
#[derive(Debug, Args)]
pub struct OpsArgs {
    /// Show this one in full
    name: Option<String>,
}

/// One thing that a spec can name, or that graphs consist of.
struct Entry {
    /// Where it comes from: `layers`, `language`, `primitive`.
    group: String,
    name: String,
    signature: String,
    doc: String,
    /// The text of its definition, if it is written in the language.
    source: Option<String>,
}

/// Runs the command.
pub fn ops(args: &OpsArgs) -> Outcome {
    let entries = entries()?;
    match &args.name {
        Some(name) => show(&entries, name),
        None => {
            list(&entries);
            Ok(Exit::Ok)
        }
    }
}

fn list(entries: &[Entry]) {
    let width = entries.iter().map(|e| e.name.chars().count()).max().unwrap_or(0);
    let mut group = "";
    for entry in entries {
        if entry.group != group {
            if !group.is_empty() {
                terminal::line("");
            }
            group = &entry.group;
            terminal::line(&format!("{group}:"));
        }
        let summary = entry.doc.lines().next().unwrap_or_default();
        terminal::line(format!("  {:<width$}  {summary}", entry.name).trim_end());
    }
    terminal::line("");
    terminal::line("`nnc ops NAME` shows one in full.");
}

fn show(entries: &[Entry], name: &str) -> Outcome {
    let found: Vec<&Entry> = entries.iter().filter(|entry| entry.name == name).collect();
    if found.is_empty() {
        let problem = Diagnostic::error("unknown-name", format!("there is nothing named `{name}`"));
        let near = did_you_mean(name, entries.iter().map(|entry| entry.name.as_str()));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`nnc ops` without a name lists everything".to_string(),
        };
        return Err(problem.exit(Exit::Usage).help(help).into());
    }
    for (i, entry) in found.iter().enumerate() {
        if i > 0 {
            terminal::line("");
        }
        terminal::line(&format!("{}  ({})", entry.signature, entry.group));
        if !entry.doc.is_empty() {
            terminal::line("");
            entry.doc.lines().for_each(|line| terminal::line(format!("  {line}").trim_end()));
        }
        if let Some(source) = &entry.source {
            terminal::line("");
            source.lines().for_each(|line| terminal::line(format!("    {line}").trim_end()));
        }
    }
    Ok(Exit::Ok)
}

/// Everything: the library first, then what it is built from.
fn entries() -> Result<Vec<Entry>, Diagnostic> {
    let mut entries = Vec::new();
    for (path, text) in library::FILES {
        let mut sources = Sources::default();
        let file = sources.add((*path).into(), (*text).to_string(), true);
        let tree = syntax::parse(file, text)
            .map_err(|_| Diagnostic::internal("the library", format!("{path} does not parse")))?;
        let group = path.trim_start_matches("std/").trim_end_matches(".nn");
        for item in &tree.items {
            if let ast::Item::Def(def) = item {
                entries.push(Entry {
                    group: format!("library, {group}"),
                    name: def.name.name.clone(),
                    signature: sources.text(def.header).trim().to_string(),
                    doc: def.doc.clone(),
                    source: Some(sources.text(def.span).to_string()),
                });
            }
        }
    }
    for builtin in builtins::all() {
        entries.push(Entry {
            group: "functions of the language".to_string(),
            name: builtin.name().to_string(),
            signature: builtin.signature.to_string(),
            doc: builtin.doc.to_string(),
            source: None,
        });
    }
    for op in ops::ALL {
        let kind = |kind| match kind {
            AttrKind::Int => "whole number",
            AttrKind::Ints => "list of whole numbers",
            AttrKind::Float => "number",
            AttrKind::Text => "text",
            AttrKind::Bool => "true or false",
            AttrKind::Body => "the body of a loop",
        };
        let mut doc = op.doc.to_string();
        if !op.attrs.is_empty() {
            doc.push_str("\n\nStatic arguments:");
        }
        for attr in op.attrs {
            doc.push_str(&format!("\n- {}: {}, {}", attr.name, kind(attr.kind), attr.doc));
        }
        entries.push(Entry {
            group: "primitives of the intermediate representation".to_string(),
            name: op.name.to_string(),
            signature: op.name.to_string(),
            doc,
            source: None,
        });
    }
    Ok(entries)
}
