//! Floor 1: bytes to tables. Every size is checked against the file's real length before it is believed.

pub mod csv;
pub mod gzip;
pub mod idx;
pub mod mnist;
pub mod recipe;
pub mod safetensors;
pub mod splits;
pub mod table;
pub mod text;
mod utf8;

pub use csv::{Columns, CsvField, CsvKind, CsvSpec, Scale, csv};
pub use idx::{IdxField, IdxKind, IdxSpec, Source, idx};
pub use mnist::mnist;
pub use recipe::{Outline, Recipe, RowForm, TokenSource};
pub use splits::Share;
pub use table::{DataError, Field, Rows, Split, Table, Values};
pub use text::vocabulary::{Cut, Vocabulary, prompt_tokens};
pub use text::{TextSpec, text};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
