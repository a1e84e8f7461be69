//! Loop nests, compiled and run, against the naive interpreter.

use nnc::exec::{Program, Store};
use nnc::ir::kernel::{Combine, Scalar};
use nnc::ir::plan::{Arena, BufferId, Extent, Instr, Nest, Plan, Work, WriteMode};
use nnc::kernels::isa::Isa;
use nnc::ty::DType;

use super::build::{Build, Draw, moment, nest};
use super::reference;

/// Fills inputs and variables with random numbers and returns the memory for the reference.
fn fill(program: &mut Program, store: &mut Store, draw: &mut Draw) -> reference::Memory {
    let plan = program.plan().clone();
    let mut memory: reference::Memory =
        plan.buffers.iter().map(|b| vec![0.0; b.ty.shape.elements() * plan.batch]).collect();
    for (id, input) in &plan.inputs {
        let values = &mut memory[id.0 as usize];
        if let DType::Index(bound) = plan.buffers[id.0 as usize].ty.dtype {
            for (value, element) in values.iter_mut().zip(program.index_input_mut(*input)) {
                *element = draw.below(bound as usize) as i32;
                *value = f64::from(*element);
            }
        } else {
            for (value, element) in values.iter_mut().zip(program.input_mut(*input)) {
                *element = draw.number();
                *value = f64::from(*element);
            }
        }
    }
    for (variable, id) in &plan.variables {
        for (value, element) in memory[id.0 as usize].iter_mut().zip(store.get_mut(*variable)) {
            *element = draw.number();
            *value = f64::from(*element);
        }
    }
    memory
}

/// Runs a plan of nests over a batch of each size with some numbers of threads and for all instruction sets, and
/// compares all outputs with the reference, and the bits with those of the first run.
fn compare(build: Build, batches: &[usize], tolerance: f64) {
    compare_threads(build, &[1, 2, 4, 8], batches, tolerance);
}

fn compare_threads(build: Build, threads: &[usize], batches: &[usize], tolerance: f64) {
    let types = build.types();
    let mut bits: Vec<Vec<Vec<u32>>> = Vec::new();
    let sets = Isa::available().into_iter().map(|isa| (threads[0], isa));
    let runs: Vec<(usize, Isa)> = sets.chain(threads[1..].iter().map(|n| (*n, Isa::current()))).collect();
    for (run, (threads, isa)) in runs.into_iter().enumerate() {
        let mut store = Store::new(&types).unwrap();
        let mut program = Program::compile_for(isa, build.plan.clone(), threads).unwrap();
        let mut draw = Draw(42);
        let mut memory = fill(&mut program, &mut store, &mut draw);
        let mut all = Vec::new();
        for batch in batches {
            program.run(&mut store, moment(*batch));
            if run == 0 {
                for kernel in &build.plan.kernels {
                    let Work::Nest(nest) = &kernel.work else { unreachable!("only nests here") };
                    reference::run(nest, *batch, &mut memory);
                }
            }
            for (name, id) in &build.plan.outputs {
                let values = values(&program, &build.plan, name, *id);
                all.push(values.iter().map(|v| v.to_bits()).collect());
                if run == 0 {
                    check(&build.plan, &values, &memory[id.0 as usize], tolerance);
                }
            }
        }
        bits.push(all);
    }
    let same = bits.iter().all(|b| *b == bits[0]);
    assert!(same, "bits depend on the number of threads or the instruction set\n{:#?}", build.plan.kernels);
}

fn values(program: &Program, plan: &Plan, name: &str, id: BufferId) -> Vec<f32> {
    match plan.buffers[id.0 as usize].ty.dtype {
        DType::Index(_) => program.index_output(name).iter().map(|i| *i as f32).collect(),
        DType::F32 | DType::Bool => program.output(name).to_vec(),
    }
}

fn check(plan: &Plan, values: &[f32], expected: &[f64], tolerance: f64) {
    assert!(!values.is_empty());
    for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
        let error = (f64::from(*value) - expected).abs() / expected.abs().max(1.0);
        assert!(error <= tolerance, "element {i}: {value}, expected {expected}\n{:#?}", plan.kernels);
    }
}

const MAP: WriteMode = WriteMode::Overwrite;

#[test]
fn a_map_runs() {
    let mut b = Build::new(10, 4, 1);
    let (x, y) = (b.f32(Arena::Inputs, &[5, 3]), b.f32(Arena::Batch, &[5, 3]));
    let dims = vec![Extent::Examples(1), Extent::Const(5), Extent::Const(3)];
    let body = vec![
        Instr::Load(0),
        Instr::Const(3.0),
        Instr::Apply(Scalar::Mul, vec![0, 1]),
        Instr::Apply(Scalar::Add, vec![2, 0]),
    ];
    let (from, to) = (b.access(x, 3, &[1, 2], Some(0)), b.access(y, 3, &[1, 2], Some(0)));
    let kernel = b.nest(nest(dims, 0, vec![from], body, to, MAP));
    b.tiles(&[kernel]);
    b.output("y", y);
    compare(b, &[10, 3, 9], 1e-6);
}

#[test]
fn a_transpose_reads_with_strides() {
    for (rows, columns) in [(1, 7), (4, 4), (5, 9), (33, 17), (3, 300)] {
        let mut b = Build::new(3, 2, 1);
        let (x, y) = (b.f32(Arena::Inputs, &[rows, columns]), b.f32(Arena::Batch, &[columns, rows]));
        let dims = vec![Extent::Examples(1), Extent::Const(columns), Extent::Const(rows)];
        let (from, to) = (b.access(x, 3, &[2, 1], Some(0)), b.access(y, 3, &[1, 2], Some(0)));
        let kernel = b.nest(nest(dims, 0, vec![from], vec![Instr::Load(0)], to, MAP));
        b.tiles(&[kernel]);
        b.output("y", y);
        compare(b, &[3, 1], 0.0);
    }
}

#[test]
fn row_sums_and_column_sums() {
    for (rows, columns) in [(1, 1), (2, 3), (7, 33), (16, 16), (31, 5), (3, 1000), (300, 2)] {
        for by_row in [true, false] {
            let mut b = Build::new(5, 2, 1);
            let kept = if by_row { rows } else { columns };
            let (x, y) = (b.f32(Arena::Inputs, &[rows, columns]), b.f32(Arena::Batch, &[kept]));
            let summed = if by_row { columns } else { rows };
            let dims = vec![Extent::Examples(1), Extent::Const(kept), Extent::Const(summed)];
            let axes = if by_row { [1, 2] } else { [2, 1] };
            let (from, to) = (b.access(x, 3, &axes, Some(0)), b.access(y, 3, &[1], Some(0)));
            let body = vec![
                Instr::Load(0),
                Instr::Apply(Scalar::Mul, vec![0, 0]),
                Instr::Reduced(Combine::Sum, 1),
                Instr::Reduced(Combine::Max, 0),
                Instr::Apply(Scalar::Add, vec![2, 3]),
            ];
            let kernel = b.nest(nest(dims, 1, vec![from], body, to, MAP));
            b.tiles(&[kernel]);
            b.output("y", y);
            compare(b, &[5], 1e-5);
        }
    }
}

/// The gradient of a bias: summed over examples and positions into slots, then over the slots.
#[test]
fn sums_over_the_batch_go_through_slots() {
    for (positions, channels) in [(1, 1), (3, 10), (7, 32), (9, 33), (1, 700)] {
        for tiles_per_slot in [1, 2, 3] {
            let mut b = Build::new(13, 2, tiles_per_slot);
            let x = b.f32(Arena::Inputs, &[positions, channels]);
            let slots = b.f32(Arena::Slots, &[channels]);
            let y = b.f32(Arena::Once, &[channels]);
            let dims = vec![Extent::Const(channels), Extent::Examples(1), Extent::Const(positions)];
            let (from, to) = (b.access(x, 3, &[2, 0], Some(1)), b.access(slots, 3, &[0], None));
            let body = vec![Instr::Load(0), Instr::Reduced(Combine::Sum, 0)];
            let sum = b.nest(nest(dims, 2, vec![from], body, to, WriteMode::Slot));
            b.tiles(&[sum]);
            let (from, to) = (b.access(slots, 1, &[0], None), b.access(y, 1, &[0], None));
            let dims = vec![Extent::Const(channels)];
            let body = vec![Instr::Load(0), Instr::Const(2.0), Instr::Apply(Scalar::Mul, vec![0, 1])];
            let mut total = nest(dims, 0, vec![from], body, to, MAP);
            total.loads[0].sum_slots = true;
            let total = b.nest(total);
            b.once(total);
            b.output("y", y);
            compare(b, &[13, 4, 1, 12], 1e-5);
        }
    }
}

#[test]
fn indices_are_read_and_written_as_integers() {
    let mut b = Build::new(6, 4, 1);
    let x = b.buffer(Arena::Inputs, DType::Index(50), &[7]);
    let y = b.buffer(Arena::Batch, DType::Index(100), &[7]);
    let dims = vec![Extent::Examples(1), Extent::Const(7)];
    let body = vec![Instr::Load(0), Instr::Coordinate(1), Instr::Apply(Scalar::Add, vec![0, 1])];
    let (from, to) = (b.access(x, 2, &[1], Some(0)), b.access(y, 2, &[1], Some(0)));
    let kernel = b.nest(nest(dims, 0, vec![from], body, to, MAP));
    b.tiles(&[kernel]);
    b.output("y", y);
    compare(b, &[6], 0.0);
}

/// Random shapes, layouts, broadcasts, bodies, reductions.
#[test]
fn random_nests() {
    let mut draw = Draw(1);
    for _ in 0..300 {
        let tile = draw.of(&[1, 2, 3, 5, 8]);
        let mut b = Build::new(11, tile, draw.of(&[1, 2, 4]));
        let (nest, slots) = random_nest(&mut b, &mut draw);
        let store = nest.stores[0].access.buffer;
        let kernel = b.nest(nest);
        b.tiles(&[kernel]);
        if slots {
            let shape: Vec<usize> = b.plan.buffers[store.0 as usize].ty.shape.to_vec();
            let elements = shape.iter().product();
            let y = b.f32(Arena::Once, &shape);
            let access = |buffer| nnc::ir::plan::Access { buffer, offset: 0, strides: vec![1] };
            let mut total = super::build::nest(
                vec![Extent::Const(elements)],
                0,
                vec![access(store)],
                vec![Instr::Load(0)],
                access(y),
                MAP,
            );
            total.loads[0].sum_slots = true;
            let total = b.nest(total);
            b.once(total);
            b.output("y", y);
        } else {
            b.output("y", store);
        }
        compare_threads(b, &[1, 3], &[11, 7], 2e-4);
    }
}

/// A nest over a tile; says whether it sums over the examples into slots.
fn random_nest(b: &mut Build, draw: &mut Draw) -> (Nest, bool) {
    let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 70, 150];
    let mut room = 40_000;
    let mut dims = |count: usize, draw: &mut Draw| -> Vec<usize> {
        let size = |_| {
            let fit: Vec<usize> = sizes.iter().copied().filter(|size| *size <= room).collect();
            let size = draw.of(&fit);
            room /= size;
            size
        };
        (0..count).map(size).collect()
    };
    let outputs = dims(draw.below(4), draw);
    let reduced = dims(draw.of(&[0, 0, 1, 1, 2]), draw);
    let slots = !reduced.is_empty() && draw.below(3) == 0;
    let consts = |sizes: &[usize]| sizes.iter().map(|n| Extent::Const(*n)).collect::<Vec<_>>();
    let (mut dims, examples, first) = if slots {
        let mut dims = consts(&outputs);
        dims.push(Extent::Examples(1));
        (dims, outputs.len(), 0)
    } else {
        let mut dims = vec![Extent::Examples(1)];
        dims.extend(consts(&outputs));
        (dims, 0, 1)
    };
    dims.extend(consts(&reduced));
    let rank = dims.len();
    let extent = |dim: usize| match dims[dim] {
        Extent::Const(n) => n,
        Extent::Examples(_) => unreachable!("examples are not an axis"),
    };
    let axes: Vec<usize> = (0..rank).filter(|dim| *dim != examples).collect();
    // Loads from some axes in some order; the first one reads all of them.
    let mut loads = Vec::new();
    for i in 0..1 + draw.below(3) {
        let mut dims: Vec<usize> = axes.iter().copied().filter(|_| i == 0 || draw.below(3) > 0).collect();
        if draw.below(3) == 0 {
            for i in (1..dims.len()).rev() {
                dims.swap(i, draw.below(i + 1));
            }
        }
        let each = i == 0 || draw.below(2) == 0;
        let arena = if each { Arena::Inputs } else { Arena::Variables };
        let shape: Vec<usize> = dims.iter().map(|dim| extent(*dim)).collect();
        let buffer = b.f32(arena, &shape);
        loads.push(b.access(buffer, rank, &dims, each.then_some(examples)));
    }
    let mut body: Vec<Instr> = (0..loads.len()).map(Instr::Load).collect();
    body.push(Instr::Const(0.75));
    if let (Some(dim), 0) = (axes.first(), draw.below(4)) {
        body.push(Instr::Coordinate(draw.of(&axes).max(*dim)));
    }
    let leaves = body.len();
    grow(&mut body, 0..leaves, leaves, draw);
    if !reduced.is_empty() {
        let inner = body.len();
        let combines: &[Combine] =
            if slots { &[Combine::Sum] } else { &[Combine::Sum, Combine::Max, Combine::Min] };
        for _ in 0..1 + draw.below(2) {
            body.push(Instr::Reduced(draw.of(combines), inner - 1 - draw.below(2.min(inner))));
        }
        if !slots {
            let outer = inner..body.len();
            grow(&mut body, outer, 0, draw);
        }
    }
    let shape: Vec<usize> = outputs.clone();
    let arena = if slots { Arena::Slots } else { Arena::Batch };
    let result = b.f32(arena, &shape);
    let kept: Vec<usize> = (first..first + outputs.len()).collect();
    let store = b.access(result, rank, &kept, (!slots).then_some(examples));
    let mode = if slots { WriteMode::Slot } else { MAP };
    let reduced = reduced.len() + usize::from(slots);
    (nest(dims, reduced, loads, body, store, mode), slots)
}

/// Adds some instructions on earlier ones. Comparisons are of loads only, whose values are exact.
fn grow(body: &mut Vec<Instr>, from: std::ops::Range<usize>, loads: usize, draw: &mut Draw) {
    let start = from.start;
    for _ in 0..1 + draw.below(5) {
        let any = |draw: &mut Draw| start + draw.below(body.len() - start);
        let (a, b) = (any(draw), any(draw));
        let instr = match draw.below(10) {
            0 | 1 => Instr::Apply(Scalar::Add, vec![a, b]),
            2 => Instr::Apply(Scalar::Sub, vec![a, b]),
            3 => {
                body.push(Instr::Apply(Scalar::Tanh, vec![a]));
                Instr::Apply(Scalar::Mul, vec![body.len() - 1, b])
            }
            4 => Instr::Apply(Scalar::Max, vec![a, b]),
            5 => Instr::Apply(Scalar::Min, vec![a, b]),
            6 => Instr::Apply(Scalar::Neg, vec![a]),
            7 => Instr::Apply(Scalar::Abs, vec![a]),
            8 if loads > 0 => {
                let (x, y) = (draw.below(loads), draw.below(loads));
                body.push(Instr::Apply(Scalar::Lt, vec![x, y]));
                Instr::Apply(Scalar::Select, vec![body.len() - 1, a, b])
            }
            _ => Instr::Apply(Scalar::Sigmoid, vec![a]),
        };
        body.push(instr);
    }
}
