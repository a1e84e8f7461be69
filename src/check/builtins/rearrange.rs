//! `rearrange`: axes split, reordered and merged, in the notation of einops.

use super::{Args, Builtin};
use crate::base::{Span, did_you_mean};
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};

/// One side of a pattern: for each axis the names it is made of. `1` has none.
type Side = Vec<Vec<String>>;

fn rearrange<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let pattern = args.text(c, "pattern")?;
    let span = args.get("pattern").map_or(c.here, |(_, span)| span);
    let shape = c.shape(x);
    let Some((left, right)) = pattern.split_once("->") else {
        return c.error_at(
            span,
            "bad-formula",
            "a pattern has the form `h w c -> (h w) c`",
            "there is no `->`",
        );
    };
    let (left, right) = (side(c, left, span)?, side(c, right, span)?);
    let left = expand(left, shape.rank());
    let leading = shape.rank().saturating_sub(left.iter().filter(|axis| !is_rest(axis)).count());
    let right = expand_to(right, leading);
    if left.len() != shape.rank() {
        let title = format!("the pattern has {} axes, the tensor is {}", left.len(), c.ty(x));
        let problem = c.problem_at(span, "bad-formula", title, "this pattern");
        let problem = c.with_origin(problem, x, "");
        return Err(c.report(problem));
    }
    let sizes = sizes(c, args, &left, &shape, span)?;
    let from: Vec<&String> = left.iter().flatten().collect();
    let to: Vec<&String> = right.iter().flatten().collect();
    for (names, others, where_) in [(&from, &to, "right"), (&to, &from, "left")] {
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                return c.error_at(
                    span,
                    "bad-formula",
                    format!("`{name}` stands twice on one side"),
                    "this pattern",
                );
            }
            if !others.contains(name) {
                let title = format!("`{name}` is missing on the {where_}");
                return c.error_at(span, "bad-formula", title, "each axis stands on both sides");
            }
        }
    }
    let size = |name: &String| sizes.iter().find(|(n, _)| n == name).map_or(1, |(_, size)| *size);
    let split: Vec<i64> = from.iter().map(|name| size(name)).collect();
    let node = c.reshape(x, &split)?;
    let order: Vec<usize> = to.iter().filter_map(|name| from.iter().position(|n| n == name)).collect();
    let node = c.permute(node, &order)?;
    let merged: Vec<i64> = right.iter().map(|axis| axis.iter().map(&size).product()).collect();
    c.reshape(node, &merged).map(Value::Tensor)
}

/// The extent of every name, from the tensor and the sizes given.
fn sizes<'a>(
    c: &mut Checker<'a>,
    args: &Args<'a>,
    left: &Side,
    shape: &[usize],
    span: Span,
) -> Eval<Vec<(String, i64)>> {
    let mut known: Vec<(String, i64)> = Vec::new();
    for (name, value, at) in &args.named {
        if !left.iter().flatten().any(|n| *n == name.name) {
            let title = format!("the pattern has no axis `{}`", name.name);
            let problem = c.problem_at(name.span, "unknown-argument", title, "its size has no effect");
            let near = did_you_mean(&name.name, left.iter().flatten().map(String::as_str));
            let problem = match near {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem,
            };
            return Err(c.report(problem));
        }
        let size = c.whole(value, *at, &format!("the size of `{}`", name.name))?;
        if size < 1 {
            return c.error_at(
                *at,
                "bad-shape",
                format!("the size of `{}` is {size}", name.name),
                "it is at least 1",
            );
        }
        known.push((name.name.clone(), size));
    }
    for (axis, extent) in left.iter().zip(shape) {
        let extent = *extent as i64;
        let unknown: Vec<&String> =
            axis.iter().filter(|name| !known.iter().any(|(n, _)| n == *name)).collect();
        let product = axis
            .iter()
            .filter_map(|name| known.iter().find(|(n, _)| n == name))
            .try_fold(1i64, |product, (_, size)| product.checked_mul(*size))
            .unwrap_or(i64::MAX);
        match unknown[..] {
            [] if product == extent => {}
            [name] if extent % product == 0 => {
                let name = name.clone();
                known.push((name, extent / product));
            }
            [] | [_] => {
                let title =
                    format!("an axis of {extent} cannot be cut into `({})` with {product}", axis.join(" "));
                return c.error_at(span, "shape-mismatch", title, "in this pattern");
            }
            [first, ..] => {
                let problem = c
                    .problem_at(
                        span,
                        "bad-formula",
                        format!("the sizes in `({})` are not known", axis.join(" ")),
                        "in this pattern",
                    )
                    .help(format!("give all but one: `{first}: 8`"));
                return Err(c.report(problem));
            }
        }
    }
    Ok(known)
}

/// The axes of one side.
fn side(c: &mut Checker, text: &str, span: Span) -> Eval<Side> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut axes: Side = Vec::new();
    let mut group: Option<Vec<String>> = None;
    for word in spaced.split_whitespace() {
        match (word, &mut group) {
            ("(", None) => group = Some(Vec::new()),
            (")", Some(names)) => {
                axes.push(std::mem::take(names));
                group = None;
            }
            ("(", Some(_)) | (")", None) => {
                return c.error_at(span, "bad-formula", "the parentheses do not match", "in this pattern");
            }
            ("1", Some(_)) => {}
            ("1", None) => axes.push(Vec::new()),
            (name, group) => {
                let is_name = name == ".." || name.chars().all(|ch| ch.is_alphanumeric() || ch == '_');
                if !is_name || (name == ".." && group.is_some()) {
                    return c.error_at(
                        span,
                        "bad-formula",
                        format!("`{name}` is no name of an axis"),
                        "in this pattern",
                    );
                }
                match group {
                    Some(names) => names.push(name.to_string()),
                    None => axes.push(vec![name.to_string()]),
                }
            }
        }
    }
    if group.is_some() {
        return c.error_at(span, "bad-formula", "the parentheses do not match", "in this pattern");
    }
    Ok(axes)
}

fn is_rest(axis: &[String]) -> bool {
    matches!(axis, [name] if name == "..")
}

fn expand(side: Side, rank: usize) -> Side {
    let fixed = side.iter().filter(|axis| !is_rest(axis)).count();
    expand_to(side, rank.saturating_sub(fixed))
}

/// Writes `..` out as this many axes.
fn expand_to(side: Side, leading: usize) -> Side {
    let mut axes = Vec::new();
    for axis in side {
        if is_rest(&axis) {
            axes.extend((0..leading).map(|i| vec![format!("..{i}")]));
        } else {
            axes.push(axis);
        }
    }
    axes
}

pub static TABLE: &[Builtin] = &[Builtin::new(
    "rearrange(x, pattern, **sizes)",
    "Splits, reorders and merges axes: `rearrange(x, \"t (h e) -> h t e\", h: 4)`.\n\nIn parentheses stands what one axis is made of; all sizes but one of them are given by name.",
    rearrange,
)];
