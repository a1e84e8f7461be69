//! Wrong inputs and attributes: refused with a message, never with a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nnc::ir::{Array, Attr, Attrs, Builder, Case, Lower, Mismatch, Op, RefCall, Signature};
use nnc::ops;
use nnc::ty::{DType, Shape, Type};

use super::harness::{LEAVES, MOMENT, all_cases, leaves};

/// Other types to stand in the place of an input.
fn other_types(ty: &Type) -> Vec<Type> {
    let mut types: Vec<Type> =
        [DType::F32, DType::Bool, DType::Index(3)].map(|dtype| Type::new(dtype, ty.shape.clone())).into();
    let mut shapes: Vec<Vec<usize>> = vec![vec![], vec![1], vec![2, 3], vec![1; 12], vec![1 << 30]];
    shapes.push(ty.shape.iter().rev().copied().collect());
    shapes.push(ty.shape.iter().chain([&2]).copied().collect());
    for axis in 0..ty.shape.rank() {
        for extent in [1, ty.shape[axis] + 1] {
            let mut shape = ty.shape.to_vec();
            shape[axis] = extent;
            shapes.push(shape);
        }
        let mut shape = ty.shape.to_vec();
        shape.remove(axis);
        shapes.push(shape);
    }
    types.extend(shapes.into_iter().filter(|s| s.len() <= 12).map(|s| Type::new(ty.dtype, Shape::of(&s))));
    types
}

/// Other values to stand in the place of an attribute.
fn other_values(value: &Attr) -> Vec<Attr> {
    let whole = [i64::MIN, -3, -2, -1, 0, 1, 2, 3, 5, 100, 1 << 31, 1 << 40, i64::MAX - 1, i64::MAX];
    match value {
        Attr::Int(_) => whole.into_iter().map(Attr::Int).collect(),
        Attr::Ints(list) => {
            let mut lists = vec![
                vec![],
                vec![0; 13],
                [list.clone(), vec![1]].concat(),
                [list.clone(), list.clone()].concat(),
            ];
            for i in 0..list.len() {
                for value in whole {
                    let mut other = list.clone();
                    other[i] = value;
                    lists.push(other);
                }
            }
            lists.push(list.iter().rev().copied().collect());
            lists.push(vec![i64::MAX; list.len()]);
            lists.into_iter().map(Attr::Ints).collect()
        }
        Attr::Float(_) => [f64::NAN, f64::INFINITY, -1.0, 0.0].map(Attr::Float).into(),
        Attr::Text(_) => [
            "",
            ",",
            "->",
            "a",
            "a, b",
            "a -> b",
            "a, b -> c",
            "a a, b -> a",
            "a, b -> a a",
            "a, b, c -> a",
            "a,b->a->b",
            ",->",
            "𝛼, 𝛽 -> 𝛼",
        ]
        .map(|text| Attr::Text(text.into()))
        .into(),
        Attr::Bool(value) => vec![Attr::Bool(!value)],
        Attr::Body(_) => vec![Attr::Body(Default::default())],
    }
}

/// The attributes with one of them replaced.
fn replaced(attrs: &Attrs, at: usize, value: Attr) -> Attrs {
    attrs.iter().enumerate().fold(Attrs::none(), |new, (i, (name, old))| {
        new.with(name, if i == at { value.clone() } else { old.clone() })
    })
}

/// Cases that differ in one thing from a good one; most are wrong.
fn variants(case: &Case) -> Vec<Case> {
    let mut variants = Vec::new();
    for (i, ty) in case.inputs.iter().enumerate() {
        for other in other_types(ty) {
            let mut variant = case.clone();
            variant.inputs[i] = other;
            variants.push(variant);
        }
    }
    for (i, (_, value)) in case.attrs.iter().enumerate() {
        for other in other_values(value) {
            variants.push(Case { attrs: replaced(&case.attrs, i, other), ..case.clone() });
        }
    }
    variants.push(Case { inputs: Vec::new(), ..case.clone() });
    variants.push(Case { inputs: [case.inputs.clone(), case.inputs.clone()].concat(), ..case.clone() });
    variants.push(Case { attrs: Attrs::none(), ..case.clone() });
    variants
}

/// The result's type or the refusal. A type that is accepted must be computable.
fn attempt(op: &'static Op, case: &Case) -> Result<Type, Mismatch> {
    let mut b = Builder::default();
    let inputs = leaves(&mut b, case);
    let node = b.try_add(op, &inputs, case.attrs.clone())?;
    let types: Vec<&Type> = case.inputs.iter().collect();
    let ty = b.ty(node).clone();
    match op.lower {
        Lower::Kernel(kernel) => drop(kernel(&Signature { inputs: &types, attrs: &case.attrs }, &ty)),
        Lower::Ops(lower) => {
            let lowered = lower(&mut b, node);
            assert_eq!(*b.ty(lowered), ty);
        }
    }
    let elements: usize =
        types.iter().chain([&&ty]).map(|ty| ty.shape.elements()).fold(0, usize::saturating_add);
    if elements < 5_000 {
        let values: Vec<Array> = types.iter().map(|ty| Array::from_fn(&ty.shape, |_| 1.0)).collect();
        let inputs: Vec<&Array> = values.iter().collect();
        let result =
            (op.reference)(&RefCall { inputs: &inputs, attrs: &case.attrs, ty: &ty, moment: MOMENT });
        assert_eq!(result.shape, ty.shape);
    }
    Ok(ty)
}

#[test]
fn wrong_inputs_and_attributes_never_panic() {
    let mut refused = 0;
    for (op, i, case) in all_cases().filter(|(op, _, _)| !LEAVES.contains(&op.name)) {
        for variant in variants(&case) {
            let result = catch_unwind(AssertUnwindSafe(|| attempt(op, &variant)));
            let outcome =
                result.unwrap_or_else(|_| panic!("{} panics near case {i} at {variant:?}", op.name));
            if let Err(mismatch) = outcome {
                refused += 1;
                assert!(!mismatch.message.is_empty() && !mismatch.message.contains('\n'), "{mismatch:?}");
                assert!(mismatch.inputs.iter().all(|input| *input < variant.inputs.len()), "{mismatch:?}");
            }
        }
    }
    assert!(refused > 1000, "only {refused} of the variants are wrong");
}

/// What people get wrong most, and what they read then.
#[test]
fn messages() {
    let mut report = String::new();
    let mut show_typed = |name: &str, types: &[Type], attrs: Attrs| {
        let op = ops::find(name).expect("an op of this name");
        let case = Case { inputs: types.to_vec(), ..Case::f32(&[], attrs) };
        let types: Vec<String> = case.inputs.iter().map(Type::to_string).collect();
        let mismatch = attempt(op, &case).expect_err("this does not fit");
        let attrs: Vec<String> = case.attrs.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let call = [types, attrs].concat().join(", ");
        report += &format!("{name}({call})\n  {}\n", mismatch.message);
        if let Some(help) = mismatch.help {
            report += &format!("  help: {help}\n");
        }
    };
    let mut show = |name: &str, shapes: &[&[usize]], attrs: Attrs| {
        show_typed(name, &Case::f32(shapes, Attrs::none()).inputs, attrs);
    };
    show("add", &[&[3], &[4]], Attrs::none());
    show("select", &[&[3], &[3], &[3]], Attrs::none());
    show("and", &[&[3], &[3]], Attrs::none());
    show("broadcast", &[&[3]], Attrs::none().ints("shape", [4]));
    show("broadcast", &[&[3]], Attrs::none().ints("shape", [1 << 40, 3]));
    show("reshape", &[&[3, 4]], Attrs::none().ints("shape", [5]));
    show("reshape", &[&[3, 4]], Attrs::none().ints("shape", [0, 12]));
    show("transpose", &[&[3, 4]], Attrs::none().ints("permutation", [0, 0]));
    show("sum", &[&[3, 4]], Attrs::none().ints("axes", [2]));
    show("sum", &[&[]], Attrs::none().ints("axes", [0]));
    show("sum", &[&[3, 4]], Attrs::none().ints("axes", [1, -1]));
    show("slice", &[&[9]], Attrs::none().ints("start", [4]).ints("extent", [3]).ints("stride", [3]));
    show("slice", &[&[9]], Attrs::none().ints("start", [4]).ints("extent", [3]).ints("stride", [-1]));
    show("pad", &[&[9]], Attrs::none().ints("low", [-1]).ints("high", [0]).float("fill", 0.0));
    show("concat", &[&[3, 4], &[3, 5]], Attrs::none().int("axis", 0));
    show("contract", &[&[7, 784], &[256, 10]], Attrs::none().text("formula", "n k, k m -> n m"));
    show("contract", &[&[7, 784], &[784, 10]], Attrs::none().text("formula", "n k, k m"));
    show("contract", &[&[7], &[784, 10]], Attrs::none().text("formula", "n k, k m -> n m"));
    show("contract", &[&[7, 7], &[7, 10]], Attrs::none().text("formula", "k k, k m -> k m"));
    let windows = ops::Windows::default();
    let conv = windows.attrs().int("groups", 1);
    show("conv2d", &[&[28, 28, 1], &[3, 3, 32, 64]], conv.clone());
    show("conv2d", &[&[28, 28], &[3, 3, 1, 32]], conv.clone());
    show("conv2d", &[&[2, 28, 1], &[3, 3, 1, 32]], conv.clone());
    show("conv2d", &[&[28, 28, 1], &[3, 3, 32]], conv);
    show("conv2d", &[&[28, 28, 4], &[3, 3, 2, 5]], windows.attrs().int("groups", 2));
    show(
        "conv2d",
        &[&[28, 28, 1], &[3, 3, 1, 5]],
        replaced(&windows.attrs().int("groups", 1), 0, Attr::Ints(vec![0, 1])),
    );
    show("max_pool2d", &[&[3, 3, 8]], windows.attrs().ints("size", [4, 4]));
    show("max_pool2d", &[&[3, 3, 8]], ops::Windows { low: [2; 2], ..windows }.attrs().ints("size", [2, 2]));
    show("gather", &[&[10, 4], &[3]], Attrs::none());
    show_typed(
        "gather",
        &[Type::f32(Shape::of(&[10, 4])), Type::new(DType::Index(20), Shape::scalar())],
        Attrs::none(),
    );
    show_typed("one_hot", &[Type::new(DType::Index(20), Shape::scalar())], Attrs::none().int("size", 10));
    show_typed("add", &[Type::new(DType::Bool, Shape::scalar()), Type::f32(Shape::scalar())], Attrs::none());
    insta::assert_snapshot!(report);
}
