//! The code generator and the executor, on plans made by hand.

mod build;
mod code;
mod functions;
mod nests;
mod products;
mod reference;
mod whole;
