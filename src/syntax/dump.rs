//! The tree as indented text (`nnc emit --stage ast`): every part with its role, grouping made explicit by parentheses.

use std::fmt::Write;

use super::ast::{
    Arg, Block, Data, DataClause, Def, DefKind, DimExpr, Expr, ExprKind, File, IndexItem, Item, Let, Param,
    Pattern, Scan, Stalls, Statement, Train, TrainStatement, TypeExpr, UnaryOp, Unit, Watched,
};

/// The longest expression that is shown on one line.
const LINE: usize = 80;

/// A readable form of the whole tree.
pub fn dump(file: &File) -> String {
    let mut out = Writer { text: String::new(), depth: 0 };
    for item in &file.items {
        out.item(item);
    }
    out.text
}

struct Writer {
    text: String,
    depth: usize,
}

impl Writer {
    fn line(&mut self, text: impl AsRef<str>) {
        for _ in 0..self.depth {
            self.text.push_str("  ");
        }
        self.text.push_str(text.as_ref());
        self.text.push('\n');
    }

    fn inside(&mut self, write: impl FnOnce(&mut Writer)) {
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Use(u) => {
                let names: Vec<&str> = u.names.iter().map(|n| n.name.as_str()).collect();
                self.line(format!("use {:?} ({})", u.path, names.join(", ")));
            }
            Item::Let(l) => self.let_(l),
            Item::Seed(s) => self.labelled("seed", &s.value),
            Item::Data(d) => self.data(d),
            Item::Def(d) => self.def(d),
            Item::Train(t) => self.train(t),
        }
    }

    fn data(&mut self, data: &Data) {
        self.line(format!("data {}", data.name.name));
        self.inside(|w| {
            w.labelled("source", &data.source);
            for clause in &data.clauses {
                match clause {
                    DataClause::Field { name, ty, value, .. } => {
                        let ty = ty.as_ref().map(|t| format!(": {}", type_text(t))).unwrap_or_default();
                        w.labelled(&format!("field {}{ty}", name.name), value);
                    }
                    DataClause::Tokens { value, .. } => w.labelled("tokens", value),
                    DataClause::Window { size, stride, .. } => {
                        w.labelled("window", size);
                        if let Some(stride) = stride {
                            w.labelled("stride", stride);
                        }
                    }
                    DataClause::Split { parts, .. } => {
                        for (name, share) in parts {
                            w.labelled(&format!("split {}", name.name), share);
                        }
                    }
                }
            }
        });
    }

    fn def(&mut self, def: &Def) {
        let kind = match def.kind {
            DefKind::Layer => "layer",
            DefKind::Model => "model",
            DefKind::Optimizer => "optimizer",
        };
        self.line(format!("{kind} {}", def.name.name));
        self.inside(|w| {
            for line in def.doc.lines() {
                w.line(format!("doc {line}"));
            }
            let (config, inputs) = match &def.second {
                Some(second) => (def.first.as_slice(), second.as_slice()),
                None => (&[][..], def.first.as_slice()),
            };
            for param in config {
                w.param("config", param);
            }
            for param in inputs {
                w.param("input", param);
            }
            if def.second.is_some() && config.is_empty() {
                w.line("config none");
            }
            if let Some(result) = &def.result {
                w.line(format!("result {}", type_text(result)));
            }
            w.block("body", &def.body);
        });
    }

    fn param(&mut self, role: &str, param: &Param) {
        let ty = param.ty.as_ref().map(|t| format!(": {}", type_text(t))).unwrap_or_default();
        let default = param.default.as_ref().map(|d| format!(" = {}", flat(d))).unwrap_or_default();
        self.line(format!("{role} {}{ty}{default}", param.name.name));
    }

    fn train(&mut self, train: &Train) {
        let name = train.name.as_ref().map(|n| format!(" {}", n.name)).unwrap_or_default();
        let after = train.after.as_ref().map(|n| format!(" after {}", n.name)).unwrap_or_default();
        self.line(format!("train{name}{after}"));
        self.inside(|w| train.statements.iter().for_each(|s| w.train_statement(s)));
    }

    fn every(&mut self, every: Option<&(Expr, Unit)>) {
        if let Some((count, unit)) = every {
            self.line(format!("every {} {}", flat(count), unit.name()));
        }
    }

    fn stalls(&mut self, what: &str, Stalls { of, patience: (count, unit), min_delta }: &Stalls) {
        self.line(format!("{what} when {}", watched_text(of)));
        self.inside(|w| {
            w.line(format!("stalls for {} {}", flat(count), unit.name()));
            if let Some(delta) = min_delta {
                w.labelled("min_delta", delta);
            }
        });
    }

    fn train_statement(&mut self, statement: &TrainStatement) {
        match statement {
            TrainStatement::Batch { size, from, in_order, drop_last, .. } => {
                let order = if *in_order { " in order" } else { "" };
                let last = if *drop_last { " drop last" } else { "" };
                self.line(format!("batch {} from {}{order}{last}", flat(size), flat(from)));
            }
            TrainStatement::Let(l) => self.let_(l),
            TrainStatement::Minimize { value, over, .. } => {
                self.labelled("minimize", value);
                if let Some(over) = over {
                    self.inside(|w| w.line(format!("over {}", over.segments.join("."))));
                }
            }
            TrainStatement::Stop { when, .. } => self.stalls("stop", when),
            TrainStatement::Reduce { by, when, .. } => {
                self.stalls(&format!("reduce lr by {}", flat(by)), when);
            }
            TrainStatement::Clip { by, limit, selector, .. } => {
                self.labelled(&format!("clip {}", by.name()), limit);
                if let Some(selector) = selector {
                    self.inside(|w| w.line(format!("for {}", selector.segments.join("."))));
                }
            }
            TrainStatement::Accumulate { count, .. } => self.labelled("accumulate", count),
            TrainStatement::Ema { decay, .. } => self.labelled("ema", decay),
            TrainStatement::Swa { from: (count, unit), every, .. } => {
                self.line(format!("swa from {} of {}", flat(count), unit.name()));
                if let Some((count, unit)) = every {
                    self.inside(|w| w.line(format!("every {} {}", flat(count), unit.name())));
                }
            }
            TrainStatement::Save { of, .. } => self.line(format!("save {}", watched_text(of))),
            TrainStatement::Optimizer { value, selector, .. } => {
                self.labelled("optimizer", value);
                if let Some(selector) = selector {
                    self.inside(|w| w.line(format!("for {}", selector.segments.join("."))));
                }
            }
            TrainStatement::Epochs { count, .. } => self.labelled("epochs", count),
            TrainStatement::Steps { count, .. } => self.labelled("steps", count),
            TrainStatement::Measure { value, on, every, alias, .. } => {
                self.labelled("measure", value);
                self.inside(|w| {
                    if let Some(on) = on {
                        w.labelled("on", on);
                    }
                    w.every(every.as_ref());
                    if let Some(alias) = alias {
                        w.line(format!("as {}", alias.name));
                    }
                });
            }
            TrainStatement::Sample { model, args, every, .. } => {
                self.line(format!("sample {}", model.name));
                self.inside(|w| {
                    for arg in args {
                        w.labelled(arg.name.as_ref().map_or("argument", |name| &name.name), &arg.value);
                    }
                    w.every(every.as_ref());
                });
            }
            TrainStatement::Seed(seed) => self.labelled("seed", &seed.value),
        }
    }

    fn let_(&mut self, l: &Let) {
        let name = match &l.pattern {
            Pattern::Name(name) => name.name.clone(),
            Pattern::List(names, _) => {
                let names: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
                format!("[{}]", names.join(", "))
            }
        };
        self.labelled(&format!("let {name}"), &l.value);
    }

    fn block(&mut self, label: &str, block: &Block) {
        self.line(label);
        self.inside(|w| block.statements.iter().for_each(|s| w.statement(s)));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Let(l) => self.let_(l),
            Statement::Assign { name, value, .. } => self.labelled(&format!("assign {}", name.name), value),
            Statement::Variable { state, name, ty, init, .. } => {
                let kind = if *state { "state" } else { "param" };
                let ty = ty.as_ref().map(|t| format!(": {}", type_text(t))).unwrap_or_default();
                self.labelled(&format!("{kind} {}{ty}", name.name), init);
            }
            Statement::Update { name, value, .. } => self.labelled(&format!("update {}", name.name), value),
            Statement::For { name, over, body, .. } => {
                self.block(&format!("for {} in {}", name.name, flat(over)), body);
            }
            Statement::Yield { value, .. } => self.labelled("yield", value),
            Statement::Expr(expr) => self.labelled("value", expr),
        }
    }

    /// An expression with its role: on one line if it is short and has no steps of its own.
    fn labelled(&mut self, label: &str, expr: &Expr) {
        let steps = matches!(expr.kind, ExprKind::Pipe(..) | ExprKind::If { .. } | ExprKind::Scan(_));
        if !steps {
            let text = flat(expr);
            if text.len() <= LINE {
                self.line(format!("{label} = {text}"));
                return;
            }
        }
        self.line(label);
        self.inside(|w| w.tree(expr));
    }

    fn tree(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Pipe(input, stages) => {
                self.labelled("from", input);
                for stage in stages {
                    let label = stage.label.as_ref().map(|l| format!("{}: ", l.name)).unwrap_or_default();
                    self.line(format!("|> {label}{}", flat(&stage.apply)));
                }
            }
            ExprKind::If { condition, then, otherwise } => {
                self.labelled("if", condition);
                self.block("then", then);
                if let Some(otherwise) = otherwise {
                    self.block("else", otherwise);
                }
            }
            ExprKind::Scan(scan) => {
                self.line(scan_text(scan));
                self.block("step", &scan.body);
            }
            ExprKind::Call { callee, args } => {
                self.line(format!("call {}", flat(callee)));
                self.inside(|w| {
                    for arg in args {
                        let name = arg.name.as_ref().map_or("_", |n| n.name.as_str());
                        w.labelled(name, &arg.value);
                    }
                });
            }
            ExprKind::Binary(op, left, right) => {
                self.line(op.symbol());
                self.inside(|w| {
                    w.labelled("left", left);
                    w.labelled("right", right);
                });
            }
            ExprKind::List(items) => {
                self.line("list");
                self.inside(|w| items.iter().for_each(|item| w.labelled("_", item)));
            }
            ExprKind::Lambda(names, body) => {
                let names: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
                self.line(format!("function ({})", names.join(", ")));
                self.inside(|w| w.labelled("value", body));
            }
            _ => self.line(flat(expr)),
        }
    }
}

fn watched_text(of: &Watched) -> String {
    let which = match of.higher {
        Some(true) => "highest",
        Some(false) => "lowest",
        None => "best",
    };
    format!("{which} {}.{}", of.split.name, of.name.name)
}

fn type_text(ty: &TypeExpr) -> String {
    let mut out = ty.name.name.clone();
    if let Some(bound) = &ty.bound {
        let _ = write!(out, "<{}>", flat(bound));
    }
    if let Some(dims) = &ty.dims {
        let dims: Vec<String> = dims
            .iter()
            .map(|dim| match dim {
                DimExpr::Rest(_) => "..".to_string(),
                DimExpr::Expr(expr) => flat(expr),
            })
            .collect();
        let _ = write!(out, "[{}]", dims.join(", "));
    }
    out
}

fn list(items: &[Expr]) -> String {
    items.iter().map(flat).collect::<Vec<_>>().join(", ")
}

fn arg_text(arg: &Arg) -> String {
    match &arg.name {
        Some(name) => format!("{}: {}", name.name, flat(&arg.value)),
        None => flat(&arg.value),
    }
}

fn block_text(block: &Block) -> String {
    let mut inner = Writer { text: String::new(), depth: 0 };
    block.statements.iter().for_each(|s| inner.statement(s));
    format!("{{ {} }}", inner.text.trim_end().lines().map(str::trim).collect::<Vec<_>>().join("; "))
}

fn index_text(item: &IndexItem) -> String {
    let side = |expr: &Option<Expr>| expr.as_ref().map(flat).unwrap_or_default();
    match item {
        IndexItem::Rest(_) => "..".to_string(),
        IndexItem::At(expr) => flat(expr),
        IndexItem::Part { from, to, .. } => format!("{}..{}", side(from), side(to)),
    }
}

/// The head of a `scan`.
fn scan_text(scan: &Scan) -> String {
    let parts: Vec<String> = scan.parts.iter().map(|(n, e)| format!("{} in {}", n.name, flat(e))).collect();
    let carries: Vec<String> =
        scan.carries.iter().map(|(n, e)| format!("{} = {}", n.name, flat(e))).collect();
    let reverse = if scan.reverse { " reverse" } else { "" };
    let with = if carries.is_empty() { String::new() } else { format!(" with {}", carries.join(", ")) };
    format!("scan {}{reverse}{with}", parts.join(", "))
}

/// An expression on one line.
fn flat(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Number { text, .. } => text.clone(),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Text(text) => format!("{text:?}"),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Selector(selector) => format!("every({})", selector.segments.join(".")),
        ExprKind::Field(of, name) => format!("{}.{}", flat(of), name.name),
        ExprKind::Call { callee, args } => {
            let args: Vec<String> = args.iter().map(arg_text).collect();
            format!("{}({})", flat(callee), args.join(", "))
        }
        ExprKind::Index(of, items) => {
            let items: Vec<String> = items.iter().map(index_text).collect();
            format!("{}[{}]", flat(of), items.join(", "))
        }
        ExprKind::List(items) => format!("[{}]", list(items)),
        ExprKind::Range(from, to) => format!("({} .. {})", flat(from), flat(to)),
        ExprKind::Unary(UnaryOp::Neg, of) => format!("(-{})", flat(of)),
        ExprKind::Unary(UnaryOp::Not, of) => format!("(not {})", flat(of)),
        ExprKind::Binary(op, left, right) => format!("({} {} {})", flat(left), op.symbol(), flat(right)),
        ExprKind::Pipe(input, stages) => {
            let mut out = format!("({}", flat(input));
            for stage in stages {
                let label = stage.label.as_ref().map(|l| format!("{}: ", l.name)).unwrap_or_default();
                let _ = write!(out, " |> {label}{}", flat(&stage.apply));
            }
            out + ")"
        }
        ExprKind::Lambda(names, body) => {
            let names: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
            format!("(({}) => {})", names.join(", "), flat(body))
        }
        ExprKind::If { condition, then, otherwise } => {
            let otherwise =
                otherwise.as_ref().map(|b| format!(" else {}", block_text(b))).unwrap_or_default();
            format!("(if {} {}{otherwise})", flat(condition), block_text(then))
        }
        ExprKind::Scan(scan) => format!("({} {})", scan_text(scan), block_text(&scan.body)),
    }
}
