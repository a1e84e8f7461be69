//! `text` data and columns of texts: what a spec says of tokens, windows and rows, as a request to the readers.

use super::checker::Checker;
use super::value::{Eval, Reported, Value};
use crate::base::{Ident, Span, did_you_mean};
use crate::readers::{self, Columns, Cut, RowForm, Share, Table, TextSpec, TokenSource};
use crate::syntax::ast::{Arg, Data, DataClause, Expr, ExprKind};

/// What a token may be.
const CUTS: &[&str] = &["chars", "words", "bpe"];

/// The names that each text has.
const FIELDS: &[&str] = &["tokens", "next", "vocab"];

fn split_names(clause: &DataClause) -> Vec<(&str, Span)> {
    match clause {
        DataClause::Split { parts, .. } => {
            parts.iter().map(|(name, _)| (name.name.as_str(), name.span)).collect()
        }
        DataClause::Field { .. } | DataClause::Tokens { .. } | DataClause::Window { .. } => Vec::new(),
    }
}

/// The lines of a `text` block.
#[derive(Default)]
struct Lines<'a> {
    tokens: Option<(&'a Expr, Span)>,
    window: Option<(&'a Expr, Option<&'a Expr>, Span)>,
    splits: Vec<(String, Share)>,
}

impl<'a> Checker<'a> {
    /// `data NAME = text("FILE") { tokens chars; window 64; split train: 90%, valid: 10% }`
    pub fn text(&mut self, data: &'a Data, args: &'a [Arg]) -> Eval<Table> {
        let given = self.data_arguments("text", &["path"], args)?;
        let Some((value, span)) = given.into_iter().next().flatten() else {
            let problem = self
                .problem_at(data.source.span, "missing-argument", "`text` needs a file", "not given here")
                .help("`text(\"data/play.txt\")`");
            return Err(self.report(problem));
        };
        let path = self.data_path(&value, span)?;
        let lines = self.text_lines(data)?;
        let missing = |c: &mut Self, line: &str, help: &str| {
            let title = format!("`{}` says nothing of its {line}", data.name.name);
            let problem = c.problem_at(data.source.span, "missing-line", title, "needed for this text");
            Err(c.report(problem.help(help)))
        };
        let Some((cut, _)) = lines.tokens else {
            return missing(
                self,
                "tokens",
                "add `tokens chars`, `tokens words(size: 5000)` or `tokens bpe(size: 1000)`",
            );
        };
        let Some((size, stride, _)) = lines.window else {
            return missing(self, "window", "add `window 64`: how many tokens an example has");
        };
        let cut = self.cut(cut);
        let window = self.count(size, "a window");
        let stride = stride.map_or(window, |stride| self.count(stride, "a stride"));
        let (cut, window, stride) = (cut?, window?, stride?);
        let spec = TextSpec { path, tokens: TokenSource::Learn(cut), window, stride, splits: lines.splits };
        readers::text(&spec).map_err(|why| self.data_error(why, data.source.span))
    }

    fn text_lines(&mut self, data: &'a Data) -> Eval<Lines<'a>> {
        let mut lines = Lines::default();
        let mut names: Vec<&Ident> = Vec::new();
        let mut failed = false;
        for (name, span) in data.clauses.iter().flat_map(split_names) {
            if FIELDS.contains(&name) {
                let title = format!("a split of a text cannot be named `{name}`");
                let _ =
                    self.error_at::<()>(span, "defined-twice", title, "each text has a field of this name");
                failed = true;
            }
        }
        for clause in &data.clauses {
            let (word, span, first) = match clause {
                DataClause::Split { parts, span } => {
                    failed |= self.splits(parts, *span, &mut names, &mut lines.splits).is_err();
                    continue;
                }
                DataClause::Field { span, .. } => {
                    let problem = self
                        .problem_at(*span, "no-effect", "a text has no columns", "this would have no effect")
                        .help("its fields are `tokens` and `next`; a table of texts is read with `csv(..)`");
                    self.report(problem);
                    failed = true;
                    continue;
                }
                DataClause::Tokens { value, span } => {
                    ("tokens", *span, lines.tokens.replace((value, *span)).map(|(_, first)| first))
                }
                DataClause::Window { size, stride, span } => {
                    let first = lines.window.replace((size, stride.as_ref(), *span));
                    ("window", *span, first.map(|(_, _, first)| first))
                }
            };
            if let Some(first) = first {
                let title = format!("`{word}` is given twice");
                let problem = self.problem_at(span, "given-twice", title, "the second time");
                self.report(problem.label(first, "the first time"));
                failed = true;
            }
        }
        if failed { Err(Reported) } else { Ok(lines) }
    }

    /// `chars`, `words(size: 5000, lowercase: true)` or `bpe(size: 1000)`
    fn cut(&mut self, expr: &'a Expr) -> Eval<Cut> {
        let (name, span, args): (_, _, &[Arg]) = match &expr.kind {
            ExprKind::Name(name) => (name.as_str(), expr.span, &[]),
            ExprKind::Call { callee, args } => match &callee.kind {
                ExprKind::Name(name) => (name.as_str(), callee.span, args),
                _ => ("", expr.span, &[]),
            },
            _ => ("", expr.span, &[]),
        };
        match name {
            "chars" => {
                self.data_arguments("chars", &[], args)?;
                Ok(Cut::Chars)
            }
            "words" => {
                let given = self.data_arguments("words", &["size", "lowercase"], args)?;
                let size = self.vocabulary_size(expr, "words", &given[0])?;
                Ok(Cut::Words { size, lowercase: self.switch("lowercase", &given[1])? })
            }
            "bpe" => {
                let given = self.data_arguments("bpe", &["size"], args)?;
                Ok(Cut::Bpe { size: self.vocabulary_size(expr, "bpe", &given[0])? })
            }
            other => {
                let title = if other.is_empty() {
                    "these are no tokens".to_string()
                } else {
                    format!("there are no tokens `{other}`")
                };
                let problem = self.problem_at(span, "unknown-name", title, "unknown");
                let help = match did_you_mean(other, CUTS.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write `chars`, `words(size: 5000)` or `bpe(size: 1000)`".to_string(),
                };
                Err(self.report(problem.help(help)))
            }
        }
    }

    /// `characters(column("written"), pad: 40)`, `words(column("text"), size: 5000, pad: 40)`, `bpe(..)`
    pub fn token_row(
        &mut self,
        function: &str,
        value: &'a Expr,
        args: &'a [Arg],
    ) -> Eval<(String, Cut, RowForm)> {
        let own: &[&str] = match function {
            "words" => &["size", "lowercase"],
            "bpe" => &["size"],
            _ => &[],
        };
        let names = [own, &["pad", "start", "end", "truncate"]].concat();
        let mut column = None;
        let mut given: Vec<Option<(Value<'a>, Span)>> = vec![None; names.len()];
        for arg in args {
            let Some(name) = &arg.name else {
                let columns = if column.is_none() { Some(self.columns(&arg.value)?) } else { None };
                let Some(Columns::One(name)) = columns else {
                    let title = format!("`{function}` takes one column");
                    return self.error_at(arg.value.span, "wrong-arguments", title, "not this");
                };
                column = Some(name);
                continue;
            };
            let Some(place) = names.iter().position(|known| *known == name.name) else {
                let title = format!("`{function}` has no argument `{}`", name.name);
                let problem = self.problem_at(name.span, "unknown-argument", title, "unknown");
                let help = match did_you_mean(&name.name, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it takes a column, {}", super::call::list_of(&names)),
                };
                return Err(self.report(problem.help(help)));
            };
            let value = self.eval(&arg.value)?;
            if given[place].replace((value, arg.value.span)).is_some() {
                let title = format!("`{}` is given twice", name.name);
                return self.error_at(name.span, "given-twice", title, "the second time");
            }
        }
        let missing = |c: &mut Self, title: String, label: &str| {
            let problem = c.problem_at(value.span, "missing-argument", title, label);
            let own: String = own.iter().take(1).map(|_| " size: 5000,").collect();
            Err(c.report(problem.help(format!("`{function}(column(\"text\"),{own} pad: 40)`"))))
        };
        let Some(column) = column else {
            return missing(self, format!("`{function}` needs a column"), "of which column?");
        };
        let (cut, rest) = match function {
            "words" => {
                let size = self.vocabulary_size(value, function, &given[0])?;
                (Cut::Words { size, lowercase: self.switch("lowercase", &given[1])? }, 2)
            }
            "bpe" => (Cut::Bpe { size: self.vocabulary_size(value, function, &given[0])? }, 1),
            _ => (Cut::Chars, 0),
        };
        let Some((length, span)) = &given[rest] else {
            return missing(
                self,
                format!("`{function}` needs `pad`"),
                "to how many tokens are rows filled up?",
            );
        };
        let start = self.switch("start", &given[rest + 1])?;
        let end = self.switch("end", &given[rest + 2])?;
        let truncate = self.switch("truncate", &given[rest + 3])?;
        let least = 1 + i64::from(start) + i64::from(end);
        match self.whole(length, *span, "`pad`")? {
            n if n >= least => Ok((column, cut, RowForm { length: n as usize, start, end, truncate })),
            n => {
                let title = format!("rows of {n} tokens");
                self.error_at(*span, "bad-range", title, &format!("at least {least}"))
            }
        }
    }

    fn switch(&mut self, name: &str, given: &Option<(Value<'a>, Span)>) -> Eval<bool> {
        match given {
            None => Ok(false),
            Some((Value::Bool(on), _)) => Ok(*on),
            Some((other, span)) => {
                let found = self.describe(other);
                let title = format!("`{name}` is `true` or `false`");
                self.error_at(*span, "wrong-type", title, &format!("this is {found}"))
            }
        }
    }

    fn vocabulary_size(
        &mut self,
        expr: &'a Expr,
        what: &str,
        given: &Option<(Value<'a>, Span)>,
    ) -> Eval<usize> {
        let Some((value, span)) = given else {
            let title = format!("`{what}` needs a size");
            let problem = self.problem_at(expr.span, "missing-argument", title, "how many tokens at most?");
            let in_table = matches!(&expr.kind, ExprKind::Call { args, .. } if args.iter().any(|arg| arg.name.is_none()));
            let (column, pad) = if in_table { ("column(\"text\"), ", ", pad: 40") } else { ("", "") };
            return Err(self.report(problem.help(format!("`{what}({column}size: 5000{pad})`"))));
        };
        match self.whole(value, *span, "the size of a vocabulary")? {
            n if n > 0 => Ok(n as usize),
            n => self.error_at(*span, "bad-range", format!("a vocabulary of {n} tokens"), "at least 1"),
        }
    }

    fn count(&mut self, expr: &'a Expr, what: &str) -> Eval<usize> {
        match self.int(expr, what)? {
            n if n > 0 => Ok(n as usize),
            n => self.error_at(expr.span, "bad-range", format!("{what} of {n} tokens"), "at least 1"),
        }
    }
}
