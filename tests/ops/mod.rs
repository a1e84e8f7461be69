//! Every op, over the cases of its own record: documentation, shapes, gradients, refusals.

mod compiled;
mod documentation;
mod gradients;
mod guide;
mod harness;
mod records;
mod refusals;
