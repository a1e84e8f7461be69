//! What several ops share: shape rules of elementwise ops, naive loops, sample sizes.

use crate::ir::{Array, Attrs, Case, Mismatch, RefCall, Signature};
use crate::ty::{DType, Type};

/// Sizes at which vector loops go wrong first.
pub const SIZES: &[usize] = &[1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33];

/// All inputs are f32 of one shape; so is the result.
pub fn elementwise(sig: &Signature) -> Result<Type, Mismatch> {
    let first = sig.inputs[0];
    for (i, ty) in sig.inputs.iter().enumerate() {
        if ty.dtype != DType::F32 {
            return Err(Mismatch::of(&[i], format!("f32 is needed here, not {ty}")));
        }
        if ty.shape != first.shape {
            return Err(Mismatch::of(&[i, 0], format!("the shapes {} and {} differ", ty.shape, first.shape)));
        }
    }
    Ok(first.clone())
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

/// Cases of an elementwise op with this many inputs, over [`SIZES`] and one larger shape.
pub fn elementwise_cases(inputs: usize, low: f64, high: f64) -> Vec<Case> {
    let sizes = SIZES.iter().map(|n| vec![*n]).chain([vec![], vec![3, 5], vec![2, 3, 9]]);
    sizes
        .map(|shape| {
            let shapes = vec![shape.as_slice(); inputs];
            Case::f32(&shapes, Attrs::none()).range(low, high)
        })
        .collect()
}
