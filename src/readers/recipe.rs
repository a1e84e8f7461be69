//! How rows are made of a file, with all that was learnt from the data that a model was trained on: means and
//! deviations, categories, vocabularies. What a run folder keeps of its data.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    CsvField, CsvKind, CsvSpec, Cut, DataError, Field, Rows, Split, Table, TextSpec, Values, Vocabulary, csv,
    text,
};
use crate::base::Exit;
use crate::ty::{DType, Shape};

/// Where a vocabulary comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// It is learnt from the rows to train on.
    Learn(Cut),
    /// It has been.
    Given(Arc<Vocabulary>),
}

/// What a text becomes: a row of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowForm {
    /// Shorter texts are filled up to so many tokens.
    pub length: usize,
    /// A token for the start goes in front.
    pub start: bool,
    /// A token for the end goes behind.
    pub end: bool,
    /// Longer texts are cut (start and end stay); otherwise they are errors.
    pub truncate: bool,
}

/// How rows are made of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// Of a table with these columns.
    Csv(Vec<CsvField>),
    /// Of one text.
    Text {
        /// Its tokens.
        vocabulary: Arc<Vocabulary>,
        /// Tokens in a window.
        window: usize,
    },
}

impl Recipe {
    /// The rows of another file, as one split, `all`. Of a table, only the columns of these fields are looked at.
    ///
    /// # Errors
    /// As those of the readers; categories and characters that the training data does not have.
    pub fn read(&self, path: &Path, fields: &[&str]) -> Result<Table, DataError> {
        let path = path.to_path_buf();
        match self {
            Recipe::Csv(known) => {
                let fields =
                    known.iter().filter(|field| fields.contains(&field.name.as_str())).cloned().collect();
                csv(&CsvSpec { path, fields, splits: Vec::new(), seed: 0 })
            }
            Recipe::Text { vocabulary, window } => {
                let (tokens, splits) = (TokenSource::Given(Arc::clone(vocabulary)), Vec::new());
                text(&TextSpec { path, tokens, window: *window, stride: *window, splits })
            }
        }
    }

    /// The vocabulary of a field.
    pub fn vocabulary(&self, field: &str) -> Option<Arc<Vocabulary>> {
        match self {
            Recipe::Text { vocabulary, .. } => Some(Arc::clone(vocabulary)),
            Recipe::Csv(fields) => match &fields.iter().find(|known| known.name == field)?.kind {
                CsvKind::Text { tokens: TokenSource::Given(vocabulary), .. } => Some(Arc::clone(vocabulary)),
                CsvKind::Text { tokens: TokenSource::Learn(_), .. }
                | CsvKind::Numbers { .. }
                | CsvKind::Index { .. }
                | CsvKind::Category { .. } => None,
            },
        }
    }
}

/// All of a table but its rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outline {
    name: String,
    origin: String,
    sha256: String,
    rows: usize,
    fields: Vec<FieldOutline>,
    splits: Vec<(String, usize)>,
    constants: Vec<(String, i64)>,
    recipe: Option<Recipe>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldOutline {
    name: String,
    /// The bound of an index.
    index: Option<u64>,
    shape: Vec<i64>,
}

impl Outline {
    /// That of a table.
    pub fn of(table: &Table) -> Outline {
        let field = |field: &Field| FieldOutline {
            name: field.name.clone(),
            index: match field.dtype {
                DType::Index(bound) => Some(bound),
                DType::F32 | DType::Bool => None,
            },
            shape: field.shape.iter().map(|n| *n as i64).collect(),
        };
        Outline {
            name: table.name.clone(),
            origin: table.origin.clone(),
            sha256: table.digest.clone(),
            rows: table.rows,
            fields: table.fields.iter().map(field).collect(),
            splits: table.splits.iter().map(|split| (split.name.clone(), split.rows.len())).collect(),
            constants: table.constants.clone(),
            recipe: table.recipe.clone(),
        }
    }

    /// A table that says all that a spec may ask, but has no values: no row of it can be read.
    ///
    /// # Errors
    /// Shapes that no table has.
    pub fn table(self) -> Result<Table, DataError> {
        let refuse = |why: String| DataError { exit: Exit::Weights, ..DataError::new(why) };
        let mut fields = Vec::new();
        for FieldOutline { name, index, shape } in self.fields {
            let shape = Shape::checked(&shape).map_err(|why| refuse(format!("field `{name}`: {why}")))?;
            let dtype = match index {
                Some(0) => return Err(refuse(format!("field `{name}`: an index below 0"))),
                Some(bound) => DType::Index(bound),
                None => DType::F32,
            };
            let vocabulary = self.recipe.as_ref().and_then(|recipe| recipe.vocabulary(&name));
            fields.push(Field { name, dtype, shape, values: Values::F32(Vec::new()), vocabulary });
        }
        let split = |(name, rows)| Split { name, rows: Rows::Range(0..rows) };
        Ok(Table {
            name: self.name,
            origin: self.origin,
            digest: self.sha256,
            rows: self.rows,
            fields,
            splits: self.splits.into_iter().map(split).collect(),
            constants: self.constants,
            recipe: self.recipe,
        })
    }
}
