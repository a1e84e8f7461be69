//! The law of the IR, checked after every pass.
