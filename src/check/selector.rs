//! Selectors: globs over the paths of parameters.

use super::checker::Checker;
use super::value::{Eval, Reported, Value};
use crate::base::{Ident, Span, did_you_mean};
use crate::ir::computation::VariableId;
use crate::ir::experiment::VariableKind;
use crate::syntax::ast::{DefKind, Expr, ExprKind, Item, Selector};

impl<'a> Checker<'a> {
    /// `Net.**.weight` as a value: the list of the parameters.
    pub fn selected(&mut self, selector: &Selector) -> Eval<Value<'a>> {
        let found = self.select(selector)?;
        let tensors: Eval<Vec<Value>> =
            found.into_iter().map(|id| self.read(id).map(Value::Tensor)).collect();
        Ok(Value::list(tensors?))
    }

    /// `Net.head.weight` as a value: a parameter, or the list of those of a layer.
    pub fn selected_path(&mut self, segments: &[String], span: Span) -> Eval<Value<'a>> {
        let selector = Selector { segments: segments.to_vec(), span };
        let found = self.select(&selector)?;
        if let [id] = found[..]
            && self.variables[id.0 as usize].path == segments.join(".")
        {
            return self.read(id).map(Value::Tensor);
        }
        self.selected(&selector)
    }

    /// `base.field` as a path into a model, if that is what it is.
    pub fn path_of(&self, base: &Expr, field: &Ident) -> Option<Vec<String>> {
        let mut segments = match &base.kind {
            ExprKind::Name(name) if self.scope.get(name).is_none() => {
                let item = self.program.item(self.program.find(self.module, name)?)?;
                let model = matches!(item, Item::Def(def) if def.kind == DefKind::Model);
                model.then(|| vec![name.clone()])?
            }
            ExprKind::Field(inner, name) => self.path_of(inner, name)?,
            _ => return None,
        };
        segments.push(field.name.clone());
        Some(segments)
    }

    /// The parameters that a selector matches; none is an error.
    pub fn select(&mut self, selector: &Selector) -> Eval<Vec<VariableId>> {
        let pattern: Vec<&str> = selector.segments.iter().map(String::as_str).collect();
        // The parameters exist once the model has been elaborated.
        if let Some(root) = pattern.first()
            && let Some(Ok(Value::Definition(def))) = self.top_level(root)
            && def.def.kind == DefKind::Model
        {
            self.ensure_model(def, None);
        }
        let found: Vec<VariableId> = self
            .variables
            .iter()
            .enumerate()
            .filter(|(_, variable)| variable.kind == VariableKind::Param)
            .filter(|(_, variable)| {
                let path: Vec<&str> = variable.path.split('.').collect();
                // A selector that names a layer takes all that is in it.
                (1..=path.len()).any(|n| matches(&pattern, &path[..n]))
            })
            .map(|(i, _)| VariableId(i as u32))
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
        if pattern.first().is_some_and(|root| self.broken.contains(*root)) {
            return Err(Reported);
        }
        let text = selector.segments.join(".");
        let problem = self.problem_at(
            selector.span,
            "no-match",
            format!("no parameter matches `{text}`"),
            "this selects nothing",
        );
        let help = self.nearest(&text, &pattern);
        let problem = match help {
            Some(help) => problem.help(help),
            None => problem,
        };
        Err(self.report(problem))
    }

    /// What a selector that matches nothing may have meant.
    fn nearest(&self, text: &str, pattern: &[&str]) -> Option<String> {
        let params: Vec<&str> = self
            .variables
            .iter()
            .filter(|v| v.kind == VariableKind::Param)
            .map(|v| v.path.as_str())
            .collect();
        if let Some(near) = did_you_mean(text, params.iter().copied()) {
            return Some(format!("did you mean `{near}`?"));
        }
        let words = params.iter().flat_map(|path| path.split('.'));
        let known: Vec<&str> = words.clone().collect();
        for segment in pattern.iter().filter(|s| !s.contains('*') && !known.contains(s)) {
            if let Some(near) = did_you_mean(segment, known.iter().copied()) {
                return Some(format!("there is no `{segment}`; did you mean `{near}`?"));
            }
        }
        let shown: Vec<String> = params.iter().take(6).map(|path| format!("`{path}`")).collect();
        let more = if params.len() > 6 { format!(" and {} more", params.len() - 6) } else { String::new() };
        (!shown.is_empty()).then(|| format!("the parameters are {}{more}", shown.join(", ")))
    }
}

/// Whether a glob matches a path: `*` any part of a segment, `**` any number of segments.
pub fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((&"**", rest)) => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        Some((first, rest)) => path
            .split_first()
            .is_some_and(|(segment, path)| matches_word(first, segment) && matches(rest, path)),
    }
}

fn matches_word(pattern: &str, word: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == word,
        Some((before, rest)) => {
            let Some(tail) = word.strip_prefix(before) else { return false };
            (0..=tail.len()).filter(|i| tail.is_char_boundary(*i)).any(|i| matches_word(rest, &tail[i..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(pattern: &str, path: &str) -> bool {
        let (pattern, path): (Vec<&str>, Vec<&str>) =
            (pattern.split('.').collect(), path.split('.').collect());
        matches(&pattern, &path)
    }

    #[test]
    fn globs() {
        assert!(hits("Net.**.weight", "Net.weight"));
        assert!(hits("Net.**.weight", "Net.a.b.weight"));
        assert!(hits("Net.block_*.w", "Net.block_2.w"));
        assert!(hits("**.bias", "Net.dense.bias"));
        assert!(!hits("Net.*.weight", "Net.a.b.weight"));
        assert!(!hits("Net.block_*", "Net.dense"));
        assert!(!hits("Net", "Net.dense"));
    }
}
