//! Tables from CSV files: columns become numbers, indices or categories; every cell that is used is checked.

mod cells;
mod columns;
mod texts;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::cells::{Cells, Problems};
use super::splits::{self, Share};
use super::text::vocabulary::{Special, Vocabulary};
use super::{DataError, Recipe, RowForm, Rows, Table, TokenSource, gzip, hex, utf8};
use crate::base::Exit;
use crate::ty::DType;

/// What to read, and as what.
#[derive(Clone, Debug)]
pub struct CsvSpec {
    /// The file, plain or gzip, UTF-8, with a header line.
    pub path: PathBuf,
    /// The fields of the table.
    pub fields: Vec<CsvField>,
    /// Names and shares of the splits. The first one is that which is trained on. Without any, all rows are
    /// one split, `all`.
    pub splits: Vec<(String, Share)>,
    /// Decides which row falls into which split.
    pub seed: u64,
}

/// A field of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CsvField {
    /// Its name.
    pub name: String,
    /// Which columns, and how they are read.
    pub kind: CsvKind,
}

/// What is done to numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Nothing.
    AsIs,
    /// The mean is subtracted and the result divided by the standard deviation, per column. Both are those of
    /// the first split, so that nothing is learnt from the others.
    Learn,
    /// The same, with these means and deviations.
    Given(Vec<(f64, f64)>),
}

/// How columns become a field.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CsvKind {
    /// Numbers, as `f32`.
    Numbers {
        /// From where.
        columns: Columns,
        /// What is done to them.
        scale: Scale,
    },
    /// Whole numbers from 0, as indices.
    Index {
        /// From where.
        columns: Columns,
        /// All must lie below it. Without one: the largest value plus 1.
        bound: Option<u64>,
        /// The bound becomes a constant of this name.
        constant: Option<String>,
    },
    /// Values of any kind, counted through as indices.
    Category {
        /// From where.
        column: String,
        /// The values from index 0 on. Without it: those that occur, sorted (as numbers, if all are).
        order: Option<Vec<String>>,
        /// How many there must be.
        bound: Option<u64>,
        /// The number of categories becomes a constant of this name.
        constant: Option<String>,
    },
    /// Texts, as rows of tokens.
    Text {
        /// From where.
        column: String,
        /// What a token is.
        tokens: TokenSource,
        /// What a row has.
        row: RowForm,
        /// How many tokens there must be.
        bound: Option<u64>,
        /// The number of tokens becomes a constant of this name. Fields with the same share a vocabulary.
        constant: Option<String>,
    },
}

/// Columns, by the names in the header.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// One: a scalar field.
    One(String),
    /// Some, in this order: a field of one dimension.
    List(Vec<String>),
    /// From one to another, both included: a field of one dimension.
    Range(String, String),
}

/// Reads the file.
///
/// # Errors
/// A file that is missing, damaged, not UTF-8 or ragged; columns that are not there; cells that are empty, not
/// numbers, not finite or of no known category; splits that do not work out.
pub fn csv(spec: &CsvSpec) -> Result<Table, DataError> {
    let file = spec.path.display().to_string();
    let packed = gzip::read_file(&spec.path)?;
    let digest = hex(&Sha256::digest(&packed));
    let bytes = gzip::unpack(&file, packed)?;
    let text = utf8::text(&file, &bytes)?;
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(true)
        .flexible(true)
        .trim(::csv::Trim::All)
        .from_reader(text.as_bytes());
    let broken = |error: ::csv::Error| DataError::new(format!("{file}: {error}"));
    let header: Vec<String> = reader.headers().map_err(broken)?.iter().map(str::to_string).collect();
    if header.iter().all(String::is_empty) {
        return Err(DataError::new(format!("{file}: the file is empty; a header line is expected"))
            .help("the first line names the columns"));
    }
    let mut fields = Vec::new();
    for field in &spec.fields {
        let from = columns::resolve(&file, &header, field)?;
        fields.push(Cells::new(field, from));
    }
    let mut problems = Problems::default();
    let mut rows = 0;
    let mut record = ::csv::StringRecord::new();
    let mut lines = Lines { text: text.as_bytes(), at: 0, line: 1 };
    while reader.read_record(&mut record).map_err(broken)? {
        let line = lines.of(record.position().map_or(0, |place| place.byte() as usize));
        if record.len() != header.len() {
            return Err(ragged(&file, line, &record, header.len()));
        }
        for field in &mut fields {
            field.push(&record, &header, line, &mut problems);
        }
        rows += 1;
    }
    problems.result(&file)?;
    if rows == 0 {
        return Err(DataError::new(format!("{file}: no rows after the header line")));
    }
    if u32::try_from(rows).is_err() {
        let message = format!("{file}: {rows} rows; at most {} are read", u32::MAX);
        return Err(DataError { exit: Exit::Resources, ..DataError::new(message) });
    }
    let splits = splits::divide(rows, &spec.splits, spec.seed)
        .map_err(|error| DataError { message: format!("{file}: {}", error.message), ..error })?;
    let everything = Rows::Range(0..rows);
    let first = splits.first().map_or(("all", &everything), |split| (split.name.as_str(), &split.rows));
    let mut table = Table {
        name: String::new(),
        origin: format!("{file}, {rows} rows"),
        digest,
        rows,
        fields: Vec::new(),
        splits: Vec::new(),
        constants: Vec::new(),
        recipe: None,
    };
    let vocabularies = cells::vocabularies(&file, &fields, first.1)?;
    let mut recipe = Vec::new();
    let mut constants = special(vocabularies.iter().flatten().next());
    for (field, vocabulary) in fields.into_iter().zip(vocabularies) {
        let (field, how) = field.finish(&file, &header, first, vocabulary)?;
        if let (DType::Index(bound), Some(name)) = (field.dtype, how.constant()) {
            constants.push((name.to_string(), bound as i64));
        }
        table.fields.push(field);
        recipe.push(how);
    }
    for (name, value) in constants {
        let taken =
            table.fields.iter().map(|field| &field.name).chain(splits.iter().map(|split| &split.name));
        if taken.clone().any(|taken| *taken == name) {
            let message = format!("`{name}` is both a number that the data gives and a field or split");
            return Err(
                DataError { exit: Exit::Spec, ..DataError::new(message) }.help("rename the field or split")
            );
        }
        match table.constants.iter().find(|(known, _)| *known == name) {
            Some((_, other)) if *other != value => {
                let message = format!("`{name}` is {other} by one field and {value} by another");
                return Err(
                    DataError { exit: Exit::Spec, ..DataError::new(message) }.help("give each its own name")
                );
            }
            Some(_) => {}
            None => table.constants.push((name, value)),
        }
    }
    table.splits = splits;
    table.recipe = Some(Recipe::Csv(recipe));
    Ok(table)
}

impl CsvField {
    /// The name of the constant that the field gives.
    fn constant(&self) -> Option<&str> {
        match &self.kind {
            CsvKind::Numbers { .. } => None,
            CsvKind::Index { constant, .. }
            | CsvKind::Category { constant, .. }
            | CsvKind::Text { constant, .. } => constant.as_deref(),
        }
    }
}

/// The constants that rows of tokens bring: `pad`, `start`, `end`.
fn special(vocabulary: Option<&Arc<Vocabulary>>) -> Vec<(String, i64)> {
    let all = [("pad", Special::Pad), ("start", Special::Start), ("end", Special::End)];
    let find =
        |(name, special): (&str, Special)| Some((name.to_string(), i64::from(vocabulary?.special(special)?)));
    all.into_iter().filter_map(find).collect()
}

/// Counts lines. The reader's own count is that of the line where it began to look for a record, which may be
/// an empty one before it.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the record that is found from `byte` on. Bytes only grow.
    fn of(&mut self, byte: usize) -> u64 {
        while let Some(c) = self.text.get(self.at) {
            let ends = *c == b'\n' || *c == b'\r';
            if self.at >= byte && !ends {
                break;
            }
            // The two characters of Windows are one end of a line.
            self.line += u64::from(ends && !(*c == b'\r' && self.text.get(self.at + 1) == Some(&b'\n')));
            self.at += 1;
        }
        self.line
    }
}

fn ragged(file: &str, line: u64, record: &::csv::StringRecord, expected: usize) -> DataError {
    let found = record.len();
    let plural = if found == 1 { "" } else { "s" };
    let message = format!("{file}: line {line} has {found} value{plural}; the header has {expected}");
    if record.iter().any(|cell| cell.contains('\n')) {
        return DataError::new(message).help("a value goes on over several lines: is a quotation mark open?");
    }
    DataError::new(message).help("values are separated by commas; a value with a comma stands in \"quotes\"")
}
