//! `gather` and `scatter_add`: rows of a table by index, and the reverse.

use super::common::{need_f32, shape_of, typed_case};
use crate::ir::kernel::Leaf;
use crate::ir::{
    Arity, Array, AttrKind, AttrSpec, Attrs, Builder, Case, Grad, Kernel, Level, LevelRule, Lower, Mismatch,
    NodeId, Op, RefCall, Signature,
};
use crate::ty::{DType, Type};

/// The rows of a table that an index tensor names.
pub fn gather(b: &mut Builder, table: NodeId, index: NodeId) -> NodeId {
    b.add(&GATHER, &[table, index], Attrs::none())
}

/// A table of this many rows, into each of which the values that an index tensor sends there are added.
pub fn scatter_add(b: &mut Builder, index: NodeId, values: NodeId, rows: usize) -> NodeId {
    b.add(&SCATTER_ADD, &[index, values], Attrs::none().int("rows", rows as i64))
}

/// That an input is an index that stays below the number of rows.
fn need_index(sig: &Signature, input: usize, rows: u64) -> Result<(), Mismatch> {
    match sig.inputs[input].dtype {
        DType::Index(bound) if bound <= rows => Ok(()),
        DType::Index(bound) => {
            let message = format!("an index<{bound}> reaches beyond a table of {rows} rows");
            Err(Mismatch::of(&[input], message).help("the table needs a row for every value of the index"))
        }
        DType::F32 | DType::Bool => {
            let message = format!("an index is needed here, not {}", sig.inputs[input]);
            Err(Mismatch::of(&[input], message))
        }
    }
}

/// Extents as a type of f32, if they are a shape.
fn f32_of(extents: impl Iterator<Item = usize>) -> Result<Type, Mismatch> {
    let extents: Vec<i64> = extents.map(|n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
    Ok(Type::f32(shape_of(&extents)?))
}

fn gather_shape(sig: &Signature) -> Result<Type, Mismatch> {
    need_f32(sig, 0)?;
    let (table, index) = (&sig.inputs[0].shape, &sig.inputs[1].shape);
    let Some((rows, row)) = table.split_first() else {
        return Err(Mismatch::of(&[0], "a table [rows, ..] is needed here, not a scalar"));
    };
    need_index(sig, 1, *rows as u64)?;
    f32_of(index.iter().chain(row).copied())
}

fn scatter_shape(sig: &Signature) -> Result<Type, Mismatch> {
    need_f32(sig, 1)?;
    let (index, values) = (&sig.inputs[0].shape, &sig.inputs[1].shape);
    let rows = sig.attrs.get_int("rows");
    need_index(sig, 0, rows.max(0) as u64)?;
    if !values.starts_with(index) {
        let message = format!("values {values} do not begin with the axes {index} of the index");
        return Err(Mismatch::of(&[1, 0], message));
    }
    let width = values[index.rank()..].iter().copied();
    f32_of(std::iter::once(usize::try_from(rows).unwrap_or(0)).chain(width))
}

fn gather_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let [table, index] = b.graph[node].inputs[..] else { return Vec::new() };
    let rows = b.shape(table)[0];
    vec![Some(scatter_add(b, index, g, rows)), None]
}

fn scatter_grad(b: &mut Builder, node: NodeId, g: NodeId) -> Vec<Option<NodeId>> {
    let index = b.graph[node].inputs[0];
    vec![None, Some(gather(b, g, index))]
}

fn gather_kernel(sig: &Signature, _: &Type) -> Kernel {
    let (table, count) = (&sig.inputs[0].shape, sig.inputs[1].shape.elements());
    Kernel::Leaf(Leaf::Gather { rows: table[0], width: table[1..].iter().product(), count })
}

fn scatter_kernel(sig: &Signature, ty: &Type) -> Kernel {
    let count = sig.inputs[0].shape.elements();
    Kernel::Leaf(Leaf::ScatterAdd { rows: ty.shape[0], width: ty.shape[1..].iter().product(), count })
}

/// A row of a table as a position, kept inside the table as the compiled code does.
fn row(index: f64, rows: usize) -> usize {
    (index.max(0.0) as usize).min(rows - 1)
}

fn gather_reference(call: &RefCall) -> Array {
    let [table, index] = call.inputs else { unreachable!("gather takes two inputs") };
    let (rows, width) = (table.shape[0], table.shape[1..].iter().product::<usize>());
    let take = |at: &f64| table.data[row(*at, rows) * width..][..width].iter().copied();
    Array::new(call.ty.shape.clone(), index.data.iter().flat_map(take).collect())
}

fn scatter_reference(call: &RefCall) -> Array {
    let [index, values] = call.inputs else { unreachable!("scatter_add takes two inputs") };
    let (rows, width) = (call.ty.shape[0], call.ty.shape[1..].iter().product::<usize>());
    let mut result = Array::from_fn(&call.ty.shape, |_| 0.0);
    for (at, values) in index.data.iter().zip(values.data.chunks(width)) {
        let row = &mut result.data[row(*at, rows) * width..][..width];
        row.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    result
}

/// Shapes: `(rows, row, index)`.
const SAMPLES: &[(usize, &[usize], &[usize])] = &[
    (1, &[], &[1]),
    (5, &[], &[9]),
    (5, &[3], &[]),
    (10, &[1], &[7]),
    (4, &[8], &[9]),
    (3, &[17], &[2, 4]),
    (33, &[2, 3], &[16]),
];

fn gather_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (rows, row, index) in SAMPLES {
        let table = [&[*rows], *row].concat();
        let case = typed_case(&[(DType::F32, &table), (DType::Index(*rows as u64), index)], Attrs::none());
        cases.push(case.clone().levels(&[Level::Once, Level::Each]));
        cases.push(case);
    }
    cases
}

fn scatter_cases() -> Vec<Case> {
    let case = |(rows, row, index): &(usize, &[usize], &[usize])| {
        let values = [*index, *row].concat();
        let types = [(DType::Index(*rows as u64), *index), (DType::F32, values.as_slice())];
        typed_case(&types, Attrs::none().int("rows", *rows as i64))
    };
    SAMPLES.iter().map(case).collect()
}

/// The record of `gather`.
pub static GATHER: Op = Op {
    name: "gather",
    doc: "The rows of a table that an index names.\n\n\
          `table: f32[rows, ..a], index: index<n>[..b] -> f32[..b, ..a]`\n\n\
          `n` is at most `rows`. This is what an embedding does.\n\n\
          Example: `gather([[1, 2], [3, 4]], index<2>[1, 0, 1]) = [[3, 4], [1, 2], [3, 4]]`",
    attrs: &[],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: gather_shape,
    grad: Grad::Rule(gather_grad),
    lower: Lower::Kernel(gather_kernel),
    reference: gather_reference,
    cases: gather_cases,
};

/// The record of `scatter_add`.
pub static SCATTER_ADD: Op = Op {
    name: "scatter_add",
    doc: "A table into whose rows values are added where an index sends them.\n\n\
          `index: index<n>[..b], values: f32[..b, ..a] -> f32[rows, ..a]`\n\n\
          Rows that no index names are 0. The gradient of `gather`.\n\n\
          Example: `scatter_add(index<2>[1, 0, 1], [[1, 2], [3, 4], [5, 6]], rows: 2) = [[3, 4], [6, \
          8]]`",
    attrs: &[AttrSpec { name: "rows", kind: AttrKind::Int, doc: "the number of rows of the result" }],
    arity: Arity::Exactly(2),
    level: LevelRule::Join,
    shape: scatter_shape,
    grad: Grad::Rule(scatter_grad),
    lower: Lower::Kernel(scatter_kernel),
    reference: scatter_reference,
    cases: scatter_cases,
};
