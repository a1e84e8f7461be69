//! `csv` and `idx` data: what a spec says of columns, files and splits, as a request to the readers.

use super::checker::Checker;
use super::value::{Eval, Reported, Value};
use crate::base::{Ident, Span, did_you_mean};
use crate::readers::{self, Columns, CsvField, CsvKind, CsvSpec, Scale, Share, Table, TokenSource};
use crate::syntax::ast::{Arg, Data, DataClause, DimExpr, Expr, ExprKind, TypeExpr};
use crate::ty::DType;

/// How a field may be read.
const KINDS: &[&str] = &["column", "columns", "standardize", "category", "characters", "words", "bpe"];

impl<'a> Checker<'a> {
    /// `data NAME = csv("FILE") { ... }`
    pub fn csv(&mut self, data: &'a Data, args: &'a [Arg]) -> Eval<Table> {
        let given = self.data_arguments("csv", &["path"], args)?;
        let Some((value, span)) = given.into_iter().next().flatten() else {
            let problem = self
                .problem_at(data.source.span, "missing-argument", "`csv` needs a file", "not given here")
                .help("`csv(\"data/cells.csv\")`");
            return Err(self.report(problem));
        };
        let path = self.data_path(&value, span)?;
        let mut fields: Vec<CsvField> = Vec::new();
        let mut splits: Vec<(String, Share)> = Vec::new();
        let mut names: Vec<&Ident> = Vec::new();
        let mut failed = false;
        for clause in &data.clauses {
            match clause {
                DataClause::Field { name, ty, value, .. } => {
                    failed |= self.twice(&mut names, name).is_err();
                    match self.csv_kind(value, ty.as_ref()) {
                        Ok(kind) => fields.push(CsvField { name: name.name.clone(), kind }),
                        Err(Reported) => failed = true,
                    }
                }
                DataClause::Split { parts, span } => {
                    failed |= self.splits(parts, *span, &mut names, &mut splits).is_err();
                }
                DataClause::Tokens { span, .. } | DataClause::Window { span, .. } => {
                    let problem = self
                        .problem_at(*span, "no-effect", "a table is not one text", "this is for `text(..)`")
                        .help("a column of texts is a field: `body: index<vocab>[40] = words(column(\"text\"), size: 5000, pad: 40)`; one long text is read with `text(\"FILE\")`");
                    self.report(problem);
                    failed = true;
                }
            }
        }
        if fields.is_empty() && !failed {
            let problem = self
                .problem_at(
                    data.span,
                    "no-field",
                    format!("`{}` has no fields", data.name.name),
                    "which columns are to be read?",
                )
                .help("`{ facts: f32[2] = columns(\"width\", \"height\") }`");
            return Err(self.report(problem));
        }
        if failed {
            return Err(Reported);
        }
        let seed = self.options.seed.or(self.seed).unwrap_or(0);
        let table = match readers::csv(&CsvSpec { path, fields, splits, seed }) {
            Ok(table) => table,
            Err(why) => return Err(self.data_error(why, data.source.span)),
        };
        self.declared_types(data, &table)?;
        Ok(table)
    }

    /// `split train: 80%, test: 20%`
    pub fn splits(
        &mut self,
        parts: &'a [(Ident, Expr)],
        span: Span,
        names: &mut Vec<&'a Ident>,
        splits: &mut Vec<(String, Share)>,
    ) -> Eval<()> {
        let mut done = Ok(());
        if !splits.is_empty() {
            done = self.error_at(span, "given-twice", "`split` is given twice", "the second time");
        }
        for (name, share) in parts {
            let new = self.twice(names, name);
            match self.share(share) {
                Ok(share) => splits.push((name.name.clone(), share)),
                Err(Reported) => done = Err(Reported),
            }
            done = done.and(new);
        }
        done
    }

    /// Reports a name that a field or split of the same data has already.
    fn twice(&mut self, names: &mut Vec<&'a Ident>, name: &'a Ident) -> Eval<()> {
        if let Some(first) = names.iter().find(|first| first.name == name.name) {
            let problem = self
                .problem_at(
                    name.span,
                    "defined-twice",
                    format!("`{}` is defined twice", name.name),
                    "the second time",
                )
                .label(first.span, "the first time");
            return Err(self.report(problem));
        }
        names.push(name);
        Ok(())
    }

    /// `80%`, or a number of rows.
    fn share(&mut self, expr: &'a Expr) -> Eval<Share> {
        match self.eval(expr)? {
            Value::Int(n) if n > 1 => Ok(Share::Rows(n as usize)),
            Value::Int(1) if expr_is_percent(expr) => Ok(Share::Fraction(1.0)),
            Value::Int(1) => Ok(Share::Rows(1)),
            Value::Float(v) if v > 0.0 && v <= 1.0 => Ok(Share::Fraction(v)),
            other => {
                let found = self.describe(&other);
                let problem = self
                    .problem_at(
                        expr.span,
                        "bad-range",
                        "a split has a share or a number of rows",
                        &format!("this is {found}"),
                    )
                    .help("`split train: 80%, test: 20%`");
                Err(self.report(problem))
            }
        }
    }

    /// How a field is read, from its value and type.
    fn csv_kind(&mut self, value: &'a Expr, ty: Option<&'a TypeExpr>) -> Eval<CsvKind> {
        let (function, args) = self.data_call(value)?;
        let index = ty.is_some_and(|ty| ty.name.name == "index");
        match function.as_str() {
            "column" | "columns" => {
                let columns = self.columns(value)?;
                if index {
                    let (bound, constant) = self.bound(ty)?;
                    return Ok(CsvKind::Index { columns, bound, constant });
                }
                Ok(CsvKind::Numbers { columns, scale: Scale::AsIs })
            }
            "standardize" => match args {
                [Arg { name: None, value }] if !index => {
                    Ok(CsvKind::Numbers { columns: self.columns(value)?, scale: Scale::Learn })
                }
                _ => {
                    let title =
                        if index { "an index cannot be standardized" } else { "`standardize` takes columns" };
                    self.error_at(value.span, "wrong-arguments", title, "here")
                }
            },
            "category" => {
                let (bound, constant) = self.bound(ty)?;
                if !index && ty.is_some() {
                    return self.error_at(
                        value.span,
                        "wrong-type",
                        "a category is an index",
                        "write `index<n>` as its type",
                    );
                }
                self.category(value, args, bound, constant)
            }
            "characters" | "words" | "bpe" => {
                let (bound, constant) = self.bound(ty)?;
                if !index && ty.is_some() {
                    let title = "a row of tokens is of indices";
                    let label = "write `index<vocab>[40]` as its type";
                    return self.error_at(value.span, "wrong-type", title, label);
                }
                let (column, cut, row) = self.token_row(&function, value, args)?;
                Ok(CsvKind::Text { column, tokens: TokenSource::Learn(cut), row, bound, constant })
            }
            _ => Err(Reported),
        }
    }

    fn category(
        &mut self,
        value: &'a Expr,
        args: &'a [Arg],
        bound: Option<u64>,
        constant: Option<String>,
    ) -> Eval<CsvKind> {
        let mut column = None;
        let mut order = None;
        for arg in args {
            match arg.name.as_ref().map(|name| name.name.as_str()) {
                None if column.is_none() => match self.columns(&arg.value)? {
                    Columns::One(name) => column = Some(name),
                    Columns::List(_) | Columns::Range(..) => {
                        return self.error_at(
                            arg.value.span,
                            "wrong-arguments",
                            "a category is made of one column",
                            "`column(..)` takes one",
                        );
                    }
                },
                Some("order") => {
                    let Value::List(values) = self.eval(&arg.value)? else {
                        return self.error_at(
                            arg.value.span,
                            "wrong-type",
                            "`order` is a list of texts",
                            "here",
                        );
                    };
                    let texts = values.iter().map(|v| match v {
                        Value::Text(text) => Some(text.to_string()),
                        Value::Int(n) => Some(n.to_string()),
                        _ => None,
                    });
                    match texts.collect::<Option<Vec<String>>>() {
                        Some(texts) => order = Some(texts),
                        None => {
                            return self.error_at(
                                arg.value.span,
                                "wrong-type",
                                "`order` is a list of texts",
                                "here",
                            );
                        }
                    }
                }
                Some(other) => {
                    let problem = self.problem_at(
                        arg.value.span,
                        "unknown-argument",
                        format!("`category` has no argument `{other}`"),
                        "unknown",
                    );
                    let help = match did_you_mean(other, ["order"]) {
                        Some(_) => "did you mean `order`?",
                        None => "it takes a column and `order`",
                    };
                    return Err(self.report(problem.help(help)));
                }
                None => {
                    return self.error_at(
                        arg.value.span,
                        "wrong-arguments",
                        "`category` takes one column",
                        "one too many",
                    );
                }
            }
        }
        match column {
            Some(column) => Ok(CsvKind::Category { column, order, bound, constant }),
            None => self.error_at(
                value.span,
                "missing-argument",
                "`category` needs a column",
                "`category(column(\"name\"))`",
            ),
        }
    }

    /// `column("a")`, `columns("a", "b")`, `columns("a".."f")`
    pub fn columns(&mut self, expr: &'a Expr) -> Eval<Columns> {
        let (function, args) = self.data_call(expr)?;
        let text = |arg: &Arg| match (&arg.name, &arg.value.kind) {
            (None, ExprKind::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let found = match (function.as_str(), args) {
            ("column", [arg]) => text(arg).map(Columns::One),
            ("columns", [Arg { name: None, value: Expr { kind: ExprKind::Range(from, to), .. } }]) => {
                match (&from.kind, &to.kind) {
                    (ExprKind::Text(from), ExprKind::Text(to)) => {
                        Some(Columns::Range(from.clone(), to.clone()))
                    }
                    _ => None,
                }
            }
            ("columns", args) if !args.is_empty() => {
                args.iter().map(text).collect::<Option<_>>().map(Columns::List)
            }
            _ => None,
        };
        match found {
            Some(columns) => Ok(columns),
            None => {
                let problem =
                    self.problem_at(expr.span, "wrong-arguments", "columns are named by texts", "here").help(
                        "`column(\"age\")`, `columns(\"age\", \"year\")` or `columns(\"first\"..\"last\")`",
                    );
                Err(self.report(problem))
            }
        }
    }

    /// A call of one of the functions that read columns.
    fn data_call(&mut self, expr: &'a Expr) -> Eval<(String, &'a [Arg])> {
        if let ExprKind::Call { callee, args } = &expr.kind
            && let ExprKind::Name(name) = &callee.kind
        {
            if KINDS.contains(&name.as_str()) {
                return Ok((name.clone(), args));
            }
            let problem = self.problem_at(
                callee.span,
                "unknown-name",
                format!("there is no way `{name}` to read a column"),
                "unknown",
            );
            let problem = match did_you_mean(name, KINDS.iter().copied()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!("there are {}", super::call::list_of(KINDS))),
            };
            return Err(self.report(problem));
        }
        let problem = self
            .problem_at(expr.span, "wrong-arguments", "a field is read from columns", "here")
            .help(
                "`column(\"age\")`, `standardize(columns(..))`, `category(column(..))` or `words(column(..), ..)`",
            );
        Err(self.report(problem))
    }

    /// The bound in `index<10>`, or the name that the bound found in the data gets.
    fn bound(&mut self, ty: Option<&'a TypeExpr>) -> Eval<(Option<u64>, Option<String>)> {
        let Some(bound) = ty.and_then(|ty| ty.bound.as_deref()) else { return Ok((None, None)) };
        if let ExprKind::Name(name) = &bound.kind
            && self.program.find(self.module, name).is_none()
        {
            return Ok((None, Some(name.clone())));
        }
        match self.int(bound, "the bound of an index")? {
            n if n > 0 => Ok((Some(n as u64), None)),
            n => self.error_at(
                bound.span,
                "bad-shape",
                format!("the bound of an index is {n}"),
                "it is at least 1",
            ),
        }
    }

    /// Checks the types that a spec gives its fields against what has been read.
    fn declared_types(&mut self, data: &'a Data, table: &Table) -> Eval<()> {
        let mut failed = false;
        for clause in &data.clauses {
            let DataClause::Field { name, ty: Some(ty), value, .. } = clause else { continue };
            let Some(field) = table.fields.iter().find(|f| f.name == name.name) else { continue };
            let mut declared = Vec::new();
            for dim in ty.dims.as_deref().unwrap_or_default() {
                match dim {
                    DimExpr::Rest(span) => {
                        let _ = self.error_at::<()>(
                            *span,
                            "unknown-size",
                            "a field has known dimensions",
                            "write the number",
                        );
                        failed = true;
                    }
                    DimExpr::Expr(expr) => match self.int(expr, "a dimension") {
                        Ok(n) => declared.push(n),
                        Err(Reported) => failed = true,
                    },
                }
            }
            let kind = match field.dtype {
                DType::F32 => "f32",
                DType::Index(_) => "index",
                DType::Bool => "bool",
            };
            let found: Vec<i64> = field.shape.iter().map(|n| *n as i64).collect();
            if ty.name.name != kind || declared != found {
                failed = true;
                let shape = if found.is_empty() { String::new() } else { field.shape.to_string() };
                let title = format!("`{}.{}` is {kind}{shape} in the data", data.name.name, name.name);
                self.type_mismatch(ty.span, value.span, title);
            }
        }
        if failed { Err(Reported) } else { Ok(()) }
    }

    fn type_mismatch(&mut self, declared: Span, value: Span, title: String) {
        let problem = self
            .problem_at(declared, "shape-mismatch", title, "declared otherwise here")
            .label(value, "read here");
        self.report(problem);
    }
}

/// `100%` is a whole number too, and yet a share.
fn expr_is_percent(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Number { text, .. } if text.ends_with('%'))
}
