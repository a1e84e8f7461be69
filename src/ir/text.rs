//! The text form of graphs: printed for people and read back.
