//! The syntax tree of a `.nn` file: what the grammar accepts, with a place for everything, nothing resolved.

pub use super::recurrence::Scan;
pub use super::training::{ClipBy, Stalls, Train, TrainStatement, Unit, Watched};
use crate::base::{Ident, Span};

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// Its items in order.
    pub items: Vec<Item>,
    /// Every comment, in order, for the formatter.
    pub comments: Vec<Comment>,
}

/// A `# ...` comment.
#[derive(Clone, Debug)]
pub struct Comment {
    /// With its `#`, without the line's end.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// Something at the top of a file.
#[derive(Clone, Debug)]
pub enum Item {
    /// `use "blocks/resnet.nn"` or `use "mnist_cnn.nn" (Cnn, digits)`
    Use(Use),
    /// `let width = 64`
    Let(Let),
    /// `seed 7`
    Seed(Seed),
    /// `data digits = mnist() { ... }`
    Data(Data),
    /// `layer`, `model`, `optimizer`
    Def(Def),
    /// `train name after stage { ... }`
    Train(Train),
}

/// Another file's definitions.
#[derive(Clone, Debug)]
pub struct Use {
    /// The path as written.
    pub path: String,
    /// Where the path stands.
    pub path_span: Span,
    /// Only these names, if listed.
    pub names: Vec<Ident>,
    /// The whole item.
    pub span: Span,
}

/// `let pattern = value`, at top level (a setting) or in a body.
#[derive(Clone, Debug)]
pub struct Let {
    /// What is bound.
    pub pattern: Pattern,
    /// To what.
    pub value: Expr,
    /// The whole statement.
    pub span: Span,
}

/// What `let` binds.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `x`
    Name(Ident),
    /// `[q, k, v]`: the parts along the first axis, or of a list.
    List(Vec<Ident>, Span),
}

/// `seed 7`
#[derive(Clone, Debug)]
pub struct Seed {
    /// The value.
    pub value: Expr,
    /// The whole item.
    pub span: Span,
}

/// `data NAME = source { fields and clauses }`
#[derive(Clone, Debug)]
pub struct Data {
    /// Its name.
    pub name: Ident,
    /// `mnist()`, `csv("cells.csv")`.
    pub source: Expr,
    /// What stands in the braces.
    pub clauses: Vec<DataClause>,
    /// The whole item.
    pub span: Span,
}

/// A line in the braces of `data`.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // Trees are small; boxes would only burden every reader of the type.
pub enum DataClause {
    /// `label: index<2> = category(column("diagnosis"))`
    Field {
        /// Its name.
        name: Ident,
        /// Its type, if written.
        ty: Option<TypeExpr>,
        /// How it is read.
        value: Expr,
        /// The whole line.
        span: Span,
    },
    /// `split train: 80%, test: 20%`
    Split {
        /// Names and shares (fractions below or equal to 1, or numbers of rows).
        parts: Vec<(Ident, Expr)>,
        /// The whole line.
        span: Span,
    },
    /// `tokens words(size: 5000)`
    Tokens {
        /// What a token is.
        value: Expr,
        /// The whole line.
        span: Span,
    },
    /// `window 64 stride 1`
    Window {
        /// How many tokens.
        size: Expr,
        /// From one window to the next.
        stride: Option<Expr>,
        /// The whole line.
        span: Span,
    },
}

/// `layer name(config...)(inputs...) -> type { body }`
#[derive(Clone, Debug)]
pub struct Def {
    /// Which kind.
    pub kind: DefKind,
    /// Its name.
    pub name: Ident,
    /// The `##` documentation lines right above it, without the `##`, joined by newlines.
    pub doc: String,
    /// The first argument list.
    pub first: Vec<Param>,
    /// The second argument list, if there is one: then the first is configuration.
    pub second: Option<Vec<Param>>,
    /// The result's type, if written.
    pub result: Option<TypeExpr>,
    /// The body.
    pub body: Block,
    /// From the keyword to the end of the header (before the body).
    pub header: Span,
    /// The whole item.
    pub span: Span,
}

/// The kinds of definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefKind {
    /// A layer, or with one argument list a plain function.
    Layer,
    /// A layer that is trained, saved and exported by name.
    Model,
    /// A function of a parameter and its gradient.
    Optimizer,
}

/// A formal argument: `units: int`, `x: f32[.., d]`, `stride: int = size`, `loss`.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: Ident,
    /// Its type, if written.
    pub ty: Option<TypeExpr>,
    /// Its default, if any; may use earlier arguments.
    pub default: Option<Expr>,
    /// The whole argument.
    pub span: Span,
}

/// A type as written.
#[derive(Clone, Debug)]
pub struct TypeExpr {
    /// `f32`, `index`, `bool`, `int`, `str`, `schedule`, `function`, ...
    pub name: Ident,
    /// The bound in `index<bound>`.
    pub bound: Option<Box<Expr>>,
    /// The dimensions in brackets; `None` where there are no brackets.
    pub dims: Option<Vec<DimExpr>>,
    /// The whole type.
    pub span: Span,
}

/// One dimension of a type.
#[derive(Clone, Debug)]
pub enum DimExpr {
    /// `..`: any number of dimensions.
    Rest(Span),
    /// A name, a number or arithmetic: `t`, `28`, `4 * d`.
    Expr(Expr),
}

/// `{ statements }`; the last expression is the value.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// In order.
    pub statements: Vec<Statement>,
    /// With its braces.
    pub span: Option<Span>,
}

/// A statement of a layer's body.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `let x = ...`
    Let(Let),
    /// `x = ...`: rebinds.
    Assign {
        /// What.
        name: Ident,
        /// To what.
        value: Expr,
        /// The whole statement.
        span: Span,
    },
    /// `param w: f32[n, units] = glorot_uniform()` or `state mean: f32[c] = zeros()`
    Variable {
        /// `state` instead of `param`.
        state: bool,
        /// Its name.
        name: Ident,
        /// Its type; an optimizer's `state m = zeros_like(p)` has none.
        ty: Option<TypeExpr>,
        /// Its first value.
        init: Expr,
        /// The whole statement.
        span: Span,
    },
    /// `update mean = ...`
    Update {
        /// Which state.
        name: Ident,
        /// Its next value.
        value: Expr,
        /// The whole statement.
        span: Span,
    },
    /// `for i in 1..n { ... }`, unrolled at compile time.
    For {
        /// The counter.
        name: Ident,
        /// A range or a list.
        over: Expr,
        /// What is repeated.
        body: Block,
        /// The whole statement.
        span: Span,
    },
    /// `yield e`: what a step of a `scan` gives.
    Yield {
        /// The value.
        value: Expr,
        /// The whole statement.
        span: Span,
    },
    /// An expression; as the last one, the block's value.
    Expr(Expr),
}

/// A glob over parameter paths: `Net.**.weight`, `Net.block_*`.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The segments between the dots: names, `*` within a segment, `**` for any number of segments.
    pub segments: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What.
    pub kind: ExprKind,
    /// Where.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `1e-3`, `10_000`, `90%` (0.9), `512MiB`.
    Number {
        /// Its value.
        value: f64,
        /// Written as a whole number.
        whole: bool,
        /// As written.
        text: String,
    },
    /// `true`, `false`
    Bool(bool),
    /// `"text"`
    Text(String),
    /// A name.
    Name(String),
    /// `Net.**.weight`: a glob that holds at least one `*`.
    Selector(Selector),
    /// `digits.train`
    Field(Box<Expr>, Ident),
    /// `f(x, axis: 1)`
    Call {
        /// What is called.
        callee: Box<Expr>,
        /// With what.
        args: Vec<Arg>,
    },
    /// `x[0]`, `x[1..3, ..]`
    Index(Box<Expr>, Vec<IndexItem>),
    /// `[1, 2, 3]`
    List(Vec<Expr>),
    /// `1..5`: from the first to before the last, as everywhere.
    Range(Box<Expr>, Box<Expr>),
    /// `-x`, `not x`
    Unary(UnaryOp, Box<Expr>),
    /// `a + b`
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `input |> stage |> label: stage`
    Pipe(Box<Expr>, Vec<PipeStage>),
    /// `x => body`, `(p, g) => body`
    Lambda(Vec<Ident>, Box<Expr>),
    /// `if c { a } else { b }`, decided at compile time.
    If {
        /// The condition.
        condition: Box<Expr>,
        /// Its value if true.
        then: Block,
        /// Its value if false.
        otherwise: Option<Block>,
    },
    /// `scan xt in x with h = zeros(8) { ..; yield h }`
    Scan(Box<Scan>),
}

/// An actual argument, by place or by name.
#[derive(Clone, Debug)]
pub struct Arg {
    /// `axis` in `axis: 1`.
    pub name: Option<Ident>,
    /// The value.
    pub value: Expr,
}

/// One place in an index.
#[derive(Clone, Debug)]
pub enum IndexItem {
    /// `..` alone: all the axes in between.
    Rest(Span),
    /// `i`: takes one element, the axis vanishes.
    At(Expr),
    /// `a..b`, `a..`, `..b`: a part of the axis; negative numbers count from the end.
    Part {
        /// First, 0 if absent.
        from: Option<Expr>,
        /// One past the last, the extent if absent.
        to: Option<Expr>,
        /// Where.
        span: Span,
    },
}

/// `|> label: layer(...)`
#[derive(Clone, Debug)]
pub struct PipeStage {
    /// The instance's name.
    pub label: Option<Ident>,
    /// What is applied.
    pub apply: Expr,
}

/// Prefix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Neg,
    Not,
}

/// Infix operators, strongest first: `^` (to the right), `@`, `*` and `/`, `+` and `-`, comparisons, `and`, `or`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Pow,
    MatMul,
    Mul,
    Div,
    Add,
    Sub,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Or,
}

impl BinaryOp {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Pow => "^",
            BinaryOp::MatMul => "@",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
        }
    }
}
