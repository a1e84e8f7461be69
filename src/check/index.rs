//! `x[0]`, `x[1..3, ..]`, `x[index]`: parts of tensors and lists.

use super::checker::Checker;
use super::value::{Eval, Value};
use crate::base::Span;
use crate::ir::{Attrs, NodeId};
use crate::syntax::ast::{Expr, IndexItem};
use crate::ty::DType;

impl<'a> Checker<'a> {
    /// `base[items]`
    pub fn index(&mut self, base: Eval<Value<'a>>, items: &'a [IndexItem]) -> Eval<Value<'a>> {
        match base? {
            Value::List(values) => self.index_list(&values, items),
            Value::Tensor(node) => {
                if let [IndexItem::At(expr)] = items {
                    let index = self.eval(expr)?;
                    if let Value::Tensor(index) = index {
                        return self.gather_rows(node, index).map(Value::Tensor);
                    }
                }
                self.index_tensor(node, items).map(Value::Tensor)
            }
            other => {
                let found = self.describe(&other);
                self.error("not-a-list", "only tensors and lists are indexed", &format!("this is {found}"))
            }
        }
    }

    fn index_list(&mut self, values: &[Value<'a>], items: &'a [IndexItem]) -> Eval<Value<'a>> {
        let count = values.len();
        match items {
            [IndexItem::At(expr)] => {
                let at = self.int(expr, "an index")?;
                let at = self.position(at, count, expr.span, "list")?;
                Ok(values[at].clone())
            }
            [IndexItem::Part { from, to, span }] => {
                let (from, to) = self.bounds(from.as_ref(), to.as_ref(), count, *span)?;
                Ok(Value::list(values[from..to].to_vec()))
            }
            _ => self.error("bad-index", "a list has one axis", "indexed with more"),
        }
    }

    fn index_tensor(&mut self, node: NodeId, items: &'a [IndexItem]) -> Eval<NodeId> {
        let shape = self.shape(node);
        let rest = items.iter().filter(|item| matches!(item, IndexItem::Rest(_))).count();
        let given = items.len() - rest;
        if rest > 1 || given > shape.rank() {
            let label = if rest > 1 {
                "`..` stands here more than once".to_string()
            } else {
                format!("{given} places for the {} dimensions of {}", shape.rank(), self.ty(node))
            };
            let mut problem = self.problem("bad-index", "this index does not fit the tensor", &label);
            problem = self.with_origin(problem, node, "");
            return Err(self.report(problem));
        }
        let (mut start, mut extent) = (vec![0; shape.rank()], shape.to_vec());
        let mut gone = vec![false; shape.rank()];
        let mut axis = 0;
        for item in items {
            match item {
                IndexItem::Rest(_) => {
                    axis += shape.rank() - given;
                    continue;
                }
                IndexItem::At(expr) => {
                    let at = self.int(expr, "an index")?;
                    start[axis] = self.position(at, shape[axis], expr.span, "axis")?;
                    extent[axis] = 1;
                    gone[axis] = true;
                }
                IndexItem::Part { from, to, span } => {
                    let (from, to) = self.bounds(from.as_ref(), to.as_ref(), shape[axis], *span)?;
                    start[axis] = from;
                    extent[axis] = to - from;
                }
            }
            axis += 1;
        }
        let part = self.slice(node, &start, &extent)?;
        let left: Vec<i64> =
            extent.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(n, _)| *n as i64).collect();
        self.reshape(part, &left)
    }

    /// A part of a tensor without gaps.
    pub fn slice(&mut self, node: NodeId, start: &[usize], extent: &[usize]) -> Eval<NodeId> {
        if *self.ty(node).shape == *extent {
            return Ok(node);
        }
        let stride = vec![1; start.len()];
        let attrs = Attrs::none().sizes("start", start).sizes("extent", extent).sizes("stride", &stride);
        self.op("slice", &[node], attrs)
    }

    /// One element along an axis, which vanishes; the index is in range.
    pub fn take(&mut self, node: NodeId, axis: usize, at: i64) -> Eval<NodeId> {
        let shape = self.shape(node);
        let (mut start, mut extent) = (vec![0; shape.rank()], shape.to_vec());
        start[axis] = at as usize;
        extent[axis] = 1;
        let part = self.slice(node, &start, &extent)?;
        let left: Vec<i64> =
            shape.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, n)| *n as i64).collect();
        self.reshape(part, &left)
    }

    /// `table[index]`: the rows that an index tensor names.
    pub fn gather_rows(&mut self, table: NodeId, index: NodeId) -> Eval<NodeId> {
        if !matches!(self.ty(index).dtype, DType::Index(_)) {
            let found = self.ty(index).to_string();
            let problem = self
                .problem("wrong-type", "an index needs whole numbers", &format!("the index is {found}"))
                .help("`cast(x, bound: n)` makes an index of floats");
            return Err(self.report(problem));
        }
        let dtype = self.ty(table).dtype;
        let table = self.as_numbers(table)?;
        let rows = self.op("gather", &[table, index], Attrs::none())?;
        self.index_again(dtype, rows)
    }

    /// Elements taken from a tensor of this type, as an index again if they were one.
    pub fn index_again(&mut self, dtype: DType, taken: NodeId) -> Eval<NodeId> {
        match dtype {
            DType::Index(bound) => self.op("cast", &[taken], Attrs::none().int("bound", bound as i64)),
            DType::F32 | DType::Bool => Ok(taken),
        }
    }

    /// A place along an axis; negative numbers count from the end.
    fn position(&mut self, at: i64, extent: usize, span: Span, what: &str) -> Eval<usize> {
        let from_start = if at < 0 { at.saturating_add(extent as i64) } else { at };
        if (0..extent as i64).contains(&from_start) {
            return Ok(from_start as usize);
        }
        let title = format!("the index {at} lies outside of the {what}");
        self.error_at(span, "bad-index", title, &format!("it has {extent}, counted from 0"))
    }

    fn bounds(
        &mut self,
        from: Option<&'a Expr>,
        to: Option<&'a Expr>,
        extent: usize,
        span: Span,
    ) -> Eval<(usize, usize)> {
        let n = extent as i64;
        let mut bound = |expr: Option<&'a Expr>, default: i64| match expr {
            None => Ok(default),
            Some(expr) => self.int(expr, "an index").map(|v| if v < 0 { v.saturating_add(n) } else { v }),
        };
        let (from, to) = (bound(from, 0), bound(to, n));
        let (from, to) = (from?, to?);
        if 0 <= from && from < to && to <= n {
            return Ok((from as usize, to as usize));
        }
        let title = format!("the part {from}..{to} is not within 0..{n}, or is empty");
        self.error_at(span, "bad-index", title, "this part")
    }
}
