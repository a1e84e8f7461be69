//! The `nnc` program: see [`nnc::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(nnc::cli::main().code())
}
