//! Operations on vectors as instructions.

use std::mem::offset_of;

use iced_x86::{Code, MemoryOperand, Register};

use super::super::Context;
use super::assemble::{Assembler, LANES, Piece, memory};
use super::program::{Kind, Op, Operand};
use super::registers::Home;
use super::set::Set;

/// The register of the same number in another file, of which `first` is number 0.
pub(super) fn part(register: Register, first: Register) -> Register {
    // Each file has 32 registers, and the files follow one another.
    first + (register as u32 - Register::XMM0 as u32) % 32
}

impl Assembler<'_> {
    /// The instructions of an operation.
    pub(super) fn op(&mut self, op: &Op) {
        let lane = self.lane;
        match op.kind {
            Kind::Walk(dim) => self.walk(dim),
            Kind::WalkEnd(dim) => self.walk_end(dim),
            Kind::Lanes => self.lanes(lane),
            Kind::Block(elements) => self.block(lane, elements),
            Kind::BlockEnd(elements) => self.block_end(lane, elements),
            Kind::Tail => self.tail(lane),
            Kind::Width(lanes) => self.width(lanes),
            Kind::TailEnd => self.tail_end(),
            Kind::Write(place) => self.write(place, op.args[0]),
            Kind::Less
            | Kind::LessEqual
            | Kind::Equal
            | Kind::NotEqual
            | Kind::IntEqual
            | Kind::Both
            | Kind::Either
            | Kind::Not => self.truth(op),
            Kind::Add | Kind::Mul | Kind::IntAdd | Kind::And | Kind::Xor => {
                self.made(op, |a, to| a.binary(op, to, true));
            }
            Kind::Sub | Kind::Div | Kind::Max | Kind::Min | Kind::IntSub => {
                self.made(op, |a, to| a.binary(op, to, false));
            }
            Kind::Fma => self.made(op, |a, to| a.multiply_add(op, to)),
            Kind::Sqrt
            | Kind::Floor
            | Kind::Trunc
            | Kind::Convert
            | Kind::ToInteger
            | Kind::Shl(_)
            | Kind::Sar(_)
            | Kind::Permute(_) => self.made(op, |a, to| a.single(op, to)),
            Kind::Copy => self.made(op, |a, to| a.load(op.args[0], to)),
            Kind::Select => self.made(op, |a, to| a.select(op, to)),
            Kind::UpperHalf => self.made(op, |a, to| a.upper_half(op.args[0], to)),
            Kind::SecondQuarter => self.made(op, |a, to| a.second_quarter(op.args[0], to)),
            Kind::Spread => self.made(op, |a, to| a.spread(op.args[0], to)),
            Kind::Read(place) => self.made(op, |a, to| a.read(place, to)),
            Kind::AddSlots(place) => self.made(op, |a, to| a.add_slots(place, op.args[0], to)),
            Kind::Index(dim) => self.made(op, |a, to| a.index(dim, to)),
        }
    }

    /// What an operation makes, in the register that its vector has, or on its way to memory; nothing if it is not read.
    fn made(&mut self, op: &Op, value: impl FnOnce(&mut Self, Register)) {
        match op.vector.map(|vector| self.registers.vectors[vector as usize]) {
            Some(Home::Register(register)) => value(self, self.set.register(register)),
            Some(Home::Slot(slot)) => {
                let (result, slot) = (self.set.result(), self.frame.slot(slot));
                value(self, result);
                let code = Code::EVEX_Vmovaps_zmmm512_k1z_zmm;
                self.two(self.set.either(code, Code::VEX_Vmovaps_ymmm256_ymm), slot, result);
            }
            None => {}
        }
    }

    /// An operand where it stands.
    pub(super) fn source(&mut self, operand: Operand) -> Piece {
        let wide = self.set == Set::Avx512;
        match operand {
            Operand::Vector(vector) => match self.registers.vectors[vector as usize] {
                Home::Register(register) => Piece::Register(self.set.register(register)),
                Home::Slot(slot) => Piece::Memory(self.frame.slot(slot)),
            },
            Operand::Bits(bits) => Piece::Constant(self.constant([bits; LANES]), wide),
            Operand::Counting(step) => {
                let lanes = std::array::from_fn(|lane| step.wrapping_mul(lane as i32) as u32);
                Piece::Constant(self.constant(lanes), false)
            }
            Operand::Keep if wide => {
                let (at, none) = (offset_of!(Context, keep) as i64, Register::None);
                Piece::Memory(MemoryOperand::new(Register::RDI, none, 1, at, 8, true, none))
            }
            Operand::Keep => {
                let [.., moment] = self.set.operands();
                self.load(operand, moment);
                Piece::Register(moment)
            }
        }
    }

    /// An operand in a register: its own, or the one for the moment.
    pub(super) fn register(&mut self, operand: Operand, moment: Register) -> Register {
        match self.source(operand) {
            Piece::Register(register) => register,
            _ => {
                self.load(operand, moment);
                moment
            }
        }
    }

    /// All lanes of a register become 0: what is written to the lowest four clears the others.
    pub(super) fn clear(&mut self, register: Register) {
        let narrow = part(register, Register::XMM0);
        let code = Code::EVEX_Vpxord_xmm_k1z_xmm_xmmm128b32;
        self.three(self.set.either(code, Code::VEX_Vpxor_xmm_xmm_xmmm128), narrow, narrow, narrow);
    }

    /// Brings an operand to this register.
    pub(super) fn load(&mut self, operand: Operand, to: Register) {
        let spread = self.set.either(Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, Code::VEX_Vbroadcastss_ymm_m32);
        let whole = self.set.either(Code::EVEX_Vmovaps_zmm_k1z_zmmm512, Code::VEX_Vmovaps_ymm_ymmm256);
        match operand {
            Operand::Bits(0) => self.clear(to),
            Operand::Bits(bits) => {
                let at = self.constant([bits; LANES]);
                self.emit(spread, &[to.into(), Piece::Constant(at, false)]);
            }
            Operand::Keep => self.two(spread, to, memory(Register::RDI, offset_of!(Context, keep) as i64)),
            Operand::Vector(_) | Operand::Counting(_) => match self.source(operand) {
                Piece::Register(from) if from == to => {}
                from => self.emit(whole, &[to.into(), from]),
            },
        }
    }

    /// Two operands of which the first is in a register; they change places where that saves a move.
    pub(super) fn pair(&mut self, op: &Op, exchange: bool) -> (Register, Piece) {
        let [mut a, mut b] = [op.args[0], op.args[1]];
        if exchange && !self.stands(a) && self.stands(b) {
            (a, b) = (b, a);
        }
        let [moment, ..] = self.set.operands();
        (self.register(a, moment), self.source(b))
    }

    /// Whether an operand has a register.
    fn stands(&self, operand: Operand) -> bool {
        match operand {
            Operand::Vector(vector) => matches!(self.registers.vectors[vector as usize], Home::Register(_)),
            Operand::Bits(_) | Operand::Counting(_) | Operand::Keep => false,
        }
    }

    /// Whether an operand stands in this register.
    fn stands_in(&mut self, operand: Operand, register: Register) -> bool {
        self.stands(operand) && matches!(self.source(operand), Piece::Register(r) if r == register)
    }

    fn binary(&mut self, op: &Op, to: Register, exchange: bool) {
        let (a, b) = self.pair(op, exchange);
        let (code, _) = self.set.code(op.kind);
        self.emit(code, &[to.into(), a.into(), b]);
    }

    /// An operation on one operand, perhaps with a number.
    fn single(&mut self, op: &Op, to: Register) {
        let [moment, ..] = self.set.operands();
        let from = match (op.kind, self.set) {
            // These take no memory.
            (Kind::Shl(_) | Kind::Sar(_), Set::Avx2) => self.register(op.args[0], moment).into(),
            _ => self.source(op.args[0]),
        };
        match self.set.code(op.kind) {
            (code, Some(number)) => self.emit(code, &[to.into(), from, number.into()]),
            (code, None) => self.emit(code, &[to.into(), from]),
        }
    }

    /// The upper 8 of 16 lanes as the lower ones.
    fn upper_half(&mut self, from: Operand, to: Register) {
        let [moment, ..] = self.set.operands();
        let from = self.register(from, moment);
        self.three(Code::EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8, part(to, Register::YMM0), from, 1);
    }

    /// The second four lanes as the first ones.
    fn second_quarter(&mut self, from: Operand, to: Register) {
        let [moment, ..] = self.set.operands();
        let from = self.register(from, moment);
        let code = Code::EVEX_Vextractf32x4_xmmm128_k1z_zmm_imm8;
        let code = self.set.either(code, Code::VEX_Vextractf128_xmmm128_ymm_imm8);
        self.three(code, part(to, Register::XMM0), from, 1);
    }

    /// The first lane in all lanes.
    fn spread(&mut self, from: Operand, to: Register) {
        let [moment, ..] = self.set.operands();
        let from = self.register(from, moment);
        let code = Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32;
        self.two(self.set.either(code, Code::VEX_Vbroadcastss_ymm_xmm), to, part(from, Register::XMM0));
    }

    /// The index of a loop in every lane.
    fn index(&mut self, dim: usize, to: Register) {
        let narrow = part(to, Register::XMM0);
        let from = self.frame.index(dim);
        match (self.set, dim == self.lane) {
            (Set::Avx512, true) => self.two(Code::EVEX_Vpbroadcastd_zmm_k1z_r32, to, Register::EAX),
            (Set::Avx512, false) => self.two(Code::EVEX_Vpbroadcastd_zmm_k1z_xmmm32, to, from),
            (Set::Avx2, true) => {
                self.two(Code::VEX_Vmovd_xmm_rm32, narrow, Register::EAX);
                self.two(Code::VEX_Vpbroadcastd_ymm_xmmm32, to, narrow);
            }
            (Set::Avx2, false) => self.two(Code::VEX_Vpbroadcastd_ymm_xmmm32, to, from),
        }
    }

    /// One of the three forms, so that the result replaces an operand that is not needed any more.
    fn multiply_add(&mut self, op: &Op, to: Register) {
        let [mut a, mut b, c] = [op.args[0], op.args[1], op.args[2]];
        let [first, second, _] = self.set.operands();
        if self.stands_in(c, to) {
            if !self.stands(a) {
                (a, b) = (b, a);
            }
            let (a, b) = (self.register(a, first), self.source(b));
            let code = Code::EVEX_Vfmadd231ps_zmm_k1z_zmm_zmmm512b32_er;
            let code = self.set.either(code, Code::VEX_Vfmadd231ps_ymm_ymm_ymmm256);
            self.emit(code, &[to.into(), a.into(), b]);
            return;
        }
        if self.stands_in(b, to) || (!self.stands_in(a, to) && !self.stands(b) && self.stands(a)) {
            (a, b) = (b, a);
        }
        let b = self.register(b, second);
        self.load(a, to);
        let c = self.source(c);
        let code = Code::EVEX_Vfmadd213ps_zmm_k1z_zmm_zmmm512b32_er;
        let code = self.set.either(code, Code::VEX_Vfmadd213ps_ymm_ymm_ymmm256);
        self.emit(code, &[to.into(), b.into(), c]);
    }
}
