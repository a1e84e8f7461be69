//! Floor 8: what happens to a file, top to bottom.
