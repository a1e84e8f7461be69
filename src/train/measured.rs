//! What a measurement gives: a number, or a tensor of numbers such as a confusion matrix.

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};

use crate::ir::Array;

/// The most rows and columns that are shown as a table.
const SHOWN: usize = 32;

/// A measured value.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured(pub Array);

impl From<f64> for Measured {
    fn from(value: f64) -> Measured {
        Measured(Array::scalar(value))
    }
}

impl Measured {
    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        if self.0.shape.rank() == 0 { self.0.data.first().copied() } else { None }
    }

    /// In one line, numbers with this many digits behind the point: `0.9312`, `[0.9312, 0.8823]`. What needs
    /// more lines says how large it is.
    pub fn line(&self, digits: usize) -> String {
        let data = &self.0.data;
        match self.0.shape.to_vec()[..] {
            [] => number(data[0], digits),
            [n] if n <= SHOWN => {
                let parts: Vec<String> = data.iter().map(|v| number(*v, digits)).collect();
                format!("[{}]", parts.join(", "))
            }
            _ => self.0.shape.to_string(),
        }
    }

    /// The lines of a table of a matrix, under the numbers of its columns; nothing for other values. All of
    /// the numbers stand in `metrics.jsonl`, those of larger matrices only there.
    pub fn table(&self, digits: usize) -> Vec<String> {
        let [rows, columns] = self.0.shape.to_vec()[..] else { return Vec::new() };
        if rows > SHOWN || columns > SHOWN {
            return Vec::new();
        }
        let whole = self.0.data.iter().all(|v| v.fract() == 0.0);
        let cell = |v: &f64| if whole { format!("{v}") } else { number(*v, digits) };
        let cells: Vec<String> = self.0.data.iter().map(cell).collect();
        let width = cells.iter().map(String::len).max().unwrap_or(1).max(columns.to_string().len());
        let header: Vec<String> = (0..columns).map(|c| format!("{c:>width$}")).collect();
        let mut lines = vec![format!("    {:>3}  {}", "", header.join("  "))];
        for (r, row) in cells.chunks(columns.max(1)).enumerate() {
            let row: Vec<String> = row.iter().map(|cell| format!("{cell:>width$}")).collect();
            lines.push(format!("    {r:>3}  {}", row.join("  ")));
        }
        lines
    }
}

fn number(value: f64, digits: usize) -> String {
    format!("{value:.digits$}")
}

impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Part { extents: &self.0.shape, data: &self.0.data }.serialize(serializer)
    }
}

/// Some last axes of an array.
struct Part<'a> {
    extents: &'a [usize],
    data: &'a [f64],
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [first, rest @ ..] = self.extents else { return self.data[0].serialize(serializer) };
        let step = rest.iter().product::<usize>().max(1);
        let mut list = serializer.serialize_seq(Some(*first))?;
        for data in self.data.chunks(step) {
            list.serialize_element(&Part { extents: rest, data })?;
        }
        list.end()
    }
}
