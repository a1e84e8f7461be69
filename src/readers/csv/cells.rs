//! From cells to the values of a field: numbers, indices, categories.

use std::collections::HashMap;

use std::sync::Arc;

use super::columns::Places;
use super::texts::{self, Texts};
use super::{Columns, CsvField, CsvKind, Scale};
use crate::base::{Exit, suggest};
use crate::readers::{DataError, Field, Rows, TokenSource, Values, Vocabulary};
use crate::ty::{DType, Shape};

/// The longest cell that is read, in bytes.
const CELL_BYTES: usize = 64 << 10;
/// How people write that there is no number.
const MISSING: [&str; 8] = ["", "na", "n/a", "nan", "null", "none", "?", "-"];
/// Compiled code computes with indices as `f32`, which is exact up to here.
const LARGEST_INDEX: u64 = 1 << 24;

/// A field whose cells are being read.
pub(super) struct Cells<'a> {
    field: &'a CsvField,
    places: Places,
    read: Read,
}

/// The cells so far, row by row.
enum Read {
    Numbers(Vec<f64>),
    Indices {
        values: Vec<i32>,
        bound: Option<u64>,
    },
    /// The number of each cell's value in order of appearance, and the values with the line of the first.
    Categories {
        cells: Vec<u32>,
        known: HashMap<String, u32>,
        values: Vec<(String, u64)>,
    },
    Texts(Texts),
}

/// What is wrong with cells. The first is told, the others are counted.
#[derive(Default)]
pub(super) struct Problems {
    first: Option<(String, &'static str)>,
    more: usize,
}

impl Problems {
    pub fn add(&mut self, help: &'static str, message: impl FnOnce() -> String) {
        match self.first {
            None => self.first = Some((message(), help)),
            Some(_) => self.more += 1,
        }
    }

    /// An error if there was any.
    pub fn result(self, file: &str) -> Result<(), DataError> {
        let Some((first, help)) = self.first else { return Ok(()) };
        let more = match self.more {
            0 => String::new(),
            1 => " (and 1 more cell is wrong)".to_string(),
            n => format!(" (and {n} more cells are wrong)"),
        };
        Err(DataError::new(format!("{file}: {first}{more}")).help(help))
    }
}

impl<'a> Cells<'a> {
    pub fn new(field: &'a CsvField, places: Places) -> Cells<'a> {
        let read = match field.kind {
            CsvKind::Numbers { .. } => Read::Numbers(Vec::new()),
            CsvKind::Index { bound, .. } => Read::Indices { values: Vec::new(), bound },
            CsvKind::Category { .. } => {
                Read::Categories { cells: Vec::new(), known: HashMap::new(), values: Vec::new() }
            }
            CsvKind::Text { .. } => Read::Texts(Texts::default()),
        };
        Cells { field, places, read }
    }

    /// Takes the cells of a record. After a problem the values no longer matter, only further problems do.
    pub fn push(
        &mut self,
        record: &::csv::StringRecord,
        header: &[String],
        line: u64,
        problems: &mut Problems,
    ) {
        for at in &self.places.at {
            let cell = record.get(*at).unwrap_or("");
            let place = || format!("in column {}, line {line}", quoted(&header[*at]));
            if cell.len() > CELL_BYTES {
                problems.add("is a quotation mark open?", || {
                    format!("a value of {} bytes {}; at most {CELL_BYTES} are read", cell.len(), place())
                });
            } else if self.read.is_missing(cell) {
                let shown = if cell.is_empty() { String::new() } else { format!(" ({})", quoted(cell)) };
                problems.add("fill the value in or remove the row: missing values are not guessed", || {
                    format!("no value{shown} {}", place())
                });
            } else if let Err((what, help)) = self.read.push(cell, line) {
                problems.add(help, || format!("{} {what} {}", quoted(cell), place()));
            }
        }
    }

    /// The field, and how it is read again as it was. `first` is the split that statistics are taken from.
    pub fn finish(
        self,
        file: &str,
        header: &[String],
        first: (&str, &Rows),
        vocabulary: Option<Arc<Vocabulary>>,
    ) -> Result<(Field, CsvField), DataError> {
        let width = self.places.at.len();
        let mut shape = if self.places.scalar { Shape::scalar() } else { Shape::of(&[width]) };
        let names: Vec<&str> = self.places.at.iter().map(|at| header[*at].as_str()).collect();
        let column = |name: &str| name.to_string();
        let columns = match self.places.scalar {
            true => Columns::One(column(names[0])),
            false => Columns::List(names.iter().map(|name| column(name)).collect()),
        };
        let (dtype, values, kind) = match (self.read, &self.field.kind) {
            (Read::Numbers(mut numbers), CsvKind::Numbers { scale, .. }) => {
                let scale = match scale {
                    Scale::AsIs => Scale::AsIs,
                    Scale::Learn => Scale::Given(moments(file, &numbers, &names, first)?),
                    Scale::Given(moments) => Scale::Given(moments.clone()),
                };
                if let Scale::Given(moments) = &scale {
                    standardize(file, &mut numbers, &names, moments, first.0)?;
                }
                let values = Values::F32(numbers.into_iter().map(|x| x as f32).collect());
                (DType::F32, values, CsvKind::Numbers { columns, scale })
            }
            (Read::Indices { values, bound }, CsvKind::Index { constant, .. }) => {
                let largest = values.iter().copied().max().unwrap_or(0);
                let bound = bound.unwrap_or(largest as u64 + 1);
                let kind = CsvKind::Index { columns, bound: Some(bound), constant: constant.clone() };
                (DType::Index(bound), Values::I32(values), kind)
            }
            (Read::Categories { cells, values, .. }, CsvKind::Category { order, bound, constant, .. }) => {
                let (order, places) = ranks(file, names[0], &values, order.as_deref(), *bound)?;
                let count = order.len() as u64;
                let values = cells.into_iter().map(|cell| places[cell as usize]).collect();
                let (column, constant) = (column(names[0]), constant.clone());
                let kind = CsvKind::Category { column, order: Some(order), bound: None, constant };
                (DType::Index(count), Values::I32(values), kind)
            }
            (Read::Texts(texts), CsvKind::Text { row, bound, constant, .. }) => {
                let Some(vocabulary) = &vocabulary else { unreachable!("texts have a vocabulary") };
                let size = vocabulary.size() as u64;
                if let Some(bound) = bound.filter(|bound| *bound != size) {
                    let message = format!(
                        "{file}: column {} has {size} tokens; the spec says index<{bound}>",
                        quoted(names[0])
                    );
                    return Err(DataError::new(message)
                        .help(format!("write index<{size}>, or a name for the number")));
                }
                let values = texts::rows(file, names[0], &texts, vocabulary, row)?;
                shape = Shape::of(&[row.length]);
                let (column, tokens) = (column(names[0]), TokenSource::Given(Arc::clone(vocabulary)));
                let kind =
                    CsvKind::Text { column, tokens, row: *row, bound: None, constant: constant.clone() };
                (DType::Index(size), Values::I32(values), kind)
            }
            (Read::Numbers(_) | Read::Indices { .. } | Read::Categories { .. } | Read::Texts(_), _) => {
                unreachable!("`new` pairs them")
            }
        };
        let name = || self.field.name.clone();
        Ok((Field { name: name(), dtype, shape, values, vocabulary }, CsvField { name: name(), kind }))
    }
}

/// The vocabulary of each field that is text.
pub(super) fn vocabularies(
    file: &str,
    fields: &[Cells],
    first: &Rows,
) -> Result<Vec<Option<Arc<Vocabulary>>>, DataError> {
    let fields: Vec<(&CsvField, Option<&Texts>)> = fields
        .iter()
        .map(|cells| {
            (
                cells.field,
                match &cells.read {
                    Read::Texts(texts) => Some(texts),
                    Read::Numbers(_) | Read::Indices { .. } | Read::Categories { .. } => None,
                },
            )
        })
        .collect();
    texts::vocabularies(file, &fields, first)
}

impl Read {
    /// Whether a cell says that there is no value. Any word can be a category.
    fn is_missing(&self, cell: &str) -> bool {
        match self {
            Read::Categories { .. } | Read::Texts(_) => cell.is_empty(),
            Read::Numbers(_) | Read::Indices { .. } => {
                MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
            }
        }
    }

    /// Takes a cell, or says what is wrong with it and a way out.
    fn push(&mut self, cell: &str, line: u64) -> Result<(), (String, &'static str)> {
        let refuse = |what: &str, help| Err((what.to_string(), help));
        match self {
            Read::Numbers(numbers) => {
                let Ok(number) = cell.parse::<f64>() else {
                    let help = "write it like 12, -0.5 or 1e-3; words are read with category(column(..))";
                    return refuse("is not a number", help);
                };
                if !(number as f32).is_finite() {
                    return refuse("is not a finite 32-bit number", "correct the value or remove the row");
                }
                numbers.push(number);
            }
            Read::Indices { values, bound } => {
                let help = "an index is 0, 1, 2, ...; other values are read with category(column(..))";
                let Ok(index) = cell.parse::<u64>() else {
                    return refuse("is not a whole number from 0", help);
                };
                let bound = bound.unwrap_or(LARGEST_INDEX);
                if index >= bound {
                    return Err((format!("is outside index<{bound}>"), help));
                }
                values.push(index as i32);
            }
            Read::Categories { cells, known, values } => {
                let next = values.len() as u32;
                let number = match known.get(cell) {
                    Some(number) => *number,
                    None => {
                        known.insert(cell.to_string(), next);
                        values.push((cell.to_string(), line));
                        next
                    }
                };
                cells.push(number);
            }
            Read::Texts(texts) => texts.push(cell, line),
        }
        Ok(())
    }
}

/// Mean and standard deviation of each column over the rows of a split.
fn moments(
    file: &str,
    numbers: &[f64],
    names: &[&str],
    (split, rows): (&str, &Rows),
) -> Result<Vec<(f64, f64)>, DataError> {
    let (width, count) = (names.len(), rows.len() as f64);
    let one = |(column, name): (usize, &&str)| {
        let values = || (0..rows.len()).map(|i| numbers[rows.row(i) * width + column]);
        let mean = values().sum::<f64>() / count;
        let deviation = (values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt();
        // Equal values can leave a deviation of rounding errors.
        if deviation <= 1e-12 * mean.abs() || deviation == 0.0 {
            let what = format!("column {} is {mean} in every row of the split `{split}`", quoted(name));
            return Err(DataError::new(format!("{file}: {what}: it cannot be standardized"))
                .help("leave the column out: it says nothing"));
        }
        Ok((mean, deviation))
    };
    names.iter().enumerate().map(one).collect()
}

/// Subtracts the mean and divides by the deviation of each column.
fn standardize(
    file: &str,
    numbers: &mut [f64],
    names: &[&str],
    moments: &[(f64, f64)],
    split: &str,
) -> Result<(), DataError> {
    if moments.len() != names.len() {
        let message = format!("{file}: {} columns with {} means", names.len(), moments.len());
        return Err(DataError::new(message));
    }
    for (column, (name, (mean, deviation))) in names.iter().zip(moments).enumerate() {
        for (number, row) in numbers.chunks_exact_mut(names.len()).enumerate() {
            let found = row[column];
            row[column] = (found - mean) / deviation;
            if !(row[column] as f32).is_finite() {
                let what = format!("{found} in column {}, row {number}", quoted(name));
                return Err(DataError::new(format!("{file}: {what}, is too far from the split `{split}`"))
                    .help("rows are counted from 0 after the header line"));
            }
        }
    }
    Ok(())
}

/// The categories in order, and the index of each value that occurs.
fn ranks(
    file: &str,
    column: &str,
    values: &[(String, u64)],
    order: Option<&[String]>,
    bound: Option<u64>,
) -> Result<(Vec<String>, Vec<i32>), DataError> {
    let sorted;
    let order = match order {
        Some(order) => order,
        None => {
            sorted = in_order_of_value(values);
            &sorted
        }
    };
    let mut places: HashMap<&str, i32> = HashMap::new();
    for (i, value) in order.iter().enumerate() {
        if places.insert(value, i as i32).is_some() {
            let message = format!("the order of column {} names {} twice", quoted(column), quoted(value));
            return Err(DataError { exit: Exit::Spec, ..DataError::new(message) });
        }
    }
    let count = order.len() as u64;
    if count > LARGEST_INDEX {
        let message = format!("{file}: column {} has {count} different values", quoted(column));
        return Err(DataError { exit: Exit::Resources, ..DataError::new(message) }
            .help("at most 16777216 categories are possible"));
    }
    if let Some(bound) = bound.filter(|bound| *bound != count) {
        let shown: Vec<String> = order.iter().take(6).map(|value| quoted(value)).collect();
        let dots = if order.len() > 6 { ", ..." } else { "" };
        let message = format!(
            "{file}: column {} has {count} categories ({}{dots}); the spec says index<{bound}>",
            quoted(column),
            shown.join(", ")
        );
        return Err(DataError::new(message)
            .help(format!("write index<{count}>, or name the categories with `order: [..]`")));
    }
    let find = |(value, line): &(String, u64)| {
        places.get(value.as_str()).copied().ok_or_else(|| {
            let message = format!(
                "{file}: {} in column {}, line {line}, is not one of the categories",
                quoted(value),
                quoted(column)
            );
            DataError::new(message).help(
                match suggest::did_you_mean(value, order.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean {}?", quoted(near)),
                    None => "add it to `order`".to_string(),
                },
            )
        })
    };
    let places = values.iter().map(find).collect::<Result<_, _>>()?;
    Ok((order.to_vec(), places))
}

/// The values that occur, sorted: as numbers if all are, as text otherwise.
fn in_order_of_value(values: &[(String, u64)]) -> Vec<String> {
    let mut keyed: Vec<(Option<f64>, &String)> =
        values.iter().map(|(value, _)| (value.parse().ok().filter(|x: &f64| x.is_finite()), value)).collect();
    if keyed.iter().any(|(number, _)| number.is_none()) {
        keyed.iter_mut().for_each(|(number, _)| *number = None);
    }
    let number = |key: Option<f64>| key.unwrap_or(0.0);
    keyed.sort_by(|a, b| number(a.0).total_cmp(&number(b.0)).then_with(|| a.1.cmp(b.1)));
    keyed.into_iter().map(|(_, value)| value.clone()).collect()
}

/// A text in quotation marks, shortened and without control characters, for messages.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    format!("{shown:?}")
}
