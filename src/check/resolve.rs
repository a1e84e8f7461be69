//! Names, before anything is computed: every definition is walked, also those that no stage reaches, so that
//! unknown names are errors everywhere and what is never used is pointed out.

mod train;

use std::collections::HashSet;

use super::checker::Checker;
use super::program::{ItemRef, name_of};
use super::types::{TYPES, is_choice};
use crate::base::{Diagnostic, Ident, Span, did_you_mean};
use crate::syntax::ast::{
    Arg, Block, DataClause, Def, DimExpr, Expr, ExprKind, IndexItem, Item, Let, Param, Pattern, Selector,
    Statement, TypeExpr,
};

/// What a local name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Let,
    Argument,
    Dimension,
    Variable,
    /// Loop counters and arguments of `=>`: they may be unused.
    Free,
}

struct Local {
    name: String,
    span: Span,
    kind: Kind,
    used: usize,
}

/// The walk through one module.
struct Names<'c, 'a> {
    c: &'c mut Checker<'a>,
    module: usize,
    used: HashSet<ItemRef>,
    scopes: Vec<Vec<Local>>,
}

/// Walks every file of the user's.
pub fn resolve(c: &mut Checker) {
    let program = c.program;
    let mut used = HashSet::new();
    for (module, parsed) in program.modules.iter().enumerate() {
        let mut names = Names { c, module, used: std::mem::take(&mut used), scopes: Vec::new() };
        for item in &parsed.ast.items {
            names.item(item);
        }
        used = names.used;
    }
    unused_items(c, &used);
}

/// Warns of definitions of the main file, and names it takes from others, that nothing uses.
fn unused_items(c: &mut Checker, used: &HashSet<ItemRef>) {
    let program = c.program;
    let Some(main) = program.modules.first() else { return };
    for (item, node) in main.ast.items.iter().enumerate() {
        if let Item::Use(taken) = node {
            for name in &taken.names {
                if main.names.get(&name.name).is_some_and(|at| !used.contains(at)) {
                    c.report(unused(name.span, &name.name, "is never used", "taken here"));
                }
            }
            continue;
        }
        let Some(name) = name_of(node) else { continue };
        if used.contains(&ItemRef { module: 0, item }) || name.name.starts_with('_') {
            continue;
        }
        let what = match node {
            Item::Let(_) => "this setting has no effect",
            Item::Data(_) => "this data is not read",
            Item::Def(_) | Item::Use(_) | Item::Seed(_) | Item::Train(_) => "this definition has no effect",
        };
        c.report(unused(name.span, &name.name, "is never used", what));
    }
}

fn unused(span: Span, name: &str, what: &str, label: &str) -> Diagnostic {
    Diagnostic::warning("unused", format!("`{name}` {what}")).label(span, label)
}

impl<'a> Names<'_, 'a> {
    fn item(&mut self, item: &'a Item) {
        match item {
            Item::Use(_) => {}
            Item::Let(item) => self.expr(&item.value),
            Item::Seed(seed) => self.expr(&seed.value),
            Item::Data(data) => {
                self.data_expr(&data.source);
                for clause in &data.clauses {
                    match clause {
                        DataClause::Field { value, .. } => self.data_expr(value),
                        DataClause::Tokens { value, .. } => {
                            if let ExprKind::Call { args, .. } = &value.kind {
                                args.iter().for_each(|arg| self.expr(&arg.value));
                            }
                        }
                        DataClause::Window { size, stride, .. } => {
                            self.expr(size);
                            stride.iter().for_each(|stride| self.expr(stride));
                        }
                        DataClause::Split { parts, .. } => {
                            for (_, share) in parts {
                                self.expr(share);
                            }
                        }
                    }
                }
            }
            Item::Def(def) => self.def(def),
            Item::Train(train) => self.train(train),
        }
    }

    /// An expression of a `data` item: its functions are those of the readers.
    fn data_expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Call { args, .. } => {
                for arg in args {
                    self.data_expr(&arg.value);
                }
            }
            ExprKind::List(items) => {
                for item in items {
                    self.data_expr(item);
                }
            }
            ExprKind::Range(from, to) => {
                self.data_expr(from);
                self.data_expr(to);
            }
            _ => self.expr(expr),
        }
    }

    fn def(&mut self, def: &'a Def) {
        self.scopes.push(Vec::new());
        let mut seen: Vec<&Ident> = Vec::new();
        for param in def.first.iter().chain(def.second.iter().flatten()) {
            if let Some(first) = seen.iter().find(|first| first.name == param.name.name) {
                let problem = Diagnostic::error(
                    "defined-twice",
                    format!("two arguments are named `{}`", param.name.name),
                )
                .label(param.name.span, "the second")
                .label(first.span, "the first");
                self.c.report(problem);
            }
            seen.push(&param.name);
            self.param(param);
        }
        if let Some(result) = &def.result {
            self.ty(result, false);
        }
        self.statements(&def.body);
        let locals = self.scopes.pop().unwrap_or_default();
        self.near_misses(&locals);
        self.leave(locals);
    }

    fn param(&mut self, param: &'a Param) {
        if let Some(ty) = &param.ty {
            self.ty(ty, true);
        }
        match &param.default {
            // A word among the choices is no name.
            Some(Expr { kind: ExprKind::Name(_), .. }) if is_choice(param) => {}
            Some(default) => self.expr(default),
            None => {}
        }
        self.define(&param.name, Kind::Argument);
    }

    /// A type; free names in it are new dimensions where `binds`.
    fn ty(&mut self, ty: &'a TypeExpr, binds: bool) {
        let name = &ty.name;
        if !TYPES.iter().any(|(known, _)| *known == name.name) {
            let problem = Diagnostic::error("unknown-type", format!("there is no type `{}`", name.name))
                .label(name.span, "unknown");
            let problem = match did_you_mean(&name.name, TYPES.iter().map(|(known, _)| *known)) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem,
            };
            self.c.report(problem);
        }
        if name.name == "choice" {
            return;
        }
        if let Some(bound) = &ty.bound {
            self.dimension(bound, binds);
        }
        for dim in ty.dims.as_deref().unwrap_or_default() {
            match dim {
                DimExpr::Rest(_) => {}
                DimExpr::Expr(expr) => self.dimension(expr, binds),
            }
        }
    }

    fn dimension(&mut self, expr: &'a Expr, binds: bool) {
        if let ExprKind::Name(name) = &expr.kind
            && binds
            && !self.known_dimension(name)
        {
            self.define(&Ident { name: name.clone(), span: expr.span }, Kind::Dimension);
            return;
        }
        if let ExprKind::Name(name) = &expr.kind
            && !self.known_dimension(name)
        {
            let problem = Diagnostic::error("unknown-name", format!("there is no `{name}`"))
                .label(expr.span, "this dimension is not known here");
            let known = self.names();
            let problem = match did_you_mean(name, known.iter().map(String::as_str)) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help("write a number, or a name that an input's type has bound"),
            };
            self.c.report(problem);
            return;
        }
        self.expr(expr);
    }

    fn known_dimension(&self, name: &str) -> bool {
        let program = self.c.program;
        self.scopes.iter().flatten().any(|local| local.name == name)
            || program
                .find(self.module, name)
                .is_some_and(|at| matches!(program.item(at), Some(Item::Let(_))))
    }

    /// A dimension that stands alone and is spelt almost like a setting or an argument is a slip.
    fn near_misses(&mut self, locals: &[Local]) {
        let program = self.c.program;
        let mut known: Vec<&str> =
            locals.iter().filter(|l| l.kind == Kind::Argument).map(|l| l.name.as_str()).collect();
        if let Some(module) = program.modules.get(self.module) {
            known.extend(
                module
                    .names
                    .iter()
                    .filter(|(_, at)| matches!(program.item(**at), Some(Item::Let(_))))
                    .map(|(n, _)| n.as_str()),
            );
        }
        for local in locals {
            if local.kind != Kind::Dimension || local.used > 0 || local.name.len() < 3 {
                continue;
            }
            if let Some(near) = did_you_mean(&local.name, known.iter().copied()) {
                let problem = Diagnostic::error("unknown-name", format!("there is no `{}`", local.name))
                    .label(local.span, "a dimension that nothing else mentions")
                    .help(format!("did you mean `{near}`?"));
                self.c.report(problem);
            }
        }
    }

    fn define(&mut self, name: &Ident, kind: Kind) {
        let local = Local { name: name.name.clone(), span: name.span, kind, used: 0 };
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(local);
        }
    }

    fn leave(&mut self, locals: Vec<Local>) {
        for local in locals {
            if local.used > 0 || local.name.starts_with('_') {
                continue;
            }
            let label = match local.kind {
                Kind::Let => "this value has no effect",
                Kind::Argument => "this argument has no effect",
                Kind::Variable => "this variable has no effect",
                Kind::Dimension | Kind::Free => continue,
            };
            self.c.report(unused(local.span, &local.name, "is never used", label));
        }
    }

    fn block(&mut self, block: &'a Block) {
        self.scopes.push(Vec::new());
        self.statements(block);
        let locals = self.scopes.pop().unwrap_or_default();
        self.leave(locals);
    }

    fn statements(&mut self, block: &'a Block) {
        for statement in &block.statements {
            match statement {
                Statement::Let(item) => self.bind(item),
                Statement::Assign { name, value, .. } => {
                    self.expr(value);
                    if !self.scopes.iter().flatten().any(|local| local.name == name.name) {
                        let problem = Diagnostic::error(
                            "unknown-name",
                            format!("there is no `{}` to change", name.name),
                        )
                        .label(name.span, "not defined here")
                        .help(format!("`let {} = ..` defines it", name.name));
                        self.c.report(problem);
                    }
                }
                Statement::Variable { name, ty, init, .. } => {
                    if let Some(ty) = ty {
                        self.ty(ty, false);
                    }
                    self.expr(init);
                    self.define(name, Kind::Variable);
                }
                Statement::Update { name, value, .. } => {
                    self.expr(value);
                    self.name(&name.name, name.span, true);
                }
                Statement::For { name, over, body, .. } => {
                    self.expr(over);
                    self.scopes.push(Vec::new());
                    self.define(name, Kind::Free);
                    self.block(body);
                    self.scopes.pop();
                }
                Statement::Yield { value, .. } => self.expr(value),
                Statement::Expr(expr) => self.expr(expr),
            }
        }
    }

    fn bind(&mut self, item: &'a Let) {
        self.expr(&item.value);
        match &item.pattern {
            Pattern::Name(name) => self.define(name, Kind::Let),
            Pattern::List(names, _) => {
                for name in names {
                    self.define(name, Kind::Let);
                }
            }
        }
    }

    fn selector(&mut self, selector: &Selector) {
        if let Some(root) = selector.segments.first()
            && let Some(at) = self.c.program.find(self.module, root)
        {
            self.used.insert(at);
        }
    }

    fn expr(&mut self, expr: &'a Expr) {
        match &expr.kind {
            ExprKind::Number { .. } | ExprKind::Bool(_) | ExprKind::Text(_) => {}
            ExprKind::Name(name) => self.name(name, expr.span, false),
            ExprKind::Selector(selector) => self.selector(selector),
            ExprKind::Field(base, _) => self.expr(base),
            ExprKind::Call { callee, args } => {
                self.expr(callee);
                self.args(callee, args);
            }
            ExprKind::Index(base, items) => {
                self.expr(base);
                for item in items {
                    match item {
                        IndexItem::Rest(_) => {}
                        IndexItem::At(at) => self.expr(at),
                        IndexItem::Part { from, to, .. } => {
                            for bound in from.iter().chain(to) {
                                self.expr(bound);
                            }
                        }
                    }
                }
            }
            ExprKind::List(items) => items.iter().for_each(|item| self.expr(item)),
            ExprKind::Range(a, b) | ExprKind::Binary(_, a, b) => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Unary(_, inner) => self.expr(inner),
            ExprKind::Pipe(input, stages) => {
                self.expr(input);
                for stage in stages {
                    self.expr(&stage.apply);
                }
            }
            ExprKind::Lambda(names, body) => {
                self.scopes.push(Vec::new());
                for name in names {
                    self.define(name, Kind::Free);
                }
                self.expr(body);
                self.scopes.pop();
            }
            ExprKind::Scan(scan) => {
                scan.parts.iter().chain(&scan.carries).for_each(|(_, value)| self.expr(value));
                self.scopes.push(Vec::new());
                for (name, _) in scan.parts.iter().chain(&scan.carries) {
                    self.define(name, Kind::Free);
                }
                self.scopes.push(Vec::new());
                self.statements(&scan.body);
                // What a carry is at the end of a step is used by the next one.
                for (name, _) in &scan.carries {
                    self.touch(&name.name);
                }
                let locals = self.scopes.pop().unwrap_or_default();
                self.leave(locals);
                self.scopes.pop();
            }
            ExprKind::If { condition, then, otherwise } => {
                self.expr(condition);
                self.block(then);
                if let Some(otherwise) = otherwise {
                    self.block(otherwise);
                }
            }
        }
    }

    /// Arguments; a bare word that a choice may be is left to the elaboration.
    fn args(&mut self, callee: &Expr, args: &'a [Arg]) {
        for (i, arg) in args.iter().enumerate() {
            let word = matches!(arg.value.kind, ExprKind::Name(_));
            if word && self.is_choice(callee, i, arg.name.as_ref()) {
                if let ExprKind::Name(name) = &arg.value.kind {
                    self.touch(name);
                }
                continue;
            }
            self.expr(&arg.value);
        }
    }

    fn is_choice(&self, callee: &Expr, place: usize, name: Option<&Ident>) -> bool {
        let ExprKind::Name(callee) = &callee.kind else { return false };
        let program = self.c.program;
        let Some(Item::Def(def)) = program.find(self.module, callee).and_then(|at| program.item(at)) else {
            return false;
        };
        let param = match name {
            Some(name) => def.first.iter().find(|p| p.name.name == name.name),
            // In a pipeline the first place is taken, so both readings are tried.
            None => def.first.get(place).filter(|p| is_choice(p)).or(def.first.get(place + 1)),
        };
        param.is_some_and(is_choice)
    }

    /// Marks a name as used, if it is one.
    fn touch(&mut self, name: &str) -> bool {
        for scope in self.scopes.iter_mut().rev() {
            if let Some(local) = scope.iter_mut().rev().find(|local| local.name == name) {
                local.used += 1;
                return true;
            }
        }
        if let Some(at) = self.c.program.find(self.module, name) {
            self.used.insert(at);
            return true;
        }
        super::builtins::find(name).is_some() || super::expr::AMBIENT.iter().any(|(known, _)| *known == name)
    }

    fn name(&mut self, name: &str, span: Span, update: bool) {
        if update {
            // Writing a state is no use of it.
            if self.scopes.iter().flatten().any(|local| local.name == name) {
                return;
            }
        } else if self.touch(name) {
            return;
        }
        let problem = Diagnostic::error("unknown-name", format!("there is no `{name}`"))
            .label(span, "not defined here");
        let known = self.names();
        let problem = match did_you_mean(name, known.iter().map(String::as_str)) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        };
        self.c.report(problem);
    }

    /// Every name in force, nearest first.
    fn names(&self) -> Vec<String> {
        let locals = self.scopes.iter().rev().flatten().map(|local| local.name.clone());
        let mut names: Vec<String> = locals.collect();
        names.extend(self.c.visible(self.module));
        names
    }
}
