//! Names in force while a body is elaborated, and the paths of the instances that the body makes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::value::Value;

/// Local names, innermost first. A closure holds on to the scope that it was written in.
pub struct Scope<'a> {
    vars: RefCell<HashMap<String, Value<'a>>>,
    parent: Option<Rc<Scope<'a>>>,
}

impl<'a> Scope<'a> {
    /// A scope without names.
    pub fn root() -> Rc<Scope<'a>> {
        Rc::new(Scope { vars: RefCell::default(), parent: None })
    }

    /// A scope within another.
    pub fn inside(parent: &Rc<Scope<'a>>) -> Rc<Scope<'a>> {
        Rc::new(Scope { vars: RefCell::default(), parent: Some(parent.clone()) })
    }

    /// Binds a name here.
    pub fn define(&self, name: &str, value: Value<'a>) {
        self.vars.borrow_mut().insert(name.to_string(), value);
    }

    /// The value of a name, here or further out.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        match self.vars.borrow().get(name) {
            Some(value) => Some(value.clone()),
            None => self.parent.as_ref()?.get(name),
        }
    }

    /// The scope that binds a name.
    pub fn owner(self: &Rc<Self>, name: &str) -> Option<Rc<Scope<'a>>> {
        if self.vars.borrow().contains_key(name) {
            return Some(self.clone());
        }
        self.parent.as_ref()?.owner(name)
    }

    /// The scope around this one.
    pub fn parent(&self) -> Option<Rc<Scope<'a>>> {
        self.parent.clone()
    }

    /// Every name in force.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.vars.borrow().keys().cloned().collect();
        names.retain(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'));
        names.sort();
        if let Some(parent) = &self.parent {
            names.extend(parent.names());
        }
        names
    }
}

/// One elaboration of a body: it gives the instances in it their names.
#[derive(Default)]
pub struct Frame {
    /// The path so far: `Cnn.block_2`; empty outside of models.
    pub path: String,
    /// The layer whose body this is.
    pub name: String,
    /// Whether parameters may be declared here.
    pub in_model: bool,
    /// How many bodies of layers this one stands in.
    pub depth: usize,
    taken: RefCell<HashMap<String, usize>>,
}

impl Frame {
    /// A body with this path.
    pub fn new(path: String, name: &str, in_model: bool, depth: usize) -> Rc<Frame> {
        Rc::new(Frame { path, name: name.to_string(), in_model, depth, taken: RefCell::default() })
    }

    /// The path of a new instance of this name: `dense`, `dense_2`, `dense_3`.
    pub fn child(&self, name: &str) -> String {
        let mut taken = self.taken.borrow_mut();
        let count = taken.entry(name.to_string()).or_insert(0);
        *count += 1;
        let mut segment = if *count == 1 { name.to_string() } else { format!("{name}_{count}") };
        if *count > 1 {
            // A label may have taken the numbered name already.
            let mut number = *count;
            while taken.contains_key(&segment) {
                number += 1;
                segment = format!("{name}_{number}");
            }
            taken.insert(segment.clone(), 1);
        }
        if self.path.is_empty() { segment } else { format!("{}.{segment}", self.path) }
    }
}
