//! The generated code itself: shared functions, texts, limits.

use nnc::base::Exit;
use nnc::exec::{Program, Store};
use nnc::ir::kernel::{Combine, Scalar};
use nnc::ir::plan::{Access, Arena, BufferId, Extent, Instr, Nest, WriteMode};
use nnc::jit::{Code, Stage, dump, dump_wide};
use nnc::kernels::isa::Isa;

use super::build::{Build, moment, nest};

/// A chain of maps over different buffers and offsets.
fn chain(layers: usize) -> Build {
    let mut b = Build::new(4, 4, 1);
    let mut from = b.f32(Arena::Inputs, &[12, 16]);
    let mut kernels = Vec::new();
    for layer in 0..layers {
        let weights = b.f32(Arena::Variables, &[3 * 16]);
        let to = b.f32(if layer + 1 == layers { Arena::Batch } else { Arena::Tile }, &[12, 16]);
        let rank = 3;
        let mut bias = Access { buffer: weights, offset: 0, strides: vec![0, 0, 1] };
        bias.offset = 16 * (layer as i64 % 3);
        let loads = vec![b.access(from, rank, &[1, 2], Some(0)), bias];
        let body = vec![
            Instr::Load(0),
            Instr::Load(1),
            Instr::Apply(Scalar::Add, vec![0, 1]),
            Instr::Apply(Scalar::Tanh, vec![2]),
        ];
        let dims = vec![Extent::Examples(1), Extent::Const(12), Extent::Const(16)];
        let store = b.access(to, rank, &[1, 2], Some(0));
        kernels.push(b.nest(nest(dims, 0, loads, body, store, WriteMode::Overwrite)));
        from = to;
    }
    b.tiles(&kernels);
    b.output("y", from);
    b
}

#[test]
fn equal_nests_share_one_function() {
    let b = chain(500);
    let types = b.types();
    let mut program = Program::compile(b.plan, 1).unwrap();
    assert_eq!(program.functions(), 1);
    let mut store = Store::new(&types).unwrap();
    for (i, (variable, _)) in program.plan().variables.clone().into_iter().enumerate() {
        store.get_mut(variable).iter_mut().for_each(|x| *x = if i == 499 { 0.5 } else { 0.0 });
    }
    program.run(&mut store, moment(4));
    let y = program.output("y");
    assert!(y.len() == 4 * 12 * 16 && y.iter().all(|y| (*y - 0.5_f32.tanh()).abs() < 1e-6));
}

#[test]
fn functions_have_texts_under_their_kernels_names() {
    let b = chain(2);
    let nests: Vec<(&str, &Nest)> = b
        .plan
        .kernels
        .iter()
        .filter_map(|kernel| match &kernel.work {
            nnc::ir::plan::Work::Nest(nest) => Some((kernel.name.as_str(), nest)),
            _ => None,
        })
        .collect();
    let clif = dump(&nests, &b.plan.buffers, Stage::Clif).unwrap();
    assert!(clif.starts_with("; kernel 0\nfunction "), "{clif}");
    assert!(clif.contains("fma") && clif.contains("f32x4"), "{clif}");
    assert!(clif.contains("; kernel 1: the code of kernel 0"), "{clif}");
    let asm = dump(&nests, &b.plan.buffers, Stage::Asm).unwrap();
    assert!(asm.starts_with("; kernel 0\n") && asm.contains("ret"), "{asm}");
}

#[test]
fn a_nest_that_breaks_the_rules_is_an_internal_error() {
    let mut b = Build::new(1, 1, 1);
    let x = b.f32(Arena::Variables, &[8]);
    let y = b.f32(Arena::Once, &[8]);
    let access = |buffer: BufferId| Access { buffer, offset: 0, strides: vec![1] };
    let good = nest(
        vec![Extent::Const(8)],
        0,
        vec![access(x)],
        vec![Instr::Load(0)],
        access(y),
        WriteMode::Overwrite,
    );
    assert!(Code::compile(&[&good], &b.plan.buffers, Isa::current()).is_ok());
    let mut faults = vec![good.clone(), good.clone(), good.clone(), good.clone(), good.clone()];
    faults[0].body = vec![Instr::Load(1)];
    faults[1].loads[0].access.strides = vec![];
    faults[2].stores[0].value = 7;
    faults[3].body.push(Instr::Reduced(Combine::Sum, 5));
    faults[4].reduced = 1;
    for fault in faults {
        let Err(error) = Code::compile(&[&fault], &b.plan.buffers, Isa::current()) else {
            panic!("{fault:?} compiled")
        };
        assert_eq!(error.exit, Exit::Internal, "{error:?}");
    }
}

#[test]
fn a_plan_larger_than_the_memory_is_refused() {
    let mut b = Build::new(2, 2, 1);
    let x = b.f32(Arena::Inputs, &[4]);
    b.output("x", x);
    b.plan.arena_bytes[Arena::Batch as usize] = 1 << 50;
    let Err(error) = Program::compile(b.plan, 1) else { panic!("a petabyte was there") };
    assert_eq!(error.exit, Exit::Resources);
    assert!(error.title.contains("MB"), "{}", error.title);
}

#[test]
fn an_empty_plan_runs() {
    let mut b = Build::new(2, 1, 1);
    let x = b.f32(Arena::Inputs, &[4]);
    b.output("x", x);
    let mut program = Program::compile(b.plan, 4).unwrap();
    program.input_mut(0).fill(2.5);
    program.run(&mut Store::new(&[]).unwrap(), moment(1));
    assert_eq!(program.output("x"), [2.5; 4]);
    assert!(program.output("y").is_empty() && program.input_mut(3).is_empty());
}

/// `exp(x - m)` of rows of 37, and their sums: constants, a tail, a sum along the lanes.
#[test]
fn wide_code_has_a_text() {
    let mut b = Build::new(4, 4, 1);
    let (x, m) = (b.f32(Arena::Inputs, &[37]), b.f32(Arena::Inputs, &[1]));
    let (e, s) = (b.f32(Arena::Batch, &[37]), b.f32(Arena::Batch, &[1]));
    let (examples, row) = (Extent::Examples(1), Extent::Const(37));
    let body = vec![
        Instr::Load(0),
        Instr::Load(1),
        Instr::Apply(Scalar::Sub, vec![0, 1]),
        Instr::Apply(Scalar::Exp, vec![2]),
    ];
    let loads = vec![b.access(x, 2, &[1], Some(0)), b.access(m, 2, &[], Some(0))];
    let to = b.access(e, 2, &[1], Some(0));
    let map = nest(vec![examples, row], 0, loads, body, to, WriteMode::Overwrite);
    let loads = vec![b.access(e, 2, &[1], Some(0))];
    let body = vec![Instr::Load(0), Instr::Reduced(Combine::Sum, 0)];
    let sum = nest(vec![examples, row], 1, loads, body, b.access(s, 2, &[], Some(0)), WriteMode::Overwrite);
    let mut text = String::new();
    for isa in [Isa::Avx512, Isa::Avx2] {
        for (name, nest) in [("map", &map), ("sum", &sum)] {
            let code = dump_wide(nest, &b.plan.buffers, isa).unwrap().expect("a nest for wide vectors");
            text.push_str(&format!("; {name}, {isa:?}\n{code}\n"));
        }
    }
    insta::assert_snapshot!(text);
    assert!(dump_wide(&map, &b.plan.buffers, Isa::Scalar).unwrap().is_none());
}
