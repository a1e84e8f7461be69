//! What several ops share: shape rules of elementwise ops, naive loops, sample sizes.

use crate::ir::{Array, Attrs, Case, Level, Mismatch, RefCall, Signature};
use crate::ty::{DType, Shape, Type};

/// Sizes at which vector loops go wrong first.
pub const SIZES: &[usize] = &[1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33];

/// All inputs are f32 of one shape; so is the result.
pub fn elementwise(sig: &Signature) -> Result<Type, Mismatch> {
    let all: Vec<usize> = (0..sig.inputs.len()).collect();
    all.iter().try_for_each(|i| need_f32(sig, *i))?;
    same_shape(sig, &all)?;
    Ok(sig.inputs[0].clone())
}

/// This input is f32.
pub fn need_f32(sig: &Signature, input: usize) -> Result<(), Mismatch> {
    match sig.inputs[input].dtype {
        DType::F32 => Ok(()),
        DType::Bool | DType::Index(_) => {
            let message = format!("numbers (f32) are needed here, not {}", sig.inputs[input]);
            Err(Mismatch::of(&[input], message))
        }
    }
}

/// These inputs have one shape.
pub fn same_shape(sig: &Signature, inputs: &[usize]) -> Result<(), Mismatch> {
    let first = &sig.inputs[inputs[0]].shape;
    for &i in inputs {
        let shape = &sig.inputs[i].shape;
        if shape != first {
            let message = format!("the shapes {first} and {shape} differ");
            return Err(Mismatch::of(&[i, inputs[0]], message));
        }
    }
    Ok(())
}

/// The shape that a list of extents in the attributes names.
pub fn shape_of(extents: &[i64]) -> Result<Shape, Mismatch> {
    Shape::checked(extents).map_err(|bad| Mismatch::of(&[], bad.to_string()))
}

/// An axis of input 0, counted from the front, or from the back when negative.
pub fn axis_of(shape: &Shape, axis: i64) -> Result<usize, Mismatch> {
    shape.axis(axis).ok_or_else(|| {
        let message = match shape.rank() {
            0 => format!("there is no axis {axis}: this is a scalar"),
            rank => format!("there is no axis {axis}: {shape} has the axes 0 to {}", rank - 1),
        };
        Mismatch::of(&[0], message)
    })
}

/// Axes of input 0, ascending, each at most once.
pub fn axes_of(shape: &Shape, axes: &[i64]) -> Result<Vec<usize>, Mismatch> {
    let mut found = axes.iter().map(|axis| axis_of(shape, *axis)).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    match found.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(twice) => Err(Mismatch::of(&[], format!("the axis {} is named twice", twice[0]))),
        None => Ok(found),
    }
}

/// Axes that [`axes_of`] has accepted before.
pub fn known_axes(shape: &Shape, axes: &[i64]) -> Vec<usize> {
    axes_of(shape, axes).unwrap_or_default()
}

/// An attribute with one value per axis of input 0.
pub fn per_axis<'a>(sig: &Signature<'a>, name: &str) -> Result<&'a [i64], Mismatch> {
    let (values, rank) = (sig.attrs.get_ints(name), sig.inputs[0].shape.rank());
    if values.len() != rank {
        let message = format!("{name} has {} values for the {rank} axes of {}", values.len(), sig.inputs[0]);
        return Err(Mismatch::of(&[0], message));
    }
    Ok(values)
}

/// A shape without some of its axes (ascending).
pub fn without(shape: &Shape, axes: &[usize]) -> Shape {
    let kept: Vec<usize> = (0..shape.rank()).filter(|i| !axes.contains(i)).map(|i| shape[i]).collect();
    Shape::of(&kept)
}

/// A shape with 1 at some of its axes.
pub fn with_ones(shape: &Shape, axes: &[usize]) -> Shape {
    let extents: Vec<usize> =
        (0..shape.rank()).map(|i| if axes.contains(&i) { 1 } else { shape[i] }).collect();
    Shape::of(&extents)
}

/// Applies a function to each element of input 0.
pub fn map1(call: &RefCall, f: impl Fn(f64) -> f64) -> Array {
    Array::new(call.ty.shape.clone(), call.inputs[0].data.iter().map(|x| f(*x)).collect())
}

/// Applies a function to each pair of elements of inputs 0 and 1.
pub fn map2(call: &RefCall, f: impl Fn(f64, f64) -> f64) -> Array {
    let pairs = call.inputs[0].data.iter().zip(&call.inputs[1].data);
    Array::new(call.ty.shape.clone(), pairs.map(|(x, y)| f(*x, *y)).collect())
}

/// Each element is an element of input 0: the function writes its index there for an index of the result.
pub fn rearranged(call: &RefCall, source: impl Fn(&[usize], &mut [usize])) -> Array {
    let x = call.inputs[0];
    let mut from = vec![0; x.shape.rank()];
    Array::from_fn(&call.ty.shape, |index| {
        source(index, &mut from);
        x.at(&from)
    })
}

/// Cases of an elementwise op with this many inputs, over [`SIZES`], larger shapes, and inputs that are the
/// same for all examples.
pub fn elementwise_cases(inputs: usize, low: f64, high: f64) -> Vec<Case> {
    let case = |shape: &[usize]| Case::f32(&vec![shape; inputs], Attrs::none()).range(low, high);
    let mut cases: Vec<Case> = SIZES.iter().map(|n| case(&[*n])).collect();
    cases.extend([case(&[]), case(&[3, 5]), case(&[2, 3, 9])]);
    for shared in 0..inputs {
        let level = |i| if i == shared { Level::Once } else { Level::Each };
        cases.push(case(&[17]).levels(&(0..inputs).map(level).collect::<Vec<_>>()));
    }
    cases.push(case(&[9]).levels(&vec![Level::Once; inputs]));
    cases
}

/// A case over inputs of these element types and shapes.
pub fn typed_case(inputs: &[(DType, &[usize])], attrs: Attrs) -> Case {
    let types = inputs.iter().map(|(dtype, shape)| Type::new(*dtype, Shape::of(shape))).collect();
    Case { inputs: types, ..Case::f32(&[], attrs) }
}

/// The same cases, without the comparison of gradients.
pub fn not_differentiable(cases: Vec<Case>) -> Vec<Case> {
    cases.into_iter().map(Case::not_differentiable).collect()
}
