//! The data of the steps of a stage: assembled ahead by a thread of its own, or in the step by its workers.
//!
//! The thread fills one group of batches while the steps read another; then the two change places. So it is
//! never more than a group ahead, and a batch is written once, where its step reads it. Which rows make a
//! batch is a function of the step, so it does not matter who assembles it, or when.
//!
//! Where every core has a worker, such a thread takes more time from them than the work it saves (measured:
//! 15 to 30 microseconds a step of 580 with two workers on two cores, against 10 for the assembling). Then each
//! worker assembles the examples that it is about to work on.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::batches::{Batches, fill};
use super::machine::{Task, Variables};
use crate::base::Diagnostic;
use crate::exec::{Inputs, Program};
use crate::ir::op::Moment;

/// Bytes of a group of batches: handing one over takes some microseconds of two threads, assembling this much
/// some fifteen, so that small batches go over many at a time.
const GROUP_BYTES: usize = 1 << 18;

/// Where batches come from.
pub enum Loader<'scope, 'a> {
    /// Each batch is assembled in its step.
    InStep(Batches<'a>),
    /// A thread runs ahead.
    Ahead(Ahead<'scope>),
}

/// The steps' side of the thread.
pub struct Ahead<'scope> {
    full: Receiver<Group>,
    empty: SyncSender<Group>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
    /// Examples of each batch of the group being read.
    examples: Vec<usize>,
    /// How many of them have been read.
    read: usize,
}

/// Room for some batches, and how many examples each has.
struct Group {
    inputs: Inputs,
    examples: Vec<usize>,
}

/// Batches in a group, for batches of this many bytes.
fn group(bytes: usize, steps: u64) -> usize {
    let batches = GROUP_BYTES.div_ceil(bytes.max(64));
    usize::try_from(steps).map_or(batches, |steps| batches.min(steps)).max(1)
}

/// Whether a program leaves a core for a thread besides its workers.
fn core_left(workers: usize) -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > workers)
}

/// Bytes of memory that batches assembled ahead take besides a program's own, if they are: for batches of so
/// many bytes.
pub fn bytes(batch: usize, steps: u64) -> usize {
    (2 * group(batch, steps) - 1) * batch
}

impl<'scope, 'a: 'scope> Loader<'scope, 'a> {
    /// The batches of the first `steps` steps of a task.
    ///
    /// # Errors
    /// Too little memory, or no further thread.
    pub fn new<'env>(
        scope: &'scope Scope<'scope, 'env>,
        batches: Batches<'a>,
        task: &mut Task,
        steps: u64,
    ) -> Result<Loader<'scope, 'a>, Diagnostic> {
        match task {
            Task::Compiled(program) if core_left(program.workers()) => {
                Ok(Loader::Ahead(Ahead::new(scope, batches, program, steps)?))
            }
            Task::Compiled(_) | Task::Interpreted(_) => Ok(Loader::InStep(batches)),
        }
    }
}

impl Loader<'_, '_> {
    /// Makes the next step, `moment.step`; returns its number of examples. The batch size of the moment is
    /// that of the step's data.
    pub fn step(&mut self, task: &mut Task, variables: &mut Variables, moment: Moment) -> usize {
        match (self, task, variables) {
            (Loader::Ahead(ahead), Task::Compiled(program), Variables::Compiled(store)) => {
                let examples = ahead.next(program);
                program.run(store, Moment { batch: examples as u64, ..moment });
                examples
            }
            (Loader::InStep(batches), task, variables) => {
                let examples = batches.seek(moment.step);
                batches.run(task, variables, Moment { batch: examples as u64, ..moment });
                examples
            }
            (Loader::Ahead(_), Task::Interpreted(_), _)
            | (Loader::Ahead(_), _, Variables::Interpreted(_)) => {
                unreachable!("only compiled code has batches assembled ahead")
            }
        }
    }
}

impl<'scope> Ahead<'scope> {
    fn new<'env, 'a: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        batches: Batches<'a>,
        program: &mut Program,
        steps: u64,
    ) -> Result<Ahead<'scope>, Diagnostic> {
        let size = group(program.input_bytes(), steps);
        let mut own = program.more_inputs(size)?;
        let other = program.more_inputs(size)?;
        program.exchange(&mut own);
        let examples = || Vec::with_capacity(size);
        let ((empty, emptied), (ready, full)) = (sync_channel(1), sync_channel(1));
        // There is room for one, so this does not wait.
        let _ = empty.send(Group { inputs: other, examples: examples() });
        let thread = std::thread::Builder::new()
            .name("loader".to_string())
            .spawn_scoped(scope, move || assemble(batches, steps, &emptied, &ready))
            .map_err(|error| Diagnostic::internal("train", format!("a thread did not start: {error}")))?;
        Ok(Ahead { full, empty, thread: Some(thread), examples: examples(), read: 0 })
    }

    /// Leads a program to the next batch; returns its number of examples.
    fn next(&mut self, program: &mut Program) -> usize {
        if self.read == self.examples.len() {
            let Ok(mut group) = self.full.recv() else {
                // The thread ends early by a panic alone, which goes on here.
                match self.thread.take().map(ScopedJoinHandle::join) {
                    Some(Err(panic)) => resume_unwind(panic),
                    Some(Ok(())) | None => unreachable!("as many batches as steps"),
                }
            };
            program.exchange(&mut group.inputs);
            std::mem::swap(&mut self.examples, &mut group.examples);
            // An error means that the last batch has been assembled.
            let _ = self.empty.send(group);
            self.read = 0;
        }
        program.choose(self.read);
        self.read += 1;
        self.examples[self.read - 1]
    }
}

/// The life of the thread: until the last step, or until nobody waits for batches any more.
fn assemble(mut batches: Batches, steps: u64, emptied: &Receiver<Group>, ready: &SyncSender<Group>) {
    let mut step = 1;
    while step <= steps {
        let Ok(mut group) = emptied.recv() else { return };
        group.examples.clear();
        while step <= steps && group.examples.len() < group.inputs.batches() {
            let batch = group.examples.len();
            group.examples.push(batches.seek(step));
            group.inputs.fill(batch, |input, values| {
                let (field, rows) = batches.input(input);
                fill(field, rows, values);
            });
            step += 1;
        }
        if ready.send(group).is_err() {
            return;
        }
    }
}
