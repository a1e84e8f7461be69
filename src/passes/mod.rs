//! Floor 4: graph to graph, and graph to plan; one pass per file.

pub mod autodiff;
pub mod plan;
