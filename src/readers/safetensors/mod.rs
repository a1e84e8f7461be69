//! Weights as safetensors: names, shapes and f32 values. Written so that the file is whole or not there.

mod header;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::DataError;
use super::gzip::read_file;
use crate::base::Exit;
use crate::ty::Shape;

/// Tensors by name.
pub type Tensors = BTreeMap<String, (Shape, Vec<f32>)>;

fn refuse(path: &Path, what: impl std::fmt::Display) -> DataError {
    DataError { exit: Exit::Weights, ..DataError::new(format!("{}: {what}", path.display())) }
}

/// Reads all tensors; `f64` values are rounded to `f32`.
///
/// # Errors
/// A file that is missing or damaged, element types other than F32 and F64, values that are not finite.
pub fn read(path: &Path) -> Result<Tensors, DataError> {
    let bytes = read_file(path).map_err(|error| match error.exit {
        Exit::Resources => error,
        _ => DataError { exit: Exit::Weights, ..error },
    })?;
    parse(&bytes).map_err(|(what, help)| {
        let error = refuse(path, what);
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    })
}

/// What is wrong, and a way out.
type Wrong = (String, Option<&'static str>);

fn parse(bytes: &[u8]) -> Result<Tensors, Wrong> {
    header::check(bytes).map_err(|what| (what, Some("the file is damaged or cut off: make it again")))?;
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| (format!("not a whole safetensors file ({error})"), None))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        let extents: Vec<i64> = view.shape().iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect();
        let shape = Shape::checked(&extents).map_err(|bad| (format!("tensor `{name}`: {bad}"), None))?;
        let data = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => {
                data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            Dtype::F64 => data
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                .collect(),
            other => {
                let what = format!("tensor `{name}` is {other:?}; F32 or F64 is needed");
                return Err((what, Some("convert it to F32 where it was made")));
            }
        };
        if values.len() != shape.elements() {
            return Err((format!("tensor `{name}`: {} values for {shape}", values.len()), None));
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let what = format!("tensor `{name}`: element {at} is {}, not a finite f32", values[at]);
            return Err((what, Some("weights of a training that diverged cannot be used")));
        }
        tensors.insert(name, (shape, values));
    }
    Ok(tensors)
}

/// Writes tensors in the order of their names.
///
/// # Errors
/// A folder or disk that does not take the file.
pub fn write(path: &Path, tensors: &Tensors) -> Result<(), DataError> {
    let bytes: BTreeMap<&String, (&Shape, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name, (shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())))
        .collect();
    let mut views = Vec::new();
    for (name, (shape, data)) in &bytes {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), data).map_err(|error| refuse(path, error))?;
        views.push((name.as_str(), view));
    }
    let whole = safetensors::serialize(views, None).map_err(|error| refuse(path, error))?;
    write_whole(path, &whole)
}

/// Writes a file so that after a crash it is whole or the old one: to a temporary file in the same folder,
/// forced to disk, renamed, the folder forced to disk.
///
/// # Errors
/// Whatever the system refuses, with exit code [`Exit::Resources`].
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let refuse = |error: std::io::Error| DataError {
        exit: Exit::Resources,
        ..DataError::new(format!("{}: cannot be written: {error}", path.display()))
            .help("check that the folder exists, is writable and has space")
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = folder.join(name);
    let result = (|| {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&temporary, path)?;
        sync_folder(folder)
    })();
    if result.is_err() {
        // The error that matters is the first one; a leftover would only confuse.
        let _ = std::fs::remove_file(&temporary);
    }
    result.map_err(refuse)
}

/// Forces the names in a folder to disk, where the system lets folders be opened.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
