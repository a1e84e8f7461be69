//! The data of the steps of a stage: assembled ahead by a thread of its own, or by the caller.
//!
//! The thread fills one group of batches while the steps read another; then the two change places. So it is
//! never more than a group ahead, and a batch is written once, where its step reads it. Which rows make a
//! batch is a function of the step, so it does not matter who assembles it, or when.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::batches::{Batches, fill, fill_indices};
use super::machine::Task;
use crate::base::Diagnostic;
use crate::exec::Inputs;
use crate::ty::DType;

/// Bytes of a group of batches: handing one over takes some microseconds of two threads, assembling this much
/// some fifty, so that small batches go over many at a time.
const GROUP_BYTES: usize = 1 << 18;

/// Where batches come from.
pub enum Loader<'scope, 'a> {
    /// The caller assembles each batch when its step comes.
    Direct(Batches<'a>),
    /// A thread does.
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

/// Batches in a group.
fn group(bytes: usize, steps: u64) -> usize {
    let batches = GROUP_BYTES.div_ceil(bytes.max(64)).max(1);
    batches.min(usize::try_from(steps).unwrap_or(usize::MAX)).max(1)
}

/// Bytes of memory that the batches assembled ahead take, for batches of this size.
pub fn bytes(batch: usize, steps: u64) -> usize {
    2 * group(batch, steps) * batch
}

impl<'scope, 'a: 'scope> Loader<'scope, 'a> {
    /// Batches for these steps of a task, by a thread where there is compiled code to run meanwhile.
    ///
    /// # Errors
    /// Too little memory, or no further thread.
    pub fn new<'env>(
        scope: &'scope Scope<'scope, 'env>,
        batches: Batches<'a>,
        task: &mut Task,
        steps: u64,
    ) -> Result<Loader<'scope, 'a>, Diagnostic> {
        let Some(program) = task.program() else { return Ok(Loader::Direct(batches)) };
        let size = group(program.input_bytes(), steps);
        let (mut own, other) = (program.more_inputs(size)?, program.more_inputs(size)?);
        program.exchange(&mut own);
        let (fill_next, empty) = sync_channel(1);
        let (ready, full) = sync_channel(1);
        let first = Group { inputs: other, examples: Vec::with_capacity(size) };
        // There is room for one, so this does not wait.
        let _ = fill_next.send(first);
        let thread = std::thread::Builder::new()
            .name("loader".to_string())
            .spawn_scoped(scope, move || assemble(batches, steps, &empty, &ready))
            .map_err(|error| Diagnostic::internal("train", format!("a thread did not start: {error}")))?;
        let examples = Vec::with_capacity(size);
        Ok(Loader::Ahead(Ahead { full, empty: fill_next, thread: Some(thread), examples, read: 0 }))
    }
}

impl Loader<'_, '_> {
    /// Gives a task the data of the next step, which is `step`; returns the number of examples.
    pub fn next(&mut self, task: &mut Task, step: u64) -> usize {
        match self {
            Loader::Direct(batches) => feed(batches, task, step),
            Loader::Ahead(ahead) => ahead.next(task),
        }
    }
}

/// Assembles the batch of a step where the task reads it; returns the number of examples.
pub fn feed(batches: &mut Batches, task: &mut Task, step: u64) -> usize {
    let examples = batches.seek(step);
    for (i, (field, rows)) in batches.inputs().enumerate() {
        task.feed(i, field, rows);
    }
    examples
}

impl Ahead<'_> {
    fn next(&mut self, task: &mut Task) -> usize {
        let Some(program) = task.program() else { return 0 };
        if self.read == self.examples.len() {
            let Ok(mut group) = self.full.recv() else {
                // It ends early only by a panic, which goes on here.
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
fn assemble(mut batches: Batches, steps: u64, empty: &Receiver<Group>, ready: &SyncSender<Group>) {
    let mut step = 1;
    while step <= steps {
        let Ok(mut group) = empty.recv() else { return };
        group.examples.clear();
        while step <= steps && group.examples.len() < group.inputs.batches() {
            let at = group.examples.len();
            group.examples.push(batches.seek(step));
            for (i, (field, rows)) in batches.inputs().enumerate() {
                match field.dtype {
                    DType::F32 | DType::Bool => fill(field, rows, group.inputs.floats_mut(at, i)),
                    DType::Index(_) => fill_indices(field, rows, group.inputs.indices_mut(at, i)),
                }
            }
            step += 1;
        }
        if ready.send(group).is_err() {
            return;
        }
    }
}
