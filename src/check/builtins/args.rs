//! The arguments of a builtin function, matched with its signature.

use super::Builtin;
use crate::base::{Ident, Span};
use crate::check::call::Actual;
use crate::check::checker::Checker;
use crate::check::value::{Eval, Reported, Value};
use crate::ir::NodeId;
use crate::ty::Shape;

/// The arguments of one call.
pub struct Args<'a> {
    given: Vec<(&'static str, Value<'a>, Span)>,
    /// What went to `...xs`.
    pub rest: Vec<(Value<'a>, Span)>,
    /// What went to `**sizes`.
    pub named: Vec<(&'a Ident, Value<'a>, Span)>,
    builtin: &'static Builtin,
}

impl<'a> Args<'a> {
    /// Matches a call with the signature.
    pub fn bind(c: &mut Checker<'a>, builtin: &'static Builtin, actuals: Vec<Actual<'a>>) -> Eval<Args<'a>> {
        let mut args = Args { given: Vec::new(), rest: Vec::new(), named: Vec::new(), builtin };
        let mut formals: Vec<(&'static str, bool)> = Vec::new();
        let (mut variadic, mut open) = (None, false);
        for formal in formals_of(builtin.signature) {
            if formal.starts_with("**") {
                open = true;
            } else if let Some(name) = formal.strip_prefix("...") {
                variadic = Some((formals.len(), name));
            } else {
                let (name, optional) = match formal.split_once(" = ") {
                    Some((name, _)) => (name, true),
                    None => (formal, false),
                };
                formals.push((name, optional));
            }
        }
        let names: Vec<&str> = formals.iter().map(|(name, _)| *name).collect();
        let mut ordinary = Vec::new();
        let mut positional = 0;
        for actual in actuals {
            let before_rest = variadic.is_none_or(|(place, _)| positional < place);
            match actual.name {
                None if !before_rest => args.rest.push((actual.value, actual.span)),
                None => {
                    positional += 1;
                    ordinary.push(actual);
                }
                Some(name) if open && !names.contains(&name.name.as_str()) => {
                    args.named.push((name, actual.value, actual.span));
                }
                Some(_) => ordinary.push(actual),
            }
        }
        let places = c.place_arguments(builtin.name(), &names, &ordinary)?;
        for (place, actual) in places.into_iter().zip(ordinary) {
            args.given.push((names[place], actual.value, actual.span));
        }
        let missing = formals.iter().find(|(name, optional)| !optional && args.get(name).is_none());
        if let Some((name, _)) = missing {
            let title = format!("`{}` needs `{name}`", builtin.name());
            let problem = c
                .problem("missing-argument", title, "not given here")
                .help(format!("`{}`", builtin.signature));
            return Err(c.report(problem));
        }
        Ok(args)
    }

    /// An argument, if it was given.
    pub fn get(&self, name: &str) -> Option<(&Value<'a>, Span)> {
        self.given.iter().find(|(n, ..)| *n == name).map(|(_, value, span)| (value, *span))
    }

    /// How many arguments were given.
    pub fn count(&self) -> usize {
        self.given.len() + self.rest.len() + self.named.len()
    }

    fn value(&self, c: &mut Checker<'a>, name: &str) -> Eval<(Value<'a>, Span)> {
        match self.get(name) {
            Some((value, span)) => Ok((value.clone(), span)),
            None => c.error(
                "missing-argument",
                format!("`{}` needs `{name}`", self.builtin.name()),
                "not given here",
            ),
        }
    }

    /// A tensor of any element type.
    pub fn tensor(&self, c: &mut Checker<'a>, name: &str) -> Eval<NodeId> {
        let (value, span) = self.value(c, name)?;
        c.at(span, |c| c.tensor(&value))
    }

    /// A tensor of f32; other element types become numbers.
    pub fn numbers(&self, c: &mut Checker<'a>, name: &str) -> Eval<NodeId> {
        let (value, span) = self.value(c, name)?;
        c.at(span, |c| {
            let node = c.tensor(&value)?;
            c.as_numbers(node)
        })
    }

    /// A whole number, or a default.
    pub fn int(&self, c: &mut Checker<'a>, name: &str, default: i64) -> Eval<i64> {
        match self.get(name) {
            None => Ok(default),
            Some((value, span)) => {
                let value = value.clone();
                c.whole(&value, span, &format!("`{name}` of `{}`", self.builtin.name()))
            }
        }
    }

    /// A number, or a default.
    pub fn number(&self, c: &mut Checker<'a>, name: &str, default: f64) -> Eval<f64> {
        match self.get(name) {
            None => Ok(default),
            Some((value, span)) => match value.number() {
                Some(value) => Ok(value),
                None => self.wrong(c, name, span, "a number known at compile time"),
            },
        }
    }

    /// True or false, or a default.
    pub fn flag(&self, c: &mut Checker<'a>, name: &str, default: bool) -> Eval<bool> {
        match self.get(name) {
            None => Ok(default),
            Some((Value::Bool(value), _)) => Ok(*value),
            Some((_, span)) => self.wrong(c, name, span, "true or false"),
        }
    }

    /// A text.
    pub fn text(&self, c: &mut Checker<'a>, name: &str) -> Eval<String> {
        match self.value(c, name)? {
            (Value::Text(text), _) => Ok(text.to_string()),
            (_, span) => self.wrong(c, name, span, "a text"),
        }
    }

    /// Whole numbers: one, or a list.
    pub fn ints(&self, c: &mut Checker<'a>, name: &str) -> Eval<Option<Vec<i64>>> {
        match self.get(name) {
            None => Ok(None),
            Some((value, span)) => {
                let value = value.clone();
                whole_numbers(c, &value, span, &format!("`{name}` of `{}`", self.builtin.name())).map(Some)
            }
        }
    }

    /// Axes of a shape, ascending; all of them if none are given.
    pub fn axes(&self, c: &mut Checker<'a>, name: &str, shape: &Shape) -> Eval<Vec<usize>> {
        let Some(given) = self.ints(c, name)? else { return Ok((0..shape.rank()).collect()) };
        let span = self.get(name).map_or(Span::NONE, |(_, span)| span);
        let mut axes = Vec::new();
        for axis in given {
            let found = axis_of(c, shape, axis, span)?;
            if axes.contains(&found) {
                return c.error_at(span, "bad-axis", format!("the axis {axis} is given twice"), "here");
            }
            axes.push(found);
        }
        axes.sort_unstable();
        Ok(axes)
    }

    /// One axis of a shape, or a default.
    pub fn axis(&self, c: &mut Checker<'a>, name: &str, shape: &Shape, default: i64) -> Eval<usize> {
        let axis = self.int(c, name, default)?;
        let span = self.get(name).map_or(c.here, |(_, span)| span);
        axis_of(c, shape, axis, span)
    }

    /// Extents: from `...rest`, each a number, or one list.
    pub fn extents(&self, c: &mut Checker<'a>) -> Eval<Vec<i64>> {
        let what = format!("a dimension of `{}`", self.builtin.name());
        let mut extents = Vec::new();
        for (value, span) in &self.rest {
            extents.extend(whole_numbers(c, value, *span, &what)?);
        }
        Ok(extents)
    }

    /// Reports an argument of the wrong kind.
    pub fn wrong<T>(&self, c: &mut Checker<'a>, name: &str, span: Span, expected: &str) -> Eval<T> {
        let found = self.get(name).map(|(value, _)| c.describe(value)).unwrap_or_default();
        let title = format!("`{name}` of `{}` needs {expected}", self.builtin.name());
        c.error_at(span, "wrong-type", title, &format!("this is {found}"))
    }
}

/// An axis counted from the front, or from the back when negative.
pub fn axis_of(c: &mut Checker, shape: &Shape, axis: i64, span: Span) -> Eval<usize> {
    match shape.axis(axis) {
        Some(axis) => Ok(axis),
        None => {
            let title = format!(
                "{} has no axis {axis}",
                if shape.rank() == 0 { "a scalar".to_string() } else { shape.to_string() }
            );
            c.error_at(span, "bad-axis", title, "axes are counted from 0, or from the end from -1")
        }
    }
}

fn whole_numbers<'a>(c: &mut Checker<'a>, value: &Value<'a>, span: Span, what: &str) -> Eval<Vec<i64>> {
    match value {
        Value::List(values) => {
            values.iter().map(|v| c.whole(v, span, what)).collect::<Eval<Vec<i64>>>().map_err(|_| Reported)
        }
        value => Ok(vec![c.whole(value, span, what)?]),
    }
}

fn formals_of(signature: &'static str) -> impl Iterator<Item = &'static str> {
    let inner = signature.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
    inner.split(", ").filter(|part| !part.is_empty())
}
