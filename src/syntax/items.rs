//! Items, blocks and statements: from what the grammar matched to the tree.

use super::ast::{
    Block, ClipBy, Data, DataClause, Def, DefKind, DimExpr, Expr, ExprKind, Item, Let, Param, Pattern, Seed,
    Stalls, Statement, Train, TrainStatement, TypeExpr, Unit, Use, Watched,
};
use super::builder::Builder;
use super::grammar::{Built, Node, Parts, Rule, mismatch};
use crate::base::{Diagnostic, Span};

impl Builder {
    /// Something at the top of a file.
    pub fn item(&mut self, node: Node) -> Built<Item> {
        Ok(match node.as_rule() {
            Rule::use_item => Item::Use(self.use_item(node)?),
            Rule::let_stmt => Item::Let(self.let_stmt(node)?),
            Rule::seed_item => Item::Seed(self.seed(node)?),
            Rule::data_item => Item::Data(self.data(node)?),
            Rule::def_item => Item::Def(self.def(node)?),
            Rule::train_item => Item::Train(self.train(node)?),
            rule => return Err(mismatch(format!("{rule:?} as an item"))),
        })
    }

    fn use_item(&mut self, node: Node) -> Built<Use> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let path = parts.take()?;
        let names = parts.next().map(|list| self.names(list)).unwrap_or_default();
        Ok(Use { path: self.text(&path)?, path_span: self.span(&path), names, span })
    }

    fn seed(&mut self, node: Node) -> Built<Seed> {
        let span = self.span(&node);
        Ok(Seed { value: self.chain(Parts::of(node).take()?)?, span })
    }

    fn let_stmt(&mut self, node: Node) -> Built<Let> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let bound = parts.take()?;
        let pattern = match bound.as_rule() {
            Rule::name => Pattern::Name(self.ident(&bound)),
            _ => {
                let place = self.span(&bound);
                Pattern::List(self.names(bound), place)
            }
        };
        Ok(Let { pattern, value: self.expr(parts.take()?)?, span })
    }

    fn data(&mut self, node: Node) -> Built<Data> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.take()?);
        let source = self.expr(parts.take()?)?;
        let mut clauses = Vec::new();
        if let Some(block) = parts.next() {
            let mut lines = Parts::of(block);
            while let Some(line) = lines.next() {
                clauses.push(self.clause(line)?);
            }
        }
        Ok(Data { name, source, clauses, span })
    }

    fn clause(&mut self, node: Node) -> Built<DataClause> {
        let span = self.span(&node);
        let rule = node.as_rule();
        let mut parts = Parts::of(node);
        if rule == Rule::split_clause {
            let mut shares = Vec::new();
            while let Some(part) = parts.next() {
                let mut inner = Parts::of(part);
                let name = self.ident(&inner.take()?);
                shares.push((name, self.chain(inner.take()?)?));
            }
            return Ok(DataClause::Split { parts: shares, span });
        }
        if rule == Rule::tokens_clause {
            return Ok(DataClause::Tokens { value: self.operand(parts.take()?)?, span });
        }
        if rule == Rule::window_clause {
            let size = self.chain(parts.take()?)?;
            let stride = parts.next().map(|stride| self.chain(stride)).transpose()?;
            return Ok(DataClause::Window { size, stride, span });
        }
        let name = self.ident(&parts.take()?);
        let ty = self.maybe_type(&mut parts)?;
        Ok(DataClause::Field { name, ty, value: self.expr(parts.take()?)?, span })
    }

    fn def(&mut self, node: Node) -> Built<Def> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let kind = match parts.take()?.as_str() {
            "layer" => DefKind::Layer,
            "model" => DefKind::Model,
            _ => DefKind::Optimizer,
        };
        let name = self.ident(&parts.take()?);
        let mut header = Span { end: name.span.end, ..span };
        let list = parts.take()?;
        header.end = self.span(&list).end;
        let first = self.params(list)?;
        let second = match parts.maybe(Rule::params) {
            Some(list) => {
                header.end = self.span(&list).end;
                Some(self.params(list)?)
            }
            None => None,
        };
        let result = self.maybe_type(&mut parts)?;
        if let Some(result) = &result {
            header.end = result.span.end;
        }
        let body = self.block(parts.take()?)?;
        Ok(Def { kind, name, doc: String::new(), first, second, result, body, header, span })
    }

    fn params(&mut self, node: Node) -> Built<Vec<Param>> {
        let mut parts = Parts::of(node);
        let mut params = Vec::new();
        while let Some(param) = parts.next() {
            let span = self.span(&param);
            let mut inner = Parts::of(param);
            let name = self.ident(&inner.take()?);
            let ty = self.maybe_type(&mut inner)?;
            let default = match inner.next() {
                Some(value) => Some(self.expr(value)?),
                None => None,
            };
            params.push(Param { name, ty, default, span });
        }
        Ok(params)
    }

    fn maybe_type(&mut self, parts: &mut Parts) -> Built<Option<TypeExpr>> {
        match parts.maybe(Rule::type_expr) {
            Some(node) => Ok(Some(self.type_expr(node)?)),
            None => Ok(None),
        }
    }

    fn type_expr(&mut self, node: Node) -> Built<TypeExpr> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.take()?);
        let bound = match parts.maybe(Rule::bound) {
            Some(bound) => Some(Box::new(self.chain(Parts::of(bound).take()?)?)),
            None => None,
        };
        let dims = match parts.next() {
            Some(list) => {
                let mut dims = Vec::new();
                let mut inner = Parts::of(list);
                while let Some(dim) = inner.next() {
                    dims.push(match dim.as_rule() {
                        Rule::rest => DimExpr::Rest(self.span(&dim)),
                        _ => DimExpr::Expr(self.chain(dim)?),
                    });
                }
                Some(dims)
            }
            None => None,
        };
        Ok(TypeExpr { name, bound, dims, span })
    }

    /// `{ statements }`
    pub fn block(&mut self, node: Node) -> Built<Block> {
        let span = self.span(&node);
        self.deeper(1, span, |b| {
            let mut parts = Parts::of(node);
            let mut statements = Vec::new();
            while let Some(part) = parts.next() {
                statements.push(b.statement(part)?);
            }
            match unused_value(&statements) {
                Some(problem) => Err(problem),
                None => Ok(Block { statements, span: Some(span) }),
            }
        })
    }

    fn statement(&mut self, node: Node) -> Built<Statement> {
        let span = self.span(&node);
        let rule = node.as_rule();
        match rule {
            Rule::let_stmt => return Ok(Statement::Let(self.let_stmt(node)?)),
            Rule::expr => return Ok(Statement::Expr(self.expr(node)?)),
            Rule::yield_stmt => {
                return Ok(Statement::Yield { value: self.expr(Parts::of(node).take()?)?, span });
            }
            _ => {}
        }
        let mut parts = Parts::of(node);
        let state = parts.maybe(Rule::kw_state).is_some();
        let name = self.ident(&parts.take()?);
        Ok(match rule {
            Rule::assign_stmt => Statement::Assign { name, value: self.expr(parts.take()?)?, span },
            Rule::update_stmt => Statement::Update { name, value: self.expr(parts.take()?)?, span },
            Rule::var_stmt => {
                let ty = self.maybe_type(&mut parts)?;
                Statement::Variable { state, name, ty, init: self.expr(parts.take()?)?, span }
            }
            Rule::for_stmt => {
                let over = self.expr(parts.take()?)?;
                Statement::For { name, over, body: self.block(parts.take()?)?, span }
            }
            rule => return Err(mismatch(format!("{rule:?} as a statement"))),
        })
    }

    fn train(&mut self, node: Node) -> Built<Train> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let mut header = Span { end: span.start + "train".len() as u32, ..span };
        let name = parts.maybe(Rule::name).map(|name| self.ident(&name));
        let after = match parts.maybe(Rule::kw_after) {
            Some(_) => Some(self.ident(&parts.take()?)),
            None => None,
        };
        if let Some(last) = after.as_ref().or(name.as_ref()) {
            header.end = last.span.end;
        }
        let mut statements = Vec::new();
        let mut lines = Parts::of(parts.take()?);
        while let Some(line) = lines.next() {
            statements.push(self.train_statement(line)?);
        }
        Ok(Train { name, after, statements, header, span })
    }

    fn train_statement(&mut self, node: Node) -> Built<TrainStatement> {
        let span = self.span(&node);
        let rule = node.as_rule();
        match rule {
            Rule::let_stmt => return Ok(TrainStatement::Let(self.let_stmt(node)?)),
            Rule::seed_item => return Ok(TrainStatement::Seed(self.seed(node)?)),
            Rule::measure_stmt => return self.measure(node),
            Rule::sample_stmt => return self.sample(node),
            _ => {}
        }
        let mut parts = Parts::of(node);
        let first = parts.take()?;
        Ok(match rule {
            Rule::batch_stmt => {
                let size = self.chain(first)?;
                let from = self.chain(parts.take()?)?;
                let (mut in_order, mut drop_last) = (false, false);
                while let Some(clause) = parts.next() {
                    in_order |= clause.as_rule() == Rule::in_order;
                    drop_last |= clause.as_rule() == Rule::drop_last;
                }
                TrainStatement::Batch { size, from, in_order, drop_last, span }
            }
            Rule::minimize_stmt => {
                let value = self.expr(first)?;
                let over = match parts.next() {
                    Some(clause) => Some(self.selector(&Parts::of(clause).take()?)),
                    None => None,
                };
                TrainStatement::Minimize { value, over, span }
            }
            Rule::stop_stmt => TrainStatement::Stop { when: self.stalls(first, &mut parts)?, span },
            Rule::reduce_stmt => {
                let by = self.chain(first)?;
                let first = parts.take()?;
                TrainStatement::Reduce { by, when: self.stalls(first, &mut parts)?, span }
            }
            Rule::clip_stmt => {
                let by = match first.as_str() {
                    "value" => ClipBy::Value,
                    "norm" => ClipBy::Norm,
                    _ => ClipBy::GlobalNorm,
                };
                let limit = self.chain(parts.take()?)?;
                let selector = parts.next().map(|path| self.selector(&path));
                TrainStatement::Clip { by, limit, selector, span }
            }
            Rule::accumulate_stmt => TrainStatement::Accumulate { count: self.chain(first)?, span },
            Rule::ema_stmt => TrainStatement::Ema { decay: self.chain(first)?, span },
            Rule::swa_stmt => {
                let what = unit(&first);
                let from = (self.chain(parts.take()?)?, what);
                let every = match parts.next() {
                    Some(clause) => {
                        let mut inner = Parts::of(clause);
                        let count = self.chain(inner.take()?)?;
                        Some((count, unit(&inner.take()?)))
                    }
                    None => None,
                };
                TrainStatement::Swa { from, every, span }
            }
            Rule::save_stmt => TrainStatement::Save { of: self.watched(first, &mut parts)?, span },
            Rule::optimizer_stmt => {
                let value = self.operand(first)?;
                let selector = parts.next().map(|path| self.selector(&path));
                TrainStatement::Optimizer { value, selector, span }
            }
            Rule::epochs_stmt => TrainStatement::Epochs { count: self.chain(first)?, span },
            Rule::steps_stmt => TrainStatement::Steps { count: self.chain(first)?, span },
            rule => return Err(mismatch(format!("{rule:?} as a training statement"))),
        })
    }

    fn sample(&mut self, node: Node) -> Built<TrainStatement> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let model = self.ident(&parts.take()?);
        let args =
            parts.maybe(Rule::sample_args).map(|args| self.args(args)).transpose()?.unwrap_or_default();
        let every = parts.next().map(|clause| self.every(clause)).transpose()?;
        Ok(TrainStatement::Sample { model, args, every, span })
    }

    /// `every 500 steps`
    fn every(&mut self, clause: Node) -> Built<(Expr, Unit)> {
        let mut inner = Parts::of(clause);
        let count = self.chain(inner.take()?)?;
        Ok((count, unit(&inner.take()?)))
    }

    /// `valid.loss stalls for 3 epochs min_delta: 1e-3`
    fn stalls(&mut self, first: Node, parts: &mut Parts) -> Built<Stalls> {
        let of = self.watched(first, parts)?;
        let count = self.chain(parts.take()?)?;
        let patience = (count, unit(&parts.take()?));
        let min_delta = match parts.next() {
            Some(clause) => Some(self.chain(Parts::of(clause).take()?)?),
            None => None,
        };
        Ok(Stalls { of, patience, min_delta })
    }

    /// `highest valid.accuracy`
    fn watched(&mut self, first: Node, parts: &mut Parts) -> Built<Watched> {
        let (higher, path) = match first.as_rule() {
            Rule::better => (Some(first.as_str() == "highest"), parts.take()?),
            _ => (None, first),
        };
        let span = self.span(&path);
        let mut inner = Parts::of(path);
        let split = self.ident(&inner.take()?);
        Ok(Watched { higher, split, name: self.ident(&inner.take()?), span })
    }

    fn measure(&mut self, node: Node) -> Built<TrainStatement> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let value = self.expr(parts.take()?)?;
        let (mut on, mut every, mut alias) = (None, None, None);
        while let Some(clause) = parts.next() {
            let place = self.span(&clause);
            let rule = clause.as_rule();
            let (word, twice) = match rule {
                Rule::every_clause => ("every", every.replace(self.every(clause)?).is_some()),
                Rule::on_clause => ("on", on.replace(self.chain(Parts::of(clause).take()?)?).is_some()),
                _ => ("as", alias.replace(self.ident(&Parts::of(clause).take()?)).is_some()),
            };
            if twice {
                return Err(Box::new(
                    Diagnostic::error("clause-twice", format!("`{word}` is given twice"))
                        .label(place, format!("a second `{word}`"))
                        .label(span, "in this `measure`")
                        .help("keep one of them, or write two `measure` statements"),
                ));
            }
        }
        Ok(TrainStatement::Measure { value, on, every, alias, span })
    }
}

fn unit(node: &Node) -> Unit {
    match node.as_str() {
        "epoch" | "epochs" => Unit::Epochs,
        _ => Unit::Steps,
    }
}

/// An expression in the middle of a block: nothing could use its value. (`if` may rebind names, and a call may be
/// a check such as `require(...)`.)
fn unused_value(statements: &[Statement]) -> Option<Box<Diagnostic>> {
    let (_, middle) = statements.split_last()?;
    let unused = middle.iter().find_map(|statement| match statement {
        Statement::Expr(Expr { kind: ExprKind::If { .. } | ExprKind::Call { .. }, .. }) => None,
        Statement::Expr(expr) => Some(expr),
        _ => None,
    })?;
    Some(Box::new(
        Diagnostic::error("no-effect", "this value is not used")
            .label(unused.span, "only the last expression of a block is its value")
            .help("name it with `let`, join it to its neighbour with an operator or `|>`, or take it out"),
    ))
}
