//! Floor 1: hand-written kernels on raw slices; knows no IR.
