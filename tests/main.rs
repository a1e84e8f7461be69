//! The one test binary. `ops`: every operation; `graphs`: random graphs and what passes do to small ones;
//! `files`: text fixtures; `models`: the experiments that ship with the project; `plan`: what the planner
//! makes of small graphs; `readers`: files that are wrong in every way; `tidy`: the rules of the house.

mod cli;
mod exec;
mod files;
mod graphs;
mod kernels;
mod models;
mod ops;
mod plan;
mod readers;
mod reference;
mod stages;
mod tidy;
