//! Values in words, for messages and reports.

use super::checker::Checker;
use super::value::{Value, number_text};

impl Checker<'_> {
    /// What a value is: `f32[28, 28, 1]`, `the number 3`, `the layer dense`.
    pub fn describe(&self, value: &Value) -> String {
        match value {
            Value::Int(v) => format!("the number {v}"),
            Value::Float(v) => format!("the number {}", number_text(*v)),
            Value::Bool(v) => format!("{v}"),
            Value::None => "`none`".to_string(),
            Value::Text(v) => format!("the text \"{v}\""),
            Value::List(v) => format!("a list of {}", v.len()),
            Value::Range(from, to) => format!("the range {from}..{to}"),
            Value::Tensor(node) => self.ty(*node).to_string(),
            Value::Definition(def) => format!("the layer `{}`", def.def.name.name),
            Value::Builtin(builtin) => format!("the function `{}`", builtin.name()),
            Value::Instance(instance) => format!("the layer `{}`", instance.text),
            Value::Closure(_) => "a function".to_string(),
            Value::Chain(_) => "a chain of layers".to_string(),
            Value::Table(table) => {
                format!("the data `{}`", self.tables.get(*table).map_or("", |t| t.name.as_str()))
            }
            Value::Split(rows) => {
                let split = self.tables.get(rows.table).and_then(|t| Some((t, t.splits.get(rows.split)?)));
                split.map_or("a split".to_string(), |(t, s)| format!("the split `{}.{}`", t.name, s.name))
            }
            Value::Nothing => "nothing".to_string(),
            Value::Pending(_) | Value::Poison => "a wrong value".to_string(),
        }
    }

    /// A setting's value as text, the way it would be written.
    pub fn literal(&self, value: &Value) -> String {
        match value {
            Value::Int(v) => v.to_string(),
            Value::Float(v) => number_text(*v),
            Value::Text(v) => format!("\"{v}\""),
            Value::List(values) => {
                let parts: Vec<String> = values.iter().map(|v| self.literal(v)).collect();
                format!("[{}]", parts.join(", "))
            }
            Value::Range(from, to) => format!("{from}..{to}"),
            Value::Bool(v) => v.to_string(),
            Value::None => "none".to_string(),
            other => self.describe(other),
        }
    }
}
