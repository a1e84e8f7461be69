//! Floor 1: text to syntax tree and back.

pub mod ast;
mod builder;
mod dump;
mod explain;
mod expr;
mod format;
mod grammar;
mod items;
mod lexical;
mod literals;
mod marks;
mod parse;
mod recurrence;
mod scan;
mod segments;
mod spacing;
mod training;
mod words;

pub use dump::dump;
pub use format::format;
pub use parse::parse;
