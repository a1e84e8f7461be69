//! Several IDX files become one table: a field for each kind of file, the splits one after the other.

use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::{Elements, Idx, parse};
use crate::base::Exit;
use crate::readers::{DataError, Field, Rows, Split, Table, Values, gzip, hex};
use crate::ty::{DType, Shape};

/// Where bytes come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, plain or gzip.
    File(PathBuf),
    /// What is built in, with a name for messages.
    Embedded(&'static str, &'static [u8]),
}

/// What to read, and as what.
#[derive(Clone, Debug)]
pub struct IdxSpec {
    /// The names of the splits, in the order of their rows.
    pub splits: Vec<String>,
    /// The fields of the table.
    pub fields: Vec<IdxField>,
}

/// A field of the table.
#[derive(Clone, Debug)]
pub struct IdxField {
    /// Its name.
    pub name: String,
    /// What the elements are.
    pub kind: IdxKind,
    /// One file for each split.
    pub files: Vec<Source>,
}

/// How the elements of a file become a field.
#[derive(Clone, Debug)]
pub enum IdxKind {
    /// Pictures: bytes over 255, other numbers as they are. A channel is added to height and width.
    Image,
    /// Numbers as they are.
    Numbers,
    /// Whole numbers from 0.
    Index {
        /// All must lie below it. Without one: the largest value plus 1.
        bound: Option<u64>,
        /// The bound becomes a constant of this name.
        constant: Option<String>,
    },
}

/// A file that was read.
struct Part {
    name: String,
    idx: Idx,
}

/// Reads the files.
///
/// # Errors
/// Missing, damaged or lying files, fields with different numbers of rows, splits with different shapes,
/// indices outside their bound.
pub fn idx(spec: &IdxSpec) -> Result<Table, DataError> {
    if spec.fields.is_empty() || spec.splits.is_empty() {
        return Err(refuse("idx needs at least one field and one split".to_string()));
    }
    let mut digest = Sha256::new();
    let mut table = Table {
        name: String::new(),
        origin: String::new(),
        digest: String::new(),
        rows: 0,
        fields: Vec::new(),
        splits: Vec::new(),
        constants: Vec::new(),
        recipe: None,
    };
    let mut first: Vec<(String, usize)> = Vec::new();
    for field in &spec.fields {
        if field.files.len() != spec.splits.len() {
            let (files, splits) = (field.files.len(), spec.splits.len());
            return Err(refuse(format!("field `{}` has {files} files for {splits} splits", field.name)));
        }
        let mut parts = Vec::new();
        for source in &field.files {
            let (name, bytes) = fetch(source)?;
            digest.update(&bytes);
            parts.push(Part { idx: parse(&name, bytes)?, name });
        }
        same_rows(&mut first, &parts)?;
        let (read, constant) = join(field, parts)?;
        table.fields.push(read);
        table.constants.extend(constant);
    }
    for (name, (_, rows)) in spec.splits.iter().zip(&first) {
        let range = table.rows..table.rows + rows;
        table.rows = range.end;
        table.splits.push(Split { name: name.clone(), rows: Rows::Range(range) });
    }
    if u32::try_from(table.rows).is_err() {
        let message = format!("{} rows; at most {} are read", table.rows, u32::MAX);
        return Err(DataError { exit: Exit::Resources, ..DataError::new(message) });
    }
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    table.origin = format!("{}, {} rows", names.join(", "), table.rows);
    table.digest = hex(&digest.finalize());
    Ok(table)
}

fn refuse(message: String) -> DataError {
    DataError { exit: Exit::Spec, ..DataError::new(message) }
}

fn fetch(source: &Source) -> Result<(String, Vec<u8>), DataError> {
    match source {
        Source::File(path) => Ok((path.display().to_string(), gzip::read_file(path)?)),
        Source::Embedded(name, bytes) => Ok(((*name).to_string(), bytes.to_vec())),
    }
}

/// Every field has the rows of the first one.
fn same_rows(first: &mut Vec<(String, usize)>, parts: &[Part]) -> Result<(), DataError> {
    if first.is_empty() {
        first.extend(parts.iter().map(|part| (part.name.clone(), part.idx.dims[0])));
    }
    for (part, (name, rows)) in parts.iter().zip(first) {
        if part.idx.dims[0] != *rows {
            let message = format!("{}: {} rows; {name} has {rows}", part.name, part.idx.dims[0]);
            return Err(DataError::new(message).help("are these files of the same data set and split?"));
        }
    }
    Ok(())
}

/// One field from its files, and the constant that it gives.
#[allow(clippy::type_complexity)]
fn join(field: &IdxField, parts: Vec<Part>) -> Result<(Field, Option<(String, i64)>), DataError> {
    let dims = parts[0].idx.dims[1..].to_vec();
    if let Some(other) = parts.iter().find(|part| part.idx.dims[1..] != dims[..]) {
        let message = format!(
            "{}: rows of {}; those of {} are {}",
            other.name,
            Shape::of(&other.idx.dims[1..]),
            parts[0].name,
            Shape::of(&dims)
        );
        return Err(DataError::new(message));
    }
    let mut shape = dims;
    let (dtype, values, constant) = match &field.kind {
        IdxKind::Image => {
            if shape.len() == 2 {
                shape.push(1);
            }
            (DType::F32, numbers(parts, 1.0 / 255.0), None)
        }
        IdxKind::Numbers => (DType::F32, numbers(parts, 1.0), None),
        IdxKind::Index { bound, constant } => {
            let (bound, indices) = indices(parts, *bound)?;
            let constant = constant.clone().map(|name| (name, bound as i64));
            (DType::Index(bound), Values::I32(indices), constant)
        }
    };
    Ok((
        Field { name: field.name.clone(), dtype, shape: Shape::of(&shape), values, vocabulary: None },
        constant,
    ))
}

/// Bytes stay bytes where all files have them.
fn numbers(parts: Vec<Part>, scale: f32) -> Values {
    if parts.iter().all(|part| matches!(part.idx.data, Elements::Bytes(_))) {
        let mut data = Vec::new();
        for part in parts {
            match part.idx.data {
                // The first file's memory is used again: often it is the largest.
                Elements::Bytes(bytes) if data.is_empty() => data = bytes,
                Elements::Bytes(bytes) => data.extend_from_slice(&bytes),
                Elements::Whole(_) | Elements::Real(_) => {}
            }
        }
        return Values::U8 { data, scale };
    }
    let mut out = Vec::new();
    for part in parts {
        match part.idx.data {
            Elements::Bytes(bytes) => out.extend(bytes.iter().map(|byte| f32::from(*byte) * scale)),
            Elements::Whole(values) => out.extend(values.iter().map(|value| *value as f32)),
            Elements::Real(values) => out.extend_from_slice(&values),
        }
    }
    Values::F32(out)
}

fn indices(parts: Vec<Part>, bound: Option<u64>) -> Result<(u64, Vec<i32>), DataError> {
    let mut out = Vec::new();
    let mut largest = 0;
    for part in parts {
        let values: Vec<i32> = match part.idx.data {
            Elements::Bytes(bytes) => bytes.iter().map(|byte| i32::from(*byte)).collect(),
            Elements::Whole(values) => values,
            Elements::Real(_) => {
                let message = format!("{}: the elements are not whole numbers; labels must be", part.name);
                return Err(DataError::new(message));
            }
        };
        // Compiled code computes with indices as `f32`, which is exact up to here.
        let limit = bound.unwrap_or(1 << 24);
        if let Some(at) = values.iter().position(|value| u64::try_from(*value).map_or(true, |v| v >= limit)) {
            let width: usize = part.idx.dims[1..].iter().product();
            let (row, found) = (at / width, values[at]);
            let message = format!("{}: {found} in row {row} is outside index<{limit}>", part.name);
            return Err(DataError::new(message)
                .help(format!("values go from 0 to {}; rows are counted from 0", limit - 1)));
        }
        largest = values.iter().copied().fold(largest, i32::max);
        out.extend(values);
    }
    Ok((bound.unwrap_or(largest as u64 + 1), out))
}
