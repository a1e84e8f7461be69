//! Floor 1: text to syntax tree and back.

pub mod ast;
mod builder;
mod dump;
mod explain;
mod expr;
mod grammar;
mod items;
mod lexical;
mod literals;
mod parse;
mod scan;
mod segments;
mod words;

pub use dump::dump;
pub use parse::parse;
