//! Functions of compile time: lists, shapes, `repeat`, checks that a library makes of its arguments.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Args, Builtin};
use crate::base::limits;
use crate::check::checker::Checker;
use crate::check::value::{Chain, Eval, Value};

fn len<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    match args.get("x") {
        Some((Value::List(values), _)) => Ok(Value::Int(values.len() as i64)),
        Some((Value::Tensor(node), _)) if c.shape(*node).rank() > 0 => {
            Ok(Value::Int(c.shape(*node)[0] as i64))
        }
        _ => args.wrong(c, "x", c.here, "a list or a tensor with dimensions"),
    }
}

fn shape<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    Ok(Value::list(c.shape(x).iter().map(|n| Value::Int(*n as i64)).collect()))
}

fn rank<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    Ok(Value::Int(c.shape(x).rank() as i64))
}

fn pair<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    sizes(c, args, 2, "one number, or two")
}

fn triple<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    sizes(c, args, 3, "one number, or three")
}

fn sizes<'a>(c: &mut Checker<'a>, args: &Args<'a>, count: usize, expected: &str) -> Eval<Value<'a>> {
    let given = args.ints(c, "x")?.unwrap_or_default();
    let all = match given[..] {
        [n] => vec![n; count],
        _ if given.len() == count => given,
        _ => return args.wrong(c, "x", c.here, expected),
    };
    Ok(Value::list(all.into_iter().map(Value::Int).collect()))
}

fn repeat<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let count = args.int(c, "count", 0)?;
    let span = args.get("count").map_or(c.here, |(_, span)| span);
    if count < 1 || count as u64 > limits::UNROLL {
        let title = format!("`repeat` of {count} layers");
        return c.error_at(span, "bad-range", title, &format!("at least 1, at most {}", limits::UNROLL));
    }
    match args.get("layer") {
        Some((layer, _)) if layer.is_function() => {
            Ok(Value::Chain(Rc::new(Chain { count, layer: layer.clone(), parts: RefCell::new(None) })))
        }
        _ => args.wrong(c, "layer", c.here, "a layer"),
    }
}

/// A text with `{name}` replaced by the values of local names.
fn filled(c: &mut Checker, text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        match c.name(name) {
            Ok(value) => out.push_str(&c.literal(&value)),
            Err(_) => out.push_str(name),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn require<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let message = args.text(c, "message")?;
    match args.get("condition") {
        Some((Value::Bool(true), _)) => Ok(Value::Nothing),
        Some((Value::Bool(false), _)) => {
            let message = filled(c, &message);
            c.error("requirement", message, "required here")
        }
        _ => args.wrong(c, "condition", c.here, "a condition known at compile time"),
    }
}

/// A loss that applies softmax or sigmoid itself must not get their result.
fn expect_logits<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let x = args.tensor(c, "x")?;
    let node = &c.g.b.graph[x];
    let layer = node.scope.rsplit('.').next().unwrap_or_default();
    let made_by = match layer.split('_').next() {
        Some("softmax") => "softmax",
        _ if node.op.name == "sigmoid" => "sigmoid",
        _ => return Ok(Value::Nothing),
    };
    let loss = c.frame.name.clone();
    let problem = c
        .problem("not-logits", format!("`{loss}` takes logits, not the result of `{made_by}`"), "this loss")
        .help(format!("leave `{made_by}` out: the loss applies it itself"));
    let problem = c.with_origin(problem, x, "");
    Err(c.report(problem))
}

pub static TABLE: &[Builtin] = &[
    Builtin::new("len(x)", "The number of parts of a list, or the first extent of a tensor.", len),
    Builtin::new("shape(x)", "The extents of a tensor, as a list.", shape),
    Builtin::new("rank(x)", "The number of dimensions of a tensor.", rank),
    Builtin::new("pair(x)", "A number twice, or a list of two numbers as it is: `pair(3)` is [3, 3].", pair),
    Builtin::new(
        "triple(x)",
        "A number three times, or a list of three numbers as it is: `triple(3)` is [3, 3, 3].",
        triple,
    ),
    Builtin {
        signature: "repeat(count, layer)",
        doc: "A chain of this many layers, each with parameters of its own: `x |> repeat(4, block(8))`.",
        makes_layer: true,
        run: repeat,
    },
    Builtin::new(
        "expect_logits(x)",
        "An error if `x` is the result of softmax or sigmoid: for losses that apply these themselves.",
        expect_logits,
    ),
    Builtin::new(
        "require(condition, message)",
        "An error with this message unless the condition holds; `{name}` in the message shows a value.",
        require,
    ),
];
