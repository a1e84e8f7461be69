//! A nest as a list of operations on wide vectors, before registers are chosen.

use crate::kernels::arith::Arith;

/// What an operation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The vector of this number.
    Vector(u32),
    /// These bits in every lane.
    Bits(u32),
    /// The integers `0, step, 2 * step, ...`.
    Counting(i32),
    /// In every lane all bits set if a store to a slot adds to what is there, else none.
    Keep,
}

/// Truth values of the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// The mask of this number.
    Lanes(u32),
    /// The lanes that the tail of a row has.
    Tail,
}

/// Where memory is read or written, counted from where the loops around stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which access (loads, then stores).
    pub access: usize,
    /// Lanes between the lane at which the block stands and the first one.
    pub offset: i64,
    /// Elements from lane to lane.
    pub step: i64,
    /// Only the lanes of the tail.
    pub tail: bool,
}

/// What an operation does with its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Add,
    Sub,
    Mul,
    Div,
    /// `a > b ? a : b`
    Max,
    /// `a < b ? a : b`
    Min,
    IntAdd,
    IntSub,
    And,
    Xor,
    /// `a * b + c`, rounded once.
    Fma,
    Sqrt,
    Floor,
    Trunc,
    /// To a float, from an integer.
    Convert,
    /// To an integer, towards 0.
    ToInteger,
    Shl(u8),
    Sar(u8),
    Copy,
    Less,
    LessEqual,
    Equal,
    NotEqual,
    IntEqual,
    Both,
    Either,
    Not,
    /// The first operand where the mask holds, else the second.
    Select,
    /// The upper 8 of 16 lanes as the lower ones.
    UpperHalf,
    /// The second four lanes as the first ones.
    SecondQuarter,
    /// The lanes of each four in another order.
    Permute(u8),
    /// The first lane in all lanes.
    Spread,
    Read(Place),
    /// Adds the partial sums of all slots but the first.
    AddSlots(Place),
    Write(Place),
    /// The index of a loop.
    Index(usize),
    /// The loop over this dimension begins, from its first index to the last.
    Walk(usize),
    /// The end of that loop.
    WalkEnd(usize),
    /// The lanes stand at their first element.
    Lanes,
    /// A loop over blocks of this many lanes begins, while a whole block fits.
    Block(usize),
    /// The end of that loop.
    BlockEnd(usize),
    /// What follows is done if lanes are left, for those.
    Tail,
    /// What follows is done for this many lanes.
    Width(usize),
    /// The end of what was done for the tail.
    TailEnd,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Op {
    pub kind: Kind,
    /// The vector it makes.
    pub vector: Option<u32>,
    /// The mask it makes.
    pub mask: Option<u32>,
    pub args: Vec<Operand>,
    pub masks: Vec<Mask>,
}

impl Op {
    /// The vectors it reads.
    pub fn vectors(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.args.iter().filter_map(|arg| match arg {
            Operand::Vector(v) => Some(*v),
            Operand::Bits(_) | Operand::Counting(_) | Operand::Keep => None,
        })
    }

    /// The masks it reads, but that of the tail.
    pub fn lane_masks(&self) -> impl Iterator<Item = u32> {
        self.masks.iter().filter_map(|mask| match mask {
            Mask::Lanes(m) => Some(*m),
            Mask::Tail => None,
        })
    }
}

/// Writes operations down one after the other.
#[derive(Default)]
pub struct Recorder {
    pub ops: Vec<Op>,
    pub vectors: u32,
    pub masks: u32,
}

impl Recorder {
    /// An operation without a result.
    pub fn act(&mut self, kind: Kind, args: &[Operand]) {
        self.push(kind, None, None, args, &[]);
    }

    /// An operation that makes a vector.
    pub fn vector(&mut self, kind: Kind, args: &[Operand]) -> Operand {
        self.vectors += 1;
        self.push(kind, Some(self.vectors - 1), None, args, &[]);
        Operand::Vector(self.vectors - 1)
    }

    /// A vector that may be assigned again.
    pub fn variable(&mut self, value: Operand) -> Operand {
        self.vector(Kind::Copy, &[value])
    }

    /// Gives a variable the value that was just computed, in all lanes or in those of the tail.
    pub fn assign(&mut self, variable: Operand, value: Operand, tail: bool) {
        let Operand::Vector(target) = variable else { unreachable!("variables are vectors") };
        if tail {
            self.push(Kind::Select, Some(target), None, &[value, variable], &[Mask::Tail]);
            return;
        }
        match self.ops.last_mut() {
            Some(last) if value == last.vector.map_or(Operand::Keep, Operand::Vector) => {
                last.vector = Some(target);
            }
            _ => self.push(Kind::Copy, Some(target), None, &[value], &[]),
        }
    }

    fn compared(&mut self, kind: Kind, args: &[Operand], masks: &[Mask]) -> Mask {
        self.masks += 1;
        self.push(kind, None, Some(self.masks - 1), args, masks);
        Mask::Lanes(self.masks - 1)
    }

    fn push(&mut self, kind: Kind, vector: Option<u32>, mask: Option<u32>, args: &[Operand], masks: &[Mask]) {
        self.ops.push(Op { kind, vector, mask, args: args.to_vec(), masks: masks.to_vec() });
    }

    /// The operations without those whose results nothing reads.
    pub fn finish(self) -> Vec<Op> {
        let mut read = vec![false; self.vectors as usize];
        let mut held = vec![false; self.masks as usize];
        let mut ops = Vec::new();
        for op in self.ops.into_iter().rev() {
            let wanted = match (op.vector, op.mask) {
                (Some(vector), _) => read[vector as usize],
                (None, Some(mask)) => held[mask as usize],
                (None, None) => true,
            };
            if wanted {
                op.vectors().for_each(|v| read[v as usize] = true);
                op.lane_masks().for_each(|m| held[m as usize] = true);
                ops.push(op);
            }
        }
        ops.reverse();
        ops
    }
}

impl Arith for Recorder {
    type F = Operand;
    type I = Operand;
    type M = Mask;
    fn number(&mut self, x: f32) -> Operand {
        Operand::Bits(x.to_bits())
    }
    fn integer(&mut self, x: i32) -> Operand {
        Operand::Bits(x as u32)
    }
    fn add(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::Add, &[a, b])
    }
    fn sub(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::Sub, &[a, b])
    }
    fn mul(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::Mul, &[a, b])
    }
    fn div(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::Div, &[a, b])
    }
    fn fma(&mut self, a: Operand, b: Operand, c: Operand) -> Operand {
        self.vector(Kind::Fma, &[a, b, c])
    }
    fn sqrt(&mut self, a: Operand) -> Operand {
        self.vector(Kind::Sqrt, &[a])
    }
    fn floor(&mut self, a: Operand) -> Operand {
        self.vector(Kind::Floor, &[a])
    }
    fn neg(&mut self, a: Operand) -> Operand {
        self.vector(Kind::Xor, &[a, Operand::Bits(1 << 31)])
    }
    fn trunc(&mut self, a: Operand) -> Operand {
        self.vector(Kind::Trunc, &[a])
    }
    fn max(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::Max, &[a, b])
    }
    fn min(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::Min, &[a, b])
    }
    fn lt(&mut self, a: Operand, b: Operand) -> Mask {
        self.compared(Kind::Less, &[a, b], &[])
    }
    fn le(&mut self, a: Operand, b: Operand) -> Mask {
        self.compared(Kind::LessEqual, &[a, b], &[])
    }
    fn eq(&mut self, a: Operand, b: Operand) -> Mask {
        self.compared(Kind::Equal, &[a, b], &[])
    }
    fn nonzero(&mut self, a: Operand) -> Mask {
        self.compared(Kind::NotEqual, &[a, Operand::Bits(0)], &[])
    }
    fn int_eq(&mut self, a: Operand, b: Operand) -> Mask {
        self.compared(Kind::IntEqual, &[a, b], &[])
    }
    fn both(&mut self, a: Mask, b: Mask) -> Mask {
        self.compared(Kind::Both, &[], &[a, b])
    }
    fn either(&mut self, a: Mask, b: Mask) -> Mask {
        self.compared(Kind::Either, &[], &[a, b])
    }
    fn not(&mut self, a: Mask) -> Mask {
        self.compared(Kind::Not, &[], &[a])
    }
    fn indicator(&mut self, a: Mask) -> Operand {
        self.select(a, Operand::Bits(1f32.to_bits()), Operand::Bits(0))
    }
    fn select(&mut self, m: Mask, then: Operand, other: Operand) -> Operand {
        self.vectors += 1;
        self.push(Kind::Select, Some(self.vectors - 1), None, &[then, other], &[m]);
        Operand::Vector(self.vectors - 1)
    }
    fn bits(&mut self, a: Operand) -> Operand {
        a
    }
    fn of_bits(&mut self, a: Operand) -> Operand {
        a
    }
    fn convert(&mut self, a: Operand) -> Operand {
        self.vector(Kind::Convert, &[a])
    }
    fn int_add(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::IntAdd, &[a, b])
    }
    fn int_sub(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::IntSub, &[a, b])
    }
    fn and(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::And, &[a, b])
    }
    fn xor(&mut self, a: Operand, b: Operand) -> Operand {
        self.vector(Kind::Xor, &[a, b])
    }
    fn shl(&mut self, a: Operand, by: u8) -> Operand {
        self.vector(Kind::Shl(by), &[a])
    }
    fn sar(&mut self, a: Operand, by: u8) -> Operand {
        self.vector(Kind::Sar(by), &[a])
    }
}
