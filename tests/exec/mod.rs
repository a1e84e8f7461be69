//! The code generator and the executor, on plans made by hand.

mod build;
mod functions;
mod nests;
mod products;
mod reference;
