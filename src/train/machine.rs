//! What runs a computation: compiled code, or the interpreter behind the same few calls.

use super::feed;
use crate::base::Diagnostic;
use crate::exec::{Program, Store};
use crate::interp::{Session, Value, initial_value};
use crate::ir::computation::VariableId;
use crate::ir::experiment::{Experiment, Variable};
use crate::ir::op::Moment;
use crate::ir::{Array, Computation};
use crate::readers::Field;
use crate::ty::{DType, Type};

/// A computation that can run.
pub enum Machine {
    /// Machine code.
    Compiled(Box<Program>),
    /// The reference evaluator, in f64.
    Interpreted(Box<Interpreted>),
}

/// A computation with the batch that it will see and the results that it had.
pub struct Interpreted {
    computation: Computation,
    inputs: Vec<Vec<Array>>,
    outputs: Vec<(String, Value)>,
}

/// The values of all variables of a run.
pub enum Variables {
    /// In f32, for compiled code.
    Compiled(Store),
    /// In f64.
    Interpreted(Session),
}

/// The generator's state while first values are computed.
fn beginning(seed: u64) -> Moment {
    Moment { seed, step: 0, example: 0, batch: 1 }
}

impl Machine {
    /// For the interpreter.
    pub fn interpreted(computation: Computation) -> Machine {
        Machine::Interpreted(Box::new(Interpreted { computation, inputs: Vec::new(), outputs: Vec::new() }))
    }

    /// Sets input number `input` to a field's values in these rows.
    pub fn feed(&mut self, input: usize, field: &Field, rows: &[u32]) {
        match self {
            Machine::Compiled(program) if feed::is_index(field) => {
                feed::fill_index(field, rows, program.index_input_mut(input));
            }
            Machine::Compiled(program) => feed::fill(field, rows, program.input_mut(input)),
            Machine::Interpreted(machine) => {
                if machine.inputs.len() <= input {
                    machine.inputs.resize(input + 1, Vec::new());
                }
                machine.inputs[input] = feed::arrays(field, rows);
            }
        }
    }

    /// Runs a step on what was fed.
    ///
    /// # Panics
    /// When the variables are those of the other kind of machine: a fault of the caller.
    pub fn run(&mut self, variables: &mut Variables, moment: Moment) {
        match (self, variables) {
            (Machine::Compiled(program), Variables::Compiled(store)) => program.run(store, moment),
            (Machine::Interpreted(machine), Variables::Interpreted(session)) => {
                machine.outputs = session.step(&machine.computation, &machine.inputs, moment);
            }
            (Machine::Compiled(_), Variables::Interpreted(_))
            | (Machine::Interpreted(_), Variables::Compiled(_)) => {
                panic!("a machine and variables of different kinds")
            }
        }
    }

    /// A scalar result of the last step.
    pub fn scalar(&self, name: &str) -> f64 {
        match self {
            Machine::Compiled(program) => program.output(name).first().map_or(f64::NAN, |v| f64::from(*v)),
            Machine::Interpreted(machine) => {
                machine.value(name).and_then(|v| v.arrays().first()?.data.first()).copied().unwrap_or(f64::NAN)
            }
        }
    }

    /// Adds a result of the last step to a sum.
    pub fn add_output(&self, name: &str, sum: &mut [f64]) {
        match self {
            Machine::Compiled(program) => {
                sum.iter_mut().zip(program.output(name)).for_each(|(s, v)| *s += f64::from(*v));
            }
            Machine::Interpreted(machine) => {
                let values = machine.value(name).and_then(|v| v.arrays().first());
                let values = values.map_or(&[][..], |v| &v.data);
                sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
            }
        }
    }

    /// All values of a result of the last step, of one example after the other.
    pub fn output(&self, name: &str, index: bool) -> Vec<f64> {
        match self {
            Machine::Compiled(program) if index => {
                program.index_output(name).iter().map(|v| f64::from(*v)).collect()
            }
            Machine::Compiled(program) => program.output(name).iter().map(|v| f64::from(*v)).collect(),
            Machine::Interpreted(machine) => {
                let arrays = machine.value(name).map_or(&[][..], Value::arrays);
                arrays.iter().flat_map(|a| a.data.iter().copied()).collect()
            }
        }
    }
}

impl Interpreted {
    fn value(&self, name: &str) -> Option<&Value> {
        self.outputs.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }
}

impl Variables {
    /// The first values of an experiment's variables, as their initialisers compute them.
    ///
    /// # Errors
    /// When they do not fit into memory.
    pub fn initial(experiment: &Experiment, interpret: bool) -> Result<Variables, Diagnostic> {
        let moment = beginning(experiment.seed);
        if interpret {
            // Rounded to f32, so that both kinds of machine start from the same values.
            let mut session = Session::initial(&experiment.variables, moment);
            for array in &mut session.variables {
                array.data.iter_mut().for_each(|v| *v = f64::from(*v as f32));
            }
            return Ok(Variables::Interpreted(session));
        }
        let types: Vec<Type> = experiment.variables.iter().map(|v| v.ty.clone()).collect();
        let mut variables = Variables::Compiled(Store::new(&types)?);
        for (i, variable) in experiment.variables.iter().enumerate() {
            variables.set(VariableId(i as u32), &variable.ty, &initial_value(variable, moment).data);
        }
        Ok(variables)
    }

    /// The values of a variable.
    pub fn get(&self, id: VariableId, ty: &Type) -> Vec<f64> {
        match self {
            Variables::Compiled(store) => match ty.dtype {
                DType::Index(_) => store.indices(id).iter().map(|v| f64::from(*v)).collect(),
                DType::F32 | DType::Bool => store.get(id).iter().map(|v| f64::from(*v)).collect(),
            },
            Variables::Interpreted(session) => {
                session.variables.get(id.0 as usize).map_or_else(Vec::new, |a| a.data.clone())
            }
        }
    }

    /// Sets the values of a variable.
    pub fn set(&mut self, id: VariableId, ty: &Type, values: &[f64]) {
        match self {
            Variables::Compiled(store) => match ty.dtype {
                DType::Index(_) => {
                    store.indices_mut(id).iter_mut().zip(values).for_each(|(o, v)| *o = *v as i32);
                }
                DType::F32 | DType::Bool => {
                    store.get_mut(id).iter_mut().zip(values).for_each(|(o, v)| *o = *v as f32);
                }
            },
            Variables::Interpreted(session) => {
                session.variables[id.0 as usize].data.copy_from_slice(values);
            }
        }
    }

    /// All values, for the reference evaluator.
    pub fn arrays(&self, variables: &[Variable]) -> Vec<Array> {
        let array = |(i, variable): (usize, &Variable)| {
            Array::new(variable.ty.shape.clone(), self.get(VariableId(i as u32), &variable.ty))
        };
        variables.iter().enumerate().map(array).collect()
    }

    /// Whether a variable of floats has only finite values.
    pub fn is_finite(&self, id: VariableId) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        match self {
            // The largest exponent decides: whole numbers, so that the loop runs in wide vectors.
            Variables::Compiled(store) => {
                store.get(id).iter().map(|v| v.to_bits() & EXPONENT).fold(0, u32::max) != EXPONENT
            }
            Variables::Interpreted(session) => session.variables[id.0 as usize].data.iter().all(|v| v.is_finite()),
        }
    }
}
