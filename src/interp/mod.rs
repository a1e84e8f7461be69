//! Floor 4: the f64 reference evaluator: the specification of what a graph means.
