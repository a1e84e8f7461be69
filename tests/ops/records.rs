//! Every record is complete: cases, attributes, levels, a reference of the shape that the rule says, a lowering.

use std::collections::HashMap;

use nnc::ir::{Attr, Grad, Kernel, Lower, Signature};
use nnc::ops;
use nnc::ty::{DType, Type};

use super::harness::{LEAVES, Noise, all_cases, apply, evaluate};

#[test]
fn every_op_has_cases() {
    for op in ops::ALL {
        let cases = (op.cases)();
        assert!(!cases.is_empty() || LEAVES.contains(&op.name), "{} has no cases", op.name);
        let differentiable = cases.iter().any(|case| case.differentiable);
        match op.grad {
            Grad::Rule(_) => assert!(differentiable, "no case tests the gradient rule of {}", op.name),
            Grad::Zero | Grad::Late => assert!(!differentiable, "{} has no gradient rule to test", op.name),
        }
    }
}

#[test]
fn ops_are_listed_in_order_and_found_by_name() {
    assert!(ops::ALL.is_sorted_by(|x, y| x.name < y.name));
    for op in ops::ALL {
        assert_eq!(ops::find(op.name).map(|found| found.name), Some(op.name));
    }
    assert!(ops::find("conv3").is_none());
}

#[test]
fn attributes_of_cases_stand_in_the_order_of_the_record() {
    for (op, i, case) in all_cases() {
        let given: Vec<_> = case.attrs.iter().map(|(name, value)| (name, Attr::kind(value))).collect();
        let known: Vec<_> = op.attrs.iter().map(|spec| (spec.name, spec.kind)).collect();
        assert_eq!(given, known, "case {i} of {}", op.name);
    }
}

#[test]
fn references_have_the_shape_and_the_values_of_their_type() {
    for (op, i, case) in all_cases() {
        let applied = apply(op, &case);
        let mut noise = Noise::new(i as u64);
        let leaves: HashMap<_, _> = applied
            .leaves
            .iter()
            .zip(&case.inputs)
            .map(|(leaf, ty)| (*leaf, noise.array(ty, case.range)))
            .collect();
        let values = evaluate(&applied.builder.graph, &leaves);
        let (result, ty) = (&values[applied.node.index()], applied.builder.ty(applied.node));
        for x in &result.data {
            let fits = match ty.dtype {
                DType::F32 => x.is_finite(),
                DType::Bool => *x == 0.0 || *x == 1.0,
                DType::Index(bound) => x.fract() == 0.0 && (0.0..bound as f64).contains(x),
            };
            assert!(fits, "case {i} of {} gives {x}, which is no {ty}", op.name);
        }
    }
}

#[test]
fn lowerings_keep_type_level_and_value() {
    for (op, i, case) in all_cases() {
        let Lower::Ops(lower) = op.lower else { continue };
        let mut applied = apply(op, &case);
        let lowered = lower(&mut applied.builder, applied.node);
        let graph = &applied.builder.graph;
        assert_eq!(graph[lowered].ty, graph[applied.node].ty, "case {i} of {}", op.name);
        assert_eq!(graph[lowered].level, graph[applied.node].level, "case {i} of {}", op.name);
        let mut noise = Noise::new(i as u64);
        let leaves: HashMap<_, _> = applied
            .leaves
            .iter()
            .zip(&case.inputs)
            .map(|(leaf, ty)| (*leaf, noise.array(ty, case.range)))
            .collect();
        let values = evaluate(graph, &leaves);
        let (x, y) = (&values[applied.node.index()], &values[lowered.index()]);
        for (x, y) in x.data.iter().zip(&y.data) {
            assert!((x - y).abs() <= 1e-12 * x.abs().max(1.0), "case {i} of {}: {x} and {y}", op.name);
        }
    }
}

#[test]
fn kernels_fit_their_ops() {
    for (op, i, case) in all_cases() {
        let Lower::Kernel(kernel) = op.lower else { continue };
        let applied = apply(op, &case);
        let types: Vec<&Type> = case.inputs.iter().collect();
        let ty = applied.builder.ty(applied.node);
        let fits = match kernel(&Signature { inputs: &types, attrs: &case.attrs }, ty) {
            Kernel::Map(scalar) => scalar.arity() == types.len(),
            Kernel::Reduce(_, axes) => axes.len() + ty.shape.rank() == types[0].shape.rank(),
            Kernel::View(view) => {
                view.axes.len() == types[0].shape.rank()
                    && view.axes.iter().zip(types[0].shape.iter()).all(|(axis, extent)| {
                        let mut reach = (axis.base, axis.base);
                        for (i, factor) in &axis.terms {
                            let far = factor * (ty.shape[*i] as i64 - 1);
                            reach = (reach.0 + far.min(0), reach.1 + far.max(0));
                        }
                        reach.0 >= 0 && reach.1 < *extent as i64
                    })
            }
            Kernel::Contract(labels) => {
                labels.a.len() == types[0].shape.rank()
                    && labels.b.len() == types[1].shape.rank()
                    && labels.out.len() == ty.shape.rank()
            }
            Kernel::Pad { low, .. } => low.len() == types[0].shape.rank(),
            Kernel::Reshape => types[0].shape.elements() == ty.shape.elements(),
            Kernel::Source(_) => types.is_empty(),
            Kernel::Iota(axis) | Kernel::Concat(axis) => axis < ty.shape.rank(),
            Kernel::Batch => ty.shape[1..] == types[0].shape[..],
            Kernel::Example => types[0].shape[1..] == ty.shape[..],
            Kernel::BatchSum | Kernel::Leaf(_) | Kernel::Scan(_) => true,
        };
        assert!(fits, "the kernel of case {i} of {} does not fit its types", op.name);
    }
}
