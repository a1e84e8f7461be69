//! Floor 7: trains a checked experiment: stages, batches, metrics, weights, the run folder.

mod averages;
pub mod batches;
pub mod cost;
mod diverged;
pub mod folder;
pub mod generate;
pub mod gradcheck;
mod loader;
pub mod machine;
pub mod measure;
pub mod measured;
pub mod run;
pub mod watch;
pub mod weights;

pub use generate::SampleRecord;
pub use machine::{Feed, MachineOptions, Task, Variables};
pub use measured::Measured;
pub use run::{Ended, Event, Record, RunOptions, run};
