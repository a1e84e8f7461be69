//! Floor 1: element types, shapes and the types of tensors.
//!
//! All dimensions in the IR are known numbers: a layer's symbolic dimensions are bound when the
//! checker instantiates it. The batch dimension is never part of a type.

use std::fmt;
use std::ops::Deref;

use crate::base::limits;

/// The type of an element. Every element takes 4 bytes at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// A 32-bit float.
    F32,
    /// A whole number in `0..bound`, such as a class label; an `i32` at run time.
    Index(u64),
    /// True or false; an f32 that is 1 or 0 at run time.
    Bool,
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DType::F32 => write!(f, "f32"),
            DType::Index(bound) => write!(f, "index<{bound}>"),
            DType::Bool => write!(f, "bool"),
        }
    }
}

/// The extents of a tensor, outermost first. A scalar has none. No extent is 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<usize>);

/// Why a list of extents is not a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadShape {
    /// An extent is zero or negative.
    Empty(i64),
    /// More elements than [`limits::ELEMENTS`].
    TooLarge,
    /// More dimensions than [`limits::RANK`].
    TooDeep(usize),
}

impl fmt::Display for BadShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadShape::Empty(extent) => write!(f, "a dimension is {extent}; every dimension is at least 1"),
            BadShape::TooLarge => write!(f, "the tensor has more than {} elements", limits::ELEMENTS),
            BadShape::TooDeep(rank) => write!(f, "{rank} dimensions; at most {} are possible", limits::RANK),
        }
    }
}

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Shape {
        Shape(Vec::new())
    }

    /// A shape from extents that a user may have caused.
    pub fn checked(extents: &[i64]) -> Result<Shape, BadShape> {
        if extents.len() > limits::RANK {
            return Err(BadShape::TooDeep(extents.len()));
        }
        let mut elements: u64 = 1;
        for &extent in extents {
            if extent <= 0 {
                return Err(BadShape::Empty(extent));
            }
            elements = elements
                .checked_mul(extent as u64)
                .filter(|n| *n <= limits::ELEMENTS)
                .ok_or(BadShape::TooLarge)?;
        }
        Ok(Shape(extents.iter().map(|e| *e as usize).collect()))
    }

    /// A shape from extents already known to be right (taken from other shapes).
    pub fn of(extents: &[usize]) -> Shape {
        Shape(extents.to_vec())
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.0.iter().product()
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Row-major strides in elements.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.0.len()];
        for i in (1..self.0.len()).rev() {
            strides[i - 1] = strides[i] * self.0[i];
        }
        strides
    }

    /// The index of an axis counted from the front, or from the back when negative.
    pub fn axis(&self, axis: i64) -> Option<usize> {
        let rank = self.0.len() as i64;
        let axis = if axis < 0 { axis + rank } else { axis };
        (0..rank).contains(&axis).then_some(axis as usize)
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(usize::to_string).collect();
        write!(f, "[{}]", parts.join(", "))
    }
}

/// The type of one example's tensor: `f32[28, 28, 1]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Type {
    /// What an element is.
    pub dtype: DType,
    /// The extents, without the batch.
    pub shape: Shape,
}

impl Type {
    /// `f32` of this shape.
    pub fn f32(shape: Shape) -> Type {
        Type { dtype: DType::F32, shape }
    }

    /// A type from its two halves.
    pub fn new(dtype: DType, shape: Shape) -> Type {
        Type { dtype, shape }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shape.rank() == 0 {
            write!(f, "{}", self.dtype)
        } else {
            write!(f, "{}{}", self.dtype, self.shape)
        }
    }
}
