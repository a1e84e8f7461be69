//! Expressions: the flat chains of the grammar become trees by precedence.

use super::ast::{
    Arg, BinaryOp, Block, Expr, ExprKind, IndexItem, PipeStage, Scan, Selector, Statement, UnaryOp,
};
use super::builder::Builder;
use super::grammar::{Built, Node, Parts, Rule, mismatch};
use crate::base::{Diagnostic, Span};

/// An operator that waits for its right operand.
enum Waiting {
    Prefix(UnaryOp, Span),
    Infix(BinaryOp, Span),
}

impl Waiting {
    fn strength(&self) -> u8 {
        match self {
            Waiting::Prefix(UnaryOp::Not, _) => 3,
            Waiting::Prefix(UnaryOp::Neg, _) => 8,
            Waiting::Infix(op, _) => strength(*op),
        }
    }
}

/// How strongly an infix operator binds.
fn strength(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And => 2,
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq | BinaryOp::Ne => 4,
        BinaryOp::Add | BinaryOp::Sub => 5,
        BinaryOp::Mul | BinaryOp::Div => 6,
        BinaryOp::MatMul => 7,
        BinaryOp::Pow => 9,
    }
}

fn is_comparison(op: BinaryOp) -> bool {
    strength(op) == 4
}

impl Builder {
    /// A whole expression: lambdas, pipelines, ranges.
    pub fn expr(&mut self, node: Node) -> Built<Expr> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let mut heads = Vec::new();
        while let Some(head) = parts.maybe(Rule::lambda_head) {
            heads.push(self.lambda_head(head)?);
        }
        self.deeper(1 + heads.len(), span, |b| {
            let input = b.range(parts.take()?)?;
            let mut stages = Vec::new();
            while let Some(stage) = parts.maybe(Rule::stage) {
                stages.push(b.stage(stage)?);
            }
            let mut expr = if stages.is_empty() {
                input
            } else {
                Expr {
                    span: Span { end: span.end, ..input.span },
                    kind: ExprKind::Pipe(Box::new(input), stages),
                }
            };
            while let Some((names, start)) = heads.pop() {
                expr = Expr { span: start.to(expr.span), kind: ExprKind::Lambda(names, Box::new(expr)) };
            }
            Ok(expr)
        })
    }

    fn lambda_head(&mut self, node: Node) -> Built<(Vec<crate::base::Ident>, Span)> {
        let span = self.span(&node);
        let first = Parts::of(node).take()?;
        let names = match first.as_rule() {
            Rule::name => vec![self.ident(&first)],
            _ => self.names(first),
        };
        Ok((names, span))
    }

    /// The names in a list of names.
    pub fn names(&self, node: Node) -> Vec<crate::base::Ident> {
        node.into_inner().filter(|part| part.as_rule() == Rule::name).map(|part| self.ident(&part)).collect()
    }

    fn stage(&mut self, node: Node) -> Built<PipeStage> {
        let mut parts = Parts::of(node);
        let label = parts.maybe(Rule::label).map(|l| Parts::of(l).take()).transpose()?;
        let label = label.map(|name| self.ident(&name));
        Ok(PipeStage { label, apply: self.operand(parts.take()?)? })
    }

    fn range(&mut self, node: Node) -> Built<Expr> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let from = self.chain(parts.take()?)?;
        match parts.next() {
            None => Ok(from),
            Some(to) => {
                let to = self.chain(to)?;
                Ok(Expr { kind: ExprKind::Range(Box::new(from), Box::new(to)), span })
            }
        }
    }

    /// Operators between operands (rules `chain` and `sum`), by precedence and without recursion.
    pub fn chain(&mut self, node: Node) -> Built<Expr> {
        let span = self.span(&node);
        let pieces: Vec<Node> = node.into_inner().collect();
        let operators = pieces.iter().filter(|piece| piece.as_rule() != Rule::operand).count();
        self.deeper(operators, span, |b| {
            let mut operands: Vec<Expr> = Vec::new();
            let mut waiting: Vec<Waiting> = Vec::new();
            for piece in pieces {
                let place = b.span(&piece);
                match piece.as_rule() {
                    Rule::operand => operands.push(b.operand(piece)?),
                    Rule::neg => waiting.push(Waiting::Prefix(UnaryOp::Neg, place)),
                    Rule::not => waiting.push(Waiting::Prefix(UnaryOp::Not, place)),
                    rule => {
                        let op = infix(rule).ok_or_else(|| mismatch(format!("{rule:?} in a chain")))?;
                        settle(&mut waiting, &mut operands, Some((op, place)))?;
                        waiting.push(Waiting::Infix(op, place));
                    }
                }
            }
            settle(&mut waiting, &mut operands, None)?;
            operands.pop().ok_or_else(|| mismatch("a chain without operands"))
        })
    }

    /// A primary expression with its calls, indices and fields.
    pub fn operand(&mut self, node: Node) -> Built<Expr> {
        let whole = self.span(&node);
        let mut parts = Parts::of(node);
        let first = parts.take()?;
        let postfixes: Vec<Node> = std::iter::from_fn(|| parts.next()).collect();
        self.deeper(postfixes.len(), whole, |b| {
            let mut expr = b.primary(first)?;
            for postfix in postfixes {
                let span = Span { end: b.span(&postfix).end, ..whole };
                let kind = match postfix.as_rule() {
                    Rule::call => ExprKind::Call { callee: Box::new(expr), args: b.args(postfix)? },
                    Rule::index => ExprKind::Index(Box::new(expr), b.index(postfix)?),
                    Rule::field => {
                        let name = Parts::of(postfix).take()?;
                        ExprKind::Field(Box::new(expr), b.ident(&name))
                    }
                    rule => return Err(mismatch(format!("{rule:?} after an operand"))),
                };
                expr = Expr { kind, span };
            }
            Ok(expr)
        })
    }

    fn primary(&mut self, node: Node) -> Built<Expr> {
        let span = self.span(&node);
        let kind = match node.as_rule() {
            Rule::number => self.number(&node)?,
            Rule::text => ExprKind::Text(self.text(&node)?),
            Rule::bool => ExprKind::Bool(node.as_str() == "true"),
            Rule::name => ExprKind::Name(node.as_str().to_string()),
            Rule::selector => ExprKind::Selector(self.selector(&node)),
            Rule::paren => {
                let inner = self.expr(Parts::of(node).take()?)?;
                return Ok(Expr { span, ..inner });
            }
            Rule::list => {
                let mut parts = Parts::of(node);
                let mut items = Vec::new();
                while let Some(item) = parts.next() {
                    items.push(self.expr(item)?);
                }
                ExprKind::List(items)
            }
            Rule::if_expr => return self.if_expr(node),
            Rule::scan_expr => self.scan_expr(node)?,
            rule => return Err(mismatch(format!("{rule:?} as an operand"))),
        };
        Ok(Expr { kind, span })
    }

    /// `Net.**.weight`: split at its dots.
    pub fn selector(&self, node: &Node) -> Selector {
        Selector { segments: node.as_str().split('.').map(str::to_string).collect(), span: self.span(node) }
    }

    /// `if a {..} else if b {..} else {..}`: the later branches stand in the `otherwise` of the earlier ones.
    fn if_expr(&mut self, node: Node) -> Built<Expr> {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let pieces: Vec<Node> = std::iter::from_fn(|| parts.next()).collect();
        self.deeper(pieces.len(), span, |b| {
            let mut pieces = pieces.into_iter();
            let mut branches = Vec::new();
            let mut otherwise = None;
            while let Some(piece) = pieces.next() {
                if piece.as_rule() == Rule::block {
                    otherwise = Some(b.block(piece)?);
                    continue;
                }
                let condition = b.chain(piece)?;
                let then = pieces.next().ok_or_else(|| mismatch("`if` without a block"))?;
                branches.push((condition, b.block(then)?));
            }
            let mut expr = None;
            while let Some((condition, then)) = branches.pop() {
                let place = if branches.is_empty() { span } else { Span { end: span.end, ..condition.span } };
                if let Some(inner) = expr.take() {
                    otherwise = Some(Block { statements: vec![Statement::Expr(inner)], span: None });
                }
                let kind = ExprKind::If { condition: Box::new(condition), then, otherwise: otherwise.take() };
                expr = Some(Expr { kind, span: place });
            }
            expr.ok_or_else(|| mismatch("`if` without a condition"))
        })
    }

    /// `scan xt in x reverse with h = e { .. }`
    fn scan_expr(&mut self, node: Node) -> Built<ExprKind> {
        let mut parts = Parts::of(node);
        let named = |b: &mut Builder, node: Node| -> Built<(crate::base::Ident, Expr)> {
            let mut inner = Parts::of(node);
            let name = b.ident(&inner.take()?);
            Ok((name, b.chain(inner.take()?)?))
        };
        let (mut sequences, mut carries) = (Vec::new(), Vec::new());
        while let Some(part) = parts.maybe(Rule::scan_part) {
            sequences.push(named(self, part)?);
        }
        let reverse = parts.maybe(Rule::kw_reverse).is_some();
        while let Some(carry) = parts.maybe(Rule::scan_carry) {
            carries.push(named(self, carry)?);
        }
        let body = self.block(parts.take()?)?;
        Ok(ExprKind::Scan(Box::new(Scan { parts: sequences, reverse, carries, body })))
    }

    /// The arguments of a call.
    pub fn args(&mut self, node: Node) -> Built<Vec<Arg>> {
        let mut parts = Parts::of(node);
        let mut args = Vec::new();
        while let Some(arg) = parts.next() {
            let mut inner = Parts::of(arg);
            let name = inner.maybe(Rule::arg_name).map(|name| self.ident(&name));
            args.push(Arg { name, value: self.expr(inner.take()?)? });
        }
        Ok(args)
    }

    fn index(&mut self, node: Node) -> Built<Vec<IndexItem>> {
        let mut parts = Parts::of(node);
        let mut items = Vec::new();
        while let Some(item) = parts.next() {
            let span = self.span(&item);
            let mut inner = Parts::of(item);
            let from = match inner.maybe(Rule::chain) {
                Some(chain) => Some(self.chain(chain)?),
                None => None,
            };
            let Some(tail) = inner.next() else {
                items.push(IndexItem::At(from.ok_or_else(|| mismatch("an empty index"))?));
                continue;
            };
            let to = match Parts::of(tail).next() {
                Some(chain) => Some(self.chain(chain)?),
                None => None,
            };
            items.push(match (from, to) {
                (None, None) => IndexItem::Rest(span),
                (from, to) => IndexItem::Part { from, to, span },
            });
        }
        Ok(items)
    }
}

/// Applies the waiting operators that bind at least as strongly as the next one, or all of them at the end.
fn settle(waiting: &mut Vec<Waiting>, operands: &mut Vec<Expr>, next: Option<(BinaryOp, Span)>) -> Built<()> {
    while let Some(top) = waiting.last() {
        if let Some((op, place)) = next {
            let (mine, theirs) = (strength(op), top.strength());
            let to_the_right = op == BinaryOp::Pow;
            if theirs < mine || (theirs == mine && to_the_right) {
                break;
            }
            if let Waiting::Infix(before, earlier) = top
                && is_comparison(*before)
                && is_comparison(op)
            {
                return Err(Box::new(
                    Diagnostic::error("chained-comparison", "comparisons do not chain")
                        .label(place, "a second comparison")
                        .label(*earlier, "after this one")
                        .help("write `a < b and b < c`"),
                ));
            }
        }
        let Some(top) = waiting.pop() else { break };
        apply(top, operands)?;
    }
    Ok(())
}

/// Puts an operator on top of its operands.
fn apply(operator: Waiting, operands: &mut Vec<Expr>) -> Built<()> {
    let missing = || mismatch("an operator without operand");
    let right = operands.pop().ok_or_else(missing)?;
    let expr = match operator {
        Waiting::Prefix(op, span) => {
            Expr { span: span.to(right.span), kind: ExprKind::Unary(op, Box::new(right)) }
        }
        Waiting::Infix(op, _) => {
            let left = operands.pop().ok_or_else(missing)?;
            let span = left.span.to(right.span);
            Expr { span, kind: ExprKind::Binary(op, Box::new(left), Box::new(right)) }
        }
    };
    operands.push(expr);
    Ok(())
}

/// The operator of a grammar rule.
fn infix(rule: Rule) -> Option<BinaryOp> {
    Some(match rule {
        Rule::pow => BinaryOp::Pow,
        Rule::matmul => BinaryOp::MatMul,
        Rule::mul => BinaryOp::Mul,
        Rule::div => BinaryOp::Div,
        Rule::add => BinaryOp::Add,
        Rule::sub => BinaryOp::Sub,
        Rule::lt => BinaryOp::Lt,
        Rule::le => BinaryOp::Le,
        Rule::gt => BinaryOp::Gt,
        Rule::ge => BinaryOp::Ge,
        Rule::eq => BinaryOp::Eq,
        Rule::ne => BinaryOp::Ne,
        Rule::and => BinaryOp::And,
        Rule::or => BinaryOp::Or,
        _ => return None,
    })
}
