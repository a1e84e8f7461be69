//! Builds one loop nest: pulls the expression of a stored node through everything that is computed in place.

use std::collections::HashMap;

use super::buffers::Buffers;
use super::index::{Affine, IndexMap, through_reshape, through_view};
use super::lowered::Lowered;
use super::roots::{Roots, Storage};
use crate::ir::NodeId;
use crate::ir::kernel::{Combine, Kernel, Scalar};
use crate::ir::plan::{Access, Extent, Instr, Load, Nest, Store, WriteMode};

/// A nest under construction.
pub struct NestBuilder<'a> {
    lowered: &'a Lowered<'a>,
    roots: &'a Roots,
    buffers: &'a Buffers,
    /// Output dimensions, then reduced ones.
    dims: Vec<Extent>,
    /// The loop over examples, if there is one.
    examples: Option<usize>,
    reduced: usize,
    loads: Vec<Load>,
    /// Instructions at the innermost point, and those that run once per output point.
    inner: Vec<Instr>,
    outer: Vec<Instr>,
    seen: HashMap<Key, Place>,
    /// The nodes computed here, in the order in which they were met.
    pub nodes: Vec<NodeId>,
}

/// What makes two instructions the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Load(Access, bool),
    Const(u32),
    Coordinate(usize),
    Apply(Scalar, Vec<Place>),
    Reduced(Combine, Place),
}

/// An instruction before the two lists are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Position in the inner list.
    Inner(usize),
    /// Position in the outer list.
    Outer(usize),
}

impl<'a> NestBuilder<'a> {
    /// A nest over these output dimensions; `examples` says which of them runs over the examples.
    pub fn new(
        lowered: &'a Lowered<'a>,
        roots: &'a Roots,
        buffers: &'a Buffers,
        dims: Vec<Extent>,
        examples: Option<usize>,
    ) -> NestBuilder<'a> {
        NestBuilder {
            lowered,
            roots,
            buffers,
            dims,
            examples,
            reduced: 0,
            loads: Vec::new(),
            inner: Vec::new(),
            outer: Vec::new(),
            seen: HashMap::new(),
            nodes: Vec::new(),
        }
    }

    /// Adds a reduced dimension and says which it is.
    pub fn reduce_over(&mut self, extent: Extent, is_examples: bool) -> usize {
        self.dims.push(extent);
        self.reduced += 1;
        if is_examples {
            self.examples = Some(self.dims.len() - 1);
        }
        self.dims.len() - 1
    }

    /// The combination over the reduced dimensions of an inner value.
    pub fn reduced(&mut self, combine: Combine, value: Place) -> Place {
        let Place::Inner(position) = value else { return value };
        self.push(Key::Reduced(combine, value), Instr::Reduced(combine, position), true)
    }

    /// A number.
    pub fn number(&mut self, value: f32) -> Place {
        self.push(Key::Const(value.to_bits()), Instr::Const(value), false)
    }

    /// Joins the lists; `stores` name the values to write, with strides over all dimensions.
    pub fn finish(self, stores: Vec<(Place, Access, WriteMode)>) -> Nest {
        let rank = self.dims.len();
        let inner = self.inner.len();
        let at = |place: &Place| match place {
            Place::Inner(i) => *i,
            Place::Outer(i) => inner + i,
        };
        let mut body = self.inner.clone();
        let pending: HashMap<usize, Vec<Place>> = self
            .seen
            .iter()
            .filter_map(|(key, place)| match (key, place) {
                (Key::Apply(_, args), Place::Outer(i)) => Some((*i, args.clone())),
                _ => None,
            })
            .collect();
        for (i, instr) in self.outer.iter().enumerate() {
            body.push(match instr {
                Instr::Apply(scalar, _) => Instr::Apply(*scalar, pending[&i].iter().map(at).collect()),
                other => other.clone(),
            });
        }
        let stores = stores.into_iter().map(|(value, mut access, mode)| {
            access.strides.resize(rank, 0);
            Store { value: at(&value), access, mode }
        });
        let mut nest = Nest {
            dims: self.dims.clone(),
            reduced: self.reduced,
            loads: self.loads,
            body,
            stores: stores.collect(),
        };
        prune(&mut nest);
        nest
    }

    fn push(&mut self, key: Key, instr: Instr, outer: bool) -> Place {
        if let Some(place) = self.seen.get(&key) {
            return *place;
        }
        let list = if outer { &mut self.outer } else { &mut self.inner };
        list.push(instr);
        let place = if outer { Place::Outer(list.len() - 1) } else { Place::Inner(list.len() - 1) };
        self.seen.insert(key, place);
        place
    }

    /// The value of a node at an index. `top` says that the index is that of the nest's output itself.
    pub fn pull(&mut self, id: NodeId, map: &[Affine], top: bool) -> Place {
        if let Some(value) = self.lowered.constant(id) {
            return self.number(value as f32);
        }
        match self.roots.of(id) {
            Storage::Source | Storage::Stored | Storage::Alias => self.load(id, map),
            Storage::Absorbed => self.absorb(id),
            Storage::Virtual | Storage::Unused | Storage::Summed => self.compute(id, map, top),
        }
    }

    /// The value of a node that this nest computes.
    pub fn compute(&mut self, id: NodeId, map: &[Affine], top: bool) -> Place {
        let lowered = self.lowered;
        let inputs = lowered.inputs(id);
        if !self.nodes.contains(&id) {
            self.nodes.push(id);
        }
        match lowered.kernel(id) {
            Kernel::Map(scalar) => {
                let args: Vec<Place> = inputs.iter().map(|input| self.pull(*input, map, top)).collect();
                self.apply(*scalar, args)
            }
            Kernel::View(view) => self.pull(inputs[0], &through_view(view, map), false),
            Kernel::Reshape => {
                let map = through_reshape(lowered.shape(inputs[0]), lowered.shape(id), map);
                self.pull(inputs[0], &map, false)
            }
            Kernel::Iota(axis) => self.coordinate(&map[*axis]),
            Kernel::Source(_)
            | Kernel::Reduce(..)
            | Kernel::Pad { .. }
            | Kernel::Concat(_)
            | Kernel::Contract(_)
            | Kernel::BatchSum
            | Kernel::Batch
            | Kernel::Example
            | Kernel::Leaf(_)
            | Kernel::Scan(_) => self.load(id, map),
        }
    }

    /// Applies a function; outer as soon as one argument is.
    pub fn apply(&mut self, scalar: Scalar, args: Vec<Place>) -> Place {
        let outer = args.iter().any(|place| matches!(place, Place::Outer(_)));
        let args: Vec<Place> = if outer { args.iter().map(|p| self.outer_copy(*p)).collect() } else { args };
        let positions = args.iter().map(|p| match p {
            Place::Inner(i) | Place::Outer(i) => *i,
        });
        let instr = Instr::Apply(scalar, positions.collect());
        self.push(Key::Apply(scalar, args), instr, outer)
    }

    /// An inner value that does not move with the reduced dimensions, computed again outside of them.
    fn outer_copy(&mut self, place: Place) -> Place {
        let Place::Inner(i) = place else { return place };
        let instr = self.inner[i].clone();
        let key = match &instr {
            Instr::Apply(scalar, args) => {
                let args: Vec<Place> = args.iter().map(|a| self.outer_copy(Place::Inner(*a))).collect();
                Key::Apply(*scalar, args)
            }
            // The marker `Reduced` of an inner place cannot be a copy's key by accident.
            _ => Key::Reduced(Combine::Sum, Place::Outer(usize::MAX - i)),
        };
        self.push(key, instr, true)
    }

    fn load(&mut self, id: NodeId, map: &[Affine]) -> Place {
        let (access, sum_slots) = self.access(id, map);
        let key = Key::Load(access.clone(), sum_slots);
        if let Some(place) = self.seen.get(&key) {
            return *place;
        }
        self.loads.push(Load { access, sum_slots });
        let instr = Instr::Load(self.loads.len() - 1);
        self.push(key, instr, false)
    }

    fn access(&self, id: NodeId, map: &[Affine]) -> (Access, bool) {
        let (buffer, sum_slots) = self.buffers.value(id);
        let position = super::index::linear(self.lowered.shape(id), map);
        let mut access = Access { buffer, offset: position.base, strides: vec![0; self.dims.len()] };
        for (dim, factor) in position.terms {
            access.strides[dim] += factor;
        }
        if let (Some(dim), true) = (self.examples, self.lowered.each(id)) {
            access.strides[dim] += self.buffers.example_stride(buffer);
        }
        (access, sum_slots)
    }

    fn coordinate(&mut self, index: &Affine) -> Place {
        let mut sum = (index.base != 0 || index.terms.is_empty()).then(|| self.number(index.base as f32));
        for (dim, factor) in &index.terms {
            let mut term = self.push(Key::Coordinate(*dim), Instr::Coordinate(*dim), false);
            if *factor != 1 {
                let factor = self.number(*factor as f32);
                term = self.apply(Scalar::Mul, vec![term, factor]);
            }
            sum = Some(match sum {
                Some(sum) => self.apply(Scalar::Add, vec![sum, term]),
                None => term,
            });
        }
        sum.unwrap_or_else(|| self.number(0.0))
    }

    /// A reduction whose result has the shape of this nest's output.
    fn absorb(&mut self, id: NodeId) -> Place {
        let Kernel::Reduce(combine, axes) = self.lowered.kernel(id) else {
            return self.number(f32::NAN);
        };
        let input = self.lowered.inputs(id)[0];
        self.nodes.push(id);
        let first = if self.reduced == 0 {
            let first = self.dims.len();
            for axis in axes {
                self.reduce_over(Extent::Const(self.lowered.shape(input)[*axis]), false);
            }
            for load in &mut self.loads {
                load.access.strides.resize(self.dims.len(), 0);
            }
            // Accesses are part of the keys: forget the shorter ones.
            self.seen.retain(|key, _| !matches!(key, Key::Load(..)));
            first
        } else {
            self.dims.len() - self.reduced
        };
        let lead = usize::from(self.examples == Some(0));
        let map = reduced_map(self.lowered.shape(input).len(), axes, lead, first);
        let value = self.pull(input, &map, false);
        let value = match value {
            Place::Inner(_) => value,
            Place::Outer(_) => self.number(f32::NAN),
        };
        self.reduced(*combine, value)
    }
}

/// The index map of the input of a reduction: kept axes follow the output loops from `lead` on, reduced axes
/// the loops from `first` on.
pub fn reduced_map(rank: usize, axes: &[usize], lead: usize, first: usize) -> IndexMap {
    let (mut kept, mut reduced) = (lead, first);
    (0..rank)
        .map(|axis| {
            let dim = if axes.contains(&axis) { &mut reduced } else { &mut kept };
            *dim += 1;
            Affine::dim(*dim - 1)
        })
        .collect()
}

/// Removes instructions and loads that nothing uses.
pub fn prune(nest: &mut Nest) {
    let mut used = vec![false; nest.body.len()];
    for store in &nest.stores {
        used[store.value] = true;
    }
    for i in (0..nest.body.len()).rev() {
        if used[i] {
            match &nest.body[i] {
                Instr::Apply(_, args) => args.iter().for_each(|a| used[*a] = true),
                Instr::Reduced(_, value) => used[*value] = true,
                Instr::Load(_) | Instr::Const(_) | Instr::Coordinate(_) => {}
            }
        }
    }
    let mut loads = Vec::new();
    let mut load_at = vec![None; nest.loads.len()];
    let mut at = vec![0; nest.body.len()];
    let mut body = Vec::new();
    for (i, instr) in nest.body.iter().enumerate().filter(|(i, _)| used[*i]) {
        at[i] = body.len();
        body.push(match instr {
            Instr::Load(load) => {
                let position = *load_at[*load].get_or_insert_with(|| {
                    loads.push(nest.loads[*load].clone());
                    loads.len() - 1
                });
                Instr::Load(position)
            }
            Instr::Apply(scalar, args) => Instr::Apply(*scalar, args.iter().map(|a| at[*a]).collect()),
            Instr::Reduced(combine, value) => Instr::Reduced(*combine, at[*value]),
            Instr::Const(_) | Instr::Coordinate(_) => instr.clone(),
        });
    }
    for store in &mut nest.stores {
        store.value = at[store.value];
    }
    nest.body = body;
    nest.loads = loads;
}
