//! What runs a computation: compiled code, or with `--interpret` the f64 reference evaluator.

use super::batches;
use crate::base::Diagnostic;
use crate::exec::{Program, Store};
use crate::interp::{Session, Value};
use crate::ir::computation::VariableId;
use crate::ir::op::Moment;
use crate::ir::plan::Plan;
use crate::ir::{Array, Computation};
use crate::passes;
use crate::passes::plan::{PlanOptions, plan};
use crate::readers::Field;
use crate::ty::{DType, Type};

/// How computations are run.
#[derive(Clone, Copy, Debug)]
pub struct MachineOptions {
    /// Threads of compiled code; results do not depend on it.
    pub threads: usize,
    /// Run the reference evaluator instead.
    pub interpret: bool,
    /// Run the optimising passes.
    pub optimize: bool,
    /// But not these.
    pub off: passes::Off,
}

impl MachineOptions {
    /// The passes that run.
    pub fn passes(&self) -> passes::Options {
        match self.optimize {
            true => passes::Options { off: self.off.names().iter().map(ToString::to_string).collect() },
            false => passes::Options::bare(),
        }
    }
}

/// The variables of an experiment, where the machine keeps them.
pub enum Variables {
    /// In f32, for compiled code.
    Compiled(Store),
    /// In f64, for the reference evaluator.
    Interpreted(Session),
}

impl Variables {
    /// Zeros for variables of these types.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn new(types: &[Type], options: &MachineOptions) -> Result<Variables, Diagnostic> {
        if options.interpret {
            let zeros = types.iter().map(|ty| Array::from_fn(&ty.shape, |_| 0.0)).collect();
            return Ok(Variables::Interpreted(Session::new(zeros)));
        }
        Ok(Variables::Compiled(Store::new(types)?))
    }

    /// The value of a variable, in f32.
    pub fn get(&self, id: VariableId) -> Vec<f32> {
        match self {
            Variables::Compiled(store) => store.get(id).to_vec(),
            Variables::Interpreted(session) => {
                session.variables[id.0 as usize].data.iter().map(|v| *v as f32).collect()
            }
        }
    }

    /// Sets the value of a variable; as many numbers as it has elements.
    pub fn set(&mut self, id: VariableId, values: &[f32]) {
        match self {
            Variables::Compiled(store) => store.get_mut(id).copy_from_slice(values),
            Variables::Interpreted(session) => {
                for (to, from) in session.variables[id.0 as usize].data.iter_mut().zip(values) {
                    *to = f64::from(*from);
                }
            }
        }
    }

    /// Copies all values; the memory of an earlier copy is used again.
    pub fn save(&self, copy: &mut Saved) {
        match self {
            Variables::Compiled(store) => {
                copy.floats.resize(store.len(), Vec::new());
                for (i, to) in copy.floats.iter_mut().enumerate() {
                    let from = store.get(VariableId(i as u32));
                    to.resize(from.len(), 0.0);
                    to.copy_from_slice(from);
                }
            }
            Variables::Interpreted(session) => copy.arrays.clone_from(&session.variables),
        }
    }

    /// Brings the values of a copy back.
    pub fn restore(&mut self, copy: &Saved) {
        match self {
            Variables::Compiled(store) => {
                for (i, from) in copy.floats.iter().enumerate() {
                    store.get_mut(VariableId(i as u32)).copy_from_slice(from);
                }
            }
            Variables::Interpreted(session) => session.variables.clone_from(&copy.arrays),
        }
    }

    /// Whether all values of a variable of floats are finite.
    pub fn is_finite(&self, id: VariableId) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        match self {
            // The largest exponent tells. No early end, so that the loop runs in vectors.
            Variables::Compiled(store) => {
                let bad = |v: &f32| u32::from(v.to_bits() & EXPONENT == EXPONENT);
                store.get(id).iter().fold(0, |any, v| any | bad(v)) == 0
            }
            Variables::Interpreted(session) => {
                session.variables[id.0 as usize].data.iter().all(|v| v.is_finite())
            }
        }
    }

    /// All values for the reference evaluator.
    pub fn arrays(&self, types: &[Type]) -> Vec<Array> {
        match self {
            Variables::Interpreted(session) => session.variables.clone(),
            Variables::Compiled(_) => (0..types.len())
                .map(|i| {
                    let values = self.get(VariableId(i as u32));
                    Array::new(types[i].shape.clone(), values.into_iter().map(f64::from).collect())
                })
                .collect(),
        }
    }
}

/// A copy of all values.
#[derive(Default)]
pub struct Saved {
    floats: Vec<Vec<f32>>,
    arrays: Vec<Array>,
}

/// Graph to plan.
///
/// # Errors
/// Faults of the compiler.
pub fn plan_of(
    computation: &Computation,
    types: &[Type],
    batch: usize,
    options: &MachineOptions,
) -> Result<Plan, Diagnostic> {
    let (simplified, _) = passes::run(computation.clone(), &options.passes())?;
    plan(&simplified, types, &PlanOptions { batch, tile: None, fuse: options.optimize })
}

/// A computation that is ready to run.
pub enum Task {
    /// Machine code with its memory.
    Compiled(Box<Program>),
    /// The graph itself.
    Interpreted(Box<Interpreted>),
}

/// A graph with the results of its last step.
pub struct Interpreted {
    computation: Computation,
    outputs: Vec<Vec<f64>>,
}

/// The values of an output: those of all examples where it is per example.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// Numbers of compiled code.
    Floats(&'a [f32]),
    /// Indices of compiled code.
    Indices(&'a [i32]),
    /// Numbers of the reference evaluator.
    Exact(&'a [f64]),
}

impl Output<'_> {
    /// The first value; NaN where there is none.
    pub fn first(self) -> f64 {
        let first = match self {
            Output::Floats(values) => values.first().map(|v| f64::from(*v)),
            Output::Indices(values) => values.first().map(|v| f64::from(*v)),
            Output::Exact(values) => values.first().copied(),
        };
        first.unwrap_or(f64::NAN)
    }

    /// Adds the values to others, one to one.
    pub fn add_to(self, totals: &mut [f64]) {
        match self {
            Output::Floats(values) => totals.iter_mut().zip(values).for_each(|(t, v)| *t += f64::from(*v)),
            Output::Indices(values) => totals.iter_mut().zip(values).for_each(|(t, v)| *t += f64::from(*v)),
            Output::Exact(values) => totals.iter_mut().zip(values).for_each(|(t, v)| *t += v),
        }
    }

    /// All values.
    pub fn to_vec(self) -> Vec<f64> {
        match self {
            Output::Floats(values) => values.iter().map(|v| f64::from(*v)).collect(),
            Output::Indices(values) => values.iter().map(|v| f64::from(*v)).collect(),
            Output::Exact(values) => values.to_vec(),
        }
    }
}

impl Task {
    /// Prepares a computation for batches of at most this many examples.
    ///
    /// # Errors
    /// Faults of the compiler, and too little memory.
    pub fn new(
        computation: &Computation,
        types: &[Type],
        batch: usize,
        options: &MachineOptions,
    ) -> Result<Task, Diagnostic> {
        if options.interpret {
            let computation = computation.clone();
            return Ok(Task::Interpreted(Box::new(Interpreted { computation, outputs: Vec::new() })));
        }
        let plan = plan_of(computation, types, batch, options)?;
        Ok(Task::Compiled(Box::new(Program::compile(plan, options.threads)?)))
    }

    /// Makes a step with this data.
    pub fn run(&mut self, variables: &mut Variables, feed: &Feed, moment: Moment) {
        match (self, variables) {
            (Task::Compiled(program), Variables::Compiled(store)) => {
                program.run_on(store, moment, &|input, examples, values| {
                    let (field, rows) = (feed.at)(input);
                    batches::fill(field, &rows[examples], values);
                });
            }
            (Task::Interpreted(task), Variables::Interpreted(session)) => {
                let inputs: Vec<Vec<Array>> = (0..feed.inputs).map(|input| feed.arrays(input)).collect();
                let outputs = session.step(&task.computation, &inputs, moment);
                let flat = |value: &Value| value.arrays().iter().flat_map(|a| a.data.clone()).collect();
                task.outputs = outputs.iter().map(|(_, value)| flat(value)).collect();
            }
            (Task::Compiled(_), Variables::Interpreted(_))
            | (Task::Interpreted(_), Variables::Compiled(_)) => {
                unreachable!("tasks and variables are made with the same options")
            }
        }
    }

    /// An output of the last step, by its position in the computation.
    pub fn output(&self, output: usize) -> Output<'_> {
        match self {
            Task::Compiled(program) => {
                let plan = program.plan();
                match plan.buffers[plan.outputs[output].1.0 as usize].ty.dtype {
                    DType::F32 | DType::Bool => Output::Floats(program.output_at(output)),
                    DType::Index(_) => Output::Indices(program.index_output_at(output)),
                }
            }
            Task::Interpreted(task) => Output::Exact(task.outputs.get(output).map_or(&[], Vec::as_slice)),
        }
    }
}

/// The data of one step.
#[derive(Clone, Copy)]
pub struct Feed<'a> {
    /// How many inputs there are.
    pub inputs: usize,
    /// The field of an input and its rows, as many for each.
    pub at: &'a (dyn Fn(usize) -> (&'a Field, &'a [u32]) + Sync),
}

impl Feed<'_> {
    /// An input for the reference evaluator.
    pub fn arrays(&self, input: usize) -> Vec<Array> {
        let (field, rows) = (self.at)(input);
        batches::arrays(field, rows)
    }
}
