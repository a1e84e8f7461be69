//! Floor 1: bytes to tables. Every size is checked against the file's real length before it is believed.

pub mod gzip;
pub mod idx;
pub mod mnist;
pub mod safetensors;
pub mod table;

pub use mnist::mnist;
pub use table::{DataError, Field, Rows, Split, Table, Values};
