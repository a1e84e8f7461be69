//! Kernel kinds: the closed set of ways in which an op is computed, for one example, by no backend in
//! particular. Passes and backends match on these exhaustively and never ask for an op's name.

use std::sync::Arc;

use super::Body;
use super::computation::VariableId;
pub use crate::kernels::conv::{Conv, Window};
pub use crate::kernels::conv_pool::ConvPool;

/// How one op is computed from its inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Kernel {
    /// Not computed: there when the step starts.
    Source(Source),
    /// Each element from the inputs' elements at the same index; all shapes are equal.
    Map(Scalar),
    /// Combines the elements of input 0 along these axes (ascending), which vanish.
    Reduce(Combine, Vec<usize>),
    /// Each element is an element of input 0 at an index that is an affine function of its own.
    View(View),
    /// The same elements in row-major order, in another shape.
    Reshape,
    /// The index along this axis, as a number.
    Iota(usize),
    /// Input 0 inside a larger tensor: `low` elements before it along each axis, `fill` elsewhere.
    Pad {
        /// How many elements stand before the input along each axis.
        low: Vec<usize>,
        /// The value elsewhere.
        fill: f64,
    },
    /// The inputs one after the other along an axis.
    Concat(usize),
    /// A sum of products of two inputs over shared labels: matrix products of every kind.
    Contract(Contraction),
    /// The sum over all examples of the batch.
    BatchSum,
    /// All examples' values of input 0, one after the other: `Each` to `Once`.
    Batch,
    /// Of input 0 the part along the first axis that belongs to this example: `Once` to `Each`.
    Example,
    /// A hand-written kernel of `kernels/`.
    Leaf(Leaf),
    /// A loop over axis 0 of some inputs.
    Scan(Scan),
}

/// A loop. Its inputs are the sequences `[t, ..]`, the first values of the carries, and what its body reads from
/// outside; its result `[t, width]` has one row per step, at the place of the step's part of the sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// What a step computes.
    pub body: Arc<Body>,
    /// How many steps.
    pub count: usize,
    /// How many of the inputs are sequences: the first ones.
    pub sequences: usize,
    /// From the last step to the first.
    pub reverse: bool,
}

/// A value that is there when the step starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// A field of the data: the index of the batch's input.
    Input(usize),
    /// A parameter or state.
    Variable(VariableId),
    /// In the body of a loop: which argument of the step.
    Argument(usize),
    /// A number known at compile time (shape `[]`).
    Constant(f64),
    /// The number of this step, from 1 (shape `[]`).
    Step,
    /// The number of examples in this batch (shape `[]`).
    BatchSize,
}

/// A function of up to three numbers. Truth values are 1 and 0; whole numbers are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the field's
pub enum Scalar {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Min,
    Max,
    Neg,
    Abs,
    Sign,
    Floor,
    Exp,
    Log,
    Sqrt,
    Rsqrt,
    Tanh,
    Sigmoid,
    Erf,
    Sin,
    Cos,
    Lt,
    Le,
    Eq,
    And,
    Or,
    Not,
    /// `condition, then, else`
    Select,
    /// The nearest whole number towards zero.
    Trunc,
}

impl Scalar {
    /// How many arguments it takes.
    pub fn arity(self) -> usize {
        use Scalar::*;
        match self {
            Add | Sub | Mul | Div | Pow | Min | Max | Lt | Le | Eq | And | Or => 2,
            Neg | Abs | Sign | Floor | Exp | Log | Sqrt | Rsqrt | Tanh | Sigmoid | Erf | Sin | Cos | Not
            | Trunc => 1,
            Select => 3,
        }
    }
}

/// How a reduction combines elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Combine {
    Sum,
    Max,
    Min,
}

/// For each axis of the input, the index as an affine function of the result's index:
/// `input[d] = base[d] + sum over terms (axis, factor) of factor * result[axis]`.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// One entry per axis of the input.
    pub axes: Vec<ViewAxis>,
}

/// The index along one axis of a view's input.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewAxis {
    /// The constant part.
    pub base: i64,
    /// `(axis of the result, factor)`.
    pub terms: Vec<(usize, i64)>,
}

/// An einsum of two inputs. Labels are small numbers; each input's and the result's axes carry one each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contraction {
    /// The labels of input 0.
    pub a: Vec<u8>,
    /// The labels of input 1.
    pub b: Vec<u8>,
    /// The labels of the result; what is missing here is summed.
    pub out: Vec<u8>,
}

/// A kernel written by hand.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaf {
    /// `(x[h, w, cin], w[kh, kw, cin / groups, cout]) -> [oh, ow, cout]`
    Conv(Conv),
    /// Gradient of `x`: `(g[oh, ow, cout], w) -> [h, w, cin]`
    ConvInput(Conv),
    /// Gradient of `w`: `(x, g) -> [kh, kw, cin / groups, cout]`
    ConvWeight(Conv),
    /// `x[h, w, c] -> [oh, ow, c]`: the maximum of each window; padding never wins.
    MaxPool(Window),
    /// Gradient of `MaxPool`: `(x, g) -> [h, w, c]`; ties go to the first maximum in row-major order.
    MaxPoolInput(Window),
    /// At each window the element of `v` where `x` has its (first) maximum: `(x, v[h, w, c]) -> [oh, ow, c]`.
    MaxPoolPick(Window),
    /// The sum of each window; padding counts as 0: `x -> [oh, ow, c]`.
    SumPool(Window),
    /// Gradient of `SumPool`: `g[oh, ow, c] -> [h, w, c]`.
    SumPoolInput(Window),
    /// `(x[h, w, cin], w, bias[cout]) -> [ph, pw, cout]`: convolution, bias, ReLU, maximum of windows.
    ConvPool {
        /// What is computed.
        spec: ConvPool,
        /// In Winograd's form.
        winograd: bool,
    },
    /// `(x[h, w, cin], g[oh, ow, cout]) -> w`: the gradient of a convolution's weights in Winograd's form.
    WinogradWeight(Conv),
    /// `(x[h, w, cin], w) -> [oh, ow, cout]`: a convolution in Winograd's form.
    Winograd {
        /// What is computed.
        conv: Conv,
        /// Weights are `[kh, kw, cout, cin]`, used from the last tap to the first.
        turned: bool,
    },
    /// Gradient of one of its inputs, in that one's shape: `(x, w, bias, g[ph, pw, cout])`
    ConvPoolGradient(ConvPool, Gradient),
    /// `x[outer, n, inner] -> index[outer, inner]`: where the first maximum stands.
    ArgMax {
        /// Product of the extents before the axis.
        outer: usize,
        /// Extent of the axis.
        n: usize,
        /// Product of the extents after it.
        inner: usize,
        /// Look for the minimum instead.
        min: bool,
    },
    /// `x[outer, n] -> index[outer, n]`: where the elements stand in order; equal ones keep theirs, NaN is last.
    ArgSort {
        /// How many lists.
        outer: usize,
        /// Elements of a list.
        n: usize,
        /// The largest first.
        descending: bool,
    },
    /// `x[outer, n, inner] -> [outer, n, inner]`: sums along the middle axis up to each place.
    CumSum {
        /// Product of the extents before the axis.
        outer: usize,
        /// Extent of the axis.
        n: usize,
        /// Product of the extents after it.
        inner: usize,
        /// Without the element itself.
        exclusive: bool,
        /// From the end.
        reverse: bool,
    },
    /// `(table[rows, width], index[count]) -> [count, width]`; indices are checked before the run, and clamped.
    Gather {
        /// Rows of the table.
        rows: usize,
        /// Elements of one row.
        width: usize,
        /// How many rows are taken.
        count: usize,
    },
    /// `(index[count], values[count, width]) -> [rows, width]`: adds each row where its index says.
    ScatterAdd {
        /// Rows of the result.
        rows: usize,
        /// Elements of one row.
        width: usize,
        /// How many rows are added.
        count: usize,
    },
    /// Random numbers: no inputs. The element's index, the example, the step, the seed and this stream
    /// number decide each.
    Random {
        /// Which.
        distribution: Distribution,
        /// Differs for every random node of an experiment.
        stream: u64,
    },
}

/// Which input of a convolution a gradient belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gradient {
    /// The image.
    Input,
    /// The weights.
    Weight,
    /// The bias.
    Bias,
}

/// A distribution of random numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Uniform in `[0, 1)`.
    Uniform,
    /// Standard normal.
    Normal,
}
