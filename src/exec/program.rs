//! A compiled plan with its memory and threads: feed inputs, run steps, read outputs.

use std::cell::UnsafeCell;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::Store;
use super::deal::Deal;
use super::engine::{Cost, Engine, Step};
use super::gate::{Barrier, Gate};
use super::inputs::{Fill, Inputs, Region};
use super::kernel::{Facts, Kernel, Scratch, elements};
use super::memory::{Memory, available, short};
use super::schedule::{stretches, workers};
use super::whole::{Whole, in_one_call};
use crate::base::Diagnostic;
use crate::ir::Level;
use crate::ir::op::Moment;
use crate::ir::plan::{ARENAS, Arena, BufferId, HostScalar, Plan};
use crate::kernels::denormals::DenormalsAreZero;
use crate::kernels::isa::Isa;

/// A plan that can run.
pub struct Program {
    plan: Plan,
    engine: Arc<Engine>,
    /// The step in one call, where that pays.
    whole: Option<Whole>,
    threads: Vec<JoinHandle<()>>,
    arenas: Vec<Memory>,
    inputs: Inputs,
    /// Which batch of the inputs a step reads.
    batch_read: usize,
    /// Copies of outputs that live among the variables.
    copies: Vec<(usize, Memory)>,
    scratch: Scratch,
    /// How many examples the last step had.
    batch: usize,
}

/// Looks of a waiting thread before it sleeps: some tens of microseconds.
const SPINS: u32 = 3000;

impl Program {
    /// Compiles a plan for at most this many threads. Results do not depend on their number.
    ///
    /// # Errors
    /// When its memory is not available, or the plan or the code generator has a fault.
    pub fn compile(plan: Plan, threads: usize) -> Result<Program, Diagnostic> {
        Program::compile_for(Isa::current(), plan, threads)
    }

    /// The same with loop nests for the vectors of this instruction set; results do not depend on it either.
    ///
    /// # Errors
    /// As [`Program::compile`].
    pub fn compile_for(isa: Isa, plan: Plan, threads: usize) -> Result<Program, Diagnostic> {
        check(&plan)?;
        let workers = team(&plan, threads);
        let mut sizes = sizes(&plan, workers);
        let needed = sizes.iter().map(|bytes| *bytes as u64).sum();
        let free = available();
        if free.is_some_and(|free| needed > free) {
            return Err(short(needed, free));
        }
        let inputs = Inputs::new(&plan, 1)?;
        sizes[Arena::Inputs as usize] = 0;
        let arenas = sizes.into_iter().map(Memory::new).collect::<Result<Vec<_>, _>>()?;
        let mut copies = Vec::new();
        for (i, (_, buffer)) in plan.outputs.iter().enumerate() {
            if plan.buffers[buffer.0 as usize].arena == Arena::Variables {
                copies.push((i, Memory::new(4 * elements(&plan.buffers, *buffer))?));
            }
        }
        let (kernels, code) = Kernel::all(&plan, isa)?;
        let whole = Whole::compile(&plan)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let stretches = stretches(&plan, workers);
        let engine = Arc::new(Engine {
            kernels,
            deals: stretches.iter().map(|_| Deal::new(workers)).collect(),
            stretches,
            workers,
            spins: if workers <= cores { SPINS } else { 50 },
            tile: plan.tile,
            tiles_per_slot: plan.tiles_per_slot,
            tile_bytes: plan.arena_bytes[Arena::Tile as usize].next_multiple_of(64),
            regions: Region::all(&plan),
            start: Gate::default(),
            barrier: Barrier::new(workers),
            step: UnsafeCell::new(None),
            quit: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            panic: Mutex::new(None),
            code,
        });
        let mut program = Program {
            plan,
            engine,
            whole,
            threads: Vec::new(),
            arenas,
            inputs,
            batch_read: 0,
            copies,
            scratch: Scratch::default(),
            batch: 0,
        };
        for worker in 1..workers {
            let engine = Arc::clone(&program.engine);
            let thread = std::thread::Builder::new()
                .name(format!("worker {worker}"))
                .spawn(move || engine.serve(worker))
                .map_err(|error| Diagnostic::internal("exec", format!("a thread did not start: {error}")))?;
            program.threads.push(thread);
        }
        Ok(program)
    }

    /// The plan it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many threads work in a step.
    pub fn workers(&self) -> usize {
        self.engine.workers
    }

    /// How many different functions the plan's loop nests were compiled to.
    pub fn functions(&self) -> usize {
        self.engine.code.functions()
    }

    /// The bytes of memory of all arenas, without the variables.
    pub fn bytes(&self) -> usize {
        sizes(&self.plan, self.engine.workers).iter().sum()
    }

    /// Where the host writes input `i` of the batch, `[batch, ..]`. Empty if the plan does not read it.
    pub fn input_mut(&mut self, input: usize) -> &mut [f32] {
        self.inputs.floats_mut(self.batch_read, input)
    }

    /// As [`Program::input_mut`], for an input of indices.
    pub fn index_input_mut(&mut self, input: usize) -> &mut [i32] {
        self.inputs.indices_mut(self.batch_read, input)
    }

    /// The bytes of one batch of inputs.
    pub fn input_bytes(&self) -> usize {
        self.plan.arena_bytes[Arena::Inputs as usize]
    }

    /// Further room for this many batches, to be filled elsewhere.
    ///
    /// # Errors
    /// When the system has no such amount of memory.
    pub fn more_inputs(&self, batches: usize) -> Result<Inputs, Diagnostic> {
        Inputs::new(&self.plan, batches)
    }

    /// The inputs that steps read change places with others; the next steps read the first batch of them.
    ///
    /// # Panics
    /// When they were made for another plan.
    pub fn exchange(&mut self, inputs: &mut Inputs) {
        assert!(self.inputs.fits(inputs), "inputs of this plan");
        std::mem::swap(&mut self.inputs, inputs);
        self.batch_read = 0;
    }

    /// The next steps read this batch of the inputs.
    ///
    /// # Panics
    /// When there is no such batch.
    pub fn choose(&mut self, batch: usize) {
        assert!(batch < self.inputs.batches(), "batch {batch} of {}", self.inputs.batches());
        self.batch_read = batch;
    }

    /// Runs a step over the first `moment.batch` examples of the inputs. Allocates nothing.
    ///
    /// # Panics
    /// When the batch is empty or larger than planned, or when a kernel panics.
    pub fn run(&mut self, store: &mut Store, moment: Moment) {
        let step = self.begin(store, moment);
        self.work(store, step);
    }

    /// As [`Program::run`], after the inputs have been written by `fill`: each worker has the examples written
    /// that it then works on.
    ///
    /// # Panics
    /// As [`Program::run`], and when `fill` does.
    pub fn run_on(&mut self, store: &mut Store, moment: Moment, fill: &Fill) {
        let step = self.begin(store, moment);
        let fill: *const Fill = fill;
        // SAFETY: only the lifetime changes. The pointer is used until `work` returns, which waits for all
        // workers; `fill` lives longer.
        let fill = unsafe { std::mem::transmute::<*const Fill, *const Fill<'static>>(fill) };
        self.work(store, Step { fill: Some(fill), ..step });
    }

    fn work(&mut self, store: &mut Store, step: Step) {
        let _mode = DenormalsAreZero::start();
        let engine = &*self.engine;
        if let Some(whole) = self.whole.as_ref().filter(|_| self.batch == self.plan.batch) {
            (0..step.facts.slots).for_each(|slot| engine.fill(&step, slot));
            // SAFETY: arenas and kernels are those of the plan, which has one worker.
            let done = unsafe { whole.run(&engine.kernels, &step, &mut self.scratch) };
            if let Err(panic) = done {
                resume_unwind(panic);
            }
            return self.end(store);
        }
        engine.deal(step.facts.slots);
        if engine.workers > 1 {
            // SAFETY: all workers wait at `start`: nobody reads until it is opened below.
            unsafe { *engine.step.get() = Some(step) };
            engine.start.advance();
        }
        engine.work(&step, 0, &mut self.scratch);
        if let Some(panic) = engine.take_panic() {
            resume_unwind(panic);
        }
        self.end(store);
    }

    /// Runs a step on the calling thread and says what each kernel of the plan took.
    ///
    /// # Panics
    /// As [`Program::run`].
    pub fn run_profiled(&mut self, store: &mut Store, moment: Moment) -> Vec<Cost> {
        let _mode = DenormalsAreZero::start();
        let step = self.begin(store, moment);
        let mut costs = vec![Cost::default(); self.plan.kernels.len()];
        self.engine.profile(&step, &mut self.scratch, &mut costs);
        self.end(store);
        costs
    }

    fn begin(&mut self, store: &mut Store, moment: Moment) -> Step {
        let batch = moment.batch as usize;
        assert!(
            (1..=self.plan.batch).contains(&batch),
            "a batch of {batch}, planned for {}",
            self.plan.batch
        );
        assert!(store.bytes() >= self.plan.arena_bytes[Arena::Variables as usize], "the store fits the plan");
        self.batch = batch;
        for (id, scalar) in &self.plan.scalars {
            let value = match scalar {
                HostScalar::Step => moment.step as f32,
                HostScalar::BatchSize => moment.batch as f32,
            };
            let offset = self.plan.buffers[id.0 as usize].offset;
            self.arenas[Arena::Once as usize].floats_mut(offset, 1)[0] = value;
        }
        let mut bases = [std::ptr::null_mut(); ARENAS];
        for (base, memory) in bases.iter_mut().zip(&mut self.arenas) {
            *base = memory.base();
        }
        bases[Arena::Variables as usize] = store.base();
        bases[Arena::Inputs as usize] = self.inputs.base(self.batch_read);
        let facts = Facts {
            moment,
            slots: batch.div_ceil(self.plan.tile * self.plan.tiles_per_slot),
            slot_bytes: self.plan.arena_bytes[Arena::Slots as usize].next_multiple_of(64),
        };
        Step { bases, facts, fill: None }
    }

    /// Writes what could not be written in place, and keeps outputs that are variables.
    fn end(&mut self, store: &mut Store) {
        for (from, to) in &self.plan.copies {
            let count = elements(&self.plan.buffers, *to);
            let [from, to] = [from, to].map(|id| &self.plan.buffers[id.0 as usize]);
            if from.arena == Arena::Variables {
                store.copy(from.offset, to.offset, count);
            } else {
                let (memory, start) = self.memory(from.arena);
                let values = memory.floats(start + from.offset, count);
                store.slice_mut(to.offset, count).copy_from_slice(values);
            }
        }
        for (output, copy) in &mut self.copies {
            let id = self.plan.outputs[*output].1;
            let (offset, count) = (self.plan.buffers[id.0 as usize].offset, elements(&self.plan.buffers, id));
            copy.floats_mut(0, count).copy_from_slice(store.slice_mut(offset, count));
        }
    }

    /// The place of an output and its number of elements after the last step.
    fn found(&self, output: usize) -> (&Memory, usize, usize) {
        let id = self.plan.outputs[output].1;
        let buffer = &self.plan.buffers[id.0 as usize];
        let count = elements(&self.plan.buffers, id);
        if let Some((_, copy)) = self.copies.iter().find(|(i, _)| *i == output) {
            return (copy, 0, count);
        }
        let values = if buffer.level == Level::Each { count * self.batch } else { count };
        let (memory, start) = self.memory(buffer.arena);
        (memory, start + buffer.offset, values)
    }

    /// The memory of an arena, and where it begins.
    fn memory(&self, arena: Arena) -> (&Memory, usize) {
        match arena {
            Arena::Inputs => self.inputs.memory(self.batch_read),
            Arena::Variables | Arena::Once | Arena::Tile | Arena::Batch | Arena::Slots => {
                (&self.arenas[arena as usize], 0)
            }
        }
    }

    /// The values of an output after a step: `[batch, ..]` for the examples of that step where there is one
    /// value per example. Empty if the plan has no such output.
    pub fn output(&self, name: &str) -> &[f32] {
        self.position(name).map_or(&[], |output| self.output_at(output))
    }

    /// As [`Program::output`], for an output of indices.
    pub fn index_output(&self, name: &str) -> &[i32] {
        self.position(name).map_or(&[], |output| self.index_output_at(output))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.plan.outputs.iter().position(|(n, _)| n == name)
    }

    /// As [`Program::output`], by the position among the plan's outputs.
    ///
    /// # Panics
    /// When there is no such output.
    pub fn output_at(&self, output: usize) -> &[f32] {
        let (memory, offset, count) = self.found(output);
        memory.floats(offset, count)
    }

    /// As [`Program::output_at`], for an output of indices.
    ///
    /// # Panics
    /// When there is no such output.
    pub fn index_output_at(&self, output: usize) -> &[i32] {
        let (memory, offset, count) = self.found(output);
        memory.indices(offset, count)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.engine.quit.store(true, Ordering::SeqCst);
        self.engine.start.advance();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its kernels; there is nothing left to report here.
            let _ = thread.join();
        }
    }
}

/// The size in bytes of each arena that a plan's program has with at most this many threads. The variables
/// have memory of their own and count 0.
pub fn arena_bytes(plan: &Plan, threads: usize) -> Vec<usize> {
    sizes(plan, team(plan, threads))
}

/// How many workers a program has. One that runs in one call has one, whatever the machine has: results must
/// not depend on the number of threads.
fn team(plan: &Plan, threads: usize) -> usize {
    if in_one_call(plan).is_some() { 1 } else { workers(plan, threads) }
}

/// The size in bytes of each arena; the variables have their own memory.
fn sizes(plan: &Plan, workers: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = plan.arena_bytes.iter().map(|bytes| bytes.next_multiple_of(64)).collect();
    sizes[Arena::Variables as usize] = 0;
    sizes[Arena::Tile as usize] *= workers;
    sizes[Arena::Slots as usize] *= plan.slots;
    sizes
}

/// What the executor relies on and the types do not say.
fn check(plan: &Plan) -> Result<(), Diagnostic> {
    let fault = |text: String| Err(Diagnostic::internal("exec", text));
    if plan.tile == 0 || plan.tiles_per_slot == 0 || plan.batch == 0 {
        return fault("a plan without examples".into());
    }
    if plan.slots * plan.tiles_per_slot * plan.tile < plan.batch {
        return fault(format!("{} slots do not hold a batch of {}", plan.slots, plan.batch));
    }
    let outputs = plan.outputs.iter().map(|(_, id)| *id);
    let host = plan.inputs.iter().map(|(id, _)| *id).chain(outputs);
    for id in host {
        let buffer = &plan.buffers[id.0 as usize];
        let contiguous = buffer.level == Level::Once || buffer.stride == 4 * buffer.ty.shape.elements();
        if !contiguous || matches!(buffer.arena, Arena::Tile | Arena::Slots) {
            return fault(format!("the host cannot reach {} in {:?}", buffer.name, buffer.arena));
        }
    }
    let updates = plan
        .copies
        .iter()
        .map(|(_, to)| *to)
        .find(|to: &BufferId| plan.buffers[to.0 as usize].arena != Arena::Variables);
    match updates {
        Some(to) => fault(format!("an update of {}, which is no variable", plan.buffers[to.0 as usize].name)),
        None => Ok(()),
    }
}
