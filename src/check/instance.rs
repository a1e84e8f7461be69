//! Instances of layers: how they are made, copied by `repeat`, and owned by those that take them as an argument.

use std::cell::RefCell;
use std::rc::Rc;

use super::call::Actual;
use super::checker::Checker;
use super::scope::{Frame, Scope};
use super::value::{Chain, DefRef, Eval, Instance, Value};
use crate::syntax::ast::DefKind;

impl<'a> Checker<'a> {
    /// The copies of a `repeat`, each with parameters of its own.
    pub fn chain_parts(&mut self, chain: &Rc<Chain<'a>>, name: Option<&str>) -> Eval<Vec<Value<'a>>> {
        if let Some(parts) = chain.parts.borrow().as_ref() {
            return Ok(parts.clone());
        }
        let layer = match &chain.layer {
            Value::Definition(def) if def.def.second.is_some() => {
                Value::Instance(self.instantiate(*def, Vec::new(), &def.def.name.name)?)
            }
            other => other.clone(),
        };
        let mut parts = Vec::new();
        let mut home = None;
        for _ in 0..chain.count {
            parts.push(match &layer {
                Value::Instance(instance) => {
                    let home = home.get_or_insert_with(|| match name {
                        Some(name) => {
                            let h = &instance.home;
                            Frame::new(h.child(name), name, h.in_model, h.depth)
                        }
                        None => instance.home.clone(),
                    });
                    let copy = instance.fresh(home.clone());
                    copy.name(None);
                    Value::Instance(Rc::new(copy))
                }
                other => other.clone(),
            });
        }
        *chain.parts.borrow_mut() = Some(parts.clone());
        Ok(parts)
    }

    /// `dense(64)`: a layer with its configuration.
    pub fn instantiate(
        &mut self,
        def: DefRef<'a>,
        actuals: Vec<Actual<'a>>,
        text: &str,
    ) -> Eval<Rc<Instance<'a>>> {
        let config = Scope::root();
        self.bind_params(def, &def.def.first, actuals, &config)?;
        Ok(Rc::new(self.instance(def, config, text)))
    }

    /// An instance with this configuration.
    pub fn instance(&self, def: DefRef<'a>, config: Rc<Scope<'a>>, text: &str) -> Instance<'a> {
        Instance {
            def,
            config,
            home: self.frame.clone(),
            path: RefCell::new(None),
            own: RefCell::new(None),
            text: text.to_string(),
        }
    }

    /// The configuration of an instance. Layers that were written in it, as in `residual(dense(8))`, are this
    /// instance's own: they are named by their argument, and each copy of a `repeat` has its own.
    pub fn own_layers(&mut self, instance: &Rc<Instance<'a>>, frame: &Rc<Frame>) -> Eval<Rc<Scope<'a>>> {
        if instance.def.def.kind == DefKind::Model {
            return Ok(instance.config.clone());
        }
        let own = Scope::inside(&instance.config);
        for param in &instance.def.def.first {
            let name = &param.name.name;
            let value = match instance.config.get(name) {
                Some(Value::Instance(inner)) if inner.path.borrow().is_none() => {
                    let inner = inner.fresh(frame.clone());
                    inner.name(Some(name));
                    Value::Instance(Rc::new(inner))
                }
                Some(Value::Chain(chain)) if chain.parts.borrow().is_none() => {
                    let layer = match &chain.layer {
                        Value::Instance(inner) => Value::Instance(Rc::new(inner.fresh(frame.clone()))),
                        other => other.clone(),
                    };
                    let parts = RefCell::new(None);
                    let chain = Rc::new(Chain { count: chain.count, layer, parts });
                    self.chain_parts(&chain, Some(name))?;
                    Value::Chain(chain)
                }
                _ => continue,
            };
            own.define(name, value);
        }
        // A second application takes the same names in its frame, so that those of the body stay the same.
        Ok(instance.own.borrow_mut().get_or_insert(own).clone())
    }
}
