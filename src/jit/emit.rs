//! The loops of a nest as Cranelift code.
//!
//! All arithmetic is on vectors of four lanes, also for the last elements of a row: those are moved in and
//! out of memory one by one. So an element's bits never depend on where in a row it stands.

use cranelift::codegen::ir::BlockArg;
use cranelift::prelude::*;

use super::body::{Cell, Env, Val, neutral};
use super::loops::Loops;
use super::math::Clif;
use super::ranged;
use super::schedule::{LANES, Lanes, Reduction, Schedule};
use crate::ir::plan::Extent;
use crate::kernels::arith::Arith;

/// Some lanes of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// The first element, counted from the block's start along the dimension of the lanes.
    pub offset: i64,
    /// How many elements: up to four.
    pub width: usize,
}

/// Code generation for one nest.
pub(super) struct Emitter<'a> {
    pub b: FunctionBuilder<'a>,
    pub loops: &'a Loops,
    pub schedule: &'a Schedule,
    /// The address of each access (loads, then stores) at the loops entered so far.
    pub pointers: Vec<Value>,
    /// The index of each loop entered.
    pub indices: Vec<Option<Value>>,
    /// The results so far.
    pub env: Env<Value, Value>,
    /// The groups of the block being generated.
    pub groups: Vec<Group>,
    /// Bytes from one slot's partial sum to the next, and how many slots there are.
    pub slots: Option<(Value, Value)>,
    /// All bits set if a store to a slot adds to what is there.
    pub keep: Option<Value>,
    examples: Option<Value>,
    /// The range of the outermost loop, where the caller sets it.
    range: Option<[Value; 2]>,
}

/// What a nest gets from the code around it.
pub(super) struct Given {
    /// The address of the first element of each access, loads before stores.
    pub pointers: Vec<Value>,
    /// Bytes from one slot's partial sum to the next, and how many slots there are.
    pub slots: Option<(Value, Value)>,
    /// All bits set if a store to a slot adds to what is there.
    pub keep: Option<Value>,
    /// How many examples loops over examples run over.
    pub examples: Option<Value>,
    /// The range of the outermost loop; all of it if not given.
    pub range: Option<[Value; 2]>,
}

/// The first and last index of a loop.
#[derive(Clone, Copy, Debug)]
enum Bounds {
    /// From 0 to a known number.
    Static(usize),
    /// Values; the number of iterations is a multiple of this power of two.
    Dynamic(Value, Value, usize),
}

/// Ranges that a caller cuts a loop into start and end at multiples of this, or at the loop's end.
pub const CUT: usize = 16;

/// Generates the loops of a nest where the builder stands.
pub(super) fn inline<'a>(
    b: FunctionBuilder<'a>,
    loops: &'a Loops,
    schedule: &'a Schedule,
    given: Given,
) -> FunctionBuilder<'a> {
    let Given { pointers, slots, keep, examples, range } = given;
    let mut emitter = Emitter {
        b,
        loops,
        schedule,
        pointers,
        indices: vec![None; loops.dims.len()],
        env: vec![None; loops.body.len()],
        groups: Vec::new(),
        slots,
        keep,
        examples,
        range,
    };
    emitter.nest(0);
    emitter.b
}

impl Emitter<'_> {
    /// Generates something whose results, addresses and indices end with it.
    fn scope<T>(&mut self, body: impl FnOnce(&mut Self) -> T) -> T {
        let saved = (self.env.clone(), self.pointers.clone(), self.indices.clone(), self.groups.clone());
        let result = body(self);
        (self.env, self.pointers, self.indices, self.groups) = saved;
        result
    }

    fn bounds(&mut self, dim: usize) -> Bounds {
        let even = |n: usize| 1 << n.trailing_zeros().min(CUT.trailing_zeros());
        if let (0, Some([from, to]), Some(_)) = (dim, self.range, ranged(self.loops, self.schedule)) {
            let (Extent::Const(n) | Extent::Examples(n)) = self.loops.dims[dim];
            return Bounds::Dynamic(from, to, even(n));
        }
        match self.loops.dims[dim] {
            Extent::Const(n) => Bounds::Static(n),
            Extent::Examples(factor) => {
                let zero = self.number(0);
                let to = match self.examples {
                    Some(examples) => self.b.ins().imul_imm_s(examples, factor as i64),
                    None => zero,
                };
                Bounds::Dynamic(zero, to, even(factor))
            }
        }
    }

    fn number(&mut self, n: i64) -> Value {
        self.b.ins().iconst(types::I64, n)
    }

    /// A loop with step `step` while a whole step fits; returns the index after it and the carried values.
    pub(super) fn counted(
        &mut self,
        [from, to]: [Value; 2],
        step: usize,
        carried: Vec<Value>,
        body: impl FnOnce(&mut Self, Value, Vec<Value>) -> Vec<Value>,
    ) -> (Value, Vec<Value>) {
        let last = self.b.ins().iadd_imm_s(to, -(step as i64));
        let (head, exit) = (self.b.create_block(), self.b.create_block());
        for block in [head, exit] {
            self.b.append_block_param(block, types::I64);
            for value in &carried {
                let ty = self.b.func.dfg.value_type(*value);
                self.b.append_block_param(block, ty);
            }
        }
        let arguments = |i: Value, rest: &[Value]| -> Vec<BlockArg> {
            [i].iter().chain(rest).map(|v| BlockArg::Value(*v)).collect()
        };
        let enter = self.b.ins().icmp(IntCC::SignedLessThanOrEqual, from, last);
        let first = arguments(from, &carried);
        self.b.ins().brif(enter, head, &first, exit, &first);
        self.b.switch_to_block(head);
        let params = self.b.block_params(head).to_vec();
        let index = params[0];
        let carried = self.scope(|e| body(e, index, params[1..].to_vec()));
        let next = self.b.ins().iadd_imm_s(index, step as i64);
        let again = self.b.ins().icmp(IntCC::SignedLessThanOrEqual, next, last);
        let arguments = arguments(next, &carried);
        self.b.ins().brif(again, head, &arguments, exit, &arguments);
        self.b.switch_to_block(exit);
        let params = self.b.block_params(exit).to_vec();
        (params[0], params[1..].to_vec())
    }

    /// Moves all addresses to this index of a dimension.
    fn enter(&mut self, dim: usize, index: Value) {
        let loads = self.loops.loads.iter().map(|load| load.strides[dim]);
        let strides: Vec<i64> =
            loads.chain(self.loops.stores.iter().map(|store| store.strides[dim])).collect();
        for (pointer, stride) in self.pointers.iter_mut().zip(strides) {
            if stride != 0 {
                let bytes = self.b.ins().imul_imm_s(index, 4 * stride);
                *pointer = self.b.ins().iadd(*pointer, bytes);
            }
        }
        self.indices[dim] = Some(index);
    }

    /// Loops over one dimension from first to last, one by one.
    fn walk(
        &mut self,
        dim: usize,
        carried: Vec<Value>,
        body: impl FnOnce(&mut Self, Vec<Value>) -> Vec<Value>,
    ) -> Vec<Value> {
        let range = match self.bounds(dim) {
            Bounds::Static(n) => [self.number(0), self.number(n as i64)],
            Bounds::Dynamic(from, to, _) => [from, to],
        };
        let (_, carried) = self.counted(range, 1, carried, |e, index, carried| {
            e.enter(dim, index);
            body(e, carried)
        });
        carried
    }

    /// The loops over output dimensions outside the block of lanes.
    fn nest(&mut self, depth: usize) {
        let block = depth == self.schedule.outer.len();
        if !block || matches!(self.schedule.lanes, Lanes::Output(_)) {
            self.compute(depth, |schedule, i| {
                (schedule.needed[0][i] || schedule.needed[1][i]) && !schedule.follows[i]
            });
        }
        match (block, self.schedule.lanes) {
            (false, _) => {
                self.walk(self.schedule.outer[depth], Vec::new(), |e, _| {
                    e.nest(depth + 1);
                    Vec::new()
                });
            }
            (true, Lanes::Output(dim)) => self.output_lanes(dim),
            (true, Lanes::Reduced(_) | Lanes::None) => self.block(vec![Group { offset: 0, width: 1 }]),
        }
    }

    /// The dimension of the lanes in blocks of vectors.
    fn output_lanes(&mut self, dim: usize) {
        let unroll = self.schedule.unroll;
        let most = if self.loops.reduced > 0 { unroll } else { 2 * unroll };
        let at = |index: Value, groups: Vec<Group>| {
            move |e: &mut Self| {
                e.enter(dim, index);
                e.block(groups);
            }
        };
        match self.bounds(dim) {
            Bounds::Static(n) => {
                let from = self.number(0);
                let main = if n.div_ceil(LANES) <= most { 0 } else { n - n % (LANES * unroll) };
                if main > 0 {
                    let to = self.number(main as i64);
                    self.counted([from, to], LANES * unroll, Vec::new(), |e, index, _| {
                        at(index, full(unroll))(e);
                        Vec::new()
                    });
                }
                if n > main {
                    let from = self.number(main as i64);
                    self.scope(at(from, partial(n - main)));
                }
            }
            Bounds::Dynamic(from, to, even) => {
                let mut from = from;
                for (step, groups) in steps(unroll, even) {
                    (from, _) = self.counted([from, to], step, Vec::new(), |e, index, _| {
                        at(index, groups)(e);
                        Vec::new()
                    });
                }
            }
        }
    }

    /// One block: everything for these lanes at one point of the outer loops.
    fn block(&mut self, groups: Vec<Group>) {
        let level = self.schedule.block_level();
        self.scope(|e| {
            e.groups = groups;
            e.compute(level, |schedule, i| schedule.needed[0][i] && !schedule.follows[i]);
            if e.loops.reduced > 0 {
                e.reduce();
            }
            e.compute(level, |schedule, i| schedule.needed[1][i]);
            for store in 0..e.loops.stores.len() {
                e.store(store);
            }
        });
    }

    /// Runs the reduced loops and leaves the results of all reductions.
    fn reduce(&mut self) {
        let reductions = self.schedule.reductions(self.loops);
        let lanes = match self.schedule.lanes {
            Lanes::Reduced(dim) => self.schedule.partials(self.loops.dims[dim]),
            Lanes::Output(_) | Lanes::None => self.groups.len(),
        };
        let mut start = Vec::new();
        for Reduction { combine, .. } in &reductions {
            let neutral = Clif(&mut self.b).number(neutral(*combine));
            start.extend(std::iter::repeat_n(neutral, lanes));
        }
        let sums = self.reduce_loops(0, &reductions, start);
        for (Reduction { at, combine, .. }, sums) in reductions.iter().zip(sums.chunks(lanes)) {
            self.env[*at] = Some(match self.schedule.lanes {
                Lanes::Reduced(_) => Cell::Shared(Val::Num(self.horizontal(*combine, sums))),
                Lanes::Output(_) | Lanes::None => Cell::Per(sums.iter().map(|sum| Val::Num(*sum)).collect()),
            });
        }
    }

    fn reduce_loops(&mut self, depth: usize, reductions: &[Reduction], sums: Vec<Value>) -> Vec<Value> {
        let level = self.schedule.block_level() + depth;
        if depth > 0 {
            self.compute(level, |schedule, i| schedule.needed[0][i] && !schedule.follows[i]);
        }
        let Some(dim) = self.schedule.inner.get(depth).copied() else {
            return match self.schedule.lanes {
                Lanes::Reduced(dim) => self.reduced_lanes(dim, level + 1, reductions, sums),
                Lanes::Output(_) | Lanes::None => self.combine(reductions, sums),
            };
        };
        if let (Extent::Const(n @ 2..=4), true) =
            (self.loops.dims[dim], depth + 1 == self.schedule.inner.len())
        {
            // A short innermost loop is written out.
            return (0..n).fold(sums, |sums, index| {
                let index = self.number(index as i64);
                self.scope(|e| {
                    e.enter(dim, index);
                    e.reduce_loops(depth + 1, reductions, sums)
                })
            });
        }
        self.walk(dim, sums, |e, sums| e.reduce_loops(depth + 1, reductions, sums))
    }

    /// The dimension of the lanes, where that is a reduced one.
    fn reduced_lanes(
        &mut self,
        dim: usize,
        level: usize,
        reductions: &[Reduction],
        sums: Vec<Value>,
    ) -> Vec<Value> {
        let unroll = sums.len() / reductions.len().max(1);
        let step = |e: &mut Self, index: Value, groups: Vec<Group>, sums: Vec<Value>| {
            e.enter(dim, index);
            e.groups = groups;
            e.compute(level, |schedule, i| schedule.needed[0][i] && !schedule.follows[i]);
            e.combine(reductions, sums)
        };
        match self.bounds(dim) {
            Bounds::Static(n) => {
                let from = self.number(0);
                let main = if n.div_ceil(LANES) <= 2 * unroll { 0 } else { n - n % (LANES * unroll) };
                let mut sums = sums;
                if main > 0 {
                    let to = self.number(main as i64);
                    (_, sums) = self.counted([from, to], LANES * unroll, sums, |e, index, sums| {
                        step(e, index, full(unroll), sums)
                    });
                }
                if n > main {
                    let from = self.number(main as i64);
                    sums = self.scope(|e| step(e, from, partial(n - main), sums));
                }
                sums
            }
            Bounds::Dynamic(from, to, even) => {
                let (mut from, mut sums) = (from, sums);
                for (width, groups) in steps(unroll, even) {
                    (from, sums) =
                        self.counted([from, to], width, sums, |e, index, sums| step(e, index, groups, sums));
                }
                sums
            }
        }
    }

    /// Adds the current point of the reduced loops to the partial results.
    fn combine(&mut self, reductions: &[Reduction], mut sums: Vec<Value>) -> Vec<Value> {
        let lanes = sums.len() / reductions.len().max(1);
        let masked = matches!(self.schedule.lanes, Lanes::Reduced(_));
        for (r, reduction) in reductions.iter().enumerate() {
            for (g, group) in self.groups.clone().into_iter().enumerate() {
                let sum = &mut sums[r * lanes + g % lanes];
                let (mut a, body) = self.parts();
                let new = body.more(&mut a, *reduction, g, *sum);
                *sum = if masked && group.width < LANES {
                    self.lower_lanes(group.width, new, *sum)
                } else {
                    new
                };
            }
        }
        sums
    }
}

/// This many full vectors.
fn full(vectors: usize) -> Vec<Group> {
    (0..vectors).map(|i| Group { offset: (LANES * i) as i64, width: LANES }).collect()
}

/// As many vectors as it takes; the last may be narrower.
fn partial(elements: usize) -> Vec<Group> {
    (0..elements.div_ceil(LANES))
        .map(|i| Group { offset: (LANES * i) as i64, width: LANES.min(elements - LANES * i) })
        .collect()
}

/// The loops that cover an unknown extent: blocks, vectors, single elements; those that a multiple of `even`
/// never needs are left out.
fn steps(unroll: usize, even: usize) -> Vec<(usize, Vec<Group>)> {
    let mut steps = vec![(LANES * unroll, full(unroll))];
    if unroll > 1 && !even.is_multiple_of(LANES * unroll) {
        steps.push((LANES, full(1)));
    }
    if !even.is_multiple_of(LANES) {
        steps.push((1, partial(1)));
    }
    steps
}
