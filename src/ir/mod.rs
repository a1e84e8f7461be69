//! Floor 2: the intermediate representation and its meaning.
//!
//! A [`Graph`] is a list of nodes in which every node uses only earlier ones. A node applies an [`Op`]
//! to its inputs and has one tensor as its result. It stands at one of two levels:
//!
//! * [`Level::Once`]: one value for the whole step (a parameter, a loss, an update).
//! * [`Level::Each`]: one value per example of the batch; the node's type is that of one example.
//!
//! A `Once` value may be used where an `Each` value is computed: it is the same for every example.
//! The only way from `Each` to `Once` is the op `batch_sum`, which adds over the examples of the batch in
//! a fixed order. So the gradient of a parameter is a `batch_sum` of what the examples contribute.
//!
//! Every operand of an elementwise op has the same shape as the result; broadcasting is written out as
//! `broadcast` nodes. Dimensions are known numbers. Nodes are made by the [`Builder`] alone.

pub mod attrs;
pub mod body;
pub mod builder;
pub mod computation;
pub mod experiment;
pub mod graph;
pub mod kernel;
pub mod op;
pub mod plan;
pub mod sampling;
pub mod text;
pub mod verify;

pub use attrs::{Attr, AttrKind, AttrSpec, Attrs};
pub use body::Body;
pub use builder::Builder;
pub use computation::{Computation, Update};
pub use graph::{Graph, Level, Node, NodeId};
pub use kernel::Kernel;
pub use op::{Arity, Array, Case, Grad, LevelRule, Lower, Mismatch, Op, RefCall, Signature};
