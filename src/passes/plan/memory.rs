//! Places in memory: every buffer gets an offset in its arena; values of a tile share memory where their
//! lives do not overlap.

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
    // Live ranges of memory: (offset, end, last use), sorted by offset.
    let mut live: Vec<(usize, usize, usize)> = Vec::new();
    let mut high = 0;
    for b in starts {
        live.retain(|(_, _, until)| *until >= first[b]);
        let size = bytes(&buffers[b]);
        let dying = overwritten(order[first[b]], BufferId(b as u32))
            .map(|BufferId(c)| c as usize)
            .filter(|c| buffers[*c].arena == Arena::Tile && first[*c] < first[b] && last[*c] == first[b])
            .filter(|c| bytes(&buffers[*c]) == size && buffers[*c].ty.dtype == buffers[b].ty.dtype)
            .find(|c| {
                live.iter().any(|(offset, _, until)| *offset == buffers[*c].offset && *until == first[b])
            });
        if let Some(c) = dying {
            let offset = buffers[c].offset;
            for range in live.iter_mut().filter(|(start, ..)| *start == offset) {
                range.2 = last[b];
            }
            buffers[b].offset = offset;
            continue;
        }
        let mut offset = 0;
        let mut position = live.len();
        for (i, (start, end, _)) in live.iter().enumerate() {
            if offset + size <= *start {
                position = i;
                break;
            }
            offset = offset.max(*end);
        }
        live.insert(position, (offset, offset + size, last[b]));
        buffers[b].offset = offset;
        high = high.max(offset + size);
    }
    high
}

/// The buffers that a loop nest reads only at the very place where it writes `target`: their memory can
/// become the target's.
fn overwritten(kernel: &PlannedKernel, target: BufferId) -> impl Iterator<Item = BufferId> {
    let nest = match &kernel.work {
        Work::Nest(nest) if nest.reduced == 0 => Some(nest),
        Work::Nest(_) | Work::Gemm(_) | Work::Leaf(_) => None,
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
