//! The text form of a computation, for people, and its reader.
//!
//! One line a node: its name, the op, what it is applied to, static arguments in braces, then the level and
//! type of the result, and behind `#` the layer it belongs to:
//!
//! ```text
//! %4 = matmul %0, %3                          : each f32[26, 32]       # Cnn.dense
//! output loss = %9
//! update variable 3 = %20
//! ```
//!
//! Arguments that the type already tells (`shape`, and `bound` of an index) are left out, and so are those of
//! windows that are neither apart, dilated, padded nor grouped. [`print`] and [`parse`] are inverse to each
//! other, except for places in source files.

use super::computation::VariableId;
use std::sync::Arc;

use super::{Attr, AttrKind, AttrSpec, Attrs, Body, Builder, Computation, Level, Node, NodeId, Op, Update};
use crate::base::Sources;
use crate::ty::{DType, Shape, Type};

/// How to read the text form, for those who see it for the first time.
pub const LEGEND: &str = "\
# Each line computes one tensor, %N, from earlier ones: `%N = operation inputs {arguments} : type  # layer`.
# `each`: one such tensor for every example of the batch; `once`: one for the whole batch.
# `output` names a result that is reported; `update` is the value that a variable has in the next step.
";

/// Where the type begins, and where the comment begins, on lines that are short enough.
const COLUMNS: (usize, usize) = (44, 70);

/// The text form; with `sources` each line also names its place in the source text.
pub fn print(computation: &Computation, sources: Option<&Sources>) -> String {
    let mut out = String::new();
    for (id, node) in computation.graph.iter() {
        out.push_str(&print_node(id, node, sources));
        out.push('\n');
    }
    for (name, node) in &computation.outputs {
        out.push_str(&format!("output {name} = {node}\n"));
    }
    for update in &computation.updates {
        out.push_str(&format!("update variable {} = {}\n", update.variable.0, update.value));
    }
    out
}

/// The lines of a loop's body, further in.
pub fn print_body(body: &Body) -> String {
    let text = print(&body.clone().into_computation(), None);
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// One line, without its end; the body of a loop takes lines of its own.
pub fn print_node(id: NodeId, node: &Node, sources: Option<&Sources>) -> String {
    let mut line = format!("{id} = {}", node.op.name);
    for (i, input) in node.inputs.iter().enumerate() {
        line.push_str(&format!("{} {input}", if i == 0 { "" } else { "," }));
    }
    let told: Vec<String> = node
        .attrs
        .iter()
        .filter(|(name, value)| implied(node.op, name, &node.ty).as_ref() != Some(value))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    if !told.is_empty() {
        line.push_str(&format!(" {{{}}}", told.join(", ")));
    }
    let level = match node.level {
        Level::Once => "once",
        Level::Each => "each",
    };
    let width = if line.contains('\n') { 0 } else { COLUMNS.0 };
    line = format!("{line:<width$} : {level} {}", node.ty);
    let place = sources.map(|sources| sources.place(node.span)).unwrap_or_default();
    let comment = [node.scope.as_str(), &place].into_iter().filter(|part| !part.is_empty());
    let comment = comment.collect::<Vec<_>>().join("  ");
    match comment.as_str() {
        "" => line,
        comment if width == 0 => format!("{line} # {comment}"),
        comment => format!("{line:<width$} # {comment}", width = COLUMNS.1),
    }
}

/// The value of an argument that is left out: it only repeats the type of the result, or says that windows
/// are neither apart nor padded.
fn implied(op: &Op, name: &str, ty: &Type) -> Option<Attr> {
    if op.attrs.iter().any(|spec| spec.name == "dilation") {
        return match name {
            "stride" | "dilation" => Some(Attr::Ints(vec![1, 1])),
            "low" | "high" => Some(Attr::Ints(vec![0, 0])),
            "groups" => Some(Attr::Int(1)),
            _ => None,
        };
    }
    match (name, ty.dtype) {
        ("shape", _) => Some(Attr::Ints(ty.shape.iter().map(|n| *n as i64).collect())),
        ("bound", DType::F32) => Some(Attr::Int(-1)),
        ("bound", DType::Bool) => Some(Attr::Int(-2)),
        ("bound", DType::Index(bound)) => Some(Attr::Int(bound as i64)),
        _ => None,
    }
}

/// Reads the text form back. Blank lines and lines that begin with `#` are skipped.
///
/// # Errors
/// The line, what was expected there and what was found.
pub fn parse(text: &str, find_op: fn(&str) -> Option<&'static Op>) -> Result<Computation, String> {
    let mut builder = Builder::default();
    let mut computation = Computation::default();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let (mut line, mut comment) = line.split_once(" # ").unwrap_or((line, ""));
        line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The lines of a body stand between this line and the one that closes its bracket.
        let mut inner = String::new();
        let whole;
        if line.ends_with(OPEN) {
            let mut open = 1;
            for (_, next) in lines.by_ref() {
                let (code, behind) = next.split_once(" # ").unwrap_or((next, ""));
                open += usize::from(code.trim_end().ends_with(OPEN));
                open -= usize::from(code.trim_start().starts_with(']'));
                if open == 0 {
                    whole = format!("{line}{}", code.trim());
                    (line, comment) = (&whole, behind);
                    break;
                }
                inner.push_str(next);
                inner.push('\n');
            }
        }
        builder.scope = comment.trim().split("  ").next().unwrap_or("").to_string();
        let mut reader = Reader { rest: line, find_op, inner: &inner };
        let read = reader.line(&mut builder, &mut computation);
        read.map_err(|why| format!("line {}: {why}", number + 1))?;
    }
    computation.graph = builder.graph;
    Ok(computation)
}

/// How a line ends after which the body of a loop begins.
const OPEN: &str = ": [";

/// What is left of a line.
struct Reader<'a> {
    rest: &'a str,
    /// The lines of the body of a loop.
    inner: &'a str,
    find_op: fn(&str) -> Option<&'static Op>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, b: &mut Builder, computation: &mut Computation) -> Result<(), String> {
        if let Some(rest) = self.rest.strip_prefix("output ") {
            let (name, node) = rest.rsplit_once(" = ").ok_or("expected `output NAME = %NODE`")?;
            self.rest = node;
            computation.outputs.push((name.to_string(), self.node(b)?));
        } else if let Some(rest) = self.rest.strip_prefix("update variable ") {
            self.rest = rest;
            let variable = VariableId(self.number()?);
            self.expect("=")?;
            computation.updates.push(Update { variable, value: self.node(b)? });
        } else {
            self.definition(b)?;
        }
        match self.rest.trim() {
            "" => Ok(()),
            rest => Err(format!("expected the end of the line, found `{rest}`")),
        }
    }

    /// `%4 = add %2, %3 {..} : each f32[8]`
    fn definition(&mut self, b: &mut Builder) -> Result<(), String> {
        self.expect("%")?;
        let number: u32 = self.number()?;
        if number as usize != b.graph.len() {
            return Err(format!("expected the definition of %{}, found that of %{number}", b.graph.len()));
        }
        self.expect("=")?;
        let name = self.word();
        let op = (self.find_op)(name).ok_or_else(|| format!("there is no operation `{name}`"))?;
        let mut inputs = Vec::new();
        while self.rest.trim_start().starts_with('%') {
            inputs.push(self.node(b)?);
            if !self.take(",") {
                break;
            }
        }
        let told = if self.take("{") { self.told(op)? } else { Vec::new() };
        self.expect(":")?;
        let level = match self.word() {
            "once" => Level::Once,
            "each" => Level::Each,
            other => return Err(format!("expected `once` or `each`, found `{other}`")),
        };
        let ty = self.ty()?;
        let attrs = complete(op, told, &ty)?;
        let id = b.try_add(op, &inputs, attrs).map_err(|mismatch| mismatch.message)?;
        let made = &b.graph[id];
        if made.ty != ty || made.level != level {
            return Err(format!("{name} gives {:?} {}, the text says {level:?} {ty}", made.level, made.ty));
        }
        Ok(())
    }

    /// The arguments up to the closing brace.
    fn told(&mut self, op: &'static Op) -> Result<Vec<(&'static str, Attr)>, String> {
        let mut told = Vec::new();
        loop {
            let name = self.word();
            let spec = op.attrs.iter().find(|spec| spec.name == name);
            let spec = spec.ok_or_else(|| format!("{} has no argument `{name}`", op.name))?;
            self.expect(":")?;
            told.push((spec.name, self.value(spec.kind)?));
            if !self.take(",") {
                self.expect("}")?;
                return Ok(told);
            }
        }
    }

    fn value(&mut self, kind: AttrKind) -> Result<Attr, String> {
        Ok(match kind {
            AttrKind::Int => Attr::Int(self.number()?),
            AttrKind::Ints => Attr::Ints(self.list()?),
            AttrKind::Float => Attr::Float(self.number()?),
            AttrKind::Bool => Attr::Bool(self.number()?),
            AttrKind::Text => Attr::Text(self.text()?),
            AttrKind::Body => {
                self.expect("[")?;
                self.expect("]")?;
                Attr::Body(Arc::new(Body::from_computation(parse(self.inner, self.find_op)?)))
            }
        })
    }

    /// `[1, 2]`
    fn list<T: std::str::FromStr>(&mut self) -> Result<Vec<T>, String> {
        self.expect("[")?;
        let mut list = Vec::new();
        while !self.take("]") {
            list.push(self.number()?);
            if !self.take(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(list)
    }

    /// A quoted text; a backslash stands before a quote or backslash in it.
    fn text(&mut self) -> Result<String, String> {
        self.expect("\"")?;
        let mut text = String::new();
        let mut characters = self.rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        Err("expected a closing quote".into())
    }

    /// `f32[3, 4]`, `bool`, `index<10>[5]`
    fn ty(&mut self) -> Result<Type, String> {
        let dtype = match self.word() {
            "f32" => DType::F32,
            "bool" => DType::Bool,
            "index" => {
                self.expect("<")?;
                let bound = self.number()?;
                self.expect(">")?;
                DType::Index(bound)
            }
            other => return Err(format!("expected an element type, found `{other}`")),
        };
        let extents = if self.rest.trim_start().starts_with('[') { self.list()? } else { Vec::new() };
        Ok(Type::new(dtype, Shape::checked(&extents).map_err(|bad| bad.to_string())?))
    }

    /// The name of a node that is already there.
    fn node(&mut self, b: &Builder) -> Result<NodeId, String> {
        self.expect("%")?;
        let id = NodeId(self.number()?);
        if id.index() < b.graph.len() { Ok(id) } else { Err(format!("{id} is used before it is defined")) }
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let word = self.word();
        word.parse().map_err(|_| format!("expected a number or a switch, found `{word}`"))
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !c.is_alphanumeric() && !"_.+-".contains(c)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        word
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) {
            return Ok(());
        }
        Err(format!("expected `{token}`, found `{}`", self.rest.trim_start()))
    }
}

/// All arguments of an op in their order: those told, and those that the type implies.
fn complete(op: &Op, told: Vec<(&'static str, Attr)>, ty: &Type) -> Result<Attrs, String> {
    let value = |spec: &AttrSpec| {
        let said = told.iter().find(|(name, _)| *name == spec.name).map(|(_, value)| value.clone());
        let value = said.or_else(|| implied(op, spec.name, ty)).filter(|value| value.kind() == spec.kind);
        value.ok_or_else(|| format!("{} needs the argument `{}`", op.name, spec.name))
    };
    op.attrs.iter().try_fold(Attrs::none(), |attrs, spec| Ok(attrs.with(spec.name, value(spec)?)))
}
