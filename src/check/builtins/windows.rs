//! Convolution and pooling over the rows and columns of `[height, width, channels]`.

use super::{Args, Builtin};
use crate::base::did_you_mean;
use crate::check::checker::Checker;
use crate::check::value::{Eval, Value};
use crate::ir::{Attrs, NodeId};
use crate::ops;

/// Stride, padding and dilation of a call.
struct Windows {
    stride: [usize; 2],
    low: [usize; 2],
    high: [usize; 2],
    dilation: [usize; 2],
}

impl Windows {
    fn attrs(&self) -> Attrs {
        Attrs::none()
            .sizes("stride", &self.stride)
            .sizes("low", &self.low)
            .sizes("high", &self.high)
            .sizes("dilation", &self.dilation)
    }
}

/// A number for rows and columns, or one for each.
fn both<'a>(
    c: &mut Checker<'a>,
    args: &Args<'a>,
    name: &str,
    default: [usize; 2],
    least: i64,
) -> Eval<[usize; 2]> {
    let Some(values) = args.ints(c, name)? else { return Ok(default) };
    let span = args.get(name).map_or(c.here, |(_, span)| span);
    let (rows, columns) = match values[..] {
        [n] => (n, n),
        [rows, columns] => (rows, columns),
        _ => {
            let title = format!("`{name}` is one number, or two for rows and columns");
            return c.error_at(span, "wrong-arguments", title, &format!("these are {}", values.len()));
        }
    };
    for n in [rows, columns] {
        if n < least || n > i64::from(i32::MAX) {
            return c.error_at(
                span,
                "bad-range",
                format!("`{name}` is {n}"),
                &format!("it is at least {least}"),
            );
        }
    }
    Ok([rows as usize, columns as usize])
}

fn windows<'a>(
    c: &mut Checker<'a>,
    args: &Args<'a>,
    input: [usize; 2],
    kernel: [usize; 2],
    default_stride: [usize; 2],
) -> Eval<Windows> {
    let stride = both(c, args, "stride", default_stride, 1)?;
    let dilation = both(c, args, "dilation", [1, 1], 1)?;
    let (low, high) = match args.get("padding") {
        None => ([0, 0], [0, 0]),
        Some((Value::Text(word), span)) => match word.as_ref() {
            "valid" => ([0, 0], [0, 0]),
            "same" => ops::same_padding(input, kernel, stride, dilation),
            other => {
                let problem =
                    c.problem_at(span, "unknown-choice", format!("there is no padding `{other}`"), "unknown");
                let help = match did_you_mean(other, ["valid", "same"]) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "`valid`, `same`, a number, or numbers for rows and columns".to_string(),
                };
                return Err(c.report(problem.help(help)));
            }
        },
        Some(_) => {
            let padding = both(c, args, "padding", [0, 0], 0)?;
            (padding, padding)
        }
    };
    Ok(Windows { stride, low, high, dilation })
}

/// The rows and columns of an image, or a report that it is none.
fn image<'a>(c: &mut Checker<'a>, args: &Args<'a>, x: NodeId) -> Eval<[usize; 2]> {
    match c.shape(x)[..] {
        [h, w, _] => Ok([h, w]),
        _ => {
            let found = c.ty(x).to_string();
            let span = args.get("x").map_or(c.here, |(_, span)| span);
            let problem = c.problem_at(
                span,
                "shape-mismatch",
                format!("an image [height, width, channels] is needed here, not {found}"),
                &format!("this is {found}"),
            );
            let problem = c.with_origin(problem, x, "");
            Err(c.report(problem))
        }
    }
}

fn convolve<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let (x, w) = (args.numbers(c, "x"), args.numbers(c, "w"));
    let (x, w) = (x?, w?);
    let input = image(c, args, x)?;
    let kernel = match c.shape(w)[..] {
        [h, w, ..] => [h, w],
        _ => [1, 1],
    };
    let windows = windows(c, args, input, kernel, [1, 1])?;
    let groups = args.int(c, "groups", 1)?;
    c.op("conv2d", &[x, w], windows.attrs().int("groups", groups)).map(Value::Tensor)
}

/// The image that a convolution with these windows makes into `x`: each element spreads over a window.
fn convolve_transpose<'a>(c: &mut Checker<'a>, args: &Args<'a>) -> Eval<Value<'a>> {
    let (x, w) = (args.numbers(c, "x"), args.numbers(c, "w"));
    let (x, w) = (x?, w?);
    let input = image(c, args, x)?;
    let kernel = match c.shape(w)[..] {
        [h, w, ..] => [h, w],
        _ => [1, 1],
    };
    let stride = both(c, args, "stride", [1, 1], 1)?;
    let cropped = match args.get("padding") {
        None | Some((Value::Text(_), _)) => None,
        Some((_, span)) => Some((both(c, args, "padding", [0, 0], 0)?, span)),
    };
    let same = matches!(args.get("padding"), Some((Value::Text(word), _)) if word.as_ref() == "same");
    let mut size = [0; 2];
    for (d, size) in size.iter_mut().enumerate() {
        let grown = input[d].saturating_mul(stride[d]);
        *size = match cropped {
            None if same => grown,
            None => grown.saturating_add(kernel[d].saturating_sub(stride[d])),
            Some((crop, span)) => {
                let whole = (grown - stride[d]).saturating_add(kernel[d]);
                match whole.checked_sub(crop[d].saturating_mul(2)) {
                    Some(left) if left > 0 => left,
                    _ => {
                        let title = format!("a padding of {} leaves nothing of {whole}", crop[d]);
                        return c.error_at(span, "bad-range", title, "cropped on both sides");
                    }
                }
            }
        };
        if *size > i32::MAX as usize {
            return c.error("too-large", format!("an image of {} rows or columns", *size), "here");
        }
    }
    let windows = windows(c, args, size, kernel, [1, 1])?;
    c.op("conv2d_input_grad", &[x, w], windows.attrs().int("groups", 1).sizes("size", &size))
        .map(Value::Tensor)
}

fn pool<'a>(c: &mut Checker<'a>, args: &Args<'a>, op: &'static str) -> Eval<Value<'a>> {
    let x = args.numbers(c, "x")?;
    let input = image(c, args, x)?;
    let size = both(c, args, "size", [2, 2], 1)?;
    let windows = windows(c, args, input, size, size)?;
    c.op(op, &[x], windows.attrs().sizes("size", &size)).map(Value::Tensor)
}

pub static TABLE: &[Builtin] = &[
    Builtin::new(
        "convolve(x, w, stride = 1, padding = valid, dilation = 1, groups = 1)",
        "The convolution of an image [height, width, channels] with weights [height, width, channels / groups, filters].\n\n`padding` is `valid` (none), `same`, a number, or a list for rows and columns.",
        convolve,
    ),
    Builtin::new(
        "convolve_transpose(x, w, stride = 1, padding = valid)",
        "The transposed convolution of an image [height, width, channels] with weights [height, width, filters, channels]: each element spreads over a window.\n\nWith `padding: same` the result has `stride` times the rows and columns; a number crops so much on each side.",
        convolve_transpose,
    ),
    Builtin::new(
        "max_pool(x, size, stride = size, padding = valid, dilation = 1)",
        "The largest element of each window of an image [height, width, channels].",
        |c, a| pool(c, a, "max_pool2d"),
    ),
    Builtin::new(
        "sum_pool(x, size, stride = size, padding = valid, dilation = 1)",
        "The sum of the elements of each window of an image [height, width, channels].",
        |c, a| pool(c, a, "sum_pool2d"),
    ),
];
