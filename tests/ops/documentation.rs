//! The documentation of every op: a summary, its shapes, an example that is run here.

use std::sync::Arc;

use nnc::ir::{Array, Attr, AttrKind, Attrs, Body, Builder, Op, RefCall, text};
use nnc::ops;
use nnc::ty::{DType, Shape, Type};

use super::harness::{LEAVES, MOMENT, close};

/// A reader of examples such as `sum([[1, 2], [3, 4]], axes: [1]) = [3, 7]`. A tensor of another element
/// type says so: `bool[0, 1]`, `index<3>[0, 2]`.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        let found = rest.strip_prefix(token);
        self.rest = found.unwrap_or(rest);
        found.is_some()
    }

    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && !"_.-+".contains(c));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    /// A number, or a bracketed list of lists.
    fn tensor(&mut self) -> Array {
        if !self.take("[") {
            let word = self.word();
            return Array::scalar(word.parse().unwrap_or_else(|_| panic!("`{word}` is no number")));
        }
        let mut parts = Vec::new();
        while !self.take("]") {
            parts.push(self.tensor());
            self.take(",");
        }
        let mut extents = vec![parts.len()];
        extents.extend(parts[0].shape.iter());
        Array::new(Shape::of(&extents), parts.into_iter().flat_map(|part| part.data).collect())
    }

    fn typed_tensor(&mut self) -> (Type, Array) {
        let dtype = if self.take("bool") {
            DType::Bool
        } else if self.take("index<") {
            let bound = self.word().parse().expect("a bound");
            assert!(self.take(">"));
            DType::Index(bound)
        } else {
            DType::F32
        };
        let value = self.tensor();
        (Type::new(dtype, value.shape.clone()), value)
    }

    fn attribute(&mut self, kind: AttrKind) -> Attr {
        match kind {
            AttrKind::Int => Attr::Int(self.word().parse().expect("a whole number")),
            AttrKind::Ints => Attr::Ints(self.tensor().data.iter().map(|x| *x as i64).collect()),
            AttrKind::Float => Attr::Float(self.word().parse().expect("a number")),
            AttrKind::Body => {
                let (body, rest) =
                    self.rest.trim_start().trim_start_matches('"').split_once('"').expect("a body in quotes");
                self.rest = rest;
                let computation = text::parse(&body.replace("; ", "\n"), ops::find).expect("a body");
                Attr::Body(Arc::new(Body::from_computation(computation)))
            }
            AttrKind::Bool => Attr::Bool(self.word().parse().expect("a switch")),
            AttrKind::Text => {
                let (text, rest) =
                    self.rest.trim_start().trim_start_matches('"').split_once('"').expect("a text in quotes");
                self.rest = rest;
                Attr::Text(text.into())
            }
        }
    }
}

fn run_example(op: &'static Op, example: &str) {
    let mut reader = Reader { rest: example };
    assert_eq!(reader.word(), op.name, "{example}");
    assert!(reader.take("("), "{example}");
    let (mut inputs, mut attrs) = (Vec::new(), Attrs::none());
    while !reader.take(")") {
        match op.attrs.iter().find(|spec| reader.take(&format!("{}:", spec.name))) {
            Some(spec) => attrs = attrs.with(spec.name, reader.attribute(spec.kind)),
            None => inputs.push(reader.typed_tensor()),
        }
        reader.take(",");
    }
    assert!(reader.take("="), "{example}");
    let expected = reader.tensor();

    let mut b = Builder::default();
    let leaves: Vec<_> = inputs.iter().enumerate().map(|(i, (ty, _))| ops::input(&mut b, i, ty)).collect();
    let node =
        b.try_add(op, &leaves, attrs.clone()).unwrap_or_else(|bad| panic!("{example}: {}", bad.message));
    let arrays: Vec<&Array> = inputs.iter().map(|(_, array)| array).collect();
    let call = RefCall { inputs: &arrays, attrs: &attrs, ty: b.ty(node), moment: MOMENT };
    // A step of its own, so that the example of `step` is the first one.
    let call = RefCall { moment: nnc::ir::op::Moment { step: 1, ..MOMENT }, ..call };
    let result = (op.reference)(&call);
    assert_eq!(result.shape, expected.shape, "{example}");
    for (x, y) in result.data.iter().zip(&expected.data) {
        assert!(close(*x, *y, 1e-8), "{example}: {x} is not {y}");
    }
}

#[test]
fn every_op_is_documented_and_its_example_is_true() {
    for op in ops::ALL {
        let lines: Vec<&str> = op.doc.lines().collect();
        assert!(lines[0].ends_with('.') && lines[0].len() > 10, "{}: the first line is no summary", op.name);
        assert!(op.attrs.iter().all(|spec| !spec.doc.is_empty()), "{}: an attribute without text", op.name);
        if LEAVES.contains(&op.name) {
            continue;
        }
        assert!(
            lines.iter().any(|line| line.starts_with('`') && line.contains("->")),
            "{}: no shapes",
            op.name
        );
        let examples: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("Example: `").and_then(|rest| rest.strip_suffix('`')))
            .collect();
        assert!(!examples.is_empty(), "{}: no example", op.name);
        examples.into_iter().for_each(|example| run_example(op, example));
    }
}
