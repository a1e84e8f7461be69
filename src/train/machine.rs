//! What runs a computation: compiled code, or with `--interpret` the f64 reference evaluator.

use super::batches;
use crate::base::Diagnostic;
use crate::exec::{Program, Store};
use crate::interp::{Session, Value};
use crate::ir::computation::VariableId;
use crate::ir::experiment::InputField;
use crate::ir::op::Moment;
use crate::ir::plan::BufferId;
use crate::ir::plan::Plan;
use crate::ir::{Array, Computation};
use crate::passes;
use crate::passes::plan::{PlanOptions, plan};
use crate::readers::Table;
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
}

impl MachineOptions {
    /// The passes that run.
    pub fn passes(&self) -> passes::Options {
        if self.optimize { passes::Options::default() } else { passes::Options::bare() }
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
            // The largest exponent tells: whole numbers, so that the loop runs in wide vectors.
            Variables::Compiled(store) => {
                store.get(id).iter().map(|v| v.to_bits() & EXPONENT).fold(0, u32::max) != EXPONENT
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
    Interpreted(Box<Computation>),
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
            return Ok(Task::Interpreted(Box::new(computation.clone())));
        }
        let plan = plan_of(computation, types, batch, options)?;
        Ok(Task::Compiled(Box::new(Program::compile(plan, options.threads)?)))
    }

    /// Runs it on these rows of the tables; `rows` has the rows for each table. Returns the outputs in the
    /// order of the computation, each with the values of all examples where it is per example.
    pub fn run(&mut self, variables: &mut Variables, feed: &Feed, moment: Moment) -> Vec<Vec<f64>> {
        match (self, variables) {
            (Task::Compiled(program), Variables::Compiled(store)) => {
                for (i, (input, rows)) in feed.fields.iter().zip(&feed.rows).enumerate() {
                    let field = &feed.tables[input.table].fields[input.field];
                    match field.dtype {
                        DType::F32 | DType::Bool => batches::fill(field, rows, program.input_mut(i)),
                        DType::Index(_) => batches::fill_indices(field, rows, program.index_input_mut(i)),
                    }
                }
                program.run(store, moment);
                let plan = program.plan();
                let value = |(name, buffer): &(String, BufferId)| match plan.buffers[buffer.0 as usize]
                    .ty
                    .dtype
                {
                    DType::F32 | DType::Bool => program.output(name).iter().map(|v| f64::from(*v)).collect(),
                    DType::Index(_) => program.index_output(name).iter().map(|v| f64::from(*v)).collect(),
                };
                plan.outputs.iter().map(value).collect()
            }
            (Task::Interpreted(computation), Variables::Interpreted(session)) => {
                let inputs = feed.arrays();
                let outputs = session.step(computation, &inputs, moment);
                let flat = |value: &Value| value.arrays().iter().flat_map(|a| a.data.clone()).collect();
                outputs.iter().map(|(_, value)| flat(value)).collect()
            }
            (Task::Compiled(_), Variables::Interpreted(_))
            | (Task::Interpreted(_), Variables::Compiled(_)) => {
                unreachable!("tasks and variables are made with the same options")
            }
        }
    }
}

/// The data of one step: for each input of the graph its field and its rows.
#[derive(Clone, Debug)]
pub struct Feed<'a> {
    /// All tables.
    pub tables: &'a [Table],
    /// The field of each input.
    pub fields: &'a [InputField],
    /// The rows of each input; all of one length.
    pub rows: Vec<&'a [u32]>,
}

impl Feed<'_> {
    /// The values for the reference evaluator.
    pub fn arrays(&self) -> Vec<Vec<Array>> {
        self.fields
            .iter()
            .zip(&self.rows)
            .map(|(input, rows)| batches::arrays(&self.tables[input.table].fields[input.field], rows))
            .collect()
    }
}
