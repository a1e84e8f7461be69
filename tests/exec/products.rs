//! Matrix products, updates, profiles: what is not a loop nest.

use nnc::exec::{Program, Store};
use nnc::ir::computation::VariableId;
use nnc::ir::kernel::{Distribution, Leaf, Scalar};
use nnc::ir::plan::{
    Arena, BufferId, Cut, Extent, Gemm, HostScalar, Instr, LeafCall, Matrix, Plan, PlannedKernel, Routine,
    Work, WriteMode,
};

use super::build::{Build, Draw, moment, nest};

fn matrix(buffer: BufferId, row: usize, column: usize) -> Matrix {
    Matrix { buffer, offset: 0, row: row as i64, column: column as i64 }
}

/// Fills inputs and variables; the inputs with many zeros where a product leaves them out.
fn fill(program: &mut Program, store: &mut Store) {
    let mut draw = Draw(5);
    let sparse = |kernel: &PlannedKernel| matches!(&kernel.work, Work::Gemm(gemm) if gemm.sparse);
    let zeros = program.plan().kernels.iter().any(sparse);
    for i in 0..program.plan().inputs.len() {
        for x in program.input_mut(i) {
            *x = if zeros && !draw.next().is_multiple_of(5) { 0.0 } else { draw.number() };
        }
    }
    for (variable, _) in program.plan().variables.clone() {
        store.get_mut(variable).iter_mut().for_each(|x| *x = draw.number());
    }
}

/// Runs with several numbers of threads; all give the same bits, which are returned with the program.
fn run(plan: &Plan, types: &[nnc::ty::Type], batch: usize) -> (Program, Store) {
    let mut found: Option<(Program, Store)> = None;
    for threads in [1, 2, 4, 8] {
        let mut store = Store::new(types).unwrap();
        let mut program = Program::compile(plan.clone(), threads).unwrap();
        fill(&mut program, &mut store);
        program.run(&mut store, moment(batch));
        program.run(&mut store, moment(batch));
        if let Some((first, _)) = &found {
            for (name, _) in &plan.outputs {
                let bits = |p: &Program| p.output(name).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(first), bits(&program), "{name} with {threads} threads");
            }
        } else {
            found = Some((program, store));
        }
    }
    found.unwrap()
}

fn close(value: f32, expected: f64) {
    assert!((f64::from(value) - expected).abs() < 1e-4 * expected.abs().max(1.0), "{value} {expected}");
}

/// `y = x w` for the examples as rows.
#[test]
fn a_dense_layer() {
    for (inputs, outputs) in [(1, 1), (7, 10), (33, 17), (64, 96)] {
        let mut b = Build::new(21, 8, 1);
        let (x, w) = (b.f32(Arena::Inputs, &[inputs]), b.f32(Arena::Variables, &[inputs, outputs]));
        let y = b.f32(Arena::Batch, &[outputs]);
        let gemm = b.gemm(Gemm {
            outer: Vec::new(),
            m: Extent::Examples(1),
            n: Extent::Const(outputs),
            k: Extent::Const(inputs),
            a: matrix(x, inputs, 1),
            b: matrix(w, outputs, 1),
            c: matrix(y, outputs, 1),
            mode: WriteMode::Overwrite,
            cut: None,
            sparse: false,
        });
        b.tiles(&[gemm]);
        b.output("y", y);
        let types = b.types();
        let (mut program, store) = run(&b.plan, &types, 19);
        let x = program.input_mut(0).to_vec();
        let w = store.get(VariableId(0));
        assert_eq!(program.output("y").len(), 19 * outputs);
        for (at, value) in program.output("y").iter().enumerate() {
            let (i, j) = (at / outputs, at % outputs);
            let terms = (0..inputs).map(|k| f64::from(x[i * inputs + k]) * f64::from(w[k * outputs + j]));
            close(*value, terms.sum());
        }
    }
}

/// The gradient of the weights: examples are summed, by `k` or by an outer loop, into slots.
#[test]
fn a_weight_gradient_adds_over_tiles() {
    let (inputs, outputs, positions) = (9, 6, 3);
    for by_loop in [false, true] {
        let mut b = Build::new(17, 3, 2);
        let x = b.f32(Arena::Inputs, &[positions, inputs]);
        let g = b.f32(Arena::Inputs, &[positions, outputs]);
        let slots = b.f32(Arena::Slots, &[inputs, outputs]);
        let total = b.f32(Arena::Once, &[inputs, outputs]);
        let gemm = Gemm {
            outer: if by_loop {
                let steps = [(positions * inputs) as i64, (positions * outputs) as i64, 0];
                vec![(Extent::Examples(1), steps)]
            } else {
                Vec::new()
            },
            m: Extent::Const(inputs),
            n: Extent::Const(outputs),
            k: if by_loop { Extent::Const(positions) } else { Extent::Examples(positions) },
            a: matrix(x, 1, inputs),
            b: matrix(g, outputs, 1),
            c: matrix(slots, outputs, 1),
            mode: WriteMode::Slot,
            cut: None,
            sparse: false,
        };
        let gemm = b.gemm(gemm);
        b.tiles(&[gemm]);
        let access = |buffer| nnc::ir::plan::Access { buffer, offset: 0, strides: vec![1] };
        let dims = vec![Extent::Const(inputs * outputs)];
        let body = vec![Instr::Load(0)];
        let mut sum = nest(dims, 0, vec![access(slots)], body, access(total), WriteMode::Overwrite);
        sum.loads[0].sum_slots = true;
        let sum = b.nest(sum);
        b.once(sum);
        b.output("total", total);
        let (mut program, _) = run(&b.plan, &[], 16);
        let (x, g) = (program.input_mut(0).to_vec(), program.input_mut(1).to_vec());
        for (at, value) in program.output("total").iter().enumerate() {
            let (i, j) = (at / outputs, at % outputs);
            let rows = 0..16 * positions;
            let terms = rows.map(|r| f64::from(x[r * inputs + i]) * f64::from(g[r * outputs + j]));
            close(*value, terms.sum());
        }
    }
}

/// A whole-batch product is cut over its rows.
#[test]
fn a_whole_batch_product_is_cut() {
    let (m, n, k) = (70, 33, 40);
    let mut b = Build::new(1, 1, 1);
    let (x, w) = (b.f32(Arena::Variables, &[m, k]), b.f32(Arena::Variables, &[k, n]));
    let y = b.f32(Arena::Once, &[m, n]);
    let gemm = b.gemm(Gemm {
        outer: Vec::new(),
        m: Extent::Const(m),
        n: Extent::Const(n),
        k: Extent::Const(k),
        a: matrix(x, k, 1),
        b: matrix(w, n, 1),
        c: matrix(y, n, 1),
        mode: WriteMode::Overwrite,
        cut: None,
        sparse: false,
    });
    b.once(gemm);
    b.output("y", y);
    let types = b.types();
    let (program, store) = run(&b.plan, &types, 1);
    let (x, w) = (store.get(VariableId(0)), store.get(VariableId(1)));
    for (at, value) in program.output("y").iter().enumerate() {
        let (i, j) = (at / n, at % n);
        close(*value, (0..k).map(|p| f64::from(x[i * k + p]) * f64::from(w[p * n + j])).sum());
    }
}

/// Variables are updated through a copy, and the host's numbers arrive.
#[test]
fn updates_and_host_scalars() {
    let mut b = Build::new(4, 4, 1);
    let w = b.f32(Arena::Variables, &[100]);
    let step = b.f32(Arena::Once, &[]);
    let size = b.f32(Arena::Once, &[]);
    let new = b.f32(Arena::Once, &[100]);
    b.plan.scalars = vec![(step, HostScalar::Step), (size, HostScalar::BatchSize)];
    let loads = vec![b.access(w, 1, &[0], None), b.access(step, 1, &[], None), b.access(size, 1, &[], None)];
    let body = vec![
        Instr::Load(0),
        Instr::Load(1),
        Instr::Load(2),
        Instr::Apply(Scalar::Mul, vec![1, 2]),
        Instr::Apply(Scalar::Add, vec![0, 3]),
    ];
    let store = b.access(new, 1, &[0], None);
    let kernel = b.nest(nest(vec![Extent::Const(100)], 0, loads, body, store, WriteMode::Overwrite));
    b.once(kernel);
    b.plan.copies = vec![(new, w)];
    b.output("w", w);
    let types = b.types();
    let mut store = Store::new(&types).unwrap();
    let mut program = Program::compile(b.plan, 2).unwrap();
    program.run(&mut store, moment(3));
    let costs = program.run_profiled(&mut store, nnc::ir::op::Moment { step: 5, ..moment(4) });
    assert_eq!(costs.len(), 1);
    assert_eq!(costs[0].left_out, 0);
    assert!(store.get(VariableId(0)).iter().all(|w| *w == 3.0 + 20.0));
    assert_eq!(program.output("w"), store.get(VariableId(0)));
}

/// Random numbers depend on the example's place in the batch, not on tiles.
#[test]
fn random_numbers_do_not_depend_on_tiles() {
    let numbers = |tile: usize| {
        let mut b = Build::new(9, tile, 1);
        let y = b.f32(Arena::Batch, &[13]);
        let leaf = Leaf::Random { distribution: Distribution::Normal, stream: 3 };
        let kernel = b.leaf(LeafCall {
            routine: Routine::Leaf(leaf),
            inputs: Vec::new(),
            outputs: vec![y],
            mode: WriteMode::Overwrite,
        });
        b.tiles(&[kernel]);
        b.output("y", y);
        let (program, _) = run(&b.plan, &[], 9);
        program.output("y").to_vec()
    };
    let first = numbers(9);
    assert_eq!(first, numbers(2));
    assert!(first.iter().any(|x| *x != first[0]));
}

/// Parts of a layer over some rows of the weights each are dealt out to the workers.
#[test]
fn parts_over_rows_of_weights() {
    for (parts, rows, outputs, sparse) in [(2, 5, 10, false), (4, 48, 96, true), (3, 40, 33, false)] {
        let mut b = Build::new(21, 8, 1);
        let inputs = parts * rows;
        let (x, w) = (b.f32(Arena::Inputs, &[inputs]), b.f32(Arena::Variables, &[inputs, outputs]));
        let y = b.f32(Arena::Batch, &[parts, outputs]);
        let kernel = b.gemm(Gemm {
            outer: vec![(Extent::Const(parts), [rows, rows * outputs, outputs].map(|step| step as i64))],
            m: Extent::Examples(1),
            n: Extent::Const(outputs),
            k: Extent::Const(rows),
            a: matrix(x, inputs, 1),
            b: matrix(w, outputs, 1),
            c: matrix(y, parts * outputs, 1),
            mode: WriteMode::Overwrite,
            cut: Some(Cut::Outer),
            sparse,
        });
        b.once(kernel);
        b.output("y", y);
        let types = b.types();
        let (mut program, store) = run(&b.plan, &types, 19);
        let (x, w) = (program.input_mut(0).to_vec(), store.get(VariableId(0)));
        assert_eq!(program.output("y").len(), 19 * parts * outputs);
        for (at, value) in program.output("y").iter().enumerate() {
            let (i, part, j) = (at / (parts * outputs), at / outputs % parts, at % outputs);
            let rows = part * rows..(part + 1) * rows;
            let terms = rows.map(|k| f64::from(x[i * inputs + k]) * f64::from(w[k * outputs + j]));
            close(*value, terms.sum());
        }
    }
}

/// Over the whole batch a dense layer's columns are dealt out to the workers, its input gradient's too.
#[test]
fn a_dense_layer_over_the_whole_batch() {
    for (inputs, outputs, sparse) in [(7, 10, false), (64, 96, false), (33, 300, false), (150, 100, true)] {
        let mut b = Build::new(21, 8, 1);
        let (x, w) = (b.f32(Arena::Inputs, &[inputs]), b.f32(Arena::Variables, &[inputs, outputs]));
        let (y, dx) = (b.f32(Arena::Batch, &[outputs]), b.f32(Arena::Batch, &[inputs]));
        let product = |n, k, a, b, c| Gemm {
            outer: Vec::new(),
            m: Extent::Examples(1),
            n: Extent::Const(n),
            k: Extent::Const(k),
            a,
            b,
            c,
            mode: WriteMode::Overwrite,
            cut: Some(Cut::Columns),
            sparse: false,
        };
        let (row, back) = (matrix(y, outputs, 1), matrix(w, 1, outputs));
        let forward = product(outputs, inputs, matrix(x, inputs, 1), matrix(w, outputs, 1), row.clone());
        let backward = product(inputs, outputs, row, back, matrix(dx, inputs, 1));
        for gemm in [Gemm { sparse, ..forward }, backward] {
            let kernel = b.gemm(gemm);
            b.once(kernel);
        }
        b.output("y", y);
        b.output("dx", dx);
        let types = b.types();
        let (mut program, store) = run(&b.plan, &types, 19);
        let (x, w) = (program.input_mut(0).to_vec(), store.get(VariableId(0)));
        let (y, dx) = (program.output("y"), program.output("dx"));
        assert_eq!((y.len(), dx.len()), (19 * outputs, 19 * inputs));
        for (at, value) in y.iter().enumerate() {
            let (i, j) = (at / outputs, at % outputs);
            let terms = (0..inputs).map(|k| f64::from(x[i * inputs + k]) * f64::from(w[k * outputs + j]));
            close(*value, terms.sum());
        }
        for (at, value) in dx.iter().enumerate() {
            let (i, j) = (at / inputs, at % inputs);
            let terms = (0..outputs).map(|k| f64::from(y[i * outputs + k]) * f64::from(w[j * outputs + k]));
            close(*value, terms.sum());
        }
    }
}
