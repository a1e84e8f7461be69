//! The part of a wide function that is not vectors: the frame, loops, addresses.
//!
//! `rdi` holds the context, `rax` the lane at which a block stands, `rcx` and `rdx` are for the moment. The
//! addresses of the first accesses stand in registers, those of others in the frame; a loop moves them
//! forwards from turn to turn, and back at its end.

use std::mem::offset_of;

use iced_x86::{Code, MemoryOperand, Register};

use super::super::Context;
use super::assemble::{Assembler, memory};
use crate::ir::plan::Extent;

/// Registers that a called function must leave as they were.
const SAVED: [Register; 6] =
    [Register::RBX, Register::RBP, Register::R12, Register::R13, Register::R14, Register::R15];
/// Registers for addresses.
pub(super) const ADDRESSES: [Register; 11] = [
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::RBX,
    Register::RBP,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
    Register::RSI,
];

/// Where things stand in the frame, in bytes from `rsp`.
const OLD_STACK: i64 = 0;
const FROM: i64 = 8;
const TO: i64 = 16;
const FIRST: i64 = 24;

/// The frame of a function with so many loops and accesses.
pub(super) struct Frame {
    dims: usize,
    accesses: usize,
}

impl Frame {
    pub fn new(dims: usize, accesses: usize) -> Frame {
        Frame { dims, accesses }
    }

    /// The index of a loop.
    pub fn index(&self, dim: usize) -> MemoryOperand {
        memory(Register::RSP, FIRST + 16 * dim as i64)
    }

    /// The end of a loop whose extent is not known.
    fn end(&self, dim: usize) -> MemoryOperand {
        memory(Register::RSP, FIRST + 16 * dim as i64 + 8)
    }

    fn address(&self, access: usize) -> MemoryOperand {
        memory(Register::RSP, FIRST + 16 * self.dims as i64 + 8 * access as i64)
    }

    /// The mask of the tail, where masks are vectors.
    pub fn tail(&self) -> MemoryOperand {
        memory(Register::RSP, self.slots() - 64)
    }

    fn slots(&self) -> i64 {
        (FIRST + 16 * self.dims as i64 + 8 * self.accesses as i64 + 63) / 64 * 64 + 64
    }

    /// A vector that has no register.
    pub fn slot(&self, slot: usize) -> MemoryOperand {
        memory(Register::RSP, self.slots() + 64 * slot as i64)
    }

    fn size(&self, slots: usize) -> i64 {
        self.slots() + 64 * slots as i64
    }
}

impl Assembler<'_> {
    /// What a function begins with.
    pub(super) fn enter(&mut self, slots: usize) {
        for register in SAVED {
            self.one(Code::Push_r64, register);
        }
        self.two(Code::Mov_r64_rm64, Register::RAX, Register::RSP);
        self.two(Code::Sub_rm64_imm32, Register::RSP, self.frame.size(slots) as i32);
        self.two(Code::And_rm64_imm8, Register::RSP, -64);
        self.two(Code::Mov_rm64_r64, memory(Register::RSP, OLD_STACK), Register::RAX);
        self.two(Code::Mov_rm64_r64, memory(Register::RSP, FROM), Register::RDX);
        self.two(Code::Mov_rm64_r64, memory(Register::RSP, TO), Register::RCX);
        let accesses = self.strides.len();
        // The last of the registers is the one that the addresses are read from.
        let (last, others) = (ADDRESSES.len() - 1, (0..accesses).filter(|a| *a != ADDRESSES.len() - 1));
        for access in others.chain((accesses > last).then_some(last)) {
            let given = memory(Register::RSI, 8 * access as i64);
            match ADDRESSES.get(access) {
                Some(register) => self.two(Code::Mov_r64_rm64, *register, given),
                None => {
                    self.two(Code::Mov_r64_rm64, Register::RAX, given);
                    let home = self.frame.address(access);
                    self.two(Code::Mov_rm64_r64, home, Register::RAX);
                }
            }
        }
    }

    /// What a function ends with.
    pub(super) fn leave(&mut self) {
        self.zero(Code::VEX_Vzeroupper);
        self.two(Code::Mov_r64_rm64, Register::RSP, memory(Register::RSP, OLD_STACK));
        for register in SAVED.iter().rev() {
            self.one(Code::Pop_r64, *register);
        }
        self.zero(Code::Retnq);
    }

    /// The register with the address of an access; `rdx` for one that stands in the frame.
    pub(super) fn address(&mut self, access: usize) -> Register {
        match ADDRESSES.get(access) {
            Some(register) => *register,
            None => {
                let home = self.frame.address(access);
                self.two(Code::Mov_r64_rm64, Register::RDX, home);
                Register::RDX
            }
        }
    }

    /// Adds this many bytes to an address.
    fn advance(&mut self, access: usize, bytes: i32) {
        match ADDRESSES.get(access) {
            Some(register) => self.two(Code::Add_rm64_imm32, *register, bytes),
            None => {
                let home = self.frame.address(access);
                self.two(Code::Add_rm64_imm32, home, bytes);
            }
        }
    }

    /// Adds `by * rcx` to an address.
    fn advance_by_rcx(&mut self, access: usize, by: i32) {
        self.three(Code::Imul_r64_rm64_imm32, Register::RDX, Register::RCX, by);
        match ADDRESSES.get(access) {
            Some(register) => self.two(Code::Add_rm64_r64, *register, Register::RDX),
            None => {
                let home = self.frame.address(access);
                self.two(Code::Add_rm64_r64, home, Register::RDX);
            }
        }
    }

    fn is_given(&self, dim: usize) -> bool {
        dim == 0 && self.ranged
    }

    /// Writes down how far a loop goes, if that is not known.
    fn bound(&mut self, dim: usize) {
        if self.is_given(dim) {
            self.two(Code::Mov_r64_rm64, Register::RCX, memory(Register::RSP, TO));
        } else {
            match self.loops.dims[dim] {
                Extent::Const(_) => return,
                Extent::Examples(factor) => {
                    let examples = memory(Register::RDI, offset_of!(Context, examples) as i64);
                    let factor = self.narrow(factor as i64);
                    self.three(Code::Imul_r64_rm64_imm32, Register::RCX, examples, factor);
                }
            }
        }
        let end = self.frame.end(dim);
        self.two(Code::Mov_rm64_r64, end, Register::RCX);
    }

    fn known(&self, dim: usize) -> Option<i64> {
        match self.loops.dims[dim] {
            Extent::Const(n) if !self.is_given(dim) => Some(n as i64),
            Extent::Const(_) | Extent::Examples(_) => None,
        }
    }

    /// The beginning of a loop over single indices.
    pub(super) fn walk(&mut self, dim: usize) {
        self.bound(dim);
        let index = self.frame.index(dim);
        if self.is_given(dim) {
            self.two(Code::Mov_r64_rm64, Register::RCX, memory(Register::RSP, FROM));
            self.two(Code::Mov_rm64_r64, index, Register::RCX);
            for access in 0..self.strides.len() {
                let stride = self.strides[access][dim];
                if stride != 0 {
                    let bytes = self.narrow(4 * stride);
                    self.advance_by_rcx(access, bytes);
                }
            }
        } else {
            self.two(Code::Mov_rm64_imm32, index, 0);
        }
        let (top, end) = (self.label(), self.label());
        if self.known(dim).is_none() {
            self.two(Code::Mov_r64_rm64, Register::RCX, index);
            let last = self.frame.end(dim);
            self.two(Code::Cmp_r64_rm64, Register::RCX, last);
            self.jump(Code::Jge_rel32_64, end);
        }
        self.place(top);
        self.open.push((top, end));
    }

    /// The end of such a loop.
    pub(super) fn walk_end(&mut self, dim: usize) {
        let Some((top, end)) = self.open.pop() else { return };
        let moving: Vec<(usize, i64)> =
            self.strides.iter().map(|s| s[dim]).enumerate().filter(|(_, s)| *s != 0).collect();
        for (access, stride) in &moving {
            let bytes = self.narrow(4 * stride);
            self.advance(*access, bytes);
        }
        let index = self.frame.index(dim);
        let known = self.known(dim);
        match known {
            Some(n) => {
                self.one(Code::Inc_rm64, index);
                let n = self.narrow(n);
                self.two(Code::Cmp_rm64_imm32, index, n);
            }
            None => {
                self.two(Code::Mov_r64_rm64, Register::RCX, index);
                self.one(Code::Inc_rm64, Register::RCX);
                self.two(Code::Mov_rm64_r64, index, Register::RCX);
                let last = self.frame.end(dim);
                self.two(Code::Cmp_r64_rm64, Register::RCX, last);
            }
        }
        self.jump(Code::Jl_rel32_64, top);
        match known {
            Some(n) => {
                for (access, stride) in moving {
                    let bytes = self.narrow(-4 * stride * n);
                    self.advance(access, bytes);
                }
            }
            None => {
                self.two(Code::Mov_r64_rm64, Register::RCX, index);
                for (access, stride) in moving {
                    let bytes = self.narrow(-4 * stride);
                    self.advance_by_rcx(access, bytes);
                }
            }
        }
        self.place(end);
    }

    /// The lanes stand at the first element.
    pub(super) fn lanes(&mut self, dim: usize) {
        self.bound(dim);
        if self.is_given(dim) {
            self.two(Code::Mov_r64_rm64, Register::RAX, memory(Register::RSP, FROM));
        } else {
            self.two(Code::Xor_r32_rm32, Register::EAX, Register::EAX);
        }
    }

    /// Compares `rcx` with the end of the lanes.
    fn compare_with_end(&mut self, dim: usize) {
        match self.known(dim) {
            Some(n) => {
                let n = self.narrow(n);
                self.two(Code::Cmp_rm64_imm32, Register::RCX, n);
            }
            None => {
                let end = self.frame.end(dim);
                self.two(Code::Cmp_r64_rm64, Register::RCX, end);
            }
        }
    }

    /// The beginning of a loop over blocks of lanes.
    pub(super) fn block(&mut self, dim: usize, elements: usize) {
        let (top, end) = (self.label(), self.label());
        if self.known(dim).is_none() {
            self.two(Code::Lea_r64_m, Register::RCX, memory(Register::RAX, elements as i64));
            self.compare_with_end(dim);
            self.jump(Code::Jg_rel32_64, end);
        }
        self.place(top);
        self.open.push((top, end));
    }

    /// The end of such a loop.
    pub(super) fn block_end(&mut self, dim: usize, elements: usize) {
        let Some((top, end)) = self.open.pop() else { return };
        self.two(Code::Add_rm64_imm32, Register::RAX, elements as i32);
        self.two(Code::Lea_r64_m, Register::RCX, memory(Register::RAX, elements as i64));
        self.compare_with_end(dim);
        self.jump(Code::Jle_rel32_64, top);
        self.place(end);
    }

    /// Skips what follows if no lanes are left; else the mask of the tail is that of those.
    pub(super) fn tail(&mut self, dim: usize) {
        let end = self.label();
        let last = self.frame.end(dim);
        self.two(Code::Mov_r64_rm64, Register::RCX, last);
        self.two(Code::Sub_r64_rm64, Register::RCX, Register::RAX);
        self.jump(Code::Jle_rel32_64, end);
        self.tail_of_rcx();
        self.open.push((end, end));
    }

    /// The end of that.
    pub(super) fn tail_end(&mut self) {
        if let Some((_, end)) = self.open.pop() {
            self.place(end);
        }
    }
}
