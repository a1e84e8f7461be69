//! Every op, over the cases of its own record: documentation, shapes, gradients, refusals.

mod documentation;
mod gradients;
mod harness;
mod records;
mod refusals;
