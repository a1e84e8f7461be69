//! What all workers of a program share, and what each of them does in a step.
//!
//! Slots are dealt out by number, and who has no more takes those of others. One worker works off a slot from its
//! first tile to its last, a sum over slots is taken in their order, and a part of a whole-batch kernel computes its
//! elements as the whole would: so no bit depends on the number of workers, or on how fast they are.

use std::any::Any;
use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::deal::Deal;
use super::gate::{Barrier, Gate};
use super::inputs::{Fill, Region};
use super::kernel::{Facts, Kernel, Scratch, WHOLE};
use super::places::Frame;
use super::product::Part;
use super::schedule::{Share, Stretch};
use crate::ir::plan::{ARENAS, Arena};
use crate::jit::Code;
use crate::kernels::denormals::DenormalsAreZero;

/// The numbers of one step, set by the caller before it starts the workers.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The start of each arena.
    pub bases: [*mut u8; ARENAS],
    /// Seed, step, batch and slots.
    pub facts: Facts,
    /// Writes the inputs first, where they are not there yet; lives as long as the step.
    pub fill: Option<*const Fill<'static>>,
}

/// What workers share.
pub struct Engine {
    pub kernels: Vec<Kernel>,
    pub stretches: Vec<Stretch>,
    pub workers: usize,
    /// How often a waiting thread looks before it sleeps.
    pub spins: u32,
    pub tile: usize,
    pub tiles_per_slot: usize,
    pub tile_bytes: usize,
    pub regions: Vec<Region>,
    /// The slots of each stretch.
    pub deals: Vec<Deal>,
    pub start: Gate,
    pub barrier: Barrier,
    pub step: UnsafeCell<Option<Step>>,
    pub quit: AtomicBool,
    pub failed: AtomicBool,
    pub panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Keeps the machine code that the kernels call.
    pub code: Code,
}

// SAFETY: what is shared without locks is `step` and the memory its pointers lead to. `step` is written by
// the caller alone, while all workers wait at `start`; opening it orders the write before their reads. The
// memory is written as the plan says: different workers write different regions between two barriers.
unsafe impl Sync for Engine {}
// SAFETY: raw pointers in it are addresses of code and memory that the program keeps alive.
unsafe impl Send for Engine {}

/// What a kernel takes in a step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// On one thread.
    pub time: Duration,
    /// Floating-point operations of the plan that were not done, because of what the data holds.
    pub left_out: u64,
}

impl Engine {
    /// What one worker does in one step: 0 is the caller. A panic of a kernel is kept for the caller, and the
    /// worker still comes to every barrier.
    pub fn work(&self, step: &Step, worker: usize, scratch: &mut Scratch) {
        let fills_first = step.fill.is_some() && !self.begins_with_tiles();
        let waits = self.stretches.len() + usize::from(fills_first);
        let mut passed = 0;
        let done = catch_unwind(AssertUnwindSafe(|| {
            if fills_first {
                (worker..step.facts.slots).step_by(self.workers).for_each(|slot| self.fill(step, slot));
                passed += 1;
                self.barrier.wait(self.spins);
            }
            for at in 0..self.stretches.len() {
                if !self.failed.load(Ordering::Relaxed) {
                    self.stretch(at, step, worker, scratch);
                }
                passed += 1;
                self.barrier.wait(self.spins);
            }
        }));
        if let Err(panic) = done {
            self.failed.store(true, Ordering::Relaxed);
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            (passed..waits).for_each(|_| self.barrier.wait(self.spins));
        }
    }

    /// What a kernel of the step just made said when it panicked.
    pub fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        if !self.failed.load(Ordering::SeqCst) {
            return None;
        }
        self.failed.store(false, Ordering::SeqCst);
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Deals out the slots of every stretch, while no worker is in a step.
    pub fn deal(&self, slots: usize) {
        self.deals.iter().for_each(|deal| deal.put(slots));
    }

    /// Writes the inputs of a slot.
    pub fn fill(&self, step: &Step, slot: usize) {
        let Some(fill) = step.fill else { return };
        for region in &self.regions {
            // SAFETY: the caller of the step keeps the function alive until the step ends. Slots share no examples, and
            // one worker has the slot.
            unsafe { region.fill(step.bases[Arena::Inputs as usize], self.examples(step, slot), &*fill) };
        }
    }

    /// Whether all workers begin with tiles: then who takes a slot writes its inputs, and nobody waits for them.
    fn begins_with_tiles(&self) -> bool {
        matches!(self.stretches.first(), Some(Stretch::Tiles { parallel: true, .. }))
    }

    /// The examples of a slot.
    fn examples(&self, step: &Step, slot: usize) -> Range<usize> {
        let size = self.tiles_per_slot * self.tile;
        slot * size..((slot + 1) * size).min(step.facts.moment.batch as usize)
    }

    fn stretch(&self, at: usize, step: &Step, worker: usize, scratch: &mut Scratch) {
        match &self.stretches[at] {
            Stretch::Tiles { kernels, parallel: true } => {
                while let Some(slot) = self.deals[at].take(worker) {
                    if at == 0 {
                        self.fill(step, slot);
                    }
                    self.slot(kernels, step, slot, worker, scratch);
                }
            }
            Stretch::Tiles { kernels, parallel: false } if worker == 0 => {
                (0..step.facts.slots).for_each(|slot| self.slot(kernels, step, slot, worker, scratch));
            }
            Stretch::Alone(kernels) if worker == 0 => {
                let frame = self.whole(step);
                for kernel in kernels {
                    self.kernels[*kernel].run(&frame, &step.facts, WHOLE, scratch);
                }
            }
            Stretch::Tiles { .. } | Stretch::Alone(_) => {}
            Stretch::Together(shares) => {
                let frame = self.whole(step);
                for share in shares {
                    match *share {
                        Share::Cut(kernel) => {
                            let part = Part { worker, workers: self.workers };
                            self.kernels[kernel].run(&frame, &step.facts, part, scratch);
                        }
                        Share::One(kernel, by) if by == worker => {
                            self.kernels[kernel].run(&frame, &step.facts, WHOLE, scratch);
                        }
                        Share::One(..) => {}
                    }
                }
            }
        }
    }

    /// The frame of whole-batch kernels.
    fn whole(&self, step: &Step) -> Frame {
        Frame {
            bases: step.bases,
            first: 0,
            examples: step.facts.moment.batch as usize,
            adds: false,
            iteration: 0,
        }
    }

    /// Runs kernels for every tile of a slot.
    fn slot(&self, kernels: &[usize], step: &Step, slot: usize, worker: usize, scratch: &mut Scratch) {
        for frame in self.frames(step, slot, worker) {
            for kernel in kernels {
                self.kernels[*kernel].run(&frame, &step.facts, WHOLE, scratch);
            }
        }
    }

    /// The tiles of a slot in order.
    fn frames(&self, step: &Step, slot: usize, worker: usize) -> impl Iterator<Item = Frame> {
        let mut bases = step.bases;
        let tile = Arena::Tile as usize;
        bases[tile] = bases[tile].wrapping_add(worker * self.tile_bytes);
        let slots = Arena::Slots as usize;
        bases[slots] = bases[slots].wrapping_add(slot * step.facts.slot_bytes);
        let Range { start, end } = self.examples(step, slot);
        (start..end).step_by(self.tile).map(move |first| Frame {
            bases,
            first,
            examples: self.tile.min(end - first),
            adds: first > start,
            iteration: 0,
        })
    }

    /// The whole step by the calling thread, with what each kernel takes.
    pub fn profile(&self, step: &Step, scratch: &mut Scratch, costs: &mut [Cost]) {
        let mut timed = |kernel: usize, frame: &Frame| {
            let (start, before) = (Instant::now(), scratch.kernels.left_out());
            self.kernels[kernel].run(frame, &step.facts, WHOLE, scratch);
            costs[kernel].time += start.elapsed();
            costs[kernel].left_out += 2 * (scratch.kernels.left_out() - before);
        };
        for stretch in &self.stretches {
            match stretch {
                Stretch::Tiles { kernels, .. } => {
                    for slot in 0..step.facts.slots {
                        for frame in self.frames(step, slot, 0) {
                            kernels.iter().for_each(|kernel| timed(*kernel, &frame));
                        }
                    }
                }
                Stretch::Alone(kernels) => {
                    kernels.iter().for_each(|kernel| timed(*kernel, &self.whole(step)));
                }
                Stretch::Together(shares) => {
                    for share in shares {
                        let (Share::Cut(kernel) | Share::One(kernel, _)) = *share;
                        timed(kernel, &self.whole(step));
                    }
                }
            }
        }
    }

    /// The life of a worker other than the caller.
    pub fn serve(&self, worker: usize) {
        let _mode = DenormalsAreZero::start();
        let mut scratch = Scratch::default();
        let mut seen = 0;
        loop {
            self.start.wait(seen, self.spins);
            seen += 1;
            if self.quit.load(Ordering::SeqCst) {
                return;
            }
            // SAFETY: the caller wrote it before it opened the gate and does not touch it until the last
            // barrier of the step.
            if let Some(step) = unsafe { *self.step.get() } {
                self.work(&step, worker, &mut scratch);
            }
        }
    }
}
