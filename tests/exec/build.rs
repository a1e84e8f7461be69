//! Plans made by hand, and random ones.

use nnc::base::Span;
use nnc::ir::Level;
use nnc::ir::computation::VariableId;
use nnc::ir::op::Moment;
use nnc::ir::plan::{
    ARENAS, Access, Arena, Buffer, BufferId, Extent, Gemm, Instr, KernelId, LeafCall, Nest, Phase, Plan,
    PlannedKernel, Work, WriteMode,
};
use nnc::ty::{DType, Shape, Type};

/// A small deterministic generator (SplitMix64).
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// In `-2..2`, a multiple of 2^-16.
    pub fn number(&mut self) -> f32 {
        (self.below(1 << 18) as f32) / 65_536.0 - 2.0
    }
}

/// A plan under construction.
pub struct Build {
    pub plan: Plan,
}

impl Build {
    pub fn new(batch: usize, tile: usize, tiles_per_slot: usize) -> Build {
        let plan = Plan {
            batch,
            tile,
            tiles_per_slot,
            slots: batch.div_ceil(tile * tiles_per_slot),
            buffers: Vec::new(),
            kernels: Vec::new(),
            phases: Vec::new(),
            arena_bytes: [0; ARENAS],
            inputs: Vec::new(),
            variables: Vec::new(),
            scalars: Vec::new(),
            outputs: Vec::new(),
            copies: Vec::new(),
        };
        Build { plan }
    }

    pub fn buffer(&mut self, arena: Arena, dtype: DType, shape: &[usize]) -> BufferId {
        let ty = Type::new(dtype, Shape::of(shape));
        let bytes = 4 * ty.shape.elements();
        let (level, count) = match arena {
            Arena::Inputs | Arena::Batch => (Level::Each, self.plan.batch),
            Arena::Tile => (Level::Each, self.plan.tile),
            Arena::Variables | Arena::Once | Arena::Slots => (Level::Once, 1),
        };
        let end = &mut self.plan.arena_bytes[arena as usize];
        let offset = *end;
        *end += (bytes * count).next_multiple_of(64);
        let id = BufferId(self.plan.buffers.len() as u32);
        let stride = if level == Level::Each { bytes } else { 0 };
        let name = format!("buffer {}", id.0);
        self.plan.buffers.push(Buffer { ty, level, arena, offset, stride, step: 0, within: None, name });
        match arena {
            Arena::Inputs => self.plan.inputs.push((id, self.plan.inputs.len())),
            Arena::Variables => {
                self.plan.variables.push((VariableId(self.plan.variables.len() as u32), id));
            }
            Arena::Once | Arena::Tile | Arena::Batch | Arena::Slots => {}
        }
        id
    }

    pub fn f32(&mut self, arena: Arena, shape: &[usize]) -> BufferId {
        self.buffer(arena, DType::F32, shape)
    }

    fn kernel(&mut self, work: Work, flops: u64) -> KernelId {
        let name = format!("kernel {}", self.plan.kernels.len());
        self.plan.kernels.push(PlannedKernel {
            work,
            nodes: Vec::new(),
            span: Span::NONE,
            name,
            flops,
            dense: flops,
            choice: String::new(),
        });
        KernelId(self.plan.kernels.len() as u32 - 1)
    }

    /// `flops` is large, so that several workers take part.
    pub fn nest(&mut self, nest: Nest) -> KernelId {
        self.kernel(Work::Nest(nest), 1 << 20)
    }

    pub fn gemm(&mut self, gemm: Gemm) -> KernelId {
        self.kernel(Work::Gemm(gemm), 1 << 20)
    }

    pub fn leaf(&mut self, leaf: LeafCall) -> KernelId {
        self.kernel(Work::Leaf(leaf), 1 << 20)
    }

    pub fn tiles(&mut self, kernels: &[KernelId]) {
        self.plan.phases.push(Phase::Tiles(kernels.to_vec()));
    }

    pub fn once(&mut self, kernel: KernelId) {
        self.plan.phases.push(Phase::Once(vec![vec![(kernel, true)]]));
    }

    pub fn output(&mut self, name: &str, id: BufferId) {
        self.plan.outputs.push((name.into(), id));
    }

    /// The types of the variables.
    pub fn types(&self) -> Vec<Type> {
        self.plan.variables.iter().map(|(_, id)| self.plan.buffers[id.0 as usize].ty.clone()).collect()
    }

    /// An access with row-major strides over some dimensions of a nest: `dims[i]` is the dimension of the
    /// buffer's axis `i`. `examples` is the dimension over examples, if there is one.
    pub fn access(&self, id: BufferId, rank: usize, dims: &[usize], examples: Option<usize>) -> Access {
        let buffer = &self.plan.buffers[id.0 as usize];
        let mut strides = vec![0; rank];
        for (dim, stride) in dims.iter().zip(buffer.ty.shape.strides()) {
            strides[*dim] += stride as i64;
        }
        if let Some(dim) = examples {
            strides[dim] += (buffer.stride / 4) as i64;
        }
        Access { buffer: id, offset: 0, strides }
    }
}

/// The step 1 of a batch of this size.
pub fn moment(batch: usize) -> Moment {
    Moment { seed: 7, step: 1, example: 0, batch: batch as u64 }
}

/// A nest that stores one value.
pub fn nest(
    dims: Vec<Extent>,
    reduced: usize,
    loads: Vec<Access>,
    body: Vec<Instr>,
    store: Access,
    mode: WriteMode,
) -> Nest {
    let value = body.len() - 1;
    let loads = loads.into_iter().map(|access| nnc::ir::plan::Load { access, sum_slots: false }).collect();
    Nest { dims, reduced, loads, body, stores: vec![nnc::ir::plan::Store { value, access: store, mode }] }
}
