//! Drops what is not needed.

use super::{Pass, rewrite};

/// The pass.
pub static PASS: Pass = Pass {
    name: "dce",
    help: "drops what no output and no update needs",
    required: false,
    run: rewrite::drop_unneeded,
};
