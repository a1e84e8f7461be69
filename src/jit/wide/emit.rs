//! The loops of a nest as operations on wide vectors, in the order of its schedule.
//!
//! Every sum has the order that the narrow code gives it: a reduction along the lanes keeps as many partial
//! results in both, and folds them in the same way.

use super::super::body::{Body, Cell, Env, Val, combined, fold, neutral};
use super::super::loops::{Inst, Loops};
use super::super::ranged;
use super::super::schedule::{LANES, Lanes, Reduction, Schedule};
use super::program::{Kind, Mask, Op, Operand, Place, Recorder};
use super::set::Set;
use crate::ir::kernel::Combine;
use crate::ir::plan::Extent;
use crate::kernels::arith::Arith;

/// Some lanes of a block.
#[derive(Clone, Copy, Debug)]
struct Group {
    offset: i64,
    /// Only the lanes of the tail.
    tail: bool,
}

struct Emitter<'a> {
    r: Recorder,
    loops: &'a Loops,
    schedule: &'a Schedule,
    /// Lanes of a vector.
    width: usize,
    /// The most vectors of a block.
    unroll: usize,
    env: Env<Operand, Mask>,
    groups: Vec<Group>,
}

/// The operations of a nest; `None` where it has something that only the narrow code does.
pub fn program(loops: &Loops, schedule: &Schedule, set: Set) -> Option<Vec<Op>> {
    let lane = |strides: &[i64]| match schedule.lanes {
        Lanes::Output(dim) | Lanes::Reduced(dim) => strides[dim],
        Lanes::None => 0,
    };
    let known = match schedule.lanes {
        Lanes::Output(_) => loops.stores.iter().all(|store| lane(&store.strides) != 0),
        Lanes::Reduced(dim) => matches!(loops.dims[dim], Extent::Const(_)),
        Lanes::None => false,
    };
    // Offsets of strided lanes are 32 bits wide.
    let near = |strides: &[i64]| lane(strides).abs() < 1 << 20;
    let near = loops.loads.iter().all(|load| near(&load.strides))
        && loops.stores.iter().all(|store| near(&store.strides));
    // Only AVX-512 writes lanes that do not stand side by side.
    let scattered = loops.stores.iter().any(|store| ![0, 1].contains(&lane(&store.strides)));
    if !known || !near || (scattered && set == Set::Avx2) {
        return None;
    }
    let mut emitter = Emitter {
        r: Recorder::default(),
        loops,
        schedule,
        width: set.width(),
        unroll: schedule.unroll.min(if set == Set::Avx512 { 4 } else { 2 }),
        env: vec![None; loops.body.len()],
        groups: Vec::new(),
    };
    emitter.nest(0);
    Some(emitter.r.finish())
}

impl Emitter<'_> {
    /// Generates something whose results end with it.
    fn scope(&mut self, body: impl FnOnce(&mut Self)) {
        let saved = (self.env.clone(), self.groups.clone());
        body(self);
        (self.env, self.groups) = saved;
    }

    fn walk(&mut self, dim: usize, body: impl FnOnce(&mut Self)) {
        self.r.act(Kind::Walk(dim), &[]);
        self.scope(body);
        self.r.act(Kind::WalkEnd(dim), &[]);
    }

    fn nest(&mut self, depth: usize) {
        let block = depth == self.schedule.outer.len();
        if !block || matches!(self.schedule.lanes, Lanes::Output(_)) {
            self.compute(depth, |schedule, i| {
                (schedule.needed[0][i] || schedule.needed[1][i]) && !schedule.follows[i]
            });
        }
        match (block, self.schedule.lanes) {
            (false, _) => self.walk(self.schedule.outer[depth], |e| e.nest(depth + 1)),
            (true, Lanes::Output(dim)) => self.output_lanes(dim),
            (true, Lanes::Reduced(_) | Lanes::None) => self.block(vec![Group { offset: 0, tail: false }]),
        }
    }

    fn output_lanes(&mut self, dim: usize) {
        let (unroll, width) = (self.unroll, self.width);
        let whole = ranged(self.loops, self.schedule).is_none() || dim > 0;
        self.r.act(Kind::Lanes, &[]);
        match self.loops.dims[dim] {
            Extent::Const(n) if whole => {
                if n >= unroll * width {
                    self.blocks(unroll);
                }
                self.rest(n % (unroll * width), |e, groups| e.block(groups));
            }
            Extent::Const(_) | Extent::Examples(_) => {
                self.blocks(unroll);
                if unroll > 1 {
                    self.blocks(1);
                }
                self.r.act(Kind::Tail, &[]);
                self.block(vec![Group { offset: 0, tail: true }]);
                self.r.act(Kind::TailEnd, &[]);
            }
        }
    }

    fn blocks(&mut self, vectors: usize) {
        let lanes = vectors * self.width;
        self.r.act(Kind::Block(lanes), &[]);
        self.block(self.full(vectors));
        self.r.act(Kind::BlockEnd(lanes), &[]);
    }

    /// The last lanes of a row of known length.
    fn rest(&mut self, lanes: usize, body: impl FnOnce(&mut Self, Vec<Group>)) {
        if lanes == 0 {
            return;
        }
        let mut groups = self.full(lanes.div_ceil(self.width));
        if let (Some(last), true) = (groups.last_mut(), !lanes.is_multiple_of(self.width)) {
            last.tail = true;
            self.r.act(Kind::Width(lanes % self.width), &[]);
        }
        body(self, groups);
    }

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
        let vectors = match self.schedule.lanes {
            Lanes::Reduced(dim) => self.schedule.partials(self.loops.dims[dim]).div_ceil(self.width / LANES),
            Lanes::Output(_) | Lanes::None => self.groups.len(),
        };
        let mut sums: Vec<Vec<Operand>> = Vec::new();
        for Reduction { combine, .. } in &reductions {
            let start = Operand::Bits(neutral(*combine).to_bits());
            sums.push((0..vectors).map(|_| self.r.variable(start)).collect());
        }
        self.reduce_loops(0, &reductions, &sums);
        for (Reduction { at, combine, .. }, sums) in reductions.iter().zip(&sums) {
            self.env[*at] = Some(match self.schedule.lanes {
                Lanes::Reduced(_) => Cell::Shared(Val::Num(self.horizontal(*combine, sums))),
                Lanes::Output(_) | Lanes::None => Cell::Per(sums.iter().map(|sum| Val::Num(*sum)).collect()),
            });
        }
    }

    fn reduce_loops(&mut self, depth: usize, reductions: &[Reduction], sums: &[Vec<Operand>]) {
        let level = self.schedule.block_level() + depth;
        if depth > 0 {
            self.compute(level, |schedule, i| schedule.needed[0][i] && !schedule.follows[i]);
        }
        match (self.schedule.inner.get(depth).copied(), self.schedule.lanes) {
            (Some(dim), _) => self.walk(dim, |e| e.reduce_loops(depth + 1, reductions, sums)),
            (None, Lanes::Reduced(dim)) => self.reduced_lanes(dim, level + 1, reductions, sums),
            (None, Lanes::Output(_) | Lanes::None) => self.combine(reductions, sums),
        }
    }

    fn reduced_lanes(&mut self, dim: usize, level: usize, reductions: &[Reduction], sums: &[Vec<Operand>]) {
        let Extent::Const(n) = self.loops.dims[dim] else { unreachable!("`program` refuses this") };
        let vectors = sums.first().map_or(1, Vec::len);
        let step = |e: &mut Self, groups: Vec<Group>| {
            e.scope(|e| {
                e.groups = groups;
                e.compute(level, |schedule, i| schedule.needed[0][i] && !schedule.follows[i]);
                e.combine(reductions, sums);
            });
        };
        self.r.act(Kind::Lanes, &[]);
        let lanes = vectors * self.width;
        if n >= lanes {
            self.r.act(Kind::Block(lanes), &[]);
            step(self, self.full(vectors));
            self.r.act(Kind::BlockEnd(lanes), &[]);
        }
        self.rest(n % lanes, step);
    }

    /// Adds the current point of the reduced loops to the partial results.
    fn combine(&mut self, reductions: &[Reduction], sums: &[Vec<Operand>]) {
        let masked = matches!(self.schedule.lanes, Lanes::Reduced(_));
        for (reduction, sums) in reductions.iter().zip(sums) {
            for (g, group) in self.groups.clone().into_iter().enumerate() {
                let Emitter { r, loops, schedule, env, .. } = &mut *self;
                let new = Body { loops, schedule, env }.more(r, *reduction, g, sums[g]);
                r.assign(sums[g], new, masked && group.tail);
            }
        }
    }

    /// Folds partial results and their lanes; the result stands in every lane.
    fn horizontal(&mut self, combine: Combine, sums: &[Operand]) -> Operand {
        let mut sum = fold(&mut self.r, combine, sums);
        let halves = (self.width > 8).then_some(Kind::UpperHalf);
        let quarters = [Kind::SecondQuarter, Kind::Permute(0b01_00_11_10), Kind::Permute(0b10_11_00_01)];
        for kind in halves.into_iter().chain(quarters) {
            let other = self.r.vector(kind, &[sum]);
            sum = combined(&mut self.r, combine, sum, other);
        }
        self.r.vector(Kind::Spread, &[sum])
    }

    fn compute(&mut self, level: usize, wanted: impl Fn(&Schedule, usize) -> bool) {
        let schedule = self.schedule;
        for i in 0..self.loops.body.len() {
            if schedule.level[i] == level && self.env[i].is_none() && wanted(schedule, i) {
                self.env[i] = self.instruction(i);
            }
        }
    }

    fn instruction(&mut self, i: usize) -> Option<Cell<Operand, Mask>> {
        let varies = self.schedule.varies[i];
        let groups = match varies {
            true => self.groups.clone(),
            false => vec![Group { offset: 0, tail: false }],
        };
        let mut values = Vec::new();
        for (g, group) in groups.into_iter().enumerate() {
            values.push(match &self.loops.body[i] {
                Inst::Load(load) => Val::Num(self.load(*load, varies, group)),
                Inst::Const(bits) => Val::Num(Operand::Bits(*bits)),
                Inst::Coordinate(dim) => Val::Num(self.coordinate(*dim, varies, group)),
                Inst::Apply(scalar, args) => {
                    let Emitter { r, loops, schedule, env, .. } = &mut *self;
                    Body { loops, schedule, env }.apply(r, i, *scalar, args, g)
                }
                // Set where the reduced loops end.
                Inst::Reduced(..) => return None,
            });
        }
        Some(if varies { Cell::Per(values) } else { Cell::Shared(values[0]) })
    }

    fn coordinate(&mut self, dim: usize, varies: bool, group: Group) -> Operand {
        let mut index = self.r.vector(Kind::Index(dim), &[]);
        if varies {
            index = self.r.int_add(index, Operand::Counting(1));
            if group.offset > 0 {
                index = self.r.int_add(index, Operand::Bits(group.offset as u32));
            }
        }
        self.r.convert(index)
    }

    /// This many full vectors.
    fn full(&self, vectors: usize) -> Vec<Group> {
        (0..vectors).map(|i| Group { offset: (self.width * i) as i64, tail: false }).collect()
    }

    fn place(&self, access: usize, strides: &[i64], varies: bool, group: Group) -> Place {
        let step = match self.schedule.lanes {
            Lanes::Output(dim) | Lanes::Reduced(dim) if varies => strides[dim],
            _ => 0,
        };
        Place { access, offset: group.offset, step, tail: group.tail }
    }

    fn load(&mut self, load: usize, varies: bool, group: Group) -> Operand {
        let read = &self.loops.loads[load];
        let place = self.place(load, &read.strides, varies, group);
        let mut value = self.r.vector(Kind::Read(place), &[]);
        if read.sum_slots {
            let sum = self.r.variable(value);
            let all = self.r.vector(Kind::AddSlots(place), &[sum]);
            self.r.assign(sum, all, false);
            value = sum;
        }
        if read.index { self.r.convert(value) } else { value }
    }

    fn store(&mut self, store: usize) {
        let write = &self.loops.stores[store];
        let along = matches!(self.schedule.lanes, Lanes::Output(_));
        for (g, group) in self.groups.clone().into_iter().enumerate() {
            let place = self.place(self.loops.loads.len() + store, &write.strides, along, group);
            let Emitter { r, loops, schedule, env, .. } = &mut *self;
            let mut value = Body { loops, schedule, env }.operand(r, write.value, g);
            if write.index {
                value = whole(r, value);
            }
            if write.slot {
                let old = r.vector(Kind::Read(place), &[]);
                let old = r.and(old, Operand::Keep);
                value = r.add(old, value);
            }
            r.act(Kind::Write(place), &[value]);
        }
    }
}

/// The integer next to a number on the way to 0, or the nearest there is; 0 for a NaN.
fn whole(r: &mut Recorder, x: Operand) -> Operand {
    let integer = r.vector(Kind::ToInteger, &[x]);
    let number = r.eq(x, x);
    let integer = r.select(number, integer, Operand::Bits(0));
    let beyond = r.le(Operand::Bits(2f32.powi(31).to_bits()), x);
    r.select(beyond, Operand::Bits(i32::MAX as u32), integer)
}
