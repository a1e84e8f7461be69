//! Models on their own: applied to fresh inputs in inference mode, which also makes their parameters.

use std::rc::Rc;

use super::call::{Actual, How};
use super::checker::{Checker, GraphState};
use super::scope::{Frame, Scope};
use super::value::{DefRef, Eval, Reported, Value};
use crate::base::Diagnostic;
use crate::ir::Computation;
use crate::ir::computation::VariableId;
use crate::ir::experiment::{ModelGraph, Stage, VariableKind};
use crate::ops;
use crate::syntax::ast::{DefKind, Item};
use crate::ty::Type;

impl<'a> Checker<'a> {
    /// Elaborates every model of the main file, in the order of the text; those of other files take part only where
    /// they are used.
    pub fn all_models(&mut self) {
        let program = self.program;
        let Some(main) = program.modules.first() else { return };
        for item in &main.ast.items {
            if let Item::Def(def) = item
                && def.kind == DefKind::Model
            {
                self.ensure_model(DefRef { def, module: 0 }, None);
            }
        }
    }

    /// Warns of models whose parameters no stage trains.
    pub fn untrained_models(&mut self, stages: &[Stage]) {
        if stages.is_empty() || self.failed() {
            return;
        }
        for model in std::mem::take(&mut self.models) {
            let prefix = format!("{}.", model.name);
            let own = |path: &str| path.starts_with(&prefix);
            let trained = |c: &Self, id: VariableId| own(&c.variables[id.0 as usize].path);
            let has = self.variables.iter().any(|v| v.kind == VariableKind::Param && own(&v.path));
            let any = stages.iter().flat_map(|s| &s.trained).any(|(id, _)| trained(self, *id));
            if has && !any {
                let problem =
                    Diagnostic::warning("untrained", format!("the model `{}` is never trained", model.name))
                        .label(model.span, "no stage minimizes anything that depends on its parameters");
                self.report(problem);
            }
            self.models.push(model);
        }
    }

    /// Elaborates a model once, with this configuration or its defaults.
    pub fn ensure_model(&mut self, def: DefRef<'a>, config: Option<Rc<Scope<'a>>>) {
        let required = def.def.first.iter().any(|p| p.default.is_none());
        if def.def.second.is_some() && config.is_none() && required {
            // It is elaborated when it is first applied.
            return;
        }
        if !self.modelled.insert((def.module, def.def.name.name.clone())) {
            return;
        }
        let before = self.errors();
        let state = GraphState {
            layers: Some(Vec::new()),
            feed_hint: "a model sees only its inputs".to_string(),
            ..GraphState::default()
        };
        let saved = self.site;
        self.site = def.def.header;
        let initial = self.initial.take();
        let optimizing = std::mem::take(&mut self.optimizing);
        let (result, state) = self.in_graph(state, |c| {
            let frame = Frame::new(String::new(), "", false, 0);
            c.framed(frame, |c| {
                c.in_module(def.module, |c| c.scoped(Scope::root(), |c| c.model_graph(def, config)))
            })
        });
        self.initial = initial;
        self.optimizing = optimizing;
        self.site = saved;
        if result.is_err() || self.errors() > before {
            self.broken.insert(def.def.name.name.clone());
        }
        let Ok((inputs, node)) = result else { return };
        self.models.push(ModelGraph {
            name: def.def.name.name.clone(),
            inputs,
            computation: Computation {
                graph: state.b.graph,
                outputs: vec![("output".to_string(), node)],
                updates: Vec::new(),
            },
            layers: state.layers.unwrap_or_default(),
            span: def.def.header,
        });
    }

    fn model_graph(
        &mut self,
        def: DefRef<'a>,
        config: Option<Rc<Scope<'a>>>,
    ) -> Eval<(Vec<(String, Type)>, crate::ir::NodeId)> {
        self.at(def.def.header, |c| {
            let instance = match (&def.def.second, config) {
                (None, _) => None,
                (Some(_), None) => Some(c.instantiate(def, Vec::new(), &def.def.name.name)?),
                (Some(_), Some(config)) => {
                    let mut instance = c.instance(def, config, &def.def.name.name);
                    instance.home = c.frame.clone();
                    Some(Rc::new(instance))
                }
            };
            let scope = match &instance {
                Some(instance) => Scope::inside(&instance.config),
                None => Scope::root(),
            };
            let formals = def.def.second.as_ref().unwrap_or(&def.def.first);
            let mut inputs = Vec::new();
            let mut actuals = Vec::new();
            for (i, formal) in formals.iter().enumerate() {
                let Some(ty) = &formal.ty else {
                    let problem = c
                        .problem_at(
                            formal.span,
                            "unknown-size",
                            format!("the model's input `{}` has no type", formal.name.name),
                            "its type is needed",
                        )
                        .help(format!("write `{}: f32[..]` with its dimensions", formal.name.name));
                    return Err(c.report(problem));
                };
                let ty = c.scoped(scope.clone(), |c| c.concrete(ty))?;
                let node = c.at(formal.span, |c| Ok(ops::input(c.build(), i, &ty)))?;
                inputs.push((formal.name.name.clone(), ty));
                actuals.push(Actual { name: None, value: Value::Tensor(node), span: formal.span });
            }
            let how = How { label: None, text: &def.def.name.name };
            let value = match instance {
                Some(instance) => c.apply_instance(&instance, actuals, how)?,
                None => c.call_function(def, actuals, how)?,
            };
            if matches!(value, Value::Nothing) {
                let problem = c
                    .problem_at(
                        def.def.name.span,
                        "no-value",
                        format!("the model `{}` has no value", def.def.name.name),
                        "its body ends without an expression",
                    )
                    .help("the last expression of a body is its value");
                return Err(c.report(problem));
            }
            let node = c.tensor(&value).map_err(|_| Reported)?;
            Ok((inputs, node))
        })
    }
}
