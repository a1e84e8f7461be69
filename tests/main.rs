//! The one test binary: every test of the project is a module of it.

mod ops;
