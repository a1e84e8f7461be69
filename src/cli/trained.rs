//! What `nnc eval` and `nnc predict` start from: a run folder, or a spec with a file of weights.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{MachineArgs, SpecArgs, Stopped, terminal};
use crate::base::{Diagnostic, Exit};
use crate::check::Checked;
use crate::driver;
use crate::ir::experiment::Experiment;
use crate::readers::gzip::read_file;
use crate::readers::{DataError, Outline, Table, hex};
use crate::train::folder::{BEST, DATA, LAST};
use crate::train::{MachineOptions, Variables};

/// A checked experiment with trained weights.
pub struct Trained {
    pub checked: Checked,
    pub variables: Variables,
    pub options: MachineOptions,
}

impl Trained {
    /// The experiment: `load` has made sure that there is one.
    pub fn experiment(&self) -> Result<&Experiment, Stopped> {
        let missing = || Diagnostic::internal("nnc", "a checked file without an experiment").into();
        self.checked.experiment.as_ref().ok_or_else(missing)
    }

    /// A failure with the texts that it is about.
    pub fn stopped(&self, problem: Diagnostic) -> Stopped {
        Stopped::at(&self.checked.sources, vec![problem])
    }
}

/// What a command needs of the data that a model was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Its rows.
    Rows,
    /// What a run folder has kept of it.
    Kept,
}

/// Reads the spec (or the run folder that `spec.file` names) and the weights. Where a spec is named, the data is
/// read in any case.
pub fn load(
    spec: &SpecArgs,
    weights: Option<&Path>,
    best: bool,
    machine: &MachineArgs,
    data: Data,
) -> Result<Trained, Stopped> {
    let mut spec = spec.clone();
    let mut weights = weights.map(Path::to_path_buf);
    let mut report = Value::Null;
    let mut tables = Vec::new();
    if spec.file.is_dir() {
        let folder = spec.file.clone();
        report = read_report(&folder)?;
        spec.file = text_of(&folder, &report);
        for (name, value) in report["set"].as_object().into_iter().flatten() {
            if let Some(value) = value.as_str()
                && !spec.set.iter().any(|(n, _)| n == name)
            {
                spec.set.push((name.clone(), value.to_string()));
            }
        }
        spec.seed = spec.seed.or(report["seed"].as_u64());
        spec.data = spec.data.or(report["data_dir"].as_str().map(PathBuf::from));
        if data == Data::Kept {
            tables = kept(&folder)?;
        }
        if best && !folder.join(BEST).exists() {
            let missing = Diagnostic::error("no-weights", format!("{}: has no {BEST}", folder.display()));
            return Err(missing
                .exit(Exit::Weights)
                .help("only a run whose spec has `save best ..` keeps them; leave --best out for the last weights")
                .into());
        }
        weights.get_or_insert_with(|| folder.join(if best { BEST } else { LAST }));
    } else if best {
        let no_folder = Diagnostic::error("no-run", format!("{}: is no run folder", spec.file.display()));
        return Err(no_folder
            .exit(Exit::Usage)
            .help("--best chooses between the weights of a run folder; name one instead of the spec")
            .into());
    }
    let Some(weights) = weights else {
        let missing = Diagnostic::error("no-weights", "which weights? None are named");
        return Err(missing
            .exit(Exit::Usage)
            .help("name them with --weights FILE.safetensors, or name a run folder instead of the spec")
            .into());
    };
    let checked = spec.check_with(tables)?;
    if data == Data::Rows {
        warn_of_other_data(&report, &checked);
    }
    let options = machine.options();
    let Some(experiment) = &checked.experiment else {
        return Err(Stopped::at(&checked.sources, Vec::new()));
    };
    let variables = driver::variables(experiment, &options, Some(&weights))
        .map_err(|problems| Stopped::at(&checked.sources, problems))?;
    Ok(Trained { checked, variables, options })
}

fn read_report(folder: &Path) -> Result<Value, Stopped> {
    let path = folder.join("run.json");
    let refuse = |why: String| {
        Diagnostic::error("no-run", format!("{}: {why}", path.display()))
            .exit(Exit::Weights)
            .help("name a folder that `nnc run` has written, or a spec with --weights FILE.safetensors")
    };
    let text = std::fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| refuse(error.to_string()).into())
}

/// What a run folder has kept of its data.
fn kept(folder: &Path) -> Result<Vec<Table>, Stopped> {
    let path = folder.join(DATA);
    let refuse = |why: String| {
        Diagnostic::error("no-run", format!("{}: {why}", path.display()))
            .exit(Exit::Weights)
            .help("name a folder that this version of `nnc run` has written")
    };
    let bytes = read_file(&path).map_err(|error| refuse(error.message))?;
    let outlines: Vec<Outline> = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    let tables: Result<_, DataError> = outlines.into_iter().map(Outline::table).collect();
    tables.map_err(|error| refuse(error.message).into())
}

/// The spec of a run: the file it came from while that is unchanged (so that paths in it still lead where
/// they led), else the copy in the folder.
fn text_of(folder: &Path, report: &Value) -> PathBuf {
    let origin = report["spec"].as_str().map(PathBuf::from);
    let unchanged = |path: &PathBuf| {
        let text = std::fs::read(path).ok();
        text.is_some_and(|text| Some(hex(&Sha256::digest(&text)).as_str()) == report["spec_sha256"].as_str())
    };
    origin.filter(unchanged).unwrap_or_else(|| folder.join("spec.nn"))
}

/// Says so where the data is not what the run has seen.
fn warn_of_other_data(report: &Value, checked: &Checked) {
    for then in report["data"].as_array().into_iter().flatten() {
        let name = then["name"].as_str().unwrap_or_default();
        let now = checked.tables.iter().find(|table| table.name == name);
        if let Some(now) = now
            && then["sha256"].as_str() != Some(&now.digest)
        {
            let was = then["origin"].as_str().unwrap_or("another");
            terminal::note(&format!("note: the run saw other data as {name} ({was}); now: {}", now.origin));
        }
    }
}
