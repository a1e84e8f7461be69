//! Limits that are checked before work starts, so that a hostile or mistaken file ends in a diagnostic.

/// The longest spec, in bytes.
pub const SPEC_BYTES: usize = 4 << 20;
/// The deepest nesting of brackets in a spec.
pub const NESTING: usize = 200;
/// The deepest chain of layers, `use` files or function calls while a spec is elaborated.
pub const CALL_DEPTH: usize = 200;
/// The largest number of iterations of one compile-time loop or `repeat`.
pub const UNROLL: u64 = 100_000;
/// The most numbers that one measurement gives: they are written to the log each time.
pub const MEASURED: usize = 65_536;
/// The most elements of a value that a measurement makes of the rows of a whole split (8 bytes each).
pub const COLLECTED: usize = 1 << 27;
/// The largest number of nodes in one graph.
pub const NODES: usize = 2_000_000;
/// The largest number of elements in one tensor (4 bytes each).
pub const ELEMENTS: u64 = 1 << 36;
/// The largest number of dimensions of a tensor.
pub const RANK: usize = 12;
/// The largest number of bytes that a compressed file may unpack to.
pub const UNPACKED_BYTES: u64 = 8 << 30;
/// The largest factor by which a compressed file may grow beyond [`UNPACK_FREE`] bytes. Real data grows
/// 2 to 20 times; gzip can do 1,032.
pub const UNPACK_RATIO: u64 = 100;
/// What any compressed file may unpack to.
pub const UNPACK_FREE: u64 = 64 << 20;
/// The deepest tree of operators, calls and blocks in a spec; a chain of n operators counts n.
pub const EXPRESSION_DEPTH: usize = 500;
/// The number of syntax errors after which the parser stops looking for more.
pub const SYNTAX_ERRORS: usize = 20;
