//! Text fixtures: what the parts make of whole files, pinned as snapshots.

mod check;
mod docs;
mod library;
mod meaning;
mod misspelt;
mod options;
mod recurrent;
mod syntax;
mod wrong;
