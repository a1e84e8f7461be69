//! The record that defines an operation: everything the compiler knows of it, every field written.

use super::{AttrSpec, Attrs, Builder, Kernel, Level, NodeId};
use crate::ty::{Shape, Type};

/// An operation. One file of `src/ops/` holds one, or a small family of one kind.
#[derive(Debug)]
pub struct Op {
    /// Its name in the IR and, where the language shows it, in specs.
    pub name: &'static str,
    /// Documentation: first line a summary; then shapes, attributes, an example, the source of the method.
    pub doc: &'static str,
    /// Its static arguments.
    pub attrs: &'static [AttrSpec],
    /// How many inputs it takes.
    pub arity: Arity,
    /// At which level the result stands.
    pub level: LevelRule,
    /// The shape rule: the type of the result, or what does not fit.
    pub shape: fn(&Signature) -> Result<Type, Mismatch>,
    /// The gradient rule.
    pub grad: Grad,
    /// How it is computed.
    pub lower: Lower,
    /// Its meaning: a naive evaluation in f64 for one example.
    pub reference: fn(&RefCall) -> Array,
    /// Sample cases for the tests of shapes, gradients and the JIT.
    pub cases: fn() -> Vec<Case>,
}

impl PartialEq for Op {
    fn eq(&self, other: &Op) -> bool {
        self.name == other.name
    }
}

/// How many inputs an op takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Just this many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
}

/// At which level a result stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelRule {
    /// `Each` if any input is, else `Once`.
    Join,
    /// Always `Once` (`batch_sum`, variables, constants).
    Once,
    /// Always `Each` (fields of the data).
    Each,
    /// As the attribute `each` says (random numbers).
    Attr,
}

/// What a shape rule sees.
#[derive(Debug)]
pub struct Signature<'a> {
    /// The inputs' types.
    pub inputs: &'a [&'a Type],
    /// The static arguments.
    pub attrs: &'a Attrs,
}

/// Why a shape rule refuses.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// Which inputs clash, most to blame first; empty where an attribute is at fault.
    pub inputs: Vec<usize>,
    /// What does not fit, one line: `the inner dimensions 784 and 256 differ`.
    pub message: String,
    /// A way out, where one is known.
    pub help: Option<String>,
}

impl Mismatch {
    /// A refusal that blames these inputs.
    pub fn of(inputs: &[usize], message: impl Into<String>) -> Mismatch {
        Mismatch { inputs: inputs.to_vec(), message: message.into(), help: None }
    }

    /// Adds a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Mismatch {
        self.help = Some(help.into());
        self
    }
}

/// The gradient rule of an op.
#[derive(Clone, Copy, Debug)]
pub enum Grad {
    /// Given the node and the gradient of its result (same shape), the gradient of each input (that
    /// input's shape), `None` where there is none. May use the node's own value. Levels are not its
    /// concern: what reaches a `Once` input from an `Each` node is summed over the batch by the caller.
    Rule(fn(&mut Builder, NodeId, NodeId) -> Vec<Option<NodeId>>),
    /// The derivative is zero or does not exist: comparisons, indices, leaves.
    Zero,
    /// Nobody asks: passes make the op of others after gradients have been taken.
    Late,
}

/// How an op is computed.
#[derive(Clone, Copy, Debug)]
pub enum Lower {
    /// By other ops: appends them and returns the node that stands for the result.
    Ops(fn(&mut Builder, NodeId) -> NodeId),
    /// By one kernel.
    Kernel(fn(&Signature, &Type) -> Kernel),
}

/// A tensor of the reference evaluator: row-major f64; whole numbers and truth values as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents.
    pub shape: Shape,
    /// Elements, row-major.
    pub data: Vec<f64>,
}

impl Array {
    /// An array from its parts.
    ///
    /// # Panics
    /// When the number of elements is not that of the shape.
    pub fn new(shape: Shape, data: Vec<f64>) -> Array {
        assert_eq!(shape.elements(), data.len(), "elements of {shape}");
        Array { shape, data }
    }

    /// A scalar.
    pub fn scalar(value: f64) -> Array {
        Array { shape: Shape::scalar(), data: vec![value] }
    }

    /// An array whose element at each row-major position is a function of its index.
    pub fn from_fn(shape: &Shape, mut f: impl FnMut(&[usize]) -> f64) -> Array {
        let mut index = vec![0; shape.rank()];
        let mut data = Vec::with_capacity(shape.elements());
        for _ in 0..shape.elements() {
            data.push(f(&index));
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Array { shape: shape.clone(), data }
    }

    /// The element at an index.
    pub fn at(&self, index: &[usize]) -> f64 {
        let mut offset = 0;
        for (i, extent) in index.iter().zip(self.shape.iter()) {
            offset = offset * extent + i;
        }
        self.data[offset]
    }
}

/// What the reference evaluation of an op sees: one example.
#[derive(Debug)]
pub struct RefCall<'a> {
    /// The inputs' values. For `batch_sum` alone: all examples' values of its one input.
    pub inputs: &'a [&'a Array],
    /// The static arguments.
    pub attrs: &'a Attrs,
    /// The type of the result.
    pub ty: &'a Type,
    /// The state of the random generator and of the step.
    pub moment: Moment,
}

/// Where in a run a step stands: what random numbers, schedules and batch means depend on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// Seed of the experiment mixed with the stage.
    pub seed: u64,
    /// The step, from 1.
    pub step: u64,
    /// Position in the batch of the example being evaluated (0 for `Once` nodes).
    pub example: u64,
    /// Number of examples in this batch.
    pub batch: u64,
}

/// A sample case of an op, for tests.
#[derive(Clone, Debug)]
pub struct Case {
    /// The inputs' types.
    pub inputs: Vec<Type>,
    /// The level of each input; where shorter than `inputs`, the rest are [`Level::Each`].
    pub levels: Vec<Level>,
    /// The static arguments.
    pub attrs: Attrs,
    /// From which range the inputs' elements are drawn, where their type is f32.
    pub range: (f64, f64),
    /// Largest relative error of the JIT in f32 against the reference in f64.
    pub tolerance: f64,
    /// Whether the gradient is compared with finite differences (false near kinks and for Grad::Zero).
    pub differentiable: bool,
}

impl Case {
    /// A case over f32 inputs of these shapes, per example, drawn from -2..2, tolerance 1e-5.
    pub fn f32(shapes: &[&[usize]], attrs: Attrs) -> Case {
        Case {
            inputs: shapes.iter().map(|s| Type::f32(Shape::of(s))).collect(),
            levels: Vec::new(),
            attrs,
            range: (-2.0, 2.0),
            tolerance: 1e-5,
            differentiable: true,
        }
    }

    /// Draws from another range.
    #[must_use]
    pub fn range(mut self, low: f64, high: f64) -> Case {
        self.range = (low, high);
        self
    }

    /// Sets the inputs' levels.
    #[must_use]
    pub fn levels(mut self, levels: &[Level]) -> Case {
        self.levels = levels.to_vec();
        self
    }

    /// Sets the tolerance.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Case {
        self.tolerance = tolerance;
        self
    }

    /// Leaves out the comparison of gradients.
    #[must_use]
    pub fn not_differentiable(mut self) -> Case {
        self.differentiable = false;
        self
    }
}
