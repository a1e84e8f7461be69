//! Floor 6: runs a plan: memory, workers, one step at a time.
