//! Tables: rows of typed fields in memory, with named splits.

use std::sync::Arc;

use super::recipe::Recipe;
use super::text::vocabulary::Vocabulary;
use crate::base::Exit;
use crate::ty::{DType, Shape};

/// A data set in memory.
#[derive(Clone, Debug)]
pub struct Table {
    /// The name in the spec: `digits`.
    pub name: String,
    /// What was read, for people: `embedded MNIST digits (8,000 train, 2,000 test)`.
    pub origin: String,
    /// SHA-256 over the bytes that were read, in hex.
    pub digest: String,
    /// Number of rows.
    pub rows: usize,
    /// The columns.
    pub fields: Vec<Field>,
    /// The named parts.
    pub splits: Vec<Split>,
    /// Named constants that the data gives, such as the number of categories of a column: `users`.
    pub constants: Vec<(String, i64)>,
    /// How rows of another file are read as these were, where that can be.
    pub recipe: Option<Recipe>,
}

/// A column: one tensor per row.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name: `image`.
    pub name: String,
    /// Type of an element.
    pub dtype: DType,
    /// Shape of one row's value.
    pub shape: Shape,
    /// All rows.
    pub values: Values,
    /// What its indices stand for, where they are tokens of text.
    pub vocabulary: Option<Arc<Vocabulary>>,
}

/// The elements of a column.
#[derive(Clone, Debug)]
pub enum Values {
    /// Bytes, to be multiplied by `scale` when read (images: 1/255).
    U8 {
        /// The bytes.
        data: Vec<u8>,
        /// The factor.
        scale: f32,
    },
    /// Numbers.
    F32(Vec<f32>),
    /// Indices, each checked to lie below the bound of the field's type.
    I32(Vec<i32>),
    /// Windows over a row of indices: that of row `r` begins at `r + shift`.
    Windows {
        /// The indices, shared by the fields that look at them.
        tokens: Arc<Vec<i32>>,
        /// How far the windows are moved.
        shift: usize,
    },
}

/// A named part of a table.
#[derive(Clone, Debug)]
pub struct Split {
    /// Its name: `train`.
    pub name: String,
    /// Which rows.
    pub rows: Rows,
}

/// Some rows of a table.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Consecutive ones.
    Range(std::ops::Range<usize>),
    /// These.
    List(Vec<u32>),
    /// Windows over a text: rows at equal distances, which all may be moved by the same number of rows.
    Windows {
        /// The first.
        start: usize,
        /// How many.
        count: usize,
        /// From one to the next.
        stride: usize,
        /// By how much at most they may be moved.
        slack: usize,
    },
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Rows::Range(range) => range.len(),
            Rows::List(list) => list.len(),
            Rows::Windows { count, .. } => *count,
        }
    }

    /// By how many rows at most all of them may be moved: shuffled epochs begin at a place of their own.
    pub fn slack(&self) -> usize {
        match self {
            Rows::Range(_) | Rows::List(_) => 0,
            Rows::Windows { slack, .. } => *slack,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of the table that is the `i`-th here.
    pub fn row(&self, i: usize) -> usize {
        match self {
            Rows::Range(range) => range.start + i,
            Rows::List(list) => list[i] as usize,
            Rows::Windows { start, stride, .. } => start + i * stride,
        }
    }
}

/// Why data could not be read.
#[derive(Clone, Debug)]
pub struct DataError {
    /// What is wrong, with file, place (byte offset or line and column), what was expected and what was found.
    pub message: String,
    /// A way out.
    pub help: Option<String>,
    /// `Data`, or `Resources` where memory is at fault, or `Spec` where the spec asks for what is not there.
    pub exit: Exit,
}

impl DataError {
    /// An error in the data.
    pub fn new(message: impl Into<String>) -> DataError {
        DataError { message: message.into(), help: None, exit: Exit::Data }
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> DataError {
        self.help = Some(help.into());
        self
    }
}
