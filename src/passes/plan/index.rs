//! Index maps: which element of a node the innermost point of a loop nest reads.

use crate::ir::kernel::View;

/// An affine function of the loop indices.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Affine {
    /// The constant part.
    pub base: i64,
    /// `(loop dimension, factor)`, each dimension once, no factor 0.
    pub terms: Vec<(usize, i64)>,
}

impl Affine {
    /// The index of a loop itself.
    pub fn dim(dim: usize) -> Affine {
        Affine { base: 0, terms: vec![(dim, 1)] }
    }

    /// Adds `factor` times another function.
    pub fn add_scaled(&mut self, other: &Affine, factor: i64) {
        self.base += other.base * factor;
        for (dim, f) in &other.terms {
            match self.terms.iter_mut().find(|(d, _)| d == dim) {
                Some((_, mine)) => *mine += f * factor,
                None => self.terms.push((*dim, f * factor)),
            }
        }
        self.terms.retain(|(_, f)| *f != 0);
    }
}

/// One affine function per axis of a node.
pub type IndexMap = Vec<Affine>;

/// The index map of a view's input, given that of its result.
pub fn through_view(view: &View, map: &[Affine]) -> IndexMap {
    view.axes
        .iter()
        .map(|axis| {
            let mut index = Affine { base: axis.base, terms: Vec::new() };
            for (result, factor) in &axis.terms {
                index.add_scaled(&map[*result], *factor);
            }
            index
        })
        .collect()
}

/// The row-major position in a tensor of this shape.
pub fn linear(shape: &[usize], map: &[Affine]) -> Affine {
    let mut position = Affine::default();
    let mut stride = 1;
    for (extent, index) in shape.iter().zip(map).rev() {
        position.add_scaled(index, stride);
        stride *= *extent as i64;
    }
    position
}

/// Runs of axes of the two shapes of a reshape that have the same number of elements.
fn groups(from: &[usize], to: &[usize]) -> Vec<(std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut groups = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.len() || j < to.len() {
        let (i0, j0) = (i, j);
        let (mut a, mut b) = (1usize, 1usize);
        loop {
            if a == b && (i > i0 || j > j0) {
                break;
            }
            if a <= b && i < from.len() && (a < b || i == i0) {
                a *= from[i];
                i += 1;
            } else if j < to.len() {
                b *= to[j];
                j += 1;
            } else if i < from.len() {
                a *= from[i];
                i += 1;
            } else {
                break;
            }
        }
        groups.push((i0..i, j0..j));
    }
    groups
}

/// Whether every axis of the input of a reshape is an affine function of the axes of its result: no axis of
/// the result is split.
pub fn reshape_is_affine(from: &[usize], to: &[usize]) -> bool {
    groups(from, to).iter().all(|(f, _)| f.clone().filter(|i| from[*i] > 1).count() <= 1)
}

/// The index map of a reshape's input, given that of its result, where [`reshape_is_affine`].
pub fn through_reshape(from: &[usize], to: &[usize], map: &[Affine]) -> IndexMap {
    let mut result = vec![Affine::default(); from.len()];
    for (f, t) in groups(from, to) {
        if let Some(axis) = f.clone().find(|i| from[*i] > 1) {
            result[axis] = linear(&to[t.clone()], &map[t]);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_fall_into_groups() {
        assert!(reshape_is_affine(&[24], &[2, 3, 4]));
        assert!(!reshape_is_affine(&[2, 3, 4], &[24]));
        assert!(reshape_is_affine(&[2, 1, 12], &[2, 3, 4]));
        assert!(reshape_is_affine(&[5], &[5, 1]));
        assert!(reshape_is_affine(&[5, 1], &[5]));
        assert!(reshape_is_affine(&[], &[1, 1]));
        assert!(!reshape_is_affine(&[4, 3], &[3, 4]));
    }

    #[test]
    fn a_split_axis_is_read_through_its_parts() {
        let map = vec![Affine::dim(0), Affine::dim(1), Affine::dim(2)];
        let inner = through_reshape(&[6, 4], &[2, 3, 4], &map);
        assert_eq!(inner[0], Affine { base: 0, terms: vec![(1, 1), (0, 3)] });
        assert_eq!(inner[1], Affine::dim(2));
    }
}
