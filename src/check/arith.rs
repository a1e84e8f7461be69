//! Operators: exact arithmetic on numbers known at compile time, nodes for tensors, broadcasting as numpy does.

use super::checker::Checker;
use super::value::{Eval, Value};
use crate::base::Span;
use crate::ir::{Attrs, NodeId};
use crate::syntax::ast::BinaryOp;
use crate::ty::{DType, Shape};

/// The op of a comparison or of arithmetic on tensors of one shape.
fn op_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Pow => "pow",
        BinaryOp::MatMul => "contract",
        BinaryOp::Mul => "mul",
        BinaryOp::Div => "div",
        BinaryOp::Add => "add",
        BinaryOp::Sub => "sub",
        BinaryOp::Lt => "lt",
        BinaryOp::Le => "le",
        BinaryOp::Gt => "gt",
        BinaryOp::Ge => "ge",
        BinaryOp::Eq => "eq",
        BinaryOp::Ne => "ne",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
    }
}

impl<'a> Checker<'a> {
    /// `a OP b`
    pub fn binary(&mut self, op: BinaryOp, a: Value<'a>, b: Value<'a>) -> Eval<Value<'a>> {
        if let Some(value) = self.known(op, &a, &b) {
            return value;
        }
        for side in [&a, &b] {
            let usable = matches!(side, Value::Tensor(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_))
                || matches!(side, Value::List(values) if values.iter().all(|v| v.number().is_some() || matches!(v, Value::Tensor(_))));
            if !usable {
                let (left, right) = (self.describe(&a), self.describe(&b));
                let title = format!("`{}` does not go with {}", op.symbol(), self.describe(side));
                let mut problem =
                    self.problem("wrong-operand", title, &format!("{left} {} {right}", op.symbol()));
                if matches!(side, Value::Nothing) {
                    problem =
                        problem.help("a line that starts with an operator goes on with the line before");
                }
                if side.is_function() {
                    problem = problem.help("a layer is applied with `|>` or with parentheses");
                }
                return Err(self.report(problem));
            }
        }
        match op {
            BinaryOp::Pow => return self.power(&a, &b),
            BinaryOp::MatMul => {
                let (x, y) = (self.tensor(&a)?, self.tensor(&b)?);
                return self.matmul(x, y).map(Value::Tensor);
            }
            _ => {}
        }
        let (x, y) = (self.tensor(&a)?, self.tensor(&b)?);
        let logic = matches!(op, BinaryOp::And | BinaryOp::Or);
        let (x, y) = if logic { (x, y) } else { (self.as_numbers(x)?, self.as_numbers(y)?) };
        self.elementwise(op_name(op), op.symbol(), x, y).map(Value::Tensor)
    }

    /// An op on two tensors after broadcasting.
    pub fn elementwise(&mut self, name: &'static str, shown: &str, x: NodeId, y: NodeId) -> Eval<NodeId> {
        let shape = self.common_shape(shown, &[x, y])?;
        let (x, y) = (self.broadcast(x, &shape)?, self.broadcast(y, &shape)?);
        match name {
            // Three comparisons are enough for all six.
            "gt" => self.op("lt", &[y, x], Attrs::none()),
            "ge" => self.op("le", &[y, x], Attrs::none()),
            "ne" => {
                let equal = self.op("eq", &[x, y], Attrs::none())?;
                self.op("not", &[equal], Attrs::none())
            }
            name => self.op(name, &[x, y], Attrs::none()),
        }
    }

    /// The shape to which all of some tensors are broadcast.
    pub fn common_shape(&mut self, shown: &str, nodes: &[NodeId]) -> Eval<Shape> {
        let mut common = Shape::scalar();
        for (i, node) in nodes.iter().enumerate() {
            let next = self.shape(*node);
            match join(&common, &next) {
                Some(shape) => common = shape,
                None => {
                    let other = nodes[..i].iter().rev().find(|n| join(&self.shape(**n), &next).is_none());
                    let first = other.map_or(common.to_string(), |n| self.shape(*n).to_string());
                    let mut problem = self.problem(
                        "shape-mismatch",
                        format!("the shapes {first} and {next} do not go together"),
                        &format!("`{shown}` needs operands whose dimensions are equal or 1, from the last"),
                    );
                    for part in other.into_iter().chain([node]) {
                        problem = self.with_origin(problem, *part, "");
                    }
                    return Err(self.report(problem));
                }
            }
        }
        Ok(common)
    }

    /// Arithmetic on numbers known at compile time; `None` if one is not.
    fn known(&mut self, op: BinaryOp, a: &Value<'a>, b: &Value<'a>) -> Option<Eval<Value<'a>>> {
        if let (Value::Bool(a), Value::Bool(b)) = (a, b) {
            return match op {
                BinaryOp::And => Some(Ok(Value::Bool(*a && *b))),
                BinaryOp::Or => Some(Ok(Value::Bool(*a || *b))),
                BinaryOp::Eq => Some(Ok(Value::Bool(a == b))),
                BinaryOp::Ne => Some(Ok(Value::Bool(a != b))),
                _ => None,
            };
        }
        if let (BinaryOp::Eq | BinaryOp::Ne, true) =
            (op, matches!(a, Value::None) || matches!(b, Value::None))
        {
            let both = matches!((a, b), (Value::None, Value::None));
            return Some(Ok(Value::Bool(both == (op == BinaryOp::Eq))));
        }
        if let (Value::Text(a), Value::Text(b)) = (a, b) {
            return match op {
                BinaryOp::Eq => Some(Ok(Value::Bool(a == b))),
                BinaryOp::Ne => Some(Ok(Value::Bool(a != b))),
                _ => None,
            };
        }
        // A choice such as `padding` may be a word or a number.
        if matches!(op, BinaryOp::Eq | BinaryOp::Ne)
            && (matches!(a, Value::Text(_)) || matches!(b, Value::Text(_)))
            && !matches!((a, b), (Value::Tensor(_), _) | (_, Value::Tensor(_)))
        {
            return Some(Ok(Value::Bool(op == BinaryOp::Ne)));
        }
        if let (Value::List(a), Value::List(b), BinaryOp::Add) = (a, b, op) {
            return Some(Ok(Value::list(a.iter().chain(b.iter()).cloned().collect())));
        }
        if let (Value::Int(x), Value::Int(y)) = (a, b)
            && let Some(value) = self.known_ints(op, *x, *y)
        {
            return Some(value);
        }
        let (x, y) = (a.number()?, b.number()?);
        let value = match op {
            BinaryOp::Add => x + y,
            BinaryOp::Sub => x - y,
            BinaryOp::Mul => x * y,
            BinaryOp::Div => x / y,
            BinaryOp::Pow => x.powf(y),
            BinaryOp::Lt => return Some(Ok(Value::Bool(x < y))),
            BinaryOp::Le => return Some(Ok(Value::Bool(x <= y))),
            BinaryOp::Gt => return Some(Ok(Value::Bool(x > y))),
            BinaryOp::Ge => return Some(Ok(Value::Bool(x >= y))),
            BinaryOp::Eq => return Some(Ok(Value::Bool(x == y))),
            BinaryOp::Ne => return Some(Ok(Value::Bool(x != y))),
            BinaryOp::MatMul | BinaryOp::And | BinaryOp::Or => return None,
        };
        Some(self.finite(value))
    }

    /// A float that a computation at compile time gave.
    pub fn finite(&mut self, value: f64) -> Eval<Value<'a>> {
        if value.is_finite() {
            return Ok(Value::Float(value));
        }
        self.error("not-finite", format!("this number is {value}"), "division by zero, or out of range")
    }

    fn known_ints(&mut self, op: BinaryOp, x: i64, y: i64) -> Option<Eval<Value<'a>>> {
        let value = match op {
            BinaryOp::Add => x.checked_add(y),
            BinaryOp::Sub => x.checked_sub(y),
            BinaryOp::Mul => x.checked_mul(y),
            BinaryOp::Div if y != 0 && x % y == 0 => x.checked_div(y),
            BinaryOp::Pow if y >= 0 => x.checked_pow(u32::try_from(y).unwrap_or(u32::MAX)),
            BinaryOp::Div
            | BinaryOp::Pow
            | BinaryOp::MatMul
            | BinaryOp::Lt
            | BinaryOp::Le
            | BinaryOp::Gt
            | BinaryOp::Ge
            | BinaryOp::Eq
            | BinaryOp::Ne
            | BinaryOp::And
            | BinaryOp::Or => return None,
        };
        Some(match value {
            Some(value) => Ok(Value::Int(value)),
            None => {
                let label = format!("{x} {} {y}", op.symbol());
                self.error("too-large", "this whole number does not fit in 64 bits", &label)
            }
        })
    }

    /// `-x`
    pub fn negate(&mut self, value: Value<'a>) -> Eval<Value<'a>> {
        match value {
            Value::Int(v) => match v.checked_neg() {
                Some(v) => Ok(Value::Int(v)),
                None => self.error("too-large", "this whole number does not fit in 64 bits", "here"),
            },
            Value::Float(v) => Ok(Value::Float(-v)),
            other => {
                let node = self.tensor(&other)?;
                let node = self.as_numbers(node)?;
                self.op("neg", &[node], Attrs::none()).map(Value::Tensor)
            }
        }
    }

    /// `not x`
    pub fn not(&mut self, value: Value<'a>) -> Eval<Value<'a>> {
        match value {
            Value::Bool(v) => Ok(Value::Bool(!v)),
            other => {
                let node = self.tensor(&other)?;
                self.op("not", &[node], Attrs::none()).map(Value::Tensor)
            }
        }
    }

    /// `x ^ y`: whole powers are products, so that they are exact and have no case distinctions.
    fn power(&mut self, base: &Value<'a>, exponent: &Value<'a>) -> Eval<Value<'a>> {
        let x = self.tensor(base)?;
        let x = self.as_numbers(x)?;
        let node = match exponent.number() {
            Some(n) if n.fract() == 0.0 && n.abs() <= 64.0 => {
                let power = self.whole_power(x, n.abs() as u32)?;
                if n < 0.0 {
                    let one = self.constant(1.0)?;
                    self.elementwise("div", "^", one, power)?
                } else {
                    power
                }
            }
            Some(0.5) => self.op("sqrt", &[x], Attrs::none())?,
            Some(-0.5) => self.op("rsqrt", &[x], Attrs::none())?,
            _ => {
                let y = self.tensor(exponent)?;
                let y = self.as_numbers(y)?;
                self.elementwise("pow", "^", x, y)?
            }
        };
        Ok(Value::Tensor(node))
    }

    fn whole_power(&mut self, x: NodeId, n: u32) -> Eval<NodeId> {
        if n == 0 {
            let one = self.constant(1.0)?;
            let shape = self.shape(x);
            return self.broadcast(one, &shape);
        }
        let half = if n > 1 { Some(self.whole_power(x, n / 2)?) } else { None };
        match half {
            None => Ok(x),
            Some(half) => {
                let square = self.op("mul", &[half, half], Attrs::none())?;
                if n % 2 == 1 { self.op("mul", &[square, x], Attrs::none()) } else { Ok(square) }
            }
        }
    }

    /// `x @ y` by numpy's rules.
    pub fn matmul(&mut self, x: NodeId, y: NodeId) -> Eval<NodeId> {
        let (x, y) = (self.as_numbers(x)?, self.as_numbers(y)?);
        let (a, b) = (self.shape(x), self.shape(y));
        if a.rank() == 0 || b.rank() == 0 {
            let problem = self
                .problem("shape-mismatch", "`@` needs vectors or matrices", &format!("{a} @ {b}"))
                .help("a scalar is multiplied with `*`");
            return Err(self.report(problem));
        }
        let inner = (a[a.rank() - 1], b[b.rank().saturating_sub(2)]);
        if inner.0 != inner.1 {
            let mut problem = self.problem(
                "shape-mismatch",
                format!("the inner dimensions {} and {} of `@` differ", inner.0, inner.1),
                &format!("{a} @ {b}"),
            );
            problem = self.with_origin(problem, x, "left");
            problem = self.with_origin(problem, y, "right");
            return Err(self.report(problem));
        }
        let (lead_a, lead_b) = (&a[..a.rank().saturating_sub(2)], &b[..b.rank().saturating_sub(2)]);
        let Some(lead) = join(&Shape::of(lead_a), &Shape::of(lead_b)) else {
            let label = format!("{a} @ {b}");
            return self.error("shape-mismatch", "the leading dimensions of `@` differ", &label);
        };
        // A matrix on one side, a stack of them on the other: only the stack keeps the leading axes.
        let names: Vec<String> = (0..lead.rank()).map(|i| format!("b{i}")).collect();
        let x = if lead_a.is_empty() { x } else { self.with_lead(x, &lead, 2)? };
        let y = if lead_b.is_empty() { y } else { self.with_lead(y, &lead, 2)? };
        let side = |empty: bool, rank: usize, one: &str, two: &str| {
            let mut labels = if empty { Vec::new() } else { names.clone() };
            labels.push((if rank == 1 { one } else { two }).to_string());
            labels.join(" ")
        };
        let left = side(lead_a.is_empty(), a.rank(), "k", "n k");
        let right = side(lead_b.is_empty(), b.rank(), "k", "k m");
        let mut out = names.clone();
        out.extend((a.rank() > 1).then(|| "n".to_string()));
        out.extend((b.rank() > 1).then(|| "m".to_string()));
        let formula = format!("{left}, {right} -> {}", out.join(" "));
        self.op("contract", &[x, y], Attrs::none().text("formula", formula))
    }

    fn with_lead(&mut self, x: NodeId, lead: &Shape, keep: usize) -> Eval<NodeId> {
        let shape = self.shape(x);
        let mut extents = lead.to_vec();
        extents.extend_from_slice(&shape[shape.rank() - keep..]);
        self.broadcast(x, &Shape::of(&extents))
    }

    /// Whether a value is a scalar of numbers, for what a schedule or a loss may be.
    pub fn scalar(&mut self, value: &Value<'a>, span: Span, what: &str) -> Eval<NodeId> {
        let node = self.tensor(value)?;
        if self.shape(node).rank() > 0 {
            let found = self.ty(node).to_string();
            let mut problem = self
                .problem_at(
                    span,
                    "not-a-scalar",
                    format!("{what} needs a scalar"),
                    &format!("this is {found}"),
                )
                .help("take the `mean(..)` or the `sum(..)` over its elements");
            problem = self.with_origin(problem, node, "");
            return Err(self.report(problem));
        }
        match self.ty(node).dtype {
            DType::F32 => Ok(node),
            DType::Bool | DType::Index(_) => self.as_numbers(node),
        }
    }
}

/// The shape to which two shapes are broadcast.
pub fn join(x: &Shape, y: &Shape) -> Option<Shape> {
    let rank = x.rank().max(y.rank());
    let extent = |shape: &Shape, i: usize| (i + shape.rank()).checked_sub(rank).map_or(1, |i| shape[i]);
    let extents: Option<Vec<usize>> = (0..rank)
        .map(|i| match (extent(x, i), extent(y, i)) {
            (1, n) | (n, 1) => Some(n),
            (m, n) => (m == n).then_some(n),
        })
        .collect();
    extents.map(|extents| Shape::of(&extents))
}
