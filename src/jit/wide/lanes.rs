//! What AVX-512 and AVX2 do in different ways: masks, and lanes in memory.

use std::mem::offset_of;

use iced_x86::{Code, MemoryOperand, Register};

use super::super::Context;
use super::assemble::{Assembler, LANES, Piece, memory};
use super::program::{Kind, Mask, Op, Operand, Place};
use super::set::Set;
use super::vectors::part;

/// The mask of the tail of a row, with AVX-512.
const TAIL: Register = Register::K7;
/// The mask that a gather or scatter uses up.
const MOVED: Register = Register::K6;

impl Assembler<'_> {
    /// The mask of the tail is that of as many lanes as `rcx` says.
    pub(super) fn tail_of_rcx(&mut self) {
        match self.set {
            Set::Avx512 => {
                self.two(Code::Mov_r32_imm32, Register::EDX, 1);
                self.two(Code::Shl_rm32_CL, Register::EDX, Register::CL);
                self.one(Code::Dec_rm32, Register::EDX);
                self.two(Code::VEX_Kmovw_kr_r32, TAIL, Register::EDX);
            }
            Set::Avx2 => {
                // A vector of ones and one of zeros side by side; read so far from the zeros.
                let width = self.set.width();
                let both = self.constant(std::array::from_fn(|lane| if lane < width { u32::MAX } else { 0 }));
                self.emit(Code::Lea_r64_m, &[Register::RDX.into(), Piece::Constant(both, false)]);
                self.one(Code::Neg_rm64, Register::RCX);
                let end = 4 * width as i64;
                let none = Register::None;
                let from = MemoryOperand::new(Register::RDX, Register::RCX, 4, end, 1, false, none);
                let [.., moment] = self.set.operands();
                self.two(Code::VEX_Vmovups_ymm_ymmm256, moment, from);
                let tail = self.frame.tail();
                self.two(Code::VEX_Vmovaps_ymmm256_ymm, tail, moment);
            }
        }
    }

    /// The mask of the tail is that of this many lanes.
    pub(super) fn width(&mut self, lanes: usize) {
        match self.set {
            Set::Avx512 => {
                self.two(Code::Mov_r32_imm32, Register::EDX, (1 << lanes) - 1);
                self.two(Code::VEX_Kmovw_kr_r32, TAIL, Register::EDX);
            }
            Set::Avx2 => {
                let mask = self.constant(std::array::from_fn(|lane| if lane < lanes { u32::MAX } else { 0 }));
                let [.., moment] = self.set.operands();
                self.emit(Code::VEX_Vmovaps_ymm_ymmm256, &[moment.into(), Piece::Constant(mask, false)]);
                let tail = self.frame.tail();
                self.two(Code::VEX_Vmovaps_ymmm256_ymm, tail, moment);
            }
        }
    }

    fn mask(&mut self, mask: Mask) -> Register {
        match (mask, self.set) {
            (Mask::Lanes(mask), set) => set.mask(self.registers.masks[mask as usize]),
            (Mask::Tail, Set::Avx512) => TAIL,
            (Mask::Tail, Set::Avx2) => {
                let [.., moment] = self.set.operands();
                let tail = self.frame.tail();
                self.two(Code::VEX_Vmovaps_ymm_ymmm256, moment, tail);
                moment
            }
        }
    }

    /// `to = mask ? then : other`
    pub(super) fn select(&mut self, op: &Op, to: Register) {
        let mask = self.mask(op.masks[0]);
        let (then, other) = (op.args[0], op.args[1]);
        let [first, ..] = self.set.operands();
        if other == Operand::Bits(0) {
            let then = self.source(then);
            let (code, then) = match (self.set, then) {
                (Set::Avx2, then) => return self.three(Code::VEX_Vandps_ymm_ymm_ymmm256, to, mask, then),
                (Set::Avx512, Piece::Constant(at, true)) => {
                    (Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, Piece::Constant(at, false))
                }
                (Set::Avx512, then) => (Code::EVEX_Vmovaps_zmm_k1z_zmmm512, then),
            };
            self.emit_with(code, &[to.into(), then], |i| {
                i.set_op_mask(mask);
                i.set_zeroing_masking(true);
            });
            return;
        }
        let other = self.register(other, first);
        let then = self.source(then);
        match self.set {
            Set::Avx512 => {
                let code = Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32;
                self.emit_with(code, &[to.into(), other.into(), then], |i| i.set_op_mask(mask));
            }
            Set::Avx2 => {
                let code = Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm;
                self.emit(code, &[to.into(), other.into(), then, mask.into()]);
            }
        }
    }

    /// A comparison, or truth values made of others.
    pub(super) fn truth(&mut self, op: &Op) {
        let Some(to) = op.mask.map(|mask| self.mask(Mask::Lanes(mask))) else { return };
        let masks: Vec<Register> = op.masks.iter().map(|mask| self.mask(*mask)).collect();
        match op.kind {
            Kind::Both | Kind::Either => self.three(self.set.code(op.kind).0, to, masks[0], masks[1]),
            Kind::Not => match self.set {
                Set::Avx512 => self.two(Code::VEX_Knotw_kr_kr, to, masks[0]),
                Set::Avx2 => {
                    let ones = self.constant([u32::MAX; LANES]);
                    let code = Code::VEX_Vpxor_ymm_ymm_ymmm256;
                    self.three(code, to, masks[0], Piece::Constant(ones, false));
                }
            },
            _ => {
                let (a, b) = self.pair(op, op.kind == Kind::IntEqual);
                match self.set.code(op.kind) {
                    (code, Some(condition)) => self.emit(code, &[to.into(), a.into(), b, condition.into()]),
                    (code, None) => self.emit(code, &[to.into(), a.into(), b]),
                }
            }
        }
    }

    /// Where the lanes of a place lie: all of them, or the first one.
    fn lanes_at(&mut self, place: Place) -> MemoryOperand {
        let base = self.address(place.access);
        match place.step {
            0 => memory(base, 0),
            1 => MemoryOperand::new(base, Register::RAX, 4, 4 * place.offset, 1, false, Register::None),
            step => {
                let bytes = self.narrow(4 * step);
                self.three(Code::Imul_r64_rm64_imm32, Register::RCX, Register::RAX, bytes);
                self.two(Code::Add_r64_rm64, Register::RCX, base);
                let first = i64::from(self.narrow(4 * step * place.offset));
                memory(Register::RCX, first)
            }
        }
    }

    /// A value from the lanes of a place.
    pub(super) fn read(&mut self, place: Place, to: Register) {
        let from = self.lanes_at(place);
        self.read_at(from, place, to);
    }

    /// A value from lanes that lie as those of `place`, but here.
    fn read_at(&mut self, from: MemoryOperand, place: Place, to: Register) {
        match (place.step, self.set) {
            (0, set) => {
                let code = set.either(Code::EVEX_Vbroadcastss_zmm_k1z_xmmm32, Code::VEX_Vbroadcastss_ymm_m32);
                self.two(code, to, from);
            }
            (1, Set::Avx512) => {
                self.emit_with(Code::EVEX_Vmovups_zmm_k1z_zmmm512, &[to.into(), from.into()], |i| {
                    if place.tail {
                        i.set_op_mask(TAIL);
                        i.set_zeroing_masking(true);
                    }
                });
            }
            (1, Set::Avx2) if place.tail => {
                let mask = self.mask(Mask::Tail);
                self.three(Code::VEX_Vmaskmovps_ymm_ymm_m256, to, mask, from);
            }
            (1, Set::Avx2) => self.two(Code::VEX_Vmovups_ymm_ymmm256, to, from),
            (step, set) => {
                let [_, steps, moved] = set.operands();
                self.load(Operand::Counting(4 * step as i32), steps);
                self.clear(to);
                let from = strided(from, steps);
                match set {
                    Set::Avx512 => {
                        self.all_lanes(place.tail);
                        let code = Code::EVEX_Vgatherdps_zmm_k1_vm32z;
                        self.emit_with(code, &[to.into(), from.into()], |i| i.set_op_mask(MOVED));
                    }
                    Set::Avx2 => {
                        if place.tail {
                            self.mask(Mask::Tail);
                        } else {
                            self.three(Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256, moved, moved, moved);
                        }
                        self.three(Code::VEX_Vgatherdps_ymm_vm32y_ymm, to, from, moved);
                    }
                }
            }
        }
    }

    /// The mask of a gather or scatter: all lanes, or those of the tail.
    fn all_lanes(&mut self, tail: bool) {
        match tail {
            true => self.two(Code::VEX_Kmovw_kr_km16, MOVED, TAIL),
            false => self.three(Code::VEX_Kxnorw_kr_kr_kr, MOVED, MOVED, MOVED),
        }
    }

    /// A value to the lanes of a place.
    pub(super) fn write(&mut self, place: Place, value: Operand) {
        let [first, steps, _] = self.set.operands();
        let value = self.register(value, first);
        let to = self.lanes_at(place);
        match (place.step, self.set) {
            (0, set) => {
                let code = set.either(Code::EVEX_Vmovss_m32_k1_xmm, Code::VEX_Vmovss_m32_xmm);
                self.two(code, to, part(value, Register::XMM0));
            }
            (1, Set::Avx512) => {
                self.emit_with(Code::EVEX_Vmovups_zmmm512_k1z_zmm, &[to.into(), value.into()], |i| {
                    if place.tail {
                        i.set_op_mask(TAIL);
                    }
                });
            }
            (1, Set::Avx2) if place.tail => {
                let mask = self.mask(Mask::Tail);
                self.three(Code::VEX_Vmaskmovps_m256_ymm_ymm, to, mask, value);
            }
            (1, Set::Avx2) => self.two(Code::VEX_Vmovups_ymmm256_ymm, to, value),
            (step, Set::Avx512) => {
                self.load(Operand::Counting(4 * step as i32), steps);
                self.all_lanes(place.tail);
                let code = Code::EVEX_Vscatterdps_vm32z_k1_zmm;
                self.emit_with(code, &[strided(to, steps).into(), value.into()], |i| i.set_op_mask(MOVED));
            }
            (_, Set::Avx2) => unreachable!("`program` refuses this"),
        }
    }

    /// `to = value` and what the other slots have at this place.
    pub(super) fn add_slots(&mut self, place: Place, value: Operand, to: Register) {
        self.load(value, to);
        let field = |offset: usize| memory(Register::RDI, offset as i64);
        let first = self.lanes_at(place);
        self.two(Code::Lea_r64_m, Register::RCX, first);
        self.two(Code::Mov_r64_rm64, Register::RDX, field(offset_of!(Context, slots_used)));
        let (top, end) = (self.label(), self.label());
        self.place(top);
        self.one(Code::Dec_rm64, Register::RDX);
        self.jump(Code::Jle_rel32_64, end);
        self.two(Code::Add_r64_rm64, Register::RCX, field(offset_of!(Context, slot_stride)));
        let [slot, ..] = self.set.operands();
        self.read_at(memory(Register::RCX, 0), place, slot);
        self.three(self.set.code(Kind::Add).0, to, to, slot);
        self.jump(Code::Jmp_rel32_64, top);
        self.place(end);
    }
}

/// Lanes at these distances from an address.
fn strided(first: MemoryOperand, steps: Register) -> MemoryOperand {
    MemoryOperand::new(first.base, steps, 1, first.displacement, 1, false, Register::None)
}
