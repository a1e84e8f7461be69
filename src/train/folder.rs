//! The folder of a run: the spec as run, what it was run with, the metrics, the weights.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::run::Record;
use super::weights::diagnostic;
use crate::base::{Diagnostic, Exit};
use crate::readers::safetensors::{self, Tensors, write_whole};

/// An open run folder; nobody else writes to it while this lives.
pub struct RunFolder {
    path: PathBuf,
    lock: PathBuf,
    metrics: File,
}

fn refuse(path: &Path, error: impl std::fmt::Display) -> Diagnostic {
    Diagnostic::error("output", format!("{}: {error}", path.display()))
        .exit(Exit::Resources)
        .help("choose another folder with --out DIR")
}

impl RunFolder {
    /// Opens the folder that was asked for, which must be new or empty; or a new one `runs/NAME`, `runs/NAME-2`, ...
    ///
    /// # Errors
    /// A folder that cannot be made, is in use, or holds an earlier run (exit code 5).
    pub fn open(wanted: Option<&Path>, name: &str) -> Result<RunFolder, Diagnostic> {
        match wanted {
            Some(path) => {
                if path.join("run.json").exists() || path.join("weights.safetensors").exists() {
                    return Err(refuse(path, "holds an earlier run, which is not overwritten"));
                }
                RunFolder::at(path)
            }
            None => {
                for number in 1..10_000 {
                    let suffix = if number == 1 { String::new() } else { format!("-{number}") };
                    let path = Path::new("runs").join(format!("{name}{suffix}"));
                    if !path.exists() {
                        return RunFolder::at(&path);
                    }
                }
                Err(refuse(Path::new("runs"), format!("holds 10,000 runs of {name}")))
            }
        }
    }

    fn at(path: &Path) -> Result<RunFolder, Diagnostic> {
        fs::create_dir_all(path).map_err(|error| refuse(path, error))?;
        let lock = path.join(".lock");
        if let Err(error) = OpenOptions::new().write(true).create_new(true).open(&lock) {
            let in_use = error.kind() == std::io::ErrorKind::AlreadyExists;
            return Err(if in_use {
                refuse(path, "another run writes here (remove .lock if that run is gone)")
            } else {
                refuse(path, error)
            });
        }
        let file = path.join("metrics.jsonl");
        match File::create(&file) {
            Ok(metrics) => Ok(RunFolder { path: path.to_path_buf(), lock, metrics }),
            Err(error) => {
                // The folder is given back as it was found.
                let _ = fs::remove_file(&lock);
                Err(refuse(&file, error))
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line to `metrics.jsonl`.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn record(&mut self, record: &Record) -> Result<(), Diagnostic> {
        let path = self.path.join("metrics.jsonl");
        let line = serde_json::to_string(record).map_err(|error| refuse(&path, error))?;
        writeln!(self.metrics, "{line}").map_err(|error| refuse(&path, error))
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
        write_whole(&self.path.join(name), bytes).map_err(diagnostic)
    }

    /// Writes `weights.safetensors`.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn weights(&self, tensors: &Tensors) -> Result<(), Diagnostic> {
        safetensors::write(&self.path.join("weights.safetensors"), tensors).map_err(diagnostic)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // Nothing to be done if it fails: the next run says what to do about a lock left behind.
        let _ = fs::remove_file(&self.lock);
    }
}
