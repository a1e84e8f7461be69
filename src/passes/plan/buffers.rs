//! The buffers of a plan while it is made: which node lives where.

use crate::ir::plan::{Arena, Buffer, BufferId};
use crate::ir::{Level, NodeId};
use crate::ty::Type;

/// All buffers so far.
#[derive(Default)]
pub struct Buffers {
    /// The buffers; offsets are set at the end.
    pub all: Vec<Buffer>,
    by_node: Vec<Option<(BufferId, bool)>>,
}

impl Buffers {
    /// For a graph with this many nodes.
    pub fn new(nodes: usize) -> Buffers {
        Buffers { all: Vec::new(), by_node: vec![None; nodes] }
    }

    /// Adds a buffer.
    pub fn add(&mut self, ty: &Type, level: Level, arena: Arena, name: String) -> BufferId {
        let stride = match level {
            Level::Once => 0,
            Level::Each => ty.shape.elements() * 4,
        };
        self.all.push(Buffer {
            ty: ty.clone(),
            level,
            arena,
            offset: 0,
            stride,
            step: 0,
            within: None,
            name,
        });
        BufferId(self.all.len() as u32 - 1)
    }

    /// Says where the value of a node stands; `sum_slots` if it is the sum over the slots there.
    pub fn bind(&mut self, id: NodeId, buffer: BufferId, sum_slots: bool) {
        self.by_node[id.index()] = Some((buffer, sum_slots));
    }

    /// Where the value of a node stands.
    ///
    /// # Panics
    /// When it has not been bound: nodes are planned in order, so that is a fault of the planner.
    pub fn value(&self, id: NodeId) -> (BufferId, bool) {
        self.by_node[id.index()].unwrap_or_else(|| panic!("{id} has no buffer"))
    }

    /// Elements from one example to the next.
    pub fn example_stride(&self, buffer: BufferId) -> i64 {
        (self.all[buffer.0 as usize].stride / 4) as i64
    }
}
