//! Elementwise mathematics; on numbers known at compile time the result is known too.

use super::{Args, Builtin};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::Attrs;
use crate::ty::DType;

/// A function of one number: exact at compile time, an op on tensors.
fn map<'a>(
    c: &mut Checker<'a>,
    args: &Args<'a>,
    op: &'static str,
    known: Option<fn(f64) -> f64>,
) -> Eval<Value<'a>> {
    if let (Some((value, _)), Some(known)) = (args.get("x"), known)
        && let Some(number) = value.number()
    {
        let result = known(number);
        // `abs(-3)` is a whole number still.
        if matches!(value, Value::Int(_)) && result.fract() == 0.0 && matches!(op, "abs" | "sign" | "floor") {
            return Ok(Value::Int(result as i64));
        }
        return c.finite(result);
    }
    let x = args.numbers(c, "x")?;
    c.op(op, &[x], Attrs::none()).map(Value::Tensor)
}

/// A function of two tensors.
fn pair<'a>(
    c: &mut Checker<'a>,
    args: &Args<'a>,
    op: &'static str,
    known: fn(f64, f64) -> f64,
) -> Eval<Value<'a>> {
    if let (Some((x, _)), Some((y, _))) = (args.get("x"), args.get("y"))
        && let (Some(a), Some(b)) = (x.number(), y.number())
    {
        let result = known(a, b);
        if let (Value::Int(_), Value::Int(_)) = (x, y)
            && op != "pow"
        {
            return Ok(Value::Int(result as i64));
        }
        return c.finite(result);
    }
    let (x, y) = (args.numbers(c, "x"), args.numbers(c, "y"));
    c.elementwise(op, op, x?, y?).map(Value::Tensor)
}

fn select<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let condition = args.tensor(c, "condition")?;
    let (x, y) = (args.tensor(c, "x")?, args.tensor(c, "y")?);
    let condition = if c.ty(condition).dtype == DType::Bool {
        condition
    } else {
        let found = c.ty(condition).to_string();
        let span = args.get("condition").map_or(c.here, |(_, span)| span);
        let title = "`select` chooses by truth values";
        return c.error_at(span, "wrong-type", title, &format!("this is {found}"));
    };
    let (x, y) = if c.ty(x).dtype == c.ty(y).dtype { (x, y) } else { (c.as_numbers(x)?, c.as_numbers(y)?) };
    let shape = c.common_shape("select", &[condition, x, y])?;
    let condition = c.broadcast(condition, &shape)?;
    let (x, y) = (c.broadcast(x, &shape)?, c.broadcast(y, &shape)?);
    c.op("select", &[condition, x, y], Attrs::none()).map(Value::Tensor)
}

fn cast<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    match args.get("bound") {
        None => c.as_numbers(x).map(Value::Tensor),
        Some((_, span)) => {
            let bound = args.int(c, "bound", 1)?;
            if bound < 1 {
                return c.error_at(
                    span,
                    "bad-shape",
                    format!("the bound of an index is {bound}"),
                    "it is at least 1",
                );
            }
            if c.ty(x).dtype == DType::Index(bound as u64) {
                return Ok(Value::Tensor(x));
            }
            c.op("cast", &[x], Attrs::none().int("bound", bound)).map(Value::Tensor)
        }
    }
}

fn int<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    match args.get("x") {
        Some((value, _)) if value.number().is_some_and(|v| v.abs() < 9e15) => {
            Ok(Value::Int(value.number().unwrap_or_default().trunc() as i64))
        }
        _ => args.wrong(c, "x", c.here, "a number known at compile time"),
    }
}

fn f32<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    match args.get("x") {
        Some((value, _)) if value.number().is_some() => Ok(Value::Float(value.number().unwrap_or_default())),
        _ => args.numbers(c, "x").map(Value::Tensor),
    }
}

pub static TABLE: &[Builtin] = &[
    Builtin::new("exp(x)", "e to the power of each element.", |c, a| map(c, a, "exp", Some(f64::exp))),
    Builtin::new("log(x)", "The natural logarithm of each element.", |c, a| map(c, a, "log", Some(f64::ln))),
    Builtin::new("sqrt(x)", "The square root of each element.", |c, a| map(c, a, "sqrt", Some(f64::sqrt))),
    Builtin::new("rsqrt(x)", "One over the square root of each element.", |c, a| {
        map(c, a, "rsqrt", Some(|x| 1.0 / x.sqrt()))
    }),
    Builtin::new("tanh(x)", "The hyperbolic tangent of each element.", |c, a| {
        map(c, a, "tanh", Some(f64::tanh))
    }),
    Builtin::new("sigmoid(x)", "The logistic function 1 / (1 + exp(-x)) of each element.", |c, a| {
        map(c, a, "sigmoid", Some(|x| 1.0 / (1.0 + (-x).exp())))
    }),
    Builtin::new("erf(x)", "The error function of each element.", |c, a| map(c, a, "erf", None)),
    Builtin::new("relu(x)", "max(x, 0) of each element.", |c, a| map(c, a, "relu", Some(|x| x.max(0.0)))),
    Builtin::new("abs(x)", "The absolute value of each element.", |c, a| map(c, a, "abs", Some(f64::abs))),
    Builtin::new("sign(x)", "-1, 0 or 1 by the sign of each element.", |c, a| {
        map(c, a, "sign", Some(|x| if x == 0.0 { 0.0 } else { x.signum() }))
    }),
    Builtin::new("floor(x)", "The largest whole number not above each element.", |c, a| {
        map(c, a, "floor", Some(f64::floor))
    }),
    Builtin::new("sin(x)", "The sine of each element.", |c, a| map(c, a, "sin", Some(f64::sin))),
    Builtin::new("cos(x)", "The cosine of each element.", |c, a| map(c, a, "cos", Some(f64::cos))),
    Builtin::new("minimum(x, y)", "The smaller of two elements.", |c, a| pair(c, a, "minimum", f64::min)),
    Builtin::new("maximum(x, y)", "The larger of two elements.", |c, a| pair(c, a, "maximum", f64::max)),
    Builtin::new("pow(x, y)", "`x ^ y`, element by element.", |c, a| pair(c, a, "pow", f64::powf)),
    Builtin::new(
        "select(condition, x, y)",
        "`x` where the condition holds, else `y`, element by element.",
        select,
    ),
    Builtin::new(
        "cast(x, bound = none)",
        "The same values as numbers, or with a bound as an index.\n\nTruth values become 1 and 0.",
        cast,
    ),
    Builtin::new("int(x)", "A number known at compile time without its fraction.", int),
    Builtin::new("f32(x)", "A number, an index or truth values as numbers.", f32),
];
