//! Attributes: the static arguments of an op (axes, strides, a constant's value).

use std::fmt;
use std::sync::Arc;

use super::Body;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attr {
    /// A whole number.
    Int(i64),
    /// A list of whole numbers.
    Ints(Vec<i64>),
    /// A number.
    Float(f64),
    /// A text, such as an einsum formula.
    Text(String),
    /// A switch.
    Bool(bool),
    /// The body of a loop.
    Body(Arc<Body>),
}

/// What kind of value an attribute takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrKind {
    /// [`Attr::Int`]
    Int,
    /// [`Attr::Ints`]
    Ints,
    /// [`Attr::Float`]
    Float,
    /// [`Attr::Text`]
    Text,
    /// [`Attr::Bool`]
    Bool,
    /// [`Attr::Body`]
    Body,
}

/// An attribute that an op has.
#[derive(Clone, Copy, Debug)]
pub struct AttrSpec {
    /// Its name in the IR's text form.
    pub name: &'static str,
    /// What it holds.
    pub kind: AttrKind,
    /// What it means.
    pub doc: &'static str,
}

/// The attributes of a node, in the order of its op's [`AttrSpec`]s.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Attrs(Vec<(&'static str, Attr)>);

impl Attrs {
    /// No attributes.
    pub fn none() -> Attrs {
        Attrs(Vec::new())
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Attr) -> Attrs {
        self.0.push((name, value));
        self
    }

    /// Adds a whole number.
    #[must_use]
    pub fn int(self, name: &'static str, value: i64) -> Attrs {
        self.with(name, Attr::Int(value))
    }

    /// Adds a list of whole numbers.
    #[must_use]
    pub fn ints(self, name: &'static str, value: impl Into<Vec<i64>>) -> Attrs {
        self.with(name, Attr::Ints(value.into()))
    }

    /// Adds a list of extents or axes.
    #[must_use]
    pub fn sizes(self, name: &'static str, value: &[usize]) -> Attrs {
        self.with(name, Attr::Ints(value.iter().map(|v| *v as i64).collect()))
    }

    /// Adds a number.
    #[must_use]
    pub fn float(self, name: &'static str, value: f64) -> Attrs {
        self.with(name, Attr::Float(value))
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, name: &'static str, value: impl Into<String>) -> Attrs {
        self.with(name, Attr::Text(value.into()))
    }

    /// Adds a switch.
    #[must_use]
    pub fn flag(self, name: &'static str, value: bool) -> Attrs {
        self.with(name, Attr::Bool(value))
    }

    /// Adds the body of a loop.
    #[must_use]
    pub fn body(self, name: &'static str, value: Arc<Body>) -> Attrs {
        self.with(name, Attr::Body(value))
    }

    /// Replaces the value of one that is there.
    #[must_use]
    pub fn set(mut self, name: &str, value: Attr) -> Attrs {
        self.0.iter_mut().filter(|(n, _)| *n == name).for_each(|(_, old)| *old = value.clone());
        self
    }

    /// The attributes in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Attr)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// The value of this name, if present.
    pub fn get(&self, name: &str) -> Option<&Attr> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// A whole number that the op's [`AttrSpec`] promises.
    ///
    /// # Panics
    /// When it is absent or of another kind: the builder has checked both.
    pub fn get_int(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Attr::Int(value)) => *value,
            other => panic!("attribute {name} is {other:?}, not a whole number"),
        }
    }

    /// A list of whole numbers that the op's [`AttrSpec`] promises. Panics as [`Attrs::get_int`].
    pub fn get_ints(&self, name: &str) -> &[i64] {
        match self.get(name) {
            Some(Attr::Ints(value)) => value,
            other => panic!("attribute {name} is {other:?}, not a list of whole numbers"),
        }
    }

    /// A list of extents or axes known to be at least 0. Panics as [`Attrs::get_int`].
    pub fn get_sizes(&self, name: &str) -> Vec<usize> {
        self.get_ints(name).iter().map(|v| *v as usize).collect()
    }

    /// A number that the op's [`AttrSpec`] promises. Panics as [`Attrs::get_int`].
    pub fn get_float(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Attr::Float(value)) => *value,
            other => panic!("attribute {name} is {other:?}, not a number"),
        }
    }

    /// A text that the op's [`AttrSpec`] promises. Panics as [`Attrs::get_int`].
    pub fn get_text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Attr::Text(value)) => value,
            other => panic!("attribute {name} is {other:?}, not a text"),
        }
    }

    /// A switch that the op's [`AttrSpec`] promises. Panics as [`Attrs::get_int`].
    pub fn get_bool(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Attr::Bool(value)) => *value,
            other => panic!("attribute {name} is {other:?}, not a switch"),
        }
    }

    /// The body of a loop that the op's [`AttrSpec`] promises. Panics as [`Attrs::get_int`].
    pub fn get_body(&self, name: &str) -> &Arc<Body> {
        match self.get(name) {
            Some(Attr::Body(value)) => value,
            other => panic!("attribute {name} is {other:?}, not the body of a loop"),
        }
    }
}

impl Attr {
    /// The kind of this value.
    pub fn kind(&self) -> AttrKind {
        match self {
            Attr::Int(_) => AttrKind::Int,
            Attr::Ints(_) => AttrKind::Ints,
            Attr::Float(_) => AttrKind::Float,
            Attr::Text(_) => AttrKind::Text,
            Attr::Bool(_) => AttrKind::Bool,
            Attr::Body(_) => AttrKind::Body,
        }
    }
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attr::Int(v) => write!(f, "{v}"),
            Attr::Ints(v) => {
                let parts: Vec<String> = v.iter().map(i64::to_string).collect();
                write!(f, "[{}]", parts.join(", "))
            }
            Attr::Float(v) => write!(f, "{v:?}"),
            Attr::Text(v) => write!(f, "{v:?}"),
            Attr::Bool(v) => write!(f, "{v}"),
            Attr::Body(body) => write!(f, "[\n{}]", super::text::print_body(body)),
        }
    }
}
