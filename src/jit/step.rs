//! A whole step as one function, for small networks: the loop over tiles with the nests written out in it, and
//! calls of the host for all other kernels.
//!
//! Everything that follows from a full batch is a constant here: extents, addresses within an arena, which
//! tile is the first of a slot.

use std::ffi::c_void;

use cranelift::codegen::ir::{BlockArg, Function};
use cranelift::prelude::*;

use super::emit::{Given, inline};
use super::loops::Loops;
use super::schedule::Schedule;
use crate::base::Diagnostic;
use crate::ir::plan::{ARENAS, Arena, Buffer, Extent, Nest, WriteMode};

/// A step to be compiled.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Examples of the batch.
    pub batch: usize,
    /// Examples in a tile.
    pub tile: usize,
    /// Tiles in a slot.
    pub tiles_per_slot: usize,
    /// Bytes from one slot's region to the next.
    pub slot_bytes: usize,
    /// In this order.
    pub parts: Vec<Part<'a>>,
}

/// Calls that are made together.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// For every tile, or once.
    pub tiles: bool,
    /// In this order.
    pub calls: Vec<Call<'a>>,
}

/// A kernel of a step.
#[derive(Clone, Debug)]
pub enum Call<'a> {
    /// A nest with the address of the first element of each access, loads before stores.
    Nest(&'a Nest, Vec<Address>),
    /// A kernel that the host runs, by its number.
    Host(usize),
}

/// A place in an arena.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// Which arena.
    pub arena: usize,
    /// Bytes from the start of the arena, or of a slot's region.
    pub offset: i64,
    /// Bytes by which the first example of a tile moves it.
    pub example: i64,
}

/// What a compiled step works on, and what it tells the host about a call.
#[repr(C)]
#[derive(Debug)]
pub struct State {
    /// The start of each arena.
    pub bases: [*mut u8; ARENAS],
    /// The region of the slot under way.
    pub slot: *mut u8,
    /// The first example of the tile under way.
    pub first: i64,
    /// Examples of the tile under way.
    pub examples: i64,
    /// Not 0 if the slot has partial sums already.
    pub adds: i64,
    /// Runs a kernel of the host.
    pub host: Host,
    /// For the host.
    pub context: *mut c_void,
}

/// Runs a kernel by its number; anything but 0 ends the step.
pub type Host = unsafe extern "C" fn(*mut State, usize) -> i64;

/// A compiled step.
pub type StepFunction = unsafe extern "C" fn(*mut State);

/// A call with its nest in normal form.
enum Ready<'s> {
    Nest(Box<(Loops, Schedule)>, &'s [Address]),
    Host(usize),
}

/// Where a part stands while its calls are generated.
#[derive(Clone, Copy)]
struct Tile {
    /// The first example; `None` for 0.
    first: Option<Value>,
    /// How many there are, where that is not known before.
    examples: Option<Value>,
    /// The region of the slot; `None` for the first.
    slot: Option<Value>,
    /// All bits set if the slot has partial sums already; `None` if it never has.
    adds: Option<Value>,
}

impl Step<'_> {
    fn tiles(&self) -> usize {
        self.batch.div_ceil(self.tile)
    }

    fn slots(&self) -> usize {
        self.batch.div_ceil(self.tile * self.tiles_per_slot)
    }

    /// The number of examples of every tile of a part, if it is one number.
    fn examples(&self, tiles: bool) -> Option<usize> {
        match tiles {
            false => Some(self.batch),
            true if self.tiles() == 1 => Some(self.batch),
            true => self.batch.is_multiple_of(self.tile).then_some(self.tile),
        }
    }

    /// A nest with what is known of this step put in.
    fn specialized(&self, nest: &Nest, tiles: bool) -> Nest {
        let mut nest = nest.clone();
        if let Some(examples) = self.examples(tiles) {
            for dim in &mut nest.dims {
                if let Extent::Examples(factor) = *dim {
                    *dim = Extent::Const(factor * examples);
                }
            }
        }
        if self.slots() == 1 {
            nest.loads.iter_mut().for_each(|load| load.sum_slots = false);
        }
        // Only the first tile of a slot exists, so nothing is ever added to.
        if self.tiles_per_slot == 1 || self.tiles() == 1 {
            nest.stores.iter_mut().for_each(|store| store.mode = WriteMode::Overwrite);
        }
        nest
    }
}

/// Generates the body of a [`StepFunction`].
///
/// # Errors
/// A nest that breaks the rules of its type.
pub(super) fn emit(
    func: &mut Function,
    builders: &mut FunctionBuilderContext,
    step: &Step,
    buffers: &[Buffer],
    host: Signature,
    config: isa::TargetFrontendConfig,
) -> Result<(), Diagnostic> {
    let mut parts = Vec::new();
    for part in &step.parts {
        let mut calls = Vec::new();
        for call in &part.calls {
            calls.push(match call {
                Call::Nest(nest, addresses) => {
                    let loops = Loops::new(&step.specialized(nest, part.tiles), buffers)?;
                    let schedule = Schedule::new(&loops);
                    Ready::Nest(Box::new((loops, schedule)), addresses)
                }
                Call::Host(kernel) => Ready::Host(*kernel),
            });
        }
        parts.push((part.tiles, calls));
    }
    let mut b = FunctionBuilder::new(func, builders);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let state = b.block_params(entry)[0];
    let fixed = MemFlagsData::trusted().with_readonly().with_can_move();
    let bases = std::array::from_fn(|arena| b.ins().load(types::I64, fixed, state, 8 * arena as i32));
    let host = b.import_signature(host);
    let exit = b.create_block();
    let mut writer = Writer { b, step, state, bases, host, exit };
    for (tiles, calls) in &parts {
        writer = writer.part(*tiles, calls);
    }
    let Writer { mut b, .. } = writer;
    b.ins().jump(exit, &[]);
    b.switch_to_block(exit);
    b.ins().return_(&[]);
    b.seal_all_blocks();
    b.finalize(config);
    Ok(())
}

struct Writer<'a> {
    b: FunctionBuilder<'a>,
    step: &'a Step<'a>,
    state: Value,
    bases: [Value; ARENAS],
    host: codegen::ir::SigRef,
    exit: Block,
}

impl<'a> Writer<'a> {
    fn part(mut self, tiles: bool, calls: &'a [Ready<'a>]) -> Writer<'a> {
        let whole = Tile { first: None, examples: None, slot: None, adds: None };
        if !tiles || self.step.tiles() == 1 {
            return self.calls(tiles, calls, whole);
        }
        let b = &mut self.b;
        let (head, after) = (b.create_block(), b.create_block());
        b.append_block_param(head, types::I64);
        let zero = b.ins().iconst(types::I64, 0);
        b.ins().jump(head, &[BlockArg::Value(zero)]);
        b.switch_to_block(head);
        let index = b.block_params(head)[0];
        let tile = self.tile(index);
        self = self.calls(tiles, calls, tile);
        let b = &mut self.b;
        let next = b.ins().iadd_imm_s(index, 1);
        let more = b.ins().icmp_imm_s(IntCC::SignedLessThan, next, self.step.tiles() as i64);
        b.ins().brif(more, head, &[BlockArg::Value(next)], after, &[]);
        b.switch_to_block(after);
        self
    }

    /// The tile of this number.
    fn tile(&mut self, index: Value) -> Tile {
        let (step, b) = (self.step, &mut self.b);
        let first = b.ins().imul_imm_s(index, step.tile as i64);
        let examples = match step.examples(true) {
            Some(_) => None,
            None => {
                let batch = b.ins().iconst(types::I64, step.batch as i64);
                let left = b.ins().isub(batch, first);
                let most = b.ins().iconst(types::I64, step.tile as i64);
                let less = b.ins().icmp(IntCC::SignedLessThan, left, most);
                Some(b.ins().select(less, left, most))
            }
        };
        let per_slot = b.ins().iconst(types::I64, step.tiles_per_slot as i64);
        let slot = (step.slots() > 1).then(|| {
            let number = b.ins().udiv(index, per_slot);
            let offset = b.ins().imul_imm_s(number, step.slot_bytes as i64);
            b.ins().iadd(self.bases[Arena::Slots as usize], offset)
        });
        let adds = (step.tiles_per_slot > 1).then(|| {
            let within = b.ins().urem(index, per_slot);
            let zero = b.ins().iconst(types::I64, 0);
            let one = b.ins().iconst(types::I64, -1);
            let started = b.ins().icmp(IntCC::NotEqual, within, zero);
            b.ins().select(started, one, zero)
        });
        Tile { first: Some(first), examples, slot, adds }
    }

    fn calls(mut self, tiles: bool, calls: &'a [Ready<'a>], tile: Tile) -> Writer<'a> {
        let mut told = false;
        for call in calls {
            match call {
                Ready::Nest(nest, addresses) => {
                    let (loops, schedule) = &**nest;
                    let given = self.given(addresses, loops, tile);
                    self.b = inline(self.b, loops, schedule, given);
                }
                Ready::Host(kernel) => {
                    if !told {
                        self.tell(tiles, tile);
                        told = true;
                    }
                    self.call(*kernel);
                }
            }
        }
        self
    }

    fn given(&mut self, addresses: &[Address], loops: &Loops, tile: Tile) -> Given {
        let b = &mut self.b;
        let mut pointers = Vec::with_capacity(addresses.len());
        for address in addresses {
            let own = (address.arena == Arena::Slots as usize).then_some(tile.slot).flatten();
            let mut pointer = own.unwrap_or(self.bases[address.arena]);
            if let (Some(first), true) = (tile.first, address.example != 0) {
                let moved = b.ins().imul_imm_s(first, address.example);
                pointer = b.ins().iadd(pointer, moved);
            }
            pointers.push(b.ins().iadd_imm_s(pointer, address.offset));
        }
        let slots = loops.loads.iter().any(|load| load.sum_slots).then(|| {
            let bytes = b.ins().iconst(types::I64, self.step.slot_bytes as i64);
            (bytes, b.ins().iconst(types::I64, self.step.slots() as i64))
        });
        let keep = loops.stores.iter().any(|store| store.slot).then_some(tile.adds).flatten().map(|adds| {
            let adds = b.ins().ireduce(types::I32, adds);
            b.ins().splat(types::I32X4, adds)
        });
        Given { pointers, slots, keep, examples: tile.examples, range: None }
    }

    /// Writes down for the host which tile is under way.
    fn tell(&mut self, tiles: bool, tile: Tile) {
        let (step, b) = (self.step, &mut self.b);
        let zero = b.ins().iconst(types::I64, 0);
        let known = step.examples(tiles).unwrap_or(0) as i64;
        let examples = tile.examples.unwrap_or_else(|| b.ins().iconst(types::I64, known));
        let fields = [
            (std::mem::offset_of!(State, slot), tile.slot.unwrap_or(self.bases[Arena::Slots as usize])),
            (std::mem::offset_of!(State, first), tile.first.unwrap_or(zero)),
            (std::mem::offset_of!(State, examples), examples),
            (std::mem::offset_of!(State, adds), tile.adds.unwrap_or(zero)),
        ];
        for (offset, value) in fields {
            b.ins().store(MemFlagsData::trusted(), value, self.state, offset as i32);
        }
    }

    fn call(&mut self, kernel: usize) {
        let b = &mut self.b;
        let offset = std::mem::offset_of!(State, host) as i32;
        let function = b.ins().load(types::I64, MemFlagsData::trusted().with_readonly(), self.state, offset);
        let number = b.ins().iconst(types::I64, kernel as i64);
        let call = b.ins().call_indirect(self.host, function, &[self.state, number]);
        let failed = b.inst_results(call)[0];
        let next = b.create_block();
        b.ins().brif(failed, self.exit, &[], next, &[]);
        b.switch_to_block(next);
    }
}
