//! Floor 5: syntax tree to checked experiment.
