//! Floor 0: what every other part may use: places in a file, diagnostics, exit codes, limits.

pub mod diagnostic;
pub mod exit;
pub mod limits;
pub mod memory;
pub mod span;
pub mod suggest;

pub use diagnostic::{Diagnostic, Failure, Label, Severity};
pub use exit::Exit;
pub use span::{FileId, Ident, Sources, Span};
pub use suggest::did_you_mean;
