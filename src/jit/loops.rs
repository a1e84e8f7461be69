//! The normal form of a loop nest: what is left once buffers and offsets are parameters.
//!
//! Loops of extent 1 vanish and adjacent loops that walk memory as one become one. Two nests with the same
//! normal form share one compiled function; the addresses it works on are its arguments.

use crate::base::Diagnostic;
use crate::ir::kernel::{Combine, Scalar};
use crate::ir::plan::{Buffer, Extent, Instr, Nest, WriteMode};
use crate::ty::DType;

/// A nest without addresses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Loops {
    /// Extents, output dimensions first.
    pub dims: Vec<Extent>,
    /// How many of the last dimensions are reduced.
    pub reduced: usize,
    /// What is read.
    pub loads: Vec<Read>,
    /// What is computed.
    pub body: Vec<Inst>,
    /// What is written.
    pub stores: Vec<Write>,
}

/// A read of one element per point.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// Elements per iteration of each dimension.
    pub strides: Vec<i64>,
    /// The element is an `i32`.
    pub index: bool,
    /// The value is the sum over the slots.
    pub sum_slots: bool,
}

/// A write of one element per output point.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// Which instruction's result.
    pub value: usize,
    /// Elements per iteration of each dimension.
    pub strides: Vec<i64>,
    /// The element is an `i32`.
    pub index: bool,
    /// Added to a slot's partial sum, except at its first tile.
    pub slot: bool,
}

/// An instruction; constants are compared by their bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    /// The element read by this load.
    Load(usize),
    /// The bits of a number.
    Const(u32),
    /// The index of this dimension.
    Coordinate(usize),
    /// A function of earlier results.
    Apply(Scalar, Vec<usize>),
    /// An earlier result combined over the reduced dimensions.
    Reduced(Combine, usize),
}

impl Loops {
    /// The normal form of a nest.
    ///
    /// # Errors
    /// When the nest breaks a rule of [`Nest`]: a fault of the planner.
    pub fn new(nest: &Nest, buffers: &[Buffer]) -> Result<Loops, Diagnostic> {
        check(nest, buffers).map_err(|fault| Diagnostic::internal("jit", fault))?;
        let element = |buffer: u32| matches!(buffers[buffer as usize].ty.dtype, DType::Index(_));
        let loads = nest.loads.iter().map(|load| Read {
            strides: load.access.strides.clone(),
            index: element(load.access.buffer.0),
            sum_slots: load.sum_slots,
        });
        let stores = nest.stores.iter().map(|store| Write {
            value: store.value,
            strides: store.access.strides.clone(),
            index: element(store.access.buffer.0),
            slot: store.mode == WriteMode::Slot,
        });
        let body = nest.body.iter().map(|instr| match instr {
            Instr::Load(load) => Inst::Load(*load),
            Instr::Const(value) => Inst::Const(value.to_bits()),
            Instr::Coordinate(dim) if nest.dims[*dim] == Extent::Const(1) => Inst::Const(0),
            Instr::Coordinate(dim) => Inst::Coordinate(*dim),
            Instr::Apply(scalar, args) => Inst::Apply(*scalar, args.clone()),
            Instr::Reduced(combine, value) => Inst::Reduced(*combine, *value),
        });
        let mut loops = Loops {
            dims: nest.dims.clone(),
            reduced: nest.reduced,
            loads: loads.collect(),
            body: body.collect(),
            stores: stores.collect(),
        };
        loops.drop_single();
        loops.merge_adjacent();
        if loops.reduced == 0 {
            loops.forget_reductions();
        }
        Ok(loops)
    }

    /// How many dimensions are output dimensions.
    pub fn outputs(&self) -> usize {
        self.dims.len() - self.reduced
    }

    fn strides(&self) -> impl Iterator<Item = &Vec<i64>> {
        self.loads.iter().map(|load| &load.strides).chain(self.stores.iter().map(|store| &store.strides))
    }

    fn remove(&mut self, dim: usize) {
        if dim >= self.outputs() {
            self.reduced -= 1;
        }
        self.dims.remove(dim);
        for load in &mut self.loads {
            load.strides.remove(dim);
        }
        for store in &mut self.stores {
            store.strides.remove(dim);
        }
        for inst in &mut self.body {
            if let Inst::Coordinate(other) = inst {
                *other -= usize::from(*other > dim);
            }
        }
    }

    fn drop_single(&mut self) {
        for dim in (0..self.dims.len()).rev() {
            if self.dims[dim] == Extent::Const(1) {
                self.remove(dim);
            }
        }
    }

    /// Where every reduced loop has vanished, a combination is its one element.
    fn forget_reductions(&mut self) {
        let mut same: Vec<usize> = (0..self.body.len()).collect();
        for (i, inst) in self.body.iter_mut().enumerate() {
            match inst {
                Inst::Reduced(_, value) => {
                    same[i] = same[*value];
                    *inst = Inst::Const(0);
                }
                Inst::Apply(_, args) => args.iter_mut().for_each(|arg| *arg = same[*arg]),
                Inst::Load(_) | Inst::Const(_) | Inst::Coordinate(_) => {}
            }
        }
        self.stores.iter_mut().for_each(|store| store.value = same[store.value]);
    }

    fn merge_adjacent(&mut self) {
        for dim in (1..self.dims.len()).rev() {
            let Some(extent) = self.merged(dim) else { continue };
            self.dims[dim - 1] = extent;
            let inner = |strides: &mut Vec<i64>| strides[dim - 1] = strides[dim];
            self.loads.iter_mut().for_each(|load| inner(&mut load.strides));
            self.stores.iter_mut().for_each(|store| inner(&mut store.strides));
            self.remove(dim);
        }
    }

    /// The extent of this dimension and the one outside it as one loop, where that is the same walk.
    fn merged(&self, dim: usize) -> Option<Extent> {
        let Extent::Const(inner) = self.dims[dim] else { return None };
        let counted =
            |inst: &Inst| matches!(inst, Inst::Coordinate(other) if *other == dim || *other + 1 == dim);
        let joint = |strides: &Vec<i64>| strides[dim - 1] == strides[dim] * inner as i64;
        if dim == self.outputs() || self.body.iter().any(counted) || !self.strides().all(joint) {
            return None;
        }
        Some(match self.dims[dim - 1] {
            Extent::Const(outer) => Extent::Const(outer * inner),
            Extent::Examples(factor) => Extent::Examples(factor * inner),
        })
    }
}

/// The rules of [`Nest`] that the code generator relies on.
fn check(nest: &Nest, buffers: &[Buffer]) -> Result<(), String> {
    let rank = nest.dims.len();
    if nest.reduced > rank || rank > 60 {
        return Err(format!("a loop nest of {rank} dimensions, {} of them reduced", nest.reduced));
    }
    if nest.dims.contains(&Extent::Const(0)) || nest.dims.contains(&Extent::Examples(0)) {
        return Err("a loop without iterations".into());
    }
    if nest.dims.iter().filter(|dim| matches!(dim, Extent::Examples(_))).count() > 1 {
        return Err("two loops over the examples".into());
    }
    let accesses = nest.loads.iter().map(|l| &l.access).chain(nest.stores.iter().map(|s| &s.access));
    for access in accesses {
        if access.strides.len() != rank || access.buffer.0 as usize >= buffers.len() {
            return Err(format!("an access that does not fit its nest: {access:?}"));
        }
    }
    if nest.stores.iter().any(|s| s.value >= nest.body.len()) {
        return Err("a store of a result that is not there".into());
    }
    if nest.stores.iter().any(|s| s.access.strides[rank - nest.reduced..].iter().any(|stride| *stride != 0)) {
        return Err("a store that moves with a reduced dimension".into());
    }
    for (position, instr) in nest.body.iter().enumerate() {
        let fits = match instr {
            Instr::Load(load) => *load < nest.loads.len(),
            Instr::Const(_) => true,
            Instr::Coordinate(dim) => *dim < rank,
            Instr::Apply(scalar, args) => {
                args.len() == scalar.arity() && args.iter().all(|arg| *arg < position)
            }
            Instr::Reduced(_, value) => *value < position,
        };
        if !fits {
            return Err(format!("instruction {position} of a loop nest is not sound: {instr:?}"));
        }
    }
    Ok(())
}
