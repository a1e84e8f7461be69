//! Floor 7: stages, batches, metrics, the run folder.
