//! From cells to the values of a field: numbers, indices, categories.

use std::collections::HashMap;

use super::columns::Places;
use super::{CsvField, CsvKind};
use crate::base::{Exit, suggest};
use crate::readers::{DataError, Field, Rows, Values};
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
}

/// What is wrong with cells. The first is told, the others are counted.
#[derive(Default)]
pub(super) struct Problems {
    first: Option<(String, &'static str)>,
    more: usize,
}

impl Problems {
    fn add(&mut self, help: &'static str, message: impl FnOnce() -> String) {
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

    /// The field, and the constant that it gives. `first` is the split that statistics are taken from.
    #[allow(clippy::type_complexity)]
    pub fn finish(
        self,
        file: &str,
        header: &[String],
        first: (&str, &Rows),
    ) -> Result<(Field, Option<(String, i64)>), DataError> {
        let width = self.places.at.len();
        let shape = if self.places.scalar { Shape::scalar() } else { Shape::of(&[width]) };
        let names: Vec<&str> = self.places.at.iter().map(|at| header[*at].as_str()).collect();
        let (dtype, values, constant) = match (self.read, &self.field.kind) {
            (Read::Numbers(mut numbers), CsvKind::Numbers { standardize, .. }) => {
                if *standardize {
                    standardized(file, &mut numbers, &names, first)?;
                }
                (DType::F32, Values::F32(numbers.into_iter().map(|x| x as f32).collect()), &None)
            }
            (Read::Indices { values, bound }, CsvKind::Index { constant, .. }) => {
                let largest = values.iter().copied().max().unwrap_or(0);
                (DType::Index(bound.unwrap_or(largest as u64 + 1)), Values::I32(values), constant)
            }
            (Read::Categories { cells, values, .. }, CsvKind::Category { order, bound, constant, .. }) => {
                let (count, places) = ranks(file, names[0], &values, order.as_deref(), *bound)?;
                let values = cells.into_iter().map(|cell| places[cell as usize]).collect();
                (DType::Index(count), Values::I32(values), constant)
            }
            (Read::Numbers(_) | Read::Indices { .. } | Read::Categories { .. }, _) => {
                unreachable!("`new` pairs them")
            }
        };
        let constant = match dtype {
            DType::Index(bound) => constant.clone().map(|name| (name, bound as i64)),
            DType::F32 | DType::Bool => None,
        };
        Ok((Field { name: self.field.name.clone(), dtype, shape, values, vocabulary: None }, constant))
    }
}

impl Read {
    /// Whether a cell says that there is no value. Any word can be a category.
    fn is_missing(&self, cell: &str) -> bool {
        match self {
            Read::Categories { .. } => cell.is_empty(),
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
        }
        Ok(())
    }
}

/// Subtracts the mean and divides by the standard deviation of each column over the rows of a split.
fn standardized(
    file: &str,
    numbers: &mut [f64],
    names: &[&str],
    (split, rows): (&str, &Rows),
) -> Result<(), DataError> {
    let (width, count) = (names.len(), rows.len() as f64);
    for (column, name) in names.iter().enumerate() {
        let values = || (0..rows.len()).map(|i| numbers[rows.row(i) * width + column]);
        let mean = values().sum::<f64>() / count;
        let deviation = (values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt();
        // Equal values can leave a deviation of rounding errors.
        if deviation <= 1e-12 * mean.abs() || deviation == 0.0 {
            let what = format!("column {} is {mean} in every row of the split `{split}`", quoted(name));
            return Err(DataError::new(format!("{file}: {what}: it cannot be standardized"))
                .help("leave the column out: it says nothing"));
        }
        for (number, row) in numbers.chunks_exact_mut(width).enumerate() {
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

/// The number of categories, and the index of each value that occurs.
fn ranks(
    file: &str,
    column: &str,
    values: &[(String, u64)],
    order: Option<&[String]>,
    bound: Option<u64>,
) -> Result<(u64, Vec<i32>), DataError> {
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
    Ok((count, values.iter().map(find).collect::<Result<_, _>>()?))
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
