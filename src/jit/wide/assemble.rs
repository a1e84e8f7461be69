//! Instructions, labels and constants, and all of them as bytes.

use iced_x86::{Code, Encoder, FastFormatter, IcedError, Instruction, MemoryOperand, Register};

use super::super::loops::Loops;
use super::super::ranged;
use super::super::schedule::{Lanes, Schedule};
use super::frame::Frame;
use super::program::Op;
use super::registers::{Registers, choose};
use super::set::Set;

/// Lanes of the widest vectors: constants have as many.
pub(super) const LANES: usize = 16;

/// A place in the code.
pub(super) type Label = usize;

/// An instruction and what is not known of it yet.
enum Item {
    Plain(Instruction),
    Jump(Instruction, Label),
    /// Reads this vector of the constants.
    Constant(Instruction, usize),
    Place(Label),
}

/// An operand of an instruction.
#[derive(Clone, Copy)]
pub(super) enum Piece {
    Register(Register),
    Memory(MemoryOperand),
    Number(i32),
    /// This vector of the constants; only its first lane, for each lane, if told.
    Constant(usize, bool),
}

impl From<Register> for Piece {
    fn from(register: Register) -> Piece {
        Piece::Register(register)
    }
}

impl From<MemoryOperand> for Piece {
    fn from(memory: MemoryOperand) -> Piece {
        Piece::Memory(memory)
    }
}

impl From<i32> for Piece {
    fn from(number: i32) -> Piece {
        Piece::Number(number)
    }
}

/// Code with its constants behind it.
pub struct Assembled {
    pub bytes: Vec<u8>,
    instructions: Vec<Instruction>,
}

impl Assembled {
    /// The instructions, one a line.
    pub fn text(&self) -> String {
        let mut formatter = FastFormatter::new();
        let mut text = String::new();
        for instruction in &self.instructions {
            text.push_str(&format!("  {:4x}: ", instruction.ip()));
            formatter.format(instruction, &mut text);
            text.push('\n');
        }
        text
    }
}

pub(super) struct Assembler<'a> {
    pub set: Set,
    pub loops: &'a Loops,
    /// Elements that each access moves by with each dimension.
    pub strides: Vec<&'a [i64]>,
    /// Whether the caller gives the range of the outermost loop.
    pub ranged: bool,
    pub frame: Frame,
    /// The labels of the loops entered.
    pub open: Vec<(Label, Label)>,
    /// The dimension of the lanes.
    pub lane: usize,
    pub registers: Registers,
    items: Vec<Item>,
    labels: usize,
    constants: Vec<[u32; LANES]>,
    /// A number does not fit its field.
    failed: bool,
}

/// `[base + displacement]`
pub(super) fn memory(base: Register, displacement: i64) -> MemoryOperand {
    MemoryOperand::with_base_displ(base, displacement)
}

/// The code of a nest; `None` where it needs more than there is.
pub(super) fn assemble(loops: &Loops, schedule: &Schedule, ops: &[Op], set: Set) -> Option<Assembled> {
    let lane = match schedule.lanes {
        Lanes::Output(dim) | Lanes::Reduced(dim) => dim,
        Lanes::None => return None,
    };
    let loads = loops.loads.iter().map(|load| load.strides.as_slice());
    let strides: Vec<&[i64]> = loads.chain(loops.stores.iter().map(|s| s.strides.as_slice())).collect();
    let registers = choose(ops, set.values(), set.masks())?;
    let mut assembler = Assembler {
        set,
        loops,
        frame: Frame::new(loops.dims.len(), strides.len()),
        strides,
        ranged: ranged(loops, schedule).is_some(),
        open: Vec::new(),
        lane,
        registers,
        items: Vec::new(),
        labels: 0,
        constants: Vec::new(),
        failed: false,
    };
    assembler.enter(assembler.registers.slots);
    for op in ops {
        assembler.op(op);
    }
    assembler.leave();
    if assembler.failed {
        return None;
    }
    assembler.finish()
}

fn build(code: Code, pieces: &[Piece]) -> Result<Instruction, IcedError> {
    use Piece::{Memory as M, Number as N, Register as R};
    match *pieces {
        [] => Ok(Instruction::with(code)),
        [R(a)] => Instruction::with1(code, a),
        [M(a)] => Instruction::with1(code, a),
        [R(a), R(b)] => Instruction::with2(code, a, b),
        [R(a), M(b)] => Instruction::with2(code, a, b),
        [M(a), R(b)] => Instruction::with2(code, a, b),
        [R(a), N(b)] => Instruction::with2(code, a, b),
        [M(a), N(b)] => Instruction::with2(code, a, b),
        [R(a), R(b), R(c)] => Instruction::with3(code, a, b, c),
        [R(a), R(b), M(c)] => Instruction::with3(code, a, b, c),
        [R(a), R(b), N(c)] => Instruction::with3(code, a, b, c),
        [R(a), M(b), R(c)] => Instruction::with3(code, a, b, c),
        [R(a), M(b), N(c)] => Instruction::with3(code, a, b, c),
        [R(a), R(b), R(c), R(d)] => Instruction::with4(code, a, b, c, d),
        [R(a), R(b), M(c), R(d)] => Instruction::with4(code, a, b, c, d),
        [M(a), R(b), R(c)] => Instruction::with3(code, a, b, c),
        [R(a), R(b), R(c), N(d)] => Instruction::with4(code, a, b, c, d),
        [R(a), R(b), M(c), N(d)] => Instruction::with4(code, a, b, c, d),
        _ => unreachable!("{code:?} with {} operands", pieces.len()),
    }
}

impl Assembler<'_> {
    /// An instruction, changed by `change` before it stands.
    pub fn emit_with(&mut self, code: Code, pieces: &[Piece], change: impl FnOnce(&mut Instruction)) {
        let mut constant = None;
        let resolved: Vec<Piece> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Constant(at, spread) => {
                    constant = Some(*at);
                    let (rip, none) = (Register::RIP, Register::None);
                    Piece::Memory(MemoryOperand::new(rip, none, 1, 0, 8, *spread, none))
                }
                other => *other,
            })
            .collect();
        match build(code, &resolved) {
            Ok(mut instruction) => {
                change(&mut instruction);
                self.items.push(match constant {
                    Some(at) => Item::Constant(instruction, at),
                    None => Item::Plain(instruction),
                });
            }
            Err(_) => self.failed = true,
        }
    }

    /// An instruction.
    pub fn emit(&mut self, code: Code, pieces: &[Piece]) {
        self.emit_with(code, pieces, |_| {});
    }

    /// An instruction without operands.
    pub fn zero(&mut self, code: Code) {
        self.emit(code, &[]);
    }

    /// An instruction with one operand.
    pub fn one(&mut self, code: Code, a: impl Into<Piece>) {
        self.emit(code, &[a.into()]);
    }

    /// An instruction with two operands.
    pub fn two(&mut self, code: Code, a: impl Into<Piece>, b: impl Into<Piece>) {
        self.emit(code, &[a.into(), b.into()]);
    }

    /// An instruction with three operands.
    pub fn three(&mut self, code: Code, a: impl Into<Piece>, b: impl Into<Piece>, c: impl Into<Piece>) {
        self.emit(code, &[a.into(), b.into(), c.into()]);
    }

    /// A number as the 32 bits that an instruction has for it.
    pub fn narrow(&mut self, number: i64) -> i32 {
        i32::try_from(number).unwrap_or_else(|_| {
            self.failed = true;
            0
        })
    }

    /// A new label.
    pub fn label(&mut self) -> Label {
        self.labels += 1;
        self.labels - 1
    }

    /// The label stands here.
    pub fn place(&mut self, label: Label) {
        self.items.push(Item::Place(label));
    }

    /// A jump to a label.
    pub fn jump(&mut self, code: Code, label: Label) {
        match Instruction::with_branch(code, 0) {
            Ok(instruction) => self.items.push(Item::Jump(instruction, label)),
            Err(_) => self.failed = true,
        }
    }

    /// The place of a vector among the constants.
    pub fn constant(&mut self, lanes: [u32; LANES]) -> usize {
        let known = self.constants.iter().position(|other| *other == lanes);
        known.unwrap_or_else(|| {
            self.constants.push(lanes);
            self.constants.len() - 1
        })
    }

    /// The bytes: all instructions have their length whatever they jump to or read, so the first time round finds
    /// where everything stands.
    fn finish(self) -> Option<Assembled> {
        let mut places = vec![0u64; self.labels];
        let mut constants = 0u64;
        let mut encoder = Encoder::new(64);
        let mut instructions = Vec::new();
        for last in [false, true] {
            let mut at = 0u64;
            for item in &self.items {
                let mut instruction = match item {
                    Item::Place(label) => {
                        places[*label] = at;
                        continue;
                    }
                    Item::Plain(instruction) => *instruction,
                    Item::Jump(instruction, label) => {
                        let mut instruction = *instruction;
                        instruction.set_near_branch64(places[*label]);
                        instruction
                    }
                    Item::Constant(instruction, constant) => {
                        let mut instruction = *instruction;
                        let size = 4 * LANES as u64;
                        instruction.set_memory_displacement64(constants + size * *constant as u64);
                        instruction
                    }
                };
                instruction.set_ip(at);
                at += encoder.encode(&instruction, at).ok()? as u64;
                if last {
                    instructions.push(instruction);
                }
            }
            if !last {
                constants = at.next_multiple_of(4 * LANES as u64);
                drop(encoder.take_buffer());
            }
        }
        let mut bytes = encoder.take_buffer();
        bytes.resize(constants as usize, 0);
        bytes.extend(self.constants.iter().flatten().flat_map(|lane| lane.to_le_bytes()));
        Some(Assembled { bytes, instructions })
    }
}
