//! The program as its users meet it: commands, exit codes, files.

mod commands;
mod faults;
mod images;
mod runs;
mod texts;
mod weights;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Exit codes, as README.md lists them.
pub const OK: i32 = 0;
pub const USAGE: i32 = 1;
pub const SPEC: i32 = 2;
pub const DATA: i32 = 3;
pub const WEIGHTS: i32 = 4;
pub const RESOURCES: i32 = 5;
pub const DIVERGED: i32 = 6;
pub const INTERRUPTED: i32 = 130;

/// A folder to work in, gone at the end of the test.
pub struct Place {
    folder: tempfile::TempDir,
}

/// What a command did.
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A small experiment: trained in a moment.
pub const TINY: &str = "\
let width = 8
data digits = mnist()

model Tiny(image: f32[28, 28, 1]) -> f32[10] {
  image |> flatten |> dense(width) |> tanh |> dense(10)
}

train {
  batch 64 from digits.train
  let logits = Tiny(digits.image)
  minimize cross_entropy(logits, digits.label)
  optimizer adam(lr: 1e-2)
  epochs 1
  measure accuracy(logits, digits.label) on digits.test
}
";

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder for the test") }
    }

    /// With the small experiment as `tiny.nn`.
    pub fn tiny() -> Place {
        let place = Place::new();
        place.write("tiny.nn", TINY);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder");
        std::fs::write(path, bytes).expect("a file");
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("text")
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program, in this folder.
    pub fn command(&self, args: &[&str]) -> Command {
        command(self.folder.path(), args)
    }

    /// Runs the program in this folder.
    pub fn nnc(&self, args: &[&str]) -> Done {
        done(self.command(args).output().expect("nnc starts"))
    }
}

/// The program, in the folder of the project.
pub fn at_home(args: &[&str]) -> Done {
    done(command(Path::new(env!("CARGO_MANIFEST_DIR")), args).output().expect("nnc starts"))
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nnc"));
    command.current_dir(folder).args(args).env_remove("NNC_DATA").env("NO_COLOR", "1");
    command
}

fn done(output: Output) -> Done {
    Done {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Done {
    /// Asserts the exit code; shows what was printed if it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Done {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Asserts that an error message says something.
    #[track_caller]
    pub fn says(self, text: &str) -> Done {
        assert!(self.err.contains(text), "no {text:?} in\n{}", self.err);
        self
    }

    /// Asserts that the output has something.
    #[track_caller]
    pub fn prints(self, text: &str) -> Done {
        assert!(self.out.contains(text), "no {text:?} in\n{}", self.out);
        self
    }

    /// Each line of the output as JSON.
    #[track_caller]
    pub fn lines(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        self.out.lines().map(parse).collect()
    }
}
