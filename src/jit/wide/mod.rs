//! Nests as machine code for wide vectors, which Cranelift does not generate: sixteen lanes with AVX-512, eight
//! with AVX2.
//!
//! `emit` writes the loops of a nest down as operations, `program` is their form, `registers` finds registers;
//! `vectors` and `lanes` make instructions of operations, `set` knows which, `frame` makes those for loops and
//! addresses, `assemble` brings them into bytes. Each step on a number is the one
//! that the narrow code takes, and sums have the same order, so results have equal bits.

mod assemble;
mod emit;
mod frame;
mod lanes;
mod program;
mod registers;
mod set;
mod vectors;

use super::loops::Loops;
use super::schedule::Schedule;
use crate::kernels::isa::Isa;
use set::Set;

/// The function of a nest: its machine code, which may stand anywhere, aligned by 64 bytes.
pub struct Machine {
    assembled: assemble::Assembled,
}

impl Machine {
    /// The code of a nest, if this processor can run it; `None` too where it has something that only the narrow
    /// code does.
    pub fn new(loops: &Loops, schedule: &Schedule, isa: Isa) -> Option<Machine> {
        let callable = cfg!(all(target_arch = "x86_64", not(windows)));
        let isa = isa.min(Isa::detected());
        if callable { Machine::of(loops, schedule, isa) } else { None }
    }

    /// The same for any processor.
    pub fn of(loops: &Loops, schedule: &Schedule, isa: Isa) -> Option<Machine> {
        let set = Set::of(isa)?;
        let ops = emit::program(loops, schedule, set)?;
        Some(Machine { assembled: assemble::assemble(loops, schedule, &ops, set)? })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.assembled.bytes
    }

    /// The instructions as text, one a line.
    pub fn text(&self) -> String {
        self.assembled.text()
    }
}
