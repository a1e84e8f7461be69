//! Loops over an axis: the body of a `scan` is planned as a step of its own, inside one kernel of the step.
//!
//! What moves from iteration to iteration is a part of a larger buffer with a step; an iteration works at the
//! place of the buffer that its number gives. Carries have a small buffer that the first iteration finds filled
//! and each iteration fills anew at its end, when nobody reads its old value any more.

use std::collections::HashMap;

use super::index::{Affine, IndexMap, linear, reshape_is_affine, through_reshape, through_view};
use super::kernels::Kernels;
use super::lowered::Lowered;
use super::merge::{merge, writes};
use super::roots::{self, Storage};
use crate::ir::kernel::{Kernel, Scan};
use crate::ir::plan::{
    Access, Arena, Buffer, BufferId, Extent, Instr, Load, Loop, Matrix, Nest, PlannedKernel, Store, Work,
    WriteMode,
};
use crate::ir::{Body, Level, NodeId};
use crate::ty::{Shape, Type};

/// A value that stands in memory as a part of another one.
pub struct Within {
    /// Which value stands in memory.
    pub base: NodeId,
    /// Elements from its start.
    pub offset: i64,
    /// Elements from one index of axis 0 to the next, for a sequence.
    pub step: i64,
}

/// Where an input of a loop stands: behind moves of elements that leave each step's part (or all of it, where it
/// is no sequence) in one piece, else where it is itself.
pub fn within(lowered: &Lowered, id: NodeId, sequence: bool) -> Within {
    let own = lowered.shape(id).to_vec();
    let mut map: IndexMap = (0..own.len()).map(Affine::dim).collect();
    let mut at = id;
    let mut found = place(&own, &own, &map, id, sequence).unwrap_or(Within { base: id, offset: 0, step: 0 });
    while lowered.constant(at).is_none() {
        let Some(input) = lowered.inputs(at).first().copied() else { break };
        map = match lowered.kernel(at) {
            Kernel::View(view) => through_view(view, &map),
            Kernel::Reshape if reshape_is_affine(lowered.shape(input), lowered.shape(at)) => {
                through_reshape(lowered.shape(input), lowered.shape(at), &map)
            }
            _ => break,
        };
        at = input;
        if lowered.constant(at).is_none()
            && let Some(better) = place(&own, lowered.shape(at), &map, at, sequence)
        {
            found = better;
        }
    }
    found
}

/// The place of a value of shape `own` in `base`, if its parts are in one piece there.
fn place(own: &[usize], shape: &[usize], map: &[Affine], base: NodeId, sequence: bool) -> Option<Within> {
    let position = linear(shape, map);
    let step = |axis: usize| position.terms.iter().find(|(d, _)| *d == axis).map_or(0, |(_, f)| *f);
    let first = usize::from(sequence);
    let mut stride = 1;
    for axis in (first..own.len()).rev() {
        if own[axis] > 1 && step(axis) != stride {
            return None;
        }
        stride *= own[axis] as i64;
    }
    Some(Within { base, offset: position.base, step: if sequence { step(0) } else { 0 } })
}

impl Kernels<'_> {
    /// A part of a buffer that moves with the iterations.
    fn part(
        &mut self,
        root: BufferId,
        node: (&Lowered, NodeId),
        level: Level,
        [offset, step]: [i64; 2],
    ) -> BufferId {
        let parent = &self.buffers.all[root.0 as usize];
        let (arena, stride) = (parent.arena, if level == Level::Each { parent.stride } else { 0 });
        let ty = node.0.computation.graph[node.1].ty.clone();
        let name = format!("part of {}", parent.name);
        let within = Some((root, 4 * offset));
        self.buffers.all.push(Buffer { ty, level, arena, offset: 0, stride, step: 4 * step, within, name });
        BufferId(self.buffers.all.len() as u32 - 1)
    }

    /// The loop of a `scan`.
    pub(super) fn scan(&mut self, id: NodeId, scan: &Scan) {
        let result = self.result(id, Arena::Tile);
        let level = self.lowered.computation.graph[id].level;
        let computation = Body::clone(&scan.body).into_computation();
        let Ok(lowered) = Lowered::new(&computation) else {
            unreachable!("the bodies of loops have been lowered with the graph around them")
        };
        let roots = roots::decide(&lowered, self.fuse);
        let inputs = self.lowered.inputs(id).to_vec();
        let carries = scan.sequences..scan.sequences + scan.body.carries.len();

        // What the steps are given.
        let arguments: HashMap<usize, NodeId> =
            scan.body.arguments().map(|(node, index)| (index, node)).collect();
        let mut given: Vec<Option<BufferId>> = vec![None; inputs.len()];
        let mut reads: Vec<BufferId> = Vec::new();
        for (index, input) in inputs.iter().enumerate() {
            if carries.contains(&index) {
                given[index] = Some(self.first_value(id, *input, level));
            } else if let Some(node) = arguments.get(&index) {
                let found = within(self.lowered, *input, index < scan.sequences);
                let (root, _) = self.buffers.value(found.base);
                let own = self.lowered.computation.graph[*input].level;
                reads.push(root);
                let whole = found.offset == 0 && index >= scan.sequences && found.base == *input;
                given[index] = Some(if whole {
                    root
                } else {
                    self.part(root, (&lowered, *node), own, [found.offset, found.step])
                });
            }
        }
        let current: Vec<BufferId> = carries.filter_map(|index| given[index]).collect();

        // What they give.
        let mark = self.buffers.all.len();
        let (width, starts) = scan.body.layout();
        let mut placed: HashMap<NodeId, BufferId> = HashMap::new();
        let mut copied: Vec<(NodeId, BufferId)> = Vec::new();
        for (row, start) in scan.body.rows.iter().zip(starts) {
            let mut base = *row;
            while roots.of(base) == Storage::Alias {
                base = lowered.inputs(base)[0];
            }
            let at = [start as i64, width as i64];
            let direct = roots.of(base) == Storage::Stored
                && lowered.computation.graph[base].level == level
                && !placed.contains_key(&base);
            if direct {
                let part = self.part(result, (&lowered, base), level, at);
                placed.insert(base, part);
            } else {
                copied.push((*row, self.part(result, (&lowered, *row), level, at)));
            }
        }

        let mut kept: Vec<BufferId> =
            placed.values().copied().chain(copied.iter().map(|(_, b)| *b)).collect();
        let mut inner = Kernels::inside(self, &lowered, &roots, given, placed);
        inner.run();
        for (row, part) in copied {
            inner.copy_to(row, part, level == Level::Each);
        }
        let next: Vec<NodeId> = scan.body.carries.clone();
        kept.extend(
            next.iter().filter(|n| lowered.constant(**n).is_none()).map(|n| inner.buffers.value(*n).0),
        );
        let before = std::mem::take(&mut inner.kernels);
        let kernels = if inner.fuse { merge(before, &inner.buffers.all, &kept) } else { before };
        inner.carry_on(&next, &current, level == Level::Each);
        let last = std::mem::take(&mut inner.kernels);
        let mut kernels: Vec<PlannedKernel> = kernels.into_iter().chain(last).collect();
        super::choice::tell(&lowered, &mut kernels);
        inner.give_back(self);
        let first_turned = self.buffers.all.len();
        self.turn_weights(id, &mut kernels, mark);
        kernels.iter_mut().for_each(|kernel| kernel.nodes = vec![id]);

        let mut own: Vec<BufferId> = vec![result];
        own.extend(&current);
        // Turned weights are read from outside.
        for buffer in kernels.iter().flat_map(super::merge::reads) {
            let outside =
                buffer.0 as usize >= first_turned && self.buffers.all[buffer.0 as usize].arena == Arena::Once;
            if outside && !reads.contains(&buffer) {
                reads.push(buffer);
            }
        }
        let inner = kernels.iter().flat_map(|k| super::merge::reads(k).into_iter().chain(writes(k)));
        let inner = inner.filter(|b| !reads.contains(b));
        own.extend(inner.filter(|b| b.0 as usize >= mark && self.buffers.all[b.0 as usize].within.is_none()));
        own.sort();
        own.dedup();
        // The first step reads what was written before the loop.
        reads.extend(current);
        let (count, reverse) = (scan.count, scan.reverse);
        let flops = count as u64 * kernels.iter().map(|k| k.flops).sum::<u64>();
        let work = Work::Loop(Loop { count, reverse, kernels, reads, writes: own });
        self.push(work, vec![id], id, flops);
        self.buffers.bind(id, result, false);
    }

    /// Matrices from outside that a product of a step would read column by column: they are turned round once, before
    /// the loop.
    fn turn_weights(&mut self, id: NodeId, kernels: &mut [PlannedKernel], mark: usize) {
        let mut turned: Vec<(Matrix, BufferId)> = Vec::new();
        for kernel in kernels {
            let Work::Gemm(gemm) = &mut kernel.work else { continue };
            let buffer = &self.buffers.all[gemm.b.buffer.0 as usize];
            let outside =
                (gemm.b.buffer.0 as usize) < mark && buffer.level == Level::Once && buffer.step == 0;
            let (Extent::Const(k), Extent::Const(n)) = (gemm.k, gemm.n) else { continue };
            let by_columns =
                gemm.b.column > 1 && gemm.b.row == 1 && gemm.outer.iter().all(|(_, steps)| steps[1] == 0);
            if !(outside && by_columns && k > 1 && n > 1) {
                continue;
            }
            let known = turned.iter().find(|(matrix, _)| *matrix == gemm.b).map(|(_, copy)| *copy);
            let copy = known.unwrap_or_else(|| {
                let ty = Type::f32(Shape::of(&[k, n]));
                let copy = self.buffers.add(&ty, Level::Once, Arena::Once, format!("{id} turned weights"));
                let access =
                    |buffer, offset, strides: [i64; 2]| Access { buffer, offset, strides: strides.to_vec() };
                let from = access(gemm.b.buffer, gemm.b.offset, [gemm.b.row, gemm.b.column]);
                let to = access(copy, 0, [n as i64, 1]);
                let nest = Nest {
                    dims: vec![Extent::Const(k), Extent::Const(n)],
                    reduced: 0,
                    loads: vec![Load { access: from, sum_slots: false }],
                    body: vec![Instr::Load(0)],
                    stores: vec![Store { value: 0, access: to, mode: WriteMode::Overwrite }],
                };
                self.nest(id, nest, vec![id]);
                turned.push((gemm.b.clone(), copy));
                copy
            });
            gemm.b = Matrix { buffer: copy, offset: 0, row: n as i64, column: 1 };
        }
    }

    /// The buffer of a carry, filled with its first value.
    fn first_value(&mut self, id: NodeId, first: NodeId, level: Level) -> BufferId {
        let ty = self.lowered.computation.graph[first].ty.clone();
        let buffer = self.buffers.add(&ty, level, Arena::Tile, format!("{id} carry"));
        self.copy_to(first, buffer, level == Level::Each);
        buffer
    }

    /// Writes the value of a node to a buffer, for each example if it has a value for each.
    fn copy_to(&mut self, id: NodeId, buffer: BufferId, each: bool) {
        let mut dims: Vec<Extent> = if each { vec![Extent::Examples(1)] } else { Vec::new() };
        let lead = dims.len();
        dims.extend(self.lowered.shape(id).iter().map(|e| Extent::Const(*e)));
        let map: IndexMap = (lead..dims.len()).map(Affine::dim).collect();
        let examples = each.then_some(0);
        let access = self.own_access(buffer, self.lowered.shape(id), &map, examples);
        let mut nest = self.builder(dims, examples);
        let value = nest.pull(id, &map, false);
        let nest = nest.finish(vec![(value, access, WriteMode::Overwrite)]);
        self.nest(id, nest, vec![id]);
    }

    /// At the end of an iteration: carries get their next values, all at once.
    fn carry_on(&mut self, next: &[NodeId], current: &[BufferId], each: bool) {
        let mut changed: Vec<(NodeId, BufferId, Option<BufferId>)> = Vec::new();
        for (node, to) in next.iter().zip(current) {
            let from = self.lowered.constant(*node).is_none().then(|| self.buffers.value(*node).0);
            if from == Some(*to) {
                continue;
            }
            let overwritten = from.filter(|from| current.contains(from));
            changed.push((*node, *to, overwritten));
        }
        // A carry that takes the old value of another one goes by way of a third place.
        let mut ready = Vec::new();
        for (node, to, overwritten) in changed {
            if overwritten.is_some() {
                let ty = self.lowered.computation.graph[node].ty.clone();
                let level = if each { Level::Each } else { Level::Once };
                let between = self.buffers.add(&ty, level, Arena::Tile, "a carry on its way".to_string());
                self.copy_to(node, between, each);
                ready.push((node, to, Some(between)));
            } else {
                ready.push((node, to, None));
            }
        }
        for (node, to, between) in ready {
            if let Some(between) = between {
                self.buffers.bind(node, between, false);
            }
            self.copy_to(node, to, each);
        }
    }
}

/// Parts of buffers lie where their buffers lie; what a loop over tiles computes once belongs to the tile.
pub fn settle(kernels: &[PlannedKernel], buffers: &mut [Buffer]) {
    for kernel in kernels {
        let Work::Loop(work) = &kernel.work else { continue };
        if !super::merge::in_tiles(kernel, buffers) {
            continue;
        }
        for buffer in &work.writes {
            let buffer = &mut buffers[buffer.0 as usize];
            if buffer.level == Level::Once && buffer.arena == Arena::Once {
                buffer.arena = Arena::Tile;
            }
        }
    }
    locate(buffers);
}

/// Gives parts of buffers the places that follow from those of their buffers.
pub fn locate(buffers: &mut [Buffer]) {
    for at in 0..buffers.len() {
        let Some((root, offset)) = buffers[at].within else { continue };
        let root = &buffers[root.0 as usize];
        let (arena, start) = (root.arena, root.offset as i64 + offset);
        buffers[at].arena = arena;
        buffers[at].offset = start.max(0) as usize;
    }
}
