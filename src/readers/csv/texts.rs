//! Columns of texts: vocabularies learnt from the rows to train on, rows of tokens of one length.

use std::sync::Arc;

use super::cells::{Problems, quoted};
use super::{CsvField, CsvKind};
use crate::base::{Exit, memory};
use crate::readers::text::vocabulary::{Special, Vocabulary};
use crate::readers::{Cut, DataError, RowForm, Rows, TokenSource};

/// The cells of a column, one after the other.
#[derive(Default)]
pub(super) struct Texts {
    text: String,
    /// Where each cell ends, and its line.
    ends: Vec<(usize, u64)>,
}

impl Texts {
    pub fn push(&mut self, cell: &str, line: u64) {
        self.text.push_str(cell);
        self.ends.push((self.text.len(), line));
    }

    fn get(&self, row: usize) -> &str {
        let from = row.checked_sub(1).map_or(0, |before| self.ends[before].0);
        &self.text[from..self.ends[row].0]
    }
}

/// The vocabulary of each field that is text. Fields that give it the same name share one, learnt from all their
/// columns. Special tokens are the same for all, so that they have the same numbers.
pub(super) fn vocabularies(
    file: &str,
    fields: &[(&CsvField, Option<&Texts>)],
    first: &Rows,
) -> Result<Vec<Option<Arc<Vocabulary>>>, DataError> {
    let refuse = |message: String| DataError { exit: Exit::Spec, ..DataError::new(message) };
    let any = |wants: fn(&RowForm) -> bool| {
        fields.iter().any(|(field, _)| matches!(&field.kind, CsvKind::Text { row, .. } if wants(row)))
    };
    let mut special = vec![Special::Pad];
    special.extend(any(|row| row.start).then_some(Special::Start));
    special.extend(any(|row| row.end).then_some(Special::End));
    special.push(Special::Unknown);
    let mut known: Vec<(&str, Cut, Arc<Vocabulary>)> = Vec::new();
    let mut found = Vec::new();
    for (field, _) in fields {
        let CsvKind::Text { tokens, constant, .. } = &field.kind else {
            found.push(None);
            continue;
        };
        let cut = match tokens {
            TokenSource::Given(vocabulary) => {
                found.push(Some(Arc::clone(vocabulary)));
                continue;
            }
            TokenSource::Learn(cut) => *cut,
        };
        let shared = |other: &CsvField| match (&other.kind, constant) {
            (CsvKind::Text { constant: Some(other), .. }, Some(name)) => other == name,
            _ => other.name == field.name,
        };
        if let Some(name) = constant
            && let Some((_, other, vocabulary)) = known.iter().find(|(known, ..)| known == name)
        {
            if *other != cut {
                let message = format!(
                    "`{}` is cut otherwise than another field with the vocabulary `{name}`",
                    field.name
                );
                return Err(refuse(message).help("give each field a vocabulary with a name of its own"));
            }
            found.push(Some(Arc::clone(vocabulary)));
            continue;
        }
        let mut texts: Vec<&str> = Vec::new();
        for (_, cells) in fields.iter().filter(|(other, _)| shared(other)) {
            texts.extend(cells.iter().flat_map(|cells| (0..first.len()).map(|i| cells.get(first.row(i)))));
        }
        let vocabulary =
            Vocabulary::learn(cut, &special, &texts).map_err(|why| refuse(format!("{file}: {why}")))?;
        let vocabulary = Arc::new(vocabulary);
        if let Some(name) = constant {
            known.push((name, cut, Arc::clone(&vocabulary)));
        }
        found.push(Some(vocabulary));
    }
    Ok(found)
}

/// The tokens of every row, filled up to one length.
pub(super) fn rows(
    file: &str,
    column: &str,
    texts: &Texts,
    vocabulary: &Vocabulary,
    form: &RowForm,
) -> Result<Vec<i32>, DataError> {
    let count = texts.ends.len();
    let (needed, free) =
        (4 * (count as u128) * (form.length as u128), memory::available().unwrap_or(u64::MAX));
    if needed > u128::from(free) {
        let message =
            format!("{file}: {count} rows of {} tokens take {needed} bytes; {free} are free", form.length);
        return Err(
            DataError { exit: Exit::Resources, ..DataError::new(message) }.help("pad to fewer tokens")
        );
    }
    let special = |special, wanted: bool| match vocabulary.special(special) {
        Some(index) => Ok(wanted.then_some(index)),
        None if !wanted => Ok(None),
        None => Err(DataError::new(format!(
            "{file}: the vocabulary of column {} has no {special:?}",
            quoted(column)
        ))),
    };
    let start = special(Special::Start, form.start)?;
    let end = special(Special::End, form.end)?;
    let pad = special(Special::Pad, true)?.unwrap_or(0);
    let mut problems = Problems::default();
    let mut out = Vec::with_capacity(count * form.length);
    let mut row: Vec<i32> = Vec::new();
    for (i, (_, line)) in texts.ends.iter().enumerate() {
        row.clear();
        row.extend(start);
        let known = vocabulary.encode(texts.get(i), &mut row);
        row.extend(end);
        let place = || format!("in column {}, line {line}", quoted(column));
        if let Err(c) = known {
            problems.add("the vocabulary knows no such character", || format!("{c:?} {}", place()));
        }
        let length = row.len();
        if length > form.length {
            if !form.truncate {
                problems.add("pad to more tokens, or cut longer texts with `truncate: true`", || {
                    format!("a text of {length} tokens {}; a row has {}", place(), form.length)
                });
            }
            row.truncate(form.length);
            if let (Some(end), Some(last)) = (end, row.last_mut()) {
                *last = end;
            }
        }
        row.resize(form.length, pad);
        out.extend_from_slice(&row);
    }
    problems.result(file)?;
    Ok(out)
}
