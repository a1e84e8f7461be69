//! The state of a stage at some step, to return to when a later step turns out to have diverged.
//!
//! A step overwrites the parameters in place, and that it was a bad one shows only afterwards. Copying all
//! variables before every step would cost more than the guard may. So a copy is taken now and then, and the
//! few steps since are made again: a step is a function of the state and its number, so this gives the bits
//! that were there before the bad one.

use super::feed::Stream;
use super::machine::Variables;
use crate::ir::computation::VariableId;
use crate::ir::experiment::Experiment;

/// A copy of all that a step depends on.
pub struct Snapshot {
    /// The last complete step.
    pub step: u64,
    positions: Vec<(u64, usize)>,
    values: Vec<Vec<f64>>,
    raw: Vec<Vec<f32>>,
}

/// Steps between snapshots.
pub const EVERY: u64 = 64;

impl Snapshot {
    /// An empty one, to be taken before it is used.
    pub fn empty() -> Snapshot {
        Snapshot { step: 0, positions: Vec::new(), values: Vec::new(), raw: Vec::new() }
    }

    /// Copies the state; memory of an earlier copy is used again.
    pub fn take(&mut self, step: u64, experiment: &Experiment, variables: &Variables, streams: &[Stream]) {
        self.step = step;
        self.positions = streams.iter().map(Stream::position).collect();
        match variables {
            Variables::Compiled(store) => {
                self.raw.resize(store.len(), Vec::new());
                for (i, copy) in self.raw.iter_mut().enumerate() {
                    let values = store.get(VariableId(i as u32));
                    copy.resize(values.len(), 0.0);
                    copy.copy_from_slice(values);
                }
            }
            Variables::Interpreted(session) => {
                debug_assert_eq!(session.variables.len(), experiment.variables.len());
                self.values = session.variables.iter().map(|array| array.data.clone()).collect();
            }
        }
    }

    /// Brings the state back.
    pub fn restore(&self, variables: &mut Variables, streams: &mut [Stream]) {
        for (stream, position) in streams.iter_mut().zip(&self.positions) {
            stream.seek(*position);
        }
        match variables {
            Variables::Compiled(store) => {
                for (i, copy) in self.raw.iter().enumerate() {
                    store.get_mut(VariableId(i as u32)).copy_from_slice(copy);
                }
            }
            Variables::Interpreted(session) => {
                for (array, copy) in session.variables.iter_mut().zip(&self.values) {
                    array.data.copy_from_slice(copy);
                }
            }
        }
    }
}
