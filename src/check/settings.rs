//! Settings: `let` at the top of a file, and `--set` on the command line.

use super::checker::Checker;
use super::program::{ItemRef, name_of};
use super::scope::{Frame, Scope};
use super::value::{Eval, Reported, Value};
use crate::base::{Diagnostic, Exit, did_you_mean};
use crate::syntax::ast::{Expr, ExprKind, Item, Pattern};

impl<'a> Checker<'a> {
    /// The value of a setting, computed when it is first used.
    pub fn setting(&mut self, at: ItemRef) -> Eval<Value<'a>> {
        if let Some(value) = self.settings.get(&at) {
            return match value.clone() {
                Value::Pending(item) => {
                    self.error_at(item.span, "circle", "this setting depends on itself", "here")
                }
                Value::Poison => Err(Reported),
                value => Ok(value),
            };
        }
        let Some(Item::Let(item)) = self.program.item(at) else { return Err(Reported) };
        self.settings.insert(at, Value::Pending(item));
        let frame = Frame::new(String::new(), "", false, 0);
        let (value, _) = self.in_graph(super::checker::GraphState::default(), |c| {
            c.framed(frame, |c| {
                c.in_module(at.module, |c| c.scoped(Scope::root(), |c| c.setting_value(at, item)))
            })
        });
        self.settings.insert(at, value.as_ref().cloned().unwrap_or(Value::Poison));
        value
    }

    fn setting_value(&mut self, at: ItemRef, item: &'a crate::syntax::ast::Let) -> Eval<Value<'a>> {
        let written = self.eval(&item.value)?;
        if matches!(written, Value::Tensor(_)) {
            let problem = self
                .problem_at(
                    item.value.span,
                    "wrong-type",
                    "a setting is known before anything is computed",
                    "this is a tensor",
                )
                .help("use numbers, or compute it where it is needed");
            return Err(self.report(problem));
        }
        let program = self.program;
        let name = match &item.pattern {
            Pattern::Name(name) if !program.in_library(item.span) => name,
            _ => return Ok(written),
        };
        let _ = at;
        let Some((_, expr)) = program.overrides.iter().find(|(key, _)| *key == name.name) else {
            return Ok(written);
        };
        self.overridden(&name.name, &written, expr)
    }

    /// The value of `--set`, if it is of the kind of the written one.
    fn overridden(&mut self, name: &str, written: &Value<'a>, expr: &'a Expr) -> Eval<Value<'a>> {
        let value = match (&expr.kind, written) {
            (ExprKind::Name(word), Value::Text(_)) => Value::text(word),
            _ => self.eval(expr)?,
        };
        let value = match (written, value) {
            (Value::Float(_), Value::Int(v)) => Value::Float(v as f64),
            (_, value) => value,
        };
        if std::mem::discriminant(written) == std::mem::discriminant(&value) {
            return Ok(value);
        }
        let (was, is) = (self.describe(written), self.describe(&value));
        let problem = self
            .problem_at(
                expr.span,
                "wrong-type",
                format!("the setting `{name}` is {was}, not {is}"),
                "given on the command line",
            )
            .exit(Exit::Usage);
        Err(self.report(problem))
    }

    /// Computes every setting; reports those of the command line that the file does not have.
    pub fn all_settings(&mut self) -> Vec<(String, String)> {
        let program = self.program;
        let mut values = Vec::new();
        for (module, parsed) in program.modules.iter().enumerate() {
            for (item, node) in parsed.ast.items.iter().enumerate() {
                let Item::Let(binding) = node else { continue };
                let at = ItemRef { module, item };
                match name_of(node) {
                    None => {
                        let _ = self.error_at::<()>(
                            binding.span,
                            "bad-setting",
                            "a setting has one name",
                            "here",
                        );
                    }
                    Some(name) => {
                        if let Ok(value) = self.setting(at) {
                            values.push((name.name.clone(), self.literal(&value)));
                        }
                    }
                }
            }
        }
        for (key, _) in &program.overrides {
            let known: Vec<&str> = program.setting_names().collect();
            if known.contains(&key.as_str()) {
                continue;
            }
            let problem = Diagnostic::error("unknown-setting", format!("the file has no setting `{key}`"))
                .exit(Exit::Usage);
            let problem = match did_you_mean(key, known.iter().copied()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None if known.is_empty() => problem.help("a setting is a `let` at the top of the file"),
                None => problem.help(format!("its settings are {}", super::call::list_of(&known))),
            };
            self.report(problem);
        }
        values
    }
}
