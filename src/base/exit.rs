//! The process exit codes: one meaning each, part of the command-line contract.

/// Why the process ends. The number is what the shell sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Ok = 0,
    /// The command line is wrong.
    Usage = 1,
    /// The spec (the `.nn` file) is wrong.
    Spec = 2,
    /// The data is wrong or missing.
    Data = 3,
    /// Weights or a checkpoint are wrong or missing.
    Weights = 4,
    /// Memory, disk or the output folder.
    Resources = 5,
    /// Training diverged: a loss or gradient is not finite.
    Diverged = 6,
    /// A peer process failed.
    Peer = 7,
    /// A fault of nnc itself, caught and named.
    Internal = 70,
    /// Interrupted by SIGINT or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        self as u8
    }
}
