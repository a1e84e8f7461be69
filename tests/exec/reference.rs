//! A naive interpreter of loop nests, in f64.

use nnc::ir::kernel::{Combine, Scalar};
use nnc::ir::plan::{Extent, Instr, Nest};

/// The contents of each buffer of a plan: all examples, one after the other.
pub type Memory = Vec<Vec<f64>>;

/// Runs a nest over the whole batch at once. A buffer of slots holds one partial sum: that of all.
pub fn run(nest: &Nest, examples: usize, memory: &mut Memory) {
    let extents: Vec<usize> = nest
        .dims
        .iter()
        .map(|dim| match dim {
            Extent::Const(n) => *n,
            Extent::Examples(factor) => factor * examples,
        })
        .collect();
    let split = extents.len() - nest.reduced;
    let first_outer =
        nest.body.iter().position(|i| matches!(i, Instr::Reduced(..))).unwrap_or(nest.body.len());
    for output in points(&extents[..split]) {
        let mut results = vec![0.0; nest.body.len()];
        let mut sums: Vec<Option<f64>> = vec![None; nest.body.len()];
        for reduced in points(&extents[split..]) {
            let point: Vec<usize> = output.iter().chain(&reduced).copied().collect();
            for i in 0..first_outer {
                results[i] = step(nest, i, &point, memory, &results);
            }
            for (i, instr) in nest.body.iter().enumerate() {
                let Instr::Reduced(combine, value) = instr else { continue };
                let new = results[*value];
                sums[i] = Some(match (sums[i], combine) {
                    (None, _) => new,
                    (Some(old), Combine::Sum) => old + new,
                    (Some(old), Combine::Max) => old.max(new),
                    (Some(old), Combine::Min) => old.min(new),
                });
            }
        }
        let point: Vec<usize> = output.iter().copied().chain(extents[split..].iter().map(|_| 0)).collect();
        for i in first_outer..nest.body.len() {
            results[i] = match sums[i] {
                Some(sum) => sum,
                None => step(nest, i, &point, memory, &results),
            };
        }
        for store in &nest.stores {
            let at = address(store.access.offset, &store.access.strides, &point);
            memory[store.access.buffer.0 as usize][at] = results[store.value];
        }
    }
}

fn address(offset: i64, strides: &[i64], point: &[usize]) -> usize {
    (offset + strides.iter().zip(point).map(|(s, i)| s * *i as i64).sum::<i64>()) as usize
}

fn points(extents: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for extent in extents {
        all = all.iter().flat_map(|p| (0..*extent).map(|i| [p.as_slice(), &[i]].concat())).collect();
    }
    all
}

fn step(nest: &Nest, i: usize, point: &[usize], memory: &Memory, results: &[f64]) -> f64 {
    match &nest.body[i] {
        Instr::Load(load) => {
            let access = &nest.loads[*load].access;
            memory[access.buffer.0 as usize][address(access.offset, &access.strides, point)]
        }
        Instr::Const(value) => f64::from(*value),
        Instr::Coordinate(dim) => point[*dim] as f64,
        Instr::Apply(scalar, args) => {
            apply(*scalar, &args.iter().map(|arg| results[*arg]).collect::<Vec<_>>())
        }
        Instr::Reduced(..) => unreachable!("handled by the caller"),
    }
}

/// A scalar function in f64.
pub fn apply(scalar: Scalar, args: &[f64]) -> f64 {
    let (a, b) = (args[0], args.get(1).copied().unwrap_or(0.0));
    match scalar {
        Scalar::Add => a + b,
        Scalar::Sub => a - b,
        Scalar::Mul => a * b,
        Scalar::Div => a / b,
        Scalar::Pow => a.powf(b),
        Scalar::Min => a.min(b),
        Scalar::Max => a.max(b),
        Scalar::Neg => -a,
        Scalar::Abs => a.abs(),
        Scalar::Sign => {
            if a == 0.0 {
                0.0
            } else {
                a.signum()
            }
        }
        Scalar::Floor => a.floor(),
        Scalar::Exp => a.exp(),
        Scalar::Log => a.ln(),
        Scalar::Sqrt => a.sqrt(),
        Scalar::Rsqrt => 1.0 / a.sqrt(),
        Scalar::Tanh => a.tanh(),
        Scalar::Sigmoid => 1.0 / (1.0 + (-a).exp()),
        // Abramowitz and Stegun 7.1.26 would do for a test, but the steps are tested bit by bit elsewhere.
        Scalar::Erf => unreachable!("not drawn by these tests"),
        Scalar::Sin => a.sin(),
        Scalar::Cos => a.cos(),
        Scalar::Lt => f64::from(a < b),
        Scalar::Le => f64::from(a <= b),
        Scalar::Eq => f64::from(a == b),
        Scalar::And => f64::from(a != 0.0 && b != 0.0),
        Scalar::Or => f64::from(a != 0.0 || b != 0.0),
        Scalar::Not => f64::from(a == 0.0),
        Scalar::Select => {
            if a != 0.0 {
                b
            } else {
                args[2]
            }
        }
        Scalar::Trunc => a.trunc(),
    }
}
