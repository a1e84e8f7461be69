//! From the columns that a spec names to their places in the file.

use super::{Columns, CsvField, CsvKind};
use crate::base::{Exit, suggest};
use crate::readers::DataError;

/// The places of a field's columns; `None` as the second part for a scalar.
pub(super) struct Places {
    /// Indices into a record.
    pub at: Vec<usize>,
    /// Whether the field is one value a row, not a row of values.
    pub scalar: bool,
}

/// Finds the columns of a field.
pub(super) fn resolve(file: &str, header: &[String], field: &CsvField) -> Result<Places, DataError> {
    let find = |name: &str| find(file, header, name);
    let columns = match &field.kind {
        CsvKind::Numbers { columns, .. } | CsvKind::Index { columns, .. } => columns,
        CsvKind::Category { column, .. } | CsvKind::Text { column, .. } => {
            return Ok(Places { at: vec![find(column)?], scalar: true });
        }
    };
    match columns {
        Columns::One(name) => Ok(Places { at: vec![find(name)?], scalar: true }),
        Columns::List(names) => {
            if names.is_empty() {
                return Err(refuse(format!("field `{}` has no columns", field.name)));
            }
            let at = names.iter().map(|name| find(name)).collect::<Result<_, _>>()?;
            Ok(Places { at, scalar: false })
        }
        Columns::Range(first, last) => {
            let (from, to) = (find(first)?, find(last)?);
            if from > to {
                return Err(refuse(format!("{file}: column \"{first}\" stands after \"{last}\""))
                    .help(format!("did you mean columns(\"{last}\"..\"{first}\")?")));
            }
            Ok(Places { at: (from..=to).collect(), scalar: false })
        }
    }
}

fn find(file: &str, header: &[String], name: &str) -> Result<usize, DataError> {
    let mut places = header.iter().enumerate().filter(|(_, column)| *column == name).map(|(i, _)| i);
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (Some(first), Some(second)) => {
            let message =
                format!("{file}: columns {} and {} have the same name \"{name}\"", first + 1, second + 1);
            Err(DataError::new(message).help("rename one of them in the header line"))
        }
        (None, _) => {
            let error = refuse(format!("{file}: there is no column \"{name}\""));
            Err(match suggest::did_you_mean(name, header.iter().map(String::as_str)) {
                Some(near) => error.help(format!("did you mean \"{near}\"?")),
                None => error.help(format!("the columns are {}", some(header))),
            })
        }
    }
}

/// The first few names.
fn some(header: &[String]) -> String {
    let shown: Vec<String> = header.iter().take(12).map(|name| super::cells::quoted(name)).collect();
    let more = header.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

fn refuse(message: String) -> DataError {
    DataError { exit: Exit::Spec, ..DataError::new(message) }
}
