//! Floor 5: loop nests to machine code with Cranelift.
