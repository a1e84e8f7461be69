//! The run folder: the spec as run, a description, measured values, weights.
//!
//! One run has one folder and one folder has one run: a lock keeps a second process out, and an older run is
//! never written over. Every file but the log is written under another name, brought to the disk and then
//! renamed, so that what stands there under its name is whole.

use std::fs::{File, OpenOptions, create_dir, create_dir_all};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::machine::Variables;
use super::record::{Record, RunInfo};
use super::{resource, weights};
use crate::base::Diagnostic;
use crate::ir::experiment::Experiment;

/// Holds the weights.
pub const WEIGHTS: &str = "weights.safetensors";
/// Holds the spec.
pub const SPEC: &str = "spec.nn";
/// Describes the run.
pub const RUN: &str = "run.json";
/// Holds the measured values.
pub const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";
/// How many runs of one name are looked through for a free number.
const MOST_RUNS: u32 = 100_000;

/// An open run folder.
pub struct Folder {
    path: PathBuf,
    metrics: BufWriter<File>,
    _lock: File,
}

impl Folder {
    /// Makes a folder: the one named, else `runs/NAME`, `runs/NAME-2`, ... whichever is free.
    ///
    /// # Errors
    /// When there is a run already, or another process is at it, or the disk does not take it.
    pub fn create(out: Option<&Path>, name: &str) -> Result<Folder, Diagnostic> {
        let path = match out {
            Some(path) => {
                create_dir_all(path).map_err(|error| trouble("make", path, &error))?;
                path.to_path_buf()
            }
            None => fresh(Path::new("runs"), name)?,
        };
        let lock = lock(&path)?;
        if let Some(there) = [RUN, METRICS, WEIGHTS].iter().find(|file| path.join(file).exists()) {
            return Err(resource("folder-in-use", format!("{} has a run already", path.display()))
                .note(format!("there is a {there}"))
                .help("name another folder with --out, or move the old run away"));
        }
        let file = path.join(METRICS);
        let metrics = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&file)
            .map_err(|error| trouble("make", &file, &error))?;
        Ok(Folder { path, metrics: BufWriter::new(metrics), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the spec as run.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write_spec(&self, text: &str) -> Result<(), Diagnostic> {
        write_whole(&self.path.join(SPEC), text.as_bytes())
    }

    /// Writes the description of the run.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write_info(&self, info: &RunInfo) -> Result<(), Diagnostic> {
        let mut text = serde_json::to_string_pretty(info)
            .map_err(|error| Diagnostic::internal("the run folder", error.to_string()))?;
        text.push('\n');
        write_whole(&self.path.join(RUN), text.as_bytes())
    }

    /// Adds a measured value to the log.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn log(&mut self, record: &Record) -> Result<(), Diagnostic> {
        let line = record.line() + "\n";
        self.metrics.write_all(line.as_bytes()).map_err(|e| trouble("write", &self.path.join(METRICS), &e))
    }

    /// Hands the log to the system, so that others can read it.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn flush(&mut self) -> Result<(), Diagnostic> {
        self.metrics.flush().map_err(|e| trouble("write", &self.path.join(METRICS), &e))
    }

    /// Writes parameters and states.
    ///
    /// # Errors
    /// When the disk does not take them. Earlier weights then are still there.
    pub fn save_weights(&mut self, experiment: &Experiment, variables: &Variables) -> Result<(), Diagnostic> {
        let bytes = weights::to_bytes(experiment, variables)?;
        write_whole(&self.path.join(WEIGHTS), &bytes)
    }

    /// Brings the log to the disk: the end of the run.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn close(mut self) -> Result<(), Diagnostic> {
        self.flush()?;
        let path = self.path.join(METRICS);
        self.metrics.get_ref().sync_all().map_err(|error| trouble("write", &path, &error))?;
        // The lock is released with its file; that the file stays if this fails does no harm.
        let _ = std::fs::remove_file(self.path.join(LOCK));
        Ok(())
    }
}

/// The first folder of this name with a number that is free.
fn fresh(parent: &Path, name: &str) -> Result<PathBuf, Diagnostic> {
    create_dir_all(parent).map_err(|error| trouble("make", parent, &error))?;
    for number in 1..=MOST_RUNS {
        let path = match number {
            1 => parent.join(name),
            _ => parent.join(format!("{name}-{number}")),
        };
        match create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(trouble("make", &path, &error)),
        }
    }
    Err(resource("folder-in-use", format!("{MOST_RUNS} runs of {name} are there already"))
        .help("name a folder with --out"))
}

fn lock(path: &Path) -> Result<File, Diagnostic> {
    let at = path.join(LOCK);
    let file = File::create(&at).map_err(|error| trouble("make", &at, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(resource("folder-in-use", format!("another run is writing to {}", path.display()))
                .help("name another folder with --out"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(trouble("lock", &at, &error)),
    }
}

/// Writes a file so that it is either as before or whole, also after a crash.
///
/// # Errors
/// When the disk does not take it; what stood there before is untouched.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| std::fs::rename(&part, path)).and_then(|()| sync_folder(path));
    done.map_err(|error| {
        // Nothing better can be done with what is left of it.
        let _ = std::fs::remove_file(&part);
        trouble("write", path, &error)
    })
}

/// Brings the renaming of a file to the disk.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Folders cannot be opened as files here.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn trouble(verb: &str, path: &Path, error: &std::io::Error) -> Diagnostic {
    resource("cannot-write", format!("cannot {verb} {}: {error}", path.display()))
        .help("check the space and the rights there, or name another folder with --out")
}
