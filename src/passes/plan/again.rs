//! Values of examples that are made once more in a later phase instead of being kept for it.
//!
//! A batch norm cuts a step into phases, each of them over all examples. What one phase makes and a later one reads is
//! written to memory and read back, and large batches fit no cache. Where a loop nest makes a value by a few cheap
//! operations from what the later phase reads anyway, or from something smaller, running it again takes less time. The
//! bits are the same: it is the same nest on the same operands.

use std::collections::{HashMap, HashSet};

use super::lowered::is_cheap;
use super::merge::{reads, writes};
use super::schedule;
use super::updates::rename;
use crate::ir::Level;
use crate::ir::plan::{Arena, Buffer, BufferId, Instr, Nest, PlannedKernel, Work, WriteMode};

/// Values of fewer bytes for a whole batch stay in a cache between two phases.
const LARGE: usize = 1 << 20;
/// Operations for an element that take less time than writing it to memory and reading it back.
const OPERATIONS: usize = 10;

/// Adds the kernels that make values again; `kept` are the buffers that are read after the step. Returns for each
/// kernel the first stage in which it may run.
pub fn make(
    kernels: Vec<PlannedKernel>,
    buffers: &mut Vec<Buffer>,
    kept: &[BufferId],
    batch: usize,
) -> (Vec<PlannedKernel>, Vec<usize>) {
    let first = kernels.len();
    let mut list = List::new(kernels, buffers, kept);
    for stage in (1..list.by_stage.len()).rev() {
        for value in list.kept_for(stage, batch) {
            list.make_again(value, stage);
        }
    }
    let new: Vec<_> = list.kernels.split_off(first).into_iter().zip(list.stages.split_off(first)).collect();
    let mut kernels = list.kernels;
    drop_unread(&mut kernels, &new, &list.again);
    in_order(kernels, new)
}

/// Drops the kernels of which all readers have got values that are made `again`.
fn drop_unread(kernels: &mut Vec<PlannedKernel>, new: &[(PlannedKernel, usize)], again: &HashSet<BufferId>) {
    let mut read: HashSet<BufferId> = new.iter().flat_map(|(kernel, _)| reads(kernel)).collect();
    // Readers stand behind what they read.
    let mut needed = Vec::with_capacity(kernels.len());
    while let Some(kernel) = kernels.pop() {
        if writes(&kernel).iter().any(|buffer| read.contains(buffer) || !again.contains(buffer)) {
            read.extend(reads(&kernel));
            needed.push(kernel);
        }
    }
    needed.reverse();
    *kernels = needed;
}

/// Puts each of the new kernels, which stand with their stages, before the first kernel that reads what it makes.
fn in_order(
    kernels: Vec<PlannedKernel>,
    new: Vec<(PlannedKernel, usize)>,
) -> (Vec<PlannedKernel>, Vec<usize>) {
    let makers =
        new.iter().enumerate().flat_map(|(i, (kernel, _))| writes(kernel).into_iter().map(move |b| (b, i)));
    let makers: HashMap<BufferId, usize> = makers.collect();
    let mut new: Vec<Option<(PlannedKernel, usize)>> = new.into_iter().map(Some).collect();
    let mut ordered = (Vec::new(), Vec::new());
    for kernel in kernels {
        // A kernel is pushed when nothing that it reads waits any more.
        let mut waiting = vec![(kernel, 0)];
        while let Some((kernel, stage)) = waiting.pop() {
            let needed = reads(&kernel).iter().find_map(|b| new[*makers.get(b)?].take());
            if let Some(maker) = needed {
                waiting.extend([(kernel, stage), maker]);
            } else {
                ordered.0.push(kernel);
                ordered.1.push(stage);
            }
        }
    }
    ordered
}

/// The kernels, the new ones last, with what is known of each.
struct List<'a> {
    kernels: Vec<PlannedKernel>,
    /// Whether it runs for every tile.
    tiles: Vec<bool>,
    stages: Vec<usize>,
    /// Those over tiles of each stage.
    by_stage: Vec<Vec<usize>>,
    /// Of each buffer the kernels that write it and those that read it.
    makers: HashMap<BufferId, Vec<usize>>,
    readers: HashMap<BufferId, Vec<usize>>,
    buffers: &'a mut Vec<Buffer>,
    /// Buffers of which others are parts.
    whole: HashSet<BufferId>,
    /// What is read after the step.
    kept: &'a [BufferId],
    /// The values that some stage makes again.
    again: HashSet<BufferId>,
}

impl<'a> List<'a> {
    fn new(kernels: Vec<PlannedKernel>, buffers: &'a mut Vec<Buffer>, kept: &'a [BufferId]) -> List<'a> {
        let (tiles, stages) = schedule::stages(&kernels, buffers, &[]);
        let whole = buffers.iter().filter_map(|buffer| Some(buffer.within?.0)).collect();
        let by_stage = vec![Vec::new(); stages.iter().max().map_or(0, |last| last + 1)];
        let (makers, readers, again) = (HashMap::new(), HashMap::new(), HashSet::new());
        let none = Vec::new();
        let mut list =
            List { kernels: none, tiles, stages, by_stage, makers, readers, buffers, whole, kept, again };
        for kernel in kernels {
            list.note(kernel);
        }
        list
    }

    /// Adds a kernel of which it is known whether it runs for every tile, and its stage.
    fn note(&mut self, kernel: PlannedKernel) {
        let k = self.kernels.len();
        if self.tiles[k] {
            self.by_stage[self.stages[k]].push(k);
        }
        for (of, buffers) in [(&mut self.makers, writes(&kernel)), (&mut self.readers, reads(&kernel))] {
            buffers.into_iter().for_each(|buffer| of.entry(buffer).or_default().push(k));
        }
        self.kernels.push(kernel);
    }

    /// The large values that tiles of this stage read and an earlier one makes, the largest first.
    fn kept_for(&self, stage: usize, batch: usize) -> Vec<BufferId> {
        let read = self.by_stage[stage].iter().flat_map(|k| reads(&self.kernels[*k]));
        let large = read.filter(|v| self.bytes(*v) * batch >= LARGE);
        let mut values: Vec<BufferId> = large.filter(|v| self.can_be_made_again(*v, stage)).collect();
        values.sort_unstable();
        values.dedup();
        values.sort_by_key(|v| std::cmp::Reverse(self.bytes(*v)));
        values
    }

    /// Whether a simple nest of an earlier stage makes a value, that is one value of each example and no part of another
    /// buffer, and nothing but kernels over tiles reads it: else it is kept in any case.
    fn can_be_made_again(&self, value: BufferId, stage: usize) -> bool {
        let simple = |k: usize| self.tiles[k] && self.stages[k] < stage && is_simple(&self.kernels[k]);
        let over_tiles = |k: &usize| self.tiles[*k] && !matches!(self.kernels[*k].work, Work::Loop(_));
        let buffer = &self.buffers[value.0 as usize];
        let alone = buffer.within.is_none() && !self.whole.contains(&value) && !self.kept.contains(&value);
        alone
            && buffer.level == Level::Each
            && buffer.arena == Arena::Tile
            && self.maker(value).is_some_and(simple)
            && self.readers[&value].iter().all(over_tiles)
    }

    /// Makes a value again in a stage, if that saves memory traffic.
    fn make_again(&mut self, value: BufferId, stage: usize) {
        let Some(maker) = self.maker(value) else { return };
        let mut kernel = self.kernels[maker].clone();
        // One reading, and its part of the writing.
        let saved = self.bytes(value) + self.bytes(value) / self.later_stages(value).max(1);
        let price: usize = reads(&kernel).iter().map(|input| self.price(*input, stage)).sum();
        if 2 * price > saved {
            return;
        }
        let copy = BufferId(self.buffers.len() as u32);
        self.buffers.push(self.buffers[value.0 as usize].clone());
        let names = HashMap::from([(value, copy)]);
        let readers = self.readers.remove(&value).unwrap_or_default();
        let (here, elsewhere): (Vec<usize>, Vec<usize>) =
            readers.into_iter().partition(|k| self.stages[*k] == stage);
        for k in &here {
            rename(&mut self.kernels[*k], &names);
        }
        self.readers.extend([(copy, here), (value, elsewhere)]);
        rename(&mut kernel, &names);
        // The network defines these operations once.
        (kernel.flops, kernel.dense) = (0, 0);
        kernel.choice = "made again: keeping it for all examples takes more time".to_string();
        self.tiles.push(true);
        self.stages.push(stage);
        self.note(kernel);
        self.again.insert(value);
    }

    /// The bytes of an example that reading an operand in a stage takes: none where it is read there anyway; where it
    /// would not be kept otherwise, it is also written.
    fn price(&self, id: BufferId, stage: usize) -> usize {
        let buffer = &self.buffers[id.0 as usize];
        let readers = self.readers.get(&id).map_or(&[][..], Vec::as_slice);
        if buffer.level != Level::Each || readers.iter().any(|k| self.tiles[*k] && self.stages[*k] == stage) {
            return 0;
        }
        let kept = buffer.arena != Arena::Tile || self.later_stages(id) > 0;
        self.bytes(id) * if kept { 1 } else { 2 }
    }

    /// The one kernel that writes a buffer.
    fn maker(&self, id: BufferId) -> Option<usize> {
        match self.makers.get(&id)?[..] {
            [maker] => Some(maker),
            _ => None,
        }
    }

    /// In how many stages other than that of its maker a value is read.
    fn later_stages(&self, id: BufferId) -> usize {
        let Some(maker) = self.maker(id) else { return 0 };
        let readers = self.readers.get(&id).into_iter().flatten();
        let stages: HashSet<usize> = readers.map(|k| self.stages[*k]).collect();
        stages.len() - usize::from(stages.contains(&self.stages[maker]))
    }

    /// Bytes of an example.
    fn bytes(&self, id: BufferId) -> usize {
        4 * self.buffers[id.0 as usize].ty.shape.elements()
    }
}

/// Whether a kernel is a nest that makes one value of each example by a few cheap operations.
fn is_simple(kernel: &PlannedKernel) -> bool {
    match &kernel.work {
        Work::Nest(nest) => few_operations(nest),
        Work::Gemm(_) | Work::Leaf(_) | Work::Loop(_) => false,
    }
}

fn few_operations(nest: &Nest) -> bool {
    let costly = |instr: &Instr| matches!(instr, Instr::Apply(scalar, _) if !is_cheap(*scalar));
    let one = nest.stores.len() == 1 && nest.stores[0].mode == WriteMode::Overwrite;
    let operations = nest.body.iter().filter(|instr| matches!(instr, Instr::Apply(..))).count();
    let slots = nest.loads.iter().any(|load| load.sum_slots);
    one && nest.reduced == 0 && !slots && operations <= OPERATIONS && !nest.body.iter().any(costly)
}
