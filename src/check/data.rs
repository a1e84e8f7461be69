//! `data` items: tables are read when they are first named, and their fields feed graphs.

use std::path::PathBuf;

use super::checker::Checker;
use super::program::ItemRef;
use super::scope::Scope;
use super::value::{Eval, Reported, Value};
use crate::base::{Diagnostic, Ident, Span, did_you_mean};
use crate::ir::experiment::{InputField, SplitRef};
use crate::ops;
use crate::readers::{self, DataError, IdxField, IdxKind, IdxSpec, Source, Table};
use crate::syntax::ast::{Arg, Data, ExprKind, Item};
use crate::ty::Type;

/// What `data NAME = ...` may start with.
const READERS: &[&str] = &["mnist", "csv", "idx", "text"];

impl<'a> Checker<'a> {
    /// The table of a `data` item, read now if it has not been.
    pub fn table(&mut self, at: ItemRef) -> Eval<Value<'a>> {
        if let Some(known) = self.table_ids.get(&at) {
            return known.map(Value::Table).ok_or(Reported);
        }
        let Some(Item::Data(data)) = self.program.item(at) else { return Err(Reported) };
        self.table_ids.insert(at, None);
        let known = self.options.tables.get(self.tables.len()).filter(|known| known.name == data.name.name);
        let table = match known {
            Some(known) => known.clone(),
            None => self.in_module(at.module, |c| c.scoped(Scope::root(), |c| c.read_table(data)))?,
        };
        self.tables.push(Table { name: data.name.name.clone(), ..table });
        self.table_spans.push(data.span);
        let id = self.tables.len() - 1;
        self.table_ids.insert(at, Some(id));
        Ok(Value::Table(id))
    }

    /// Reads every table of the main file.
    pub fn all_tables(&mut self) {
        let program = self.program;
        let items = program.modules.first().map(|m| m.ast.items.len()).unwrap_or_default();
        for item in 0..items {
            let at = ItemRef { module: 0, item };
            if matches!(program.item(at), Some(Item::Data(_))) {
                let _ = self.table(at);
            }
        }
    }

    fn read_table(&mut self, data: &'a Data) -> Eval<Table> {
        let call = match &data.source.kind {
            ExprKind::Call { callee, args } => match &callee.kind {
                ExprKind::Name(name) => Some((name.as_str(), callee.span, args)),
                _ => None,
            },
            _ => None,
        };
        let Some((reader, span, args)) = call else {
            let problem = self
                .problem_at(data.source.span, "not-data", "this is no source of data", "here")
                .help("`mnist()`, `csv(\"FILE\")`, `text(\"FILE\")` or `idx(images: \"FILE\", labels: \"FILE\")`");
            return Err(self.report(problem));
        };
        match reader {
            "mnist" => {
                self.no_clauses(data)?;
                self.mnist(data, args)
            }
            "csv" => self.csv(data, args),
            "text" => self.text(data, args),
            "idx" => {
                self.no_clauses(data)?;
                self.idx(data, args)
            }
            other => {
                let problem = self.problem_at(
                    span,
                    "unknown-reader",
                    format!("there is no source of data `{other}`"),
                    "unknown",
                );
                let problem = match did_you_mean(other, READERS.iter().copied()) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help(format!("the sources are {}", super::call::list_of(READERS))),
                };
                Err(self.report(problem))
            }
        }
    }

    fn no_clauses(&mut self, data: &'a Data) -> Eval<()> {
        use crate::syntax::ast::DataClause;
        match data.clauses.first() {
            None => Ok(()),
            Some(
                DataClause::Field { span, .. }
                | DataClause::Split { span, .. }
                | DataClause::Tokens { span, .. }
                | DataClause::Window { span, .. },
            ) => {
                let title = format!("the fields and splits of `{}` are given by its source", data.name.name);
                self.error_at(*span, "no-effect", title, "this would have no effect")
            }
        }
    }

    fn mnist(&mut self, data: &'a Data, args: &'a [Arg]) -> Eval<Table> {
        let given = self.data_arguments("mnist", &["dir"], args)?;
        let folder = match given.into_iter().next().flatten() {
            Some((value, span)) => Some(self.data_path(&value, span)?),
            None => self.options.data_dir.clone(),
        };
        let table = readers::mnist(folder.as_deref());
        table.map_err(|why| self.data_error(why, data.source.span))
    }

    /// The arguments of a source of data, by the names that it takes.
    pub fn data_arguments(
        &mut self,
        what: &str,
        names: &[&str],
        args: &'a [Arg],
    ) -> Eval<Vec<Option<(Value<'a>, Span)>>> {
        let mut actuals = Vec::new();
        let mut failed = false;
        for arg in args {
            match self.eval(&arg.value) {
                Ok(value) => {
                    actuals.push(super::call::Actual { name: arg.name.as_ref(), value, span: arg.value.span })
                }
                Err(Reported) => failed = true,
            }
        }
        let places = self.place_arguments(what, names, &actuals);
        let places = if failed { Err(Reported) } else { places }?;
        let mut given = vec![None; names.len()];
        for (place, actual) in places.into_iter().zip(actuals) {
            given[place] = Some((actual.value, actual.span));
        }
        Ok(given)
    }

    /// A path in a spec: relative to its file, and within the experiment's folder.
    pub fn data_path(&mut self, value: &Value<'a>, span: Span) -> Eval<PathBuf> {
        let Value::Text(text) = value else {
            let found = self.describe(value);
            return self.error_at(span, "wrong-type", "a path is a text", &format!("this is {found}"));
        };
        match self.program.resolve(self.module, text) {
            Ok(path) => Ok(path),
            Err(why) => {
                let problem = self.problem_at(span, "path-outside", why, "this path").help(
                    "move the data into the folder of the experiment, or name the folder with `--data`",
                );
                Err(self.report(problem))
            }
        }
    }

    /// Reports what a reader has found wrong.
    pub fn data_error(&mut self, why: DataError, span: Span) -> Reported {
        let mut problem = Diagnostic::error("data", why.message).label(span, "read here").exit(why.exit);
        if let Some(help) = why.help {
            problem = problem.help(help);
        }
        self.report(problem)
    }

    /// `table.name`: a field of the batch, a split, or a constant of the data.
    pub fn table_field(&mut self, table: usize, name: &'a Ident) -> Eval<Value<'a>> {
        let Some(found) = self.tables.get(table) else { return Err(Reported) };
        if let Some((_, value)) = found.constants.iter().find(|(n, _)| *n == name.name) {
            return Ok(Value::Int(*value));
        }
        if let Some(split) = found.splits.iter().position(|s| s.name == name.name) {
            return Ok(Value::Split(SplitRef { table, split }));
        }
        if let Some(field) = found.fields.iter().position(|f| f.name == name.name) {
            return self.input(table, field).map(Value::Tensor);
        }
        let known: Vec<String> = found
            .fields
            .iter()
            .map(|f| f.name.clone())
            .chain(found.splits.iter().map(|s| s.name.clone()))
            .chain(found.constants.iter().map(|(n, _)| n.clone()))
            .collect();
        let title = format!("`{}` has no `{}`", found.name, name.name);
        let problem = self.problem_at(name.span, "unknown-field", title, "not found");
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let problem = match did_you_mean(&name.name, names.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("it has {}", super::call::list_of(&names))),
        };
        Err(self.report(problem))
    }

    /// The input of the graph that a field feeds.
    fn input(&mut self, table: usize, field: usize) -> Eval<crate::ir::NodeId> {
        let wanted = InputField { table, field };
        if let Some(place) = self.g.inputs.iter().position(|known| *known == wanted) {
            return Ok(self.g.input_nodes[place]);
        }
        let (name, ty) = {
            let found = &self.tables[table];
            let field = &found.fields[field];
            (format!("{}.{}", found.name, field.name), Type::new(field.dtype, field.shape.clone()))
        };
        if !self.g.feed.iter().any(|(fed, _)| *fed == table) {
            let mut problem =
                self.problem("no-batch", format!("`{name}` is not part of the batch here"), "read here");
            for (fed, span) in self.g.feed.clone() {
                problem = problem.label(span, format!("only `{}` is read", self.tables[fed].name));
            }
            let problem = problem.help(self.g.feed_hint.clone());
            return Err(self.report(problem));
        }
        let index = self.g.inputs.len();
        let node = ops::input(self.build(), index, &ty);
        self.g.inputs.push(wanted);
        self.g.input_nodes.push(node);
        Ok(node)
    }

    /// `idx(images: "FILE", labels: "FILE")`, with `test_images` and `test_labels` for a second split.
    fn idx(&mut self, data: &'a Data, args: &'a [Arg]) -> Eval<Table> {
        let names = ["images", "labels", "test_images", "test_labels", "classes"];
        let given = self.data_arguments("idx", &names, args)?;
        let mut paths = Vec::new();
        for value in &given[..4] {
            paths.push(match value {
                Some((value, span)) => Some(Source::File(self.data_path(value, *span)?)),
                None => None,
            });
        }
        let bound = match &given[4] {
            Some((value, span)) => match self.whole(value, *span, "`classes` of `idx`")? {
                n if n > 0 => Some(n as u64),
                n => return self.error_at(*span, "bad-range", format!("{n} classes"), "at least 1"),
            },
            None => None,
        };
        let mut paths = paths.into_iter();
        let mut next = || paths.next().flatten();
        let (splits, images, labels) = match (next(), next(), next(), next()) {
            (Some(images), Some(labels), None, None) => (vec!["all"], vec![images], vec![labels]),
            (Some(images), Some(labels), Some(test_images), Some(test_labels)) => {
                (vec!["train", "test"], vec![images, test_images], vec![labels, test_labels])
            }
            _ => {
                let problem = self
                    .problem_at(data.source.span, "missing-argument", "`idx` needs images and labels", "not all are given here")
                    .help("`idx(images: \"FILE\", labels: \"FILE\")`, and `test_images`, `test_labels` together");
                return Err(self.report(problem));
            }
        };
        let label = IdxKind::Index { bound, constant: Some("classes".to_string()) };
        let table = readers::idx(&IdxSpec {
            splits: splits.into_iter().map(str::to_string).collect(),
            fields: vec![
                IdxField { name: "image".to_string(), kind: IdxKind::Image, files: images },
                IdxField { name: "label".to_string(), kind: label, files: labels },
            ],
        });
        table.map_err(|why| self.data_error(why, data.source.span))
    }
}
