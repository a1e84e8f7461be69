//! A checked experiment: everything that a `.nn` file says, ready to be compiled and run.

use super::computation::{Computation, VariableId};
use super::sampling::Sample;
use super::{Graph, NodeId};
use crate::base::Span;
use crate::ty::Type;

/// A whole experiment.
#[derive(Clone, Debug, Default)]
pub struct Experiment {
    /// The seed: the file's `seed`, else 0; overridden by the command line.
    pub seed: u64,
    /// The settings (`let` at top level) with the values in force, as text.
    pub settings: Vec<(String, String)>,
    /// Parameters, states, and optimizer states, in order of creation.
    pub variables: Vec<Variable>,
    /// The models, in inference mode, for `predict`, `plan` and `emit`.
    pub models: Vec<ModelGraph>,
    /// The stages, in the order they run.
    pub stages: Vec<Stage>,
}

impl Experiment {
    /// The variable with this id.
    pub fn variable(&self, id: VariableId) -> &Variable {
        &self.variables[id.0 as usize]
    }
}

/// What kind of value a variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableKind {
    /// Trained.
    Param,
    /// Carried by a layer, not trained (moving averages).
    State,
    /// Carried by an optimizer.
    OptimizerState,
}

/// A tensor that lives longer than a step.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its path by the names in the text: `Cnn.conv2d_2.weight`; `train.adam.Cnn.dense.bias.m`.
    pub path: String,
    /// What it is for.
    pub kind: VariableKind,
    /// Its type.
    pub ty: Type,
    /// Computes the first value: a graph of `Once` nodes and its result. Random streams are already fixed.
    pub init: (Graph, NodeId),
    /// Where it is declared.
    pub span: Span,
}

/// One model applied to fresh inputs, in inference mode.
#[derive(Clone, Debug)]
pub struct ModelGraph {
    /// Its name.
    pub name: String,
    /// Its inputs by name; input `i` of the graph is the `i`-th.
    pub inputs: Vec<(String, Type)>,
    /// The graph; its only output is named `output`.
    pub computation: Computation,
    /// Its applications of layers in order, for `nnc plan`.
    pub layers: Vec<LayerUse>,
    /// Where it is defined.
    pub span: Span,
}

/// One application of a layer inside a model.
#[derive(Clone, Debug)]
pub struct LayerUse {
    /// The path of the instance: `Cnn.conv2d_2`, or the name of a function such as `relu`.
    pub path: String,
    /// What is applied, for people: `conv2d(64, kernel: 3)`.
    pub text: String,
    /// Depth in the model: 1 for a layer that stands in the model's own body.
    pub depth: usize,
    /// The nodes that were added: `first..last`.
    pub nodes: std::ops::Range<usize>,
    /// Type of the result.
    pub output: Type,
    /// Number of elements of its own trained parameters.
    pub parameters: usize,
}

/// Which field of which table feeds an input of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputField {
    /// Index into the experiment's tables.
    pub table: usize,
    /// Index into that table's fields.
    pub field: usize,
}

/// Rows of a table that feed a stage or a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitRef {
    /// Index into the experiment's tables.
    pub table: usize,
    /// Index into that table's splits.
    pub split: usize,
}

/// `batch 128 from digits.train [in order] [drop last]`
#[derive(Clone, Debug)]
pub struct BatchFrom {
    /// From where.
    pub rows: SplitRef,
    /// How many examples.
    pub size: usize,
    /// Not shuffled.
    pub in_order: bool,
    /// Without the last batch of an epoch where it has fewer examples.
    pub drop_last: bool,
    /// The statement.
    pub span: Span,
}

impl BatchFrom {
    /// How many batches an epoch over this many rows has.
    pub fn per_epoch(&self, rows: usize) -> usize {
        if self.drop_last { rows / self.size } else { rows.div_ceil(self.size) }
    }
}

/// How long a stage trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Passes over the split of the first `batch`.
    Epochs(u64),
    /// Updates.
    Steps(u64),
}

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After each n-th epoch.
    Epochs(u64),
    /// After each n-th step.
    Steps(u64),
}

/// `minimize e over Selector`: what some parameters are trained for.
#[derive(Clone, Debug)]
pub struct Objective {
    /// Its name in the log: `loss`, with several objectives `loss over SELECTOR`.
    pub name: String,
    /// The mean over the batch: a `Once` scalar of the step.
    pub loss: NodeId,
    /// The parameters that follow its gradient.
    pub trained: Vec<VariableId>,
}

/// Which values of a measurement are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// As with losses.
    Lower,
    /// As with shares of what is right.
    Higher,
}

/// What is watched while a stage trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// The mean loss of the steps of an epoch, known at its end.
    TrainLoss,
    /// A measurement of the stage, by its position.
    Measure(usize),
}

/// `valid.loss`, with what is better of it.
#[derive(Clone, Debug)]
pub struct Watch {
    /// As the text names it: `valid.loss`.
    pub name: String,
    /// Which number it is.
    pub of: Watched,
    /// What counts as better.
    pub better: Better,
    /// Where it is named.
    pub span: Span,
}

/// `stop when valid.loss stalls for 3 epochs min_delta: 1e-3`
#[derive(Clone, Debug)]
pub struct Stall {
    /// What is watched.
    pub watch: Watch,
    /// How long it may go without getting better.
    pub patience: Every,
    /// A value counts as better only if it is so by more than this.
    pub min_delta: f64,
}

/// `reduce lr by 0.5 when valid.loss stalls for 2 epochs`
#[derive(Clone, Debug)]
pub struct Reduce {
    /// The factor of all learning rates of the stage, 1 at first.
    pub variable: VariableId,
    /// What it is multiplied with.
    pub factor: f64,
    /// When.
    pub stall: Stall,
}

/// One `train` block.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name; `train` where the text gives none.
    pub name: String,
    /// The stage's own seed, if the text gives one; otherwise it follows from the experiment's.
    pub seed: Option<u64>,
    /// The batches; all have the same size in this version, the first sets the length of an epoch.
    pub batches: Vec<BatchFrom>,
    /// How long.
    pub length: Length,
    /// Steps in one epoch: the split's rows over the batch size, rounded up unless the last batch is dropped.
    pub steps_per_epoch: u64,
    /// Steps in all.
    pub total_steps: u64,
    /// One step: outputs `loss` (a `Once` scalar, the sum of all objectives) and, for every trained parameter,
    /// `gradient PATH`;
    /// updates of parameters, states and optimizer states.
    pub step: Computation,
    /// The nodes of `step` before this are the forward pass, those before `gradient_end` also the gradient,
    /// the rest the optimizer's update.
    pub forward_end: usize,
    /// See `forward_end`.
    pub gradient_end: usize,
    /// What feeds each input of `step`.
    pub inputs: Vec<InputField>,
    /// The trained parameters with the node of their gradient.
    pub trained: Vec<(VariableId, NodeId)>,
    /// What is minimized: one objective, or several that train different parameters.
    pub objectives: Vec<Objective>,
    /// The measurements.
    pub measures: Vec<Measure>,
    /// The texts that models write.
    pub samples: Vec<Sample>,
    /// When to stop early.
    pub stops: Vec<Stall>,
    /// Of what the best is kept.
    pub best: Option<Watch>,
    /// When the learning rates become smaller.
    pub reduce: Option<Reduce>,
    /// The sums of gradients that `accumulate` keeps; divergence may hide in them until their update.
    pub accumulators: Vec<VariableId>,
    /// Parameters with their averages (`ema`, `swa`), which are measured and kept in their place.
    pub averages: Vec<(VariableId, VariableId)>,
    /// The block.
    pub span: Span,
}

/// `measure accuracy(logits, digits.label) on digits.test every 1 epoch as clean`
#[derive(Clone, Debug)]
pub struct Measure {
    /// The name in reports: `as NAME`, else the name of the outermost call.
    pub name: String,
    /// On which rows.
    pub rows: SplitRef,
    /// The name of the split: `test`.
    pub split: String,
    /// How often.
    pub every: Every,
    /// The graph in inference mode; its only output, `value`, is a `Once` scalar. Sums over the batch in it
    /// are sums over the whole split when measured (see `train/measure.rs`).
    pub computation: Computation,
    /// What feeds each input.
    pub inputs: Vec<InputField>,
    /// The statement.
    pub span: Span,
}
