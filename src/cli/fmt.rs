//! `nnc fmt`: prints specs in the one way they are written.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, Stopped, terminal};
use crate::base::{Diagnostic, Exit, Sources};
use crate::readers::safetensors::write_whole;
use crate::syntax;
use crate::train::weights::diagnostic;

/// Arguments of `nnc fmt`.
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// The specs
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Change nothing; exit with 2 if a file is not formatted
    #[arg(long)]
    check: bool,
    /// Print instead of writing the files
    #[arg(long, conflicts_with = "check")]
    stdout: bool,
}

/// Runs the command.
pub fn fmt(args: &FmtArgs) -> Outcome {
    let mut exit = Exit::Ok;
    for path in &args.files {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Diagnostic::error("file", format!("{}: {error}", path.display())))?;
        let formatted = syntax::format(&text).map_err(|diagnostics| {
            let mut sources = Sources::default();
            sources.add(path.clone(), text.clone(), false);
            Stopped::at(&sources, diagnostics)
        })?;
        if args.stdout {
            terminal::text(&formatted);
        } else if formatted != text && args.check {
            terminal::line(&format!("{}: not formatted", path.display()));
            exit = Exit::Spec;
        } else if formatted != text {
            write_whole(path, formatted.as_bytes()).map_err(diagnostic)?;
            terminal::line(&format!("{}: formatted", path.display()));
        }
    }
    Ok(exit)
}
