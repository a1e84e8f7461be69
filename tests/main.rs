//! The one test binary. `cli`: the program as people use it; `exec`: plans that run; `files`: text fixtures;
//! `golden`: numbers of other frameworks; `graphs`: random graphs and what passes do to small ones; `kernels`: hand-written kernels; `models`: the
//! experiments that ship with the project; `ops`: every operation; `plan`: what the planner makes of small
//! graphs; `readers`: data in every state; `reference`: training against the f64 evaluator; `stages`: every
//! form of one model; `tidy`: the rules of the house; `train`: what stands around the kernels of a step;
//! `updates`: what optimizers, schedules and the statements about gradients do to parameters.

mod cli;
mod exec;
mod files;
mod golden;
mod graphs;
mod kernels;
mod models;
mod ops;
mod plan;
mod readers;
mod reference;
mod stages;
mod tidy;
mod train;
mod updates;
