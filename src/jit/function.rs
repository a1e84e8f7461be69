//! A nest as a function of its own, which gets its addresses and the range of its outermost loop.

use cranelift::codegen::ir::Function;
use cranelift::prelude::*;

use super::Context;
use super::emit::{Given, inline};
use super::loops::Loops;
use super::schedule::Schedule;
use crate::ir::plan::Extent;

/// Generates the body of a function with the signature of a nest: context, addresses, from, to.
pub(super) fn emit(
    func: &mut Function,
    builders: &mut FunctionBuilderContext,
    loops: &Loops,
    schedule: &Schedule,
    config: isa::TargetFrontendConfig,
) {
    let mut b = FunctionBuilder::new(func, builders);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let params = b.block_params(entry).to_vec();
    let [context, addresses, from, to] = params[..] else { return };
    let fixed = MemFlagsData::trusted().with_readonly().with_can_move();
    let accesses = loops.loads.len() + loops.stores.len();
    let pointers = (0..accesses).map(|i| b.ins().load(types::I64, fixed, addresses, 8 * i as i32)).collect();
    let field = |b: &mut FunctionBuilder, ty, offset: usize| b.ins().load(ty, fixed, context, offset as i32);
    let slots = loops.loads.iter().any(|load| load.sum_slots).then(|| {
        let stride = field(&mut b, types::I64, std::mem::offset_of!(Context, slot_stride));
        (stride, field(&mut b, types::I64, std::mem::offset_of!(Context, slots_used)))
    });
    let keep = loops.stores.iter().any(|store| store.slot).then(|| {
        let keep = field(&mut b, types::I32, std::mem::offset_of!(Context, keep));
        b.ins().splat(types::I32X4, keep)
    });
    let examples = loops
        .dims
        .iter()
        .any(|dim| matches!(dim, Extent::Examples(_)))
        .then(|| field(&mut b, types::I64, std::mem::offset_of!(Context, examples)));
    let given = Given { pointers, slots, keep, examples, range: Some([from, to]) };
    let mut b = inline(b, loops, schedule, given);
    b.ins().return_(&[]);
    b.seal_all_blocks();
    b.finalize(config);
}
