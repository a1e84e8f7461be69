//! The folder of a run: the spec as run, what it was run with, the metrics, the weights.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::generate::SampleRecord;
use super::run::Record;
use super::weights::diagnostic;
use crate::base::{Diagnostic, Exit};
use crate::readers::safetensors::{self, Tensors, write_whole};

/// What is kept of the data: all but its rows.
pub const DATA: &str = "data.json";

/// The file of the weights at the end of a run, and as they are while it goes on.
pub const LAST: &str = "weights.safetensors";

/// The file of the weights that `save best` keeps.
pub const BEST: &str = "best.safetensors";

/// An open run folder; nobody else writes to it while this lives.
pub struct RunFolder {
    path: PathBuf,
    /// Locked as long as it is open: the system releases it however this process ends.
    _lock: File,
    metrics: BufWriter<File>,
    /// When the last lines went to the file, and whether there are later ones.
    written: Instant,
    waiting: bool,
}

/// How long a line may wait for others before it goes to the file: writing each of them would cost more than
/// the steps of a small network between them.
const WAIT: Duration = Duration::from_millis(100);

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
            Some(path) => RunFolder::at(path),
            None => {
                fs::create_dir_all("runs").map_err(|error| refuse(Path::new("runs"), error))?;
                for number in 1..10_000 {
                    let suffix = if number == 1 { String::new() } else { format!("-{number}") };
                    let path = Path::new("runs").join(format!("{name}{suffix}"));
                    match fs::create_dir(&path) {
                        Ok(()) => return RunFolder::at(&path),
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(refuse(&path, error)),
                    }
                }
                Err(refuse(Path::new("runs"), format!("holds 10,000 runs of {name}")))
            }
        }
    }

    fn at(path: &Path) -> Result<RunFolder, Diagnostic> {
        fs::create_dir_all(path).map_err(|error| refuse(path, error))?;
        let lock_path = path.join(".lock");
        let lock = File::create(&lock_path).map_err(|error| refuse(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(refuse(path, "another run writes here")),
            Err(TryLockError::Error(error)) => return Err(refuse(&lock_path, error)),
        }
        if ["run.json", LAST].iter().any(|name| path.join(name).exists()) {
            return Err(refuse(path, "holds an earlier run, which is not overwritten"));
        }
        let file = path.join("metrics.jsonl");
        let metrics = OpenOptions::new().write(true).create_new(true).open(&file);
        let metrics = metrics.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => refuse(path, "holds an earlier run, which is not overwritten"),
            _ => refuse(&file, error),
        })?;
        let metrics = BufWriter::new(metrics);
        let path = path.to_path_buf();
        Ok(RunFolder { path, _lock: lock, metrics, written: Instant::now(), waiting: false })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a line to `metrics.jsonl`. It may wait until the next call of [`RunFolder::keep_up`].
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn record(&mut self, record: &Record) -> Result<(), Diagnostic> {
        let path = self.path.join("metrics.jsonl");
        let line = serde_json::to_string(record).map_err(|error| refuse(&path, error))?;
        self.waiting = true;
        writeln!(self.metrics, "{line}").map_err(|error| refuse(&path, error))
    }

    /// Appends a line to `samples.jsonl`.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn sample(&mut self, record: &SampleRecord) -> Result<(), Diagnostic> {
        let path = self.path.join("samples.jsonl");
        let line = serde_json::to_string(record).map_err(|error| refuse(&path, error))?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.and_then(|mut file| writeln!(file, "{line}")).map_err(|error| refuse(&path, error))
    }

    /// Brings lines to the file that have waited for long enough.
    ///
    /// # Errors
    /// A disk that does not take them.
    pub fn keep_up(&mut self) -> Result<(), Diagnostic> {
        if self.waiting && self.written.elapsed() >= WAIT { self.flush() } else { Ok(()) }
    }

    /// Brings all lines to the file.
    ///
    /// # Errors
    /// A disk that does not take them.
    pub fn flush(&mut self) -> Result<(), Diagnostic> {
        self.waiting = false;
        self.written = Instant::now();
        self.metrics.flush().map_err(|error| refuse(&self.path.join("metrics.jsonl"), error))
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Diagnostic> {
        write_whole(&self.path.join(name), bytes).map_err(diagnostic)
    }

    /// Writes a whole file under a path of some names, whose folders are made.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn write_inside(&self, name: &Path, bytes: &[u8]) -> Result<(), Diagnostic> {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| refuse(folder, error))?;
        }
        write_whole(&path, bytes).map_err(diagnostic)
    }

    /// Writes the weights as they are now.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn weights(&self, tensors: &Tensors) -> Result<(), Diagnostic> {
        safetensors::write(&self.path.join(LAST), tensors).map_err(diagnostic)
    }

    /// Writes the best weights so far.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn best(&self, tensors: &Tensors) -> Result<(), Diagnostic> {
        safetensors::write(&self.path.join(BEST), tensors).map_err(diagnostic)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // The lock goes with its file handle; a name left behind does no harm.
        let _ = fs::remove_file(self.path.join(".lock"));
    }
}
