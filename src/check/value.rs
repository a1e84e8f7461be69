//! The values that a spec's expressions have while it is elaborated.

use std::cell::RefCell;
use std::rc::Rc;

use super::builtins::Builtin;
use super::scope::{Frame, Scope};
use crate::ir::NodeId;
use crate::ir::experiment::SplitRef;
use crate::syntax::ast;

/// Says that an error has been reported; what depends on it is passed over in silence.
#[derive(Clone, Copy, Debug)]
pub struct Reported;

/// The outcome of elaborating something.
pub type Eval<T> = Result<T, Reported>;

/// A definition with the module whose names its body sees.
#[derive(Clone, Copy)]
pub struct DefRef<'a> {
    pub def: &'a ast::Def,
    pub module: usize,
}

/// A layer with its configuration: the place where its parameters live.
pub struct Instance<'a> {
    pub def: DefRef<'a>,
    /// The configuration's values and the dimensions that they fix.
    pub config: Rc<Scope<'a>>,
    /// The body that it was written in, which names it.
    pub home: Rc<Frame>,
    /// Its path, once it is bound, labelled or applied.
    pub path: RefCell<Option<String>>,
    /// The configuration with layers in it made this instance's own, once it is applied.
    pub own: RefCell<Option<Rc<Scope<'a>>>>,
    /// As written: `dense(64)`.
    pub text: String,
}

impl Instance<'_> {
    /// The path, made now if it has none: from this name, or else from the layer's.
    pub fn name(&self, name: Option<&str>) -> String {
        let mut path = self.path.borrow_mut();
        path.get_or_insert_with(|| {
            if self.def.def.kind == ast::DefKind::Model {
                return self.def.def.name.name.clone();
            }
            self.home.child(name.unwrap_or(&self.def.def.name.name))
        })
        .clone()
    }

    /// The same layer once more, with parameters of its own.
    pub fn fresh(&self, home: Rc<Frame>) -> Self {
        Instance {
            def: self.def,
            config: self.config.clone(),
            home,
            path: RefCell::new(None),
            own: RefCell::new(None),
            text: self.text.clone(),
        }
    }
}

/// `x => body` with what it sees.
pub struct Closure<'a> {
    pub names: &'a [crate::base::Ident],
    pub body: &'a ast::Expr,
    pub scope: Rc<Scope<'a>>,
    pub module: usize,
    pub frame: Rc<Frame>,
}

/// `repeat(n, layer)`.
pub struct Chain<'a> {
    pub count: i64,
    pub layer: Value<'a>,
    /// The copies, once they are applied or named.
    pub parts: RefCell<Option<Vec<Value<'a>>>>,
}

/// A value.
#[derive(Clone)]
pub enum Value<'a> {
    Int(i64),
    Float(f64),
    Bool(bool),
    /// `none`: an argument that was not given.
    None,
    Text(Rc<str>),
    List(Rc<Vec<Value<'a>>>),
    /// From the first to before the last.
    Range(i64, i64),
    Tensor(NodeId),
    Definition(DefRef<'a>),
    Builtin(&'static Builtin),
    Instance(Rc<Instance<'a>>),
    Closure(Rc<Closure<'a>>),
    Chain(Rc<Chain<'a>>),
    /// A table of the experiment.
    Table(usize),
    Split(SplitRef),
    /// What a block without a last expression has.
    Nothing,
    /// A stage's `let` that is elaborated when it is first used.
    Pending(&'a ast::Let),
    /// What a name has whose value was wrong.
    Poison,
}

impl<'a> Value<'a> {
    pub fn list(values: Vec<Value<'a>>) -> Value<'a> {
        Value::List(Rc::new(values))
    }

    pub fn text(text: &str) -> Value<'a> {
        Value::Text(text.into())
    }

    /// A number known at compile time.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(v) => Some(*v as f64),
            Value::Float(v) => Some(*v),
            _ => None,
        }
    }

    pub fn is_function(&self) -> bool {
        matches!(
            self,
            Value::Definition(_)
                | Value::Builtin(_)
                | Value::Instance(_)
                | Value::Closure(_)
                | Value::Chain(_)
        )
    }
}

/// A float as a person writes it.
pub fn number_text(value: f64) -> String {
    let magnitude = value.abs();
    if value != 0.0 && value.is_finite() && !(1e-3..1e7).contains(&magnitude) {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}
