//! Places in memory: every buffer gets an offset in its arena; values of a tile share memory where their
//! lives do not overlap.

use std::collections::{BTreeMap, BTreeSet};

use super::merge::{reads, writes};
use crate::ir::plan::{ARENAS, Arena, Buffer, BufferId, Load, Phase, PlannedKernel, Work, WriteMode};

/// Every buffer starts at a multiple of this.
const ALIGN: usize = 64;

/// What sizes depend on.
pub struct Sizes {
    /// Most examples in a batch.
    pub batch: usize,
    /// Most examples in a tile.
    pub tile: usize,
}

/// The buffers that kernels or the host touch: the others need no memory.
fn touched(kernels: &[PlannedKernel], buffers: usize, host: &[BufferId]) -> Vec<bool> {
    let mut touched = vec![false; buffers];
    let by_kernels = kernels.iter().flat_map(|k| reads(k).into_iter().chain(writes(k)));
    for buffer in by_kernels.chain(host.iter().copied()) {
        touched[buffer.0 as usize] = true;
    }
    touched
}

/// Sets the offsets of all buffers but the variables, whose places the experiment gives; returns the size of
/// each arena (or of one region of it).
pub fn place(
    kernels: &[PlannedKernel],
    phases: &[Phase],
    buffers: &mut [Buffer],
    sizes: &Sizes,
    share: bool,
    host: &[BufferId],
) -> [usize; ARENAS] {
    let mut ends = [0usize; ARENAS];
    let touched = touched(kernels, buffers.len(), host);
    let bytes = |buffer: &Buffer| {
        let one = buffer.ty.shape.elements() * 4;
        match buffer.arena {
            Arena::Tile => one * sizes.tile,
            Arena::Inputs | Arena::Batch => one * sizes.batch,
            Arena::Once | Arena::Slots | Arena::Variables => one,
        }
    };
    for (b, buffer) in buffers.iter_mut().enumerate() {
        let shared = share && buffer.arena == Arena::Tile;
        if buffer.arena == Arena::Variables || shared || !touched[b] {
            continue;
        }
        let end = &mut ends[buffer.arena as usize];
        buffer.offset = *end;
        *end = (*end + bytes(buffer)).next_multiple_of(ALIGN);
    }
    if share {
        for phase in phases {
            let Phase::Tiles(order) = phase else { continue };
            let order: Vec<&PlannedKernel> = order.iter().map(|k| &kernels[k.0 as usize]).collect();
            let end = share_tile(&order, buffers, |buffer| bytes(buffer).next_multiple_of(ALIGN));
            ends[Arena::Tile as usize] = ends[Arena::Tile as usize].max(end);
        }
    }
    ends
}

/// Of what is kept for all examples, the bytes of one example that the phase which touches most of it touches.
pub fn kept(kernels: &[PlannedKernel], phases: &[Phase], buffers: &[Buffer]) -> usize {
    let touched = |phase: &Phase| {
        let Phase::Tiles(order) = phase else { return 0 };
        let kernels = order.iter().map(|k| &kernels[k.0 as usize]);
        let touched: BTreeSet<BufferId> =
            kernels.flat_map(|k| reads(k).into_iter().chain(writes(k))).collect();
        let buffers = touched.iter().map(|b| &buffers[b.0 as usize]);
        buffers.filter(|b| b.arena == Arena::Batch).map(|b| b.ty.shape.elements() * 4).sum()
    };
    phases.iter().map(touched).max().unwrap_or(0)
}

/// First fit over the lives of a phase's tile buffers; the end of the highest one.
fn share_tile(order: &[&PlannedKernel], buffers: &mut [Buffer], bytes: impl Fn(&Buffer) -> usize) -> usize {
    let mut first = vec![usize::MAX; buffers.len()];
    let mut last = vec![0usize; buffers.len()];
    for (at, kernel) in order.iter().enumerate() {
        for BufferId(b) in reads(kernel).into_iter().chain(writes(kernel)) {
            let b = b as usize;
            first[b] = first[b].min(at);
            last[b] = last[b].max(at);
        }
    }
    let mut starts: Vec<usize> =
        (0..buffers.len()).filter(|b| buffers[*b].arena == Arena::Tile && first[*b] != usize::MAX).collect();
    starts.sort_by_key(|b| first[*b]);
    let mut room = Room::new(order.len());
    for b in starts {
        room.advance(first[b]);
        let size = bytes(&buffers[b]);
        let dying = overwritten(order[first[b]], BufferId(b as u32))
            .map(|BufferId(c)| c as usize)
            .filter(|c| buffers[*c].arena == Arena::Tile && first[*c] < first[b] && last[*c] == first[b])
            .filter(|c| bytes(&buffers[*c]) == size && buffers[*c].ty.dtype == buffers[b].ty.dtype)
            .find(|c| room.ends(buffers[*c].offset) == Some(first[b]));
        buffers[b].offset = match dying {
            Some(c) => room.prolong(buffers[c].offset, last[b]),
            None => room.take(size, last[b]),
        };
    }
    room.high
}

/// Memory over the kernels of a phase: what is taken and until which kernel, and the gaps between.
struct Room {
    /// Start to end and last use.
    taken: BTreeMap<usize, (usize, usize)>,
    /// Start to end; the last one has no end.
    gaps: BTreeMap<usize, usize>,
    /// For each kernel the starts of what may end with it.
    ending: Vec<Vec<usize>>,
    /// The first kernel whose memory has not been given back.
    now: usize,
    /// The end of the highest range that was ever taken.
    high: usize,
}

impl Room {
    fn new(kernels: usize) -> Room {
        Room {
            taken: BTreeMap::new(),
            gaps: BTreeMap::from([(0, usize::MAX)]),
            ending: vec![Vec::new(); kernels],
            now: 0,
            high: 0,
        }
    }

    /// Gives back what was last used before kernel `at`.
    fn advance(&mut self, at: usize) {
        for kernel in self.now..at {
            for start in std::mem::take(&mut self.ending[kernel]) {
                if self.ends(start) == Some(kernel)
                    && let Some((end, _)) = self.taken.remove(&start)
                {
                    self.give(start, end);
                }
            }
        }
        self.now = self.now.max(at);
    }

    fn give(&mut self, mut start: usize, mut end: usize) {
        if let Some((before, until)) = self.gaps.range(..start).next_back().map(|(s, e)| (*s, *e))
            && until == start
        {
            self.gaps.remove(&before);
            start = before;
        }
        if let Some(after) = self.gaps.remove(&end) {
            end = after;
        }
        self.gaps.insert(start, end);
    }

    /// The last use of what starts here.
    fn ends(&self, start: usize) -> Option<usize> {
        self.taken.get(&start).map(|(_, last)| *last)
    }

    /// Keeps what starts here until another kernel.
    fn prolong(&mut self, start: usize, last: usize) -> usize {
        if let Some(range) = self.taken.get_mut(&start) {
            range.1 = last;
            self.ending[last].push(start);
        }
        start
    }

    /// The lowest gap that is large enough.
    fn take(&mut self, size: usize, last: usize) -> usize {
        let fits = self.gaps.iter().find(|(start, end)| *end - *start >= size);
        let (start, end) = fits.map_or((self.high, usize::MAX), |(start, end)| (*start, *end));
        self.gaps.remove(&start);
        if end > start + size {
            self.gaps.insert(start + size, end);
        }
        self.taken.insert(start, (start + size, last));
        self.ending[last].push(start);
        self.high = self.high.max(start + size);
        start
    }
}

/// The buffers that a loop nest reads only at the very place where it writes `target`: their memory can
/// become the target's.
fn overwritten(kernel: &PlannedKernel, target: BufferId) -> impl Iterator<Item = BufferId> {
    let nest = match &kernel.work {
        Work::Nest(nest) if nest.reduced == 0 => Some(nest),
        Work::Nest(_) | Work::Gemm(_) | Work::Leaf(_) | Work::Loop(_) => None,
    };
    let store = nest.and_then(|nest| nest.stores.iter().find(|s| s.access.buffer == target));
    let loads = nest.map_or(&[][..], |nest| &nest.loads);
    loads.iter().filter_map(move |load| {
        let store = store?;
        let same = |l: &Load| {
            l.access.offset == store.access.offset && l.access.strides == store.access.strides && !l.sum_slots
        };
        let all = loads.iter().filter(|l| l.access.buffer == load.access.buffer).all(same);
        (all && store.mode == WriteMode::Overwrite).then_some(load.access.buffer)
    })
}
