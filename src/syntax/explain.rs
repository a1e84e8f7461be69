//! From the place where the grammar stopped to a message in plain words.

use pest::error::{Error, ErrorVariant};

use super::builder::Builder;
use super::grammar::Rule;
use super::scan::{Token, TokenKind};
use super::segments::{self, Segment};
use super::words::{self, Place};
use crate::base::{Diagnostic, Span, did_you_mean};

/// Everything a message may look at.
struct Stop<'a> {
    text: &'a str,
    builder: &'a Builder,
    /// The statement it happened in.
    segment: Segment,
    /// The last word before the place.
    before: Option<Token>,
    /// The word at the place, unless a line or the file ends there.
    found: Option<Token>,
    /// The word at the place or on a later line.
    ahead: Option<Token>,
}

impl<'a> Stop<'a> {
    fn span(&self, token: Token) -> Span {
        self.builder.place(token.start, token.end)
    }

    fn word(&self, token: Option<Token>) -> &'a str {
        token.map_or("", |t| t.text(self.text))
    }

    /// The first word of the statement.
    fn first(&self) -> Option<Token> {
        self.segment.tokens.first().copied()
    }

    /// Where to point: at the word found, else at the last one before.
    fn place(&self) -> Span {
        match self.found.or(self.before).or(self.ahead) {
            Some(token) => self.span(token),
            None => self.builder.place(0, 0),
        }
    }

    /// Whether the place is the statement's first word.
    fn at_start(&self) -> bool {
        match (self.found, self.first()) {
            (Some(found), Some(first)) => found.start == first.start,
            _ => false,
        }
    }

    /// The first word that is a name rather than a symbol, number or text.
    fn first_word(&self) -> Option<Token> {
        self.first().filter(|t| t.kind == TokenKind::Word)
    }
}

/// The message for the error that the grammar stopped with at byte `at`.
pub fn explain(
    text: &str,
    tokens: &[Token],
    at: usize,
    error: &Error<Rule>,
    builder: &Builder,
) -> Diagnostic {
    let segment = segments::around(text, tokens, at);
    let index = tokens.partition_point(|t| t.start < at);
    let before = tokens[..index].iter().rev().find(|t| t.is_visible()).copied();
    let found = tokens.get(index).filter(|t| t.is_visible()).copied();
    let ahead = tokens[index..].iter().find(|t| t.is_visible()).copied();
    let stop = Stop { text, builder, segment, before, found, ahead };
    unknown_statement(&stop)
        .or_else(|| word_after_word(&stop))
        .or_else(|| in_clauses(&stop))
        .or_else(|| wrong_symbol(&stop))
        .or_else(|| reserved_name(&stop))
        .unwrap_or_else(|| expected(&stop, error))
}

fn is_not_yet(stop: &Stop, token: Token, purpose: &str) -> Diagnostic {
    let word = token.text(stop.text);
    Diagnostic::error("not-yet", format!("`{word}` is not in the language of this version"))
        .label(stop.span(token), format!("planned: {purpose}"))
        .help("take it out; `docs/LANGUAGE.md` lists what this version has")
}

/// A statement that starts with a word which starts no statement here.
fn unknown_statement(stop: &Stop) -> Option<Diagnostic> {
    let token = stop.found.filter(|_| stop.at_start()).filter(|t| t.kind == TokenKind::Word)?;
    if stop.segment.place.keywords().contains(&token.text(stop.text)) {
        return None;
    }
    Some(not_a_statement(stop, token))
}

fn not_a_statement(stop: &Stop, token: Token) -> Diagnostic {
    let word = token.text(stop.text);
    let place = stop.segment.place;
    if let Some(purpose) = words::not_yet(word) {
        return is_not_yet(stop, token, purpose);
    }
    let diagnostic =
        Diagnostic::error("unknown-statement", format!("`{word}` starts no statement {}", place.name()))
            .label(stop.span(token), "unknown here");
    if let Some(help) = words::instead(place, word) {
        return diagnostic.help(help);
    }
    if let Some(home) = Place::of(word) {
        return diagnostic.help(format!("`{word}` stands {}", home.name()));
    }
    if let Some(near) = did_you_mean(word, place.keywords().iter().copied()) {
        return diagnostic.help(format!("did you mean `{near}`?"));
    }
    let list = place.keywords().iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
    match place {
        Place::Data => diagnostic.help(
            "a line here is `split train: 80%, test: 20%`, `name: type = column(...)` in a table, or \
             `tokens chars` and `window 64` in a text",
        ),
        _ => diagnostic.help(format!("statements {} start with {list}", place.name())),
    }
}

/// `scan xt in x`, `return x`, `lett x = 1`: a body's statement that starts with a word and goes on with another.
fn word_after_word(stop: &Stop) -> Option<Diagnostic> {
    let first = stop.first_word()?;
    let second = stop.segment.tokens.get(1)?;
    let found = stop.found?;
    let body = matches!(stop.segment.place, Place::Body | Place::Data);
    if !body || found.start != second.start {
        return None;
    }
    let word = first.text(stop.text);
    if stop.segment.place.keywords().contains(&word) {
        return None;
    }
    let begins = matches!(found.kind, TokenKind::Word | TokenKind::Number | TokenKind::Text);
    let near = did_you_mean(word, stop.segment.place.keywords().iter().copied()).is_some();
    let known = words::not_yet(word).is_some()
        || words::instead(stop.segment.place, word).is_some()
        || Place::of(word).is_some();
    (begins && (known || near || stop.segment.place == Place::Data)).then(|| not_a_statement(stop, first))
}

/// Words of later versions, and slips, in the middle of a statement.
fn in_clauses(stop: &Stop) -> Option<Diagnostic> {
    let found = stop.found.filter(|t| t.kind == TokenKind::Word);
    let first = stop.word(stop.first());
    if let Some(token) = found {
        let word = token.text(stop.text);
        let top = stop.segment.place == Place::Top;
        let purpose = match (first, word) {
            ("data", "split" | "where" | "take" | "without") if top => Some("selecting rows of data"),
            ("train", "for") if top => Some("streams of tasks"),
            ("measure" | "minimize" | "batch", _) => words::not_yet(word),
            _ => None,
        };
        if let Some(purpose) = purpose {
            return Some(is_not_yet(stop, token, purpose));
        }
        // `on each task.test`: the grammar takes `each` for a name and stops one word later.
        if let Some(before) = stop.before
            && before.kind == TokenKind::Word
            && stop.first().is_some_and(|f| f.start != before.start)
            && matches!(first, "measure" | "minimize" | "batch")
            && let Some(purpose) = words::not_yet(before.text(stop.text))
        {
            return Some(is_not_yet(stop, before, purpose));
        }
    }
    if let (Some(before), Some(second)) = (stop.before, stop.segment.tokens.get(1))
        && before.start == second.start
        && matches!((first, before.text(stop.text)), ("batch", "from") | ("measure", "on" | "every" | "as"))
    {
        let word = before.text(stop.text);
        return Some(
            Diagnostic::error("syntax", format!("a value is missing between `{first}` and `{word}`"))
                .label(stop.span(before), "expected an expression before this")
                .help(if first == "batch" {
                    "write `batch 64 from data.train`"
                } else {
                    "write `measure VALUE on data.test`"
                }),
        );
    }
    let in_measure = stop.segment.tokens.iter().any(|t| t.text(stop.text) == "every");
    if first == "measure"
        && in_measure
        && matches!(stop.word(stop.before), "epoch" | "epochs" | "step" | "steps")
    {
        let token = stop.before?;
        return Some(
            Diagnostic::error("syntax", "`every` needs a number")
                .label(stop.span(token), "how many of them?")
                .help(format!("write `every 1 {}`", token.text(stop.text))),
        );
    }
    None
}

/// A symbol from another language where this one has another.
fn wrong_symbol(stop: &Stop) -> Option<Diagnostic> {
    let found = stop.found?;
    let symbol = found.text(stop.text);
    let first = stop.word(stop.first());
    let open = stop.word(stop.segment.open.last().copied());
    let before = stop.before;
    let name = before.filter(|t| t.kind == TokenKind::Word).map(|t| t.text(stop.text));
    let error = |title: &str, label: &str, help: String| {
        Some(Diagnostic::error("syntax", title).label(stop.span(found), label).help(help))
    };
    let header = matches!(first, "layer" | "model" | "optimizer") && stop.segment.place == Place::Top;
    match symbol {
        "=" if open == "(" && !header => {
            let name = name.unwrap_or("name");
            error("arguments are named with `:`", "expected `:`, found `=`", format!("write `{name}: ...`"))
        }
        "=" if first == "if" => {
            error("`=` compares nothing", "found `=` in a condition", "write `==` to compare".to_string())
        }
        ":" if first == "let" => error(
            "`let` has no type",
            "expected `=`, found `:`",
            "leave the type out; it follows from the value".to_string(),
        ),
        ":" if stop.segment.place == Place::Body
            && before.is_some_and(|b| stop.first().is_some_and(|f| f.start == b.start)) =>
        {
            error(
                "a label stands behind `|>`",
                "found `:` after a statement's first word",
                "write `x |> label: layer(...)`, or `let name = ...` to name a value".to_string(),
            )
        }
        "+" | "-" | "*" | "/" | "^" | "@" | "<" | ">" | "<=" | ">=" | "==" | "!=" | "and" | "or"
            if stop.segment.tokens.iter().any(|t| t.end <= found.start && t.text(stop.text) == "|>") =>
        {
            error(
                "`|>` binds loosest, so a pipeline cannot be an operand without parentheses",
                "an operator after a pipeline's stage",
                format!("write `(x |> f) {symbol} y`"),
            )
        }
        "*" if stop.text[found.end..].starts_with('*') => {
            error("`**` is not an operator", "found a second `*`", "a power is written `x^2`".to_string())
        }
        "(" | "[" if stop.at_start() || is_first_on_line(stop, found) => None,
        _ if header && stop.word(before) == ")" && found.kind == TokenKind::Word => error(
            "`->` is missing before the result's type",
            "expected `->` or `{`",
            format!("write `-> {symbol}`"),
        ),
        _ => None,
    }
}

fn is_first_on_line(stop: &Stop, token: Token) -> bool {
    stop.text[..token.start].rsplit('\n').next().is_some_and(|line| line.trim().is_empty())
}

/// A keyword where a name is expected.
fn reserved_name(stop: &Stop) -> Option<Diagnostic> {
    let found = stop.found.filter(|t| t.kind == TokenKind::Word && !stop.at_start())?;
    let word = found.text(stop.text);
    let before = stop.before?;
    let operand = matches!(before.kind, TokenKind::Number | TokenKind::Text)
        || matches!(before.text(stop.text), ")" | "]" | "}");
    let watches = matches!(stop.word(stop.first()), "stop" | "save" | "reduce");
    if operand || watches || !words::RESERVED.contains(&word) || matches!(word, "and" | "or" | "else") {
        return None;
    }
    Some(
        Diagnostic::error("syntax", format!("`{word}` is a keyword and cannot be a name"))
            .label(stop.span(found), "expected a name or a value")
            .help(format!("choose another name, such as `{word}_`")),
    )
}

/// What could have stood there, in plain words.
fn expected(stop: &Stop, error: &Error<Rule>) -> Diagnostic {
    let rules: &[Rule] = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives,
        ErrorVariant::CustomError { .. } => &[],
    };
    let mut wanted: Vec<&str> = Vec::new();
    for rule in rules {
        if let Some(name) = plain(*rule)
            && !wanted.contains(&name)
        {
            wanted.push(name);
        }
    }
    if wanted.contains(&"an expression") {
        wanted.retain(|name| !matches!(*name, "a name" | "a text"));
    }
    // The grammar looks for the block's end only where the statement could end.
    if let Some(end) = wanted.iter().position(|name| matches!(*name, "`}`" | "the end of the statement")) {
        wanted.remove(end);
        wanted.push("the end of the statement");
    }
    if wanted.iter().any(|name| matches!(*name, "an operator" | "the end of the statement")) {
        // Behind an operand a call or an index may always stand; that is no news.
        wanted.retain(|name| !matches!(*name, "`(`" | "`[`" | "`|>`" | "`=>`"));
    }
    wanted.truncate(6);
    let list = match wanted.split_last() {
        None => "something else".to_string(),
        Some((only, [])) => (*only).to_string(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    };
    let closes = matches!(stop.word(stop.ahead), "}" | ")" | "]");
    let found = match stop.found {
        Some(token) => format!("`{}`", token.text(stop.text)),
        None if stop.ahead.is_none() => "the end of the file".to_string(),
        None if closes => format!("`{}`", stop.word(stop.ahead)),
        None => "the end of the line".to_string(),
    };
    let mut diagnostic = Diagnostic::error("syntax", format!("expected {list}, found {found}"));
    let keywords = wanted.iter().flat_map(|name| name.split('`').skip(1).step_by(2));
    if let Some(near) = stop.found.and_then(|token| did_you_mean(token.text(stop.text), keywords)) {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    }
    let form = match stop.word(stop.first()) {
        "stop" => Some("write `stop when valid.loss stalls for 3 epochs`"),
        "save" => Some("write `save best valid.loss`"),
        "reduce" => Some("write `reduce lr by 0.5 when valid.loss stalls for 2 epochs`"),
        "clip" => Some("write `clip global_norm: 1.0`, or `norm` or `value` in its place"),
        "swa" => Some("write `swa from epoch 8`, or `swa from step 500 every 50 steps`"),
        _ => None,
    };
    if let Some(form) = form.filter(|_| stop.segment.place == Place::Train) {
        diagnostic = diagnostic.help(form);
    }
    let next_line = stop.found.is_some_and(|token| closes && is_first_on_line(stop, token));
    match (stop.found.filter(|_| !next_line), stop.before) {
        (Some(token), _) => {
            let mut diagnostic = diagnostic.label(stop.span(token), "this does not fit here");
            if let Some(open) = stop.segment.open.last()
                && wanted.iter().any(|name| name.starts_with('`'))
            {
                diagnostic = diagnostic.label(stop.span(*open), "inside this bracket");
            }
            if matches!(token.text(stop.text), "(" | "[") && is_first_on_line(stop, token) {
                diagnostic = diagnostic
                    .help("the bracket of a call or an index stands on the line of what it follows");
            }
            diagnostic
        }
        (None, Some(before)) => diagnostic.label(stop.span(before), format!("expected {list} after this")),
        (None, None) => diagnostic.label(stop.place(), "here"),
    }
}

/// A grammar rule in plain words; `None` for what a reader need not be told.
fn plain(rule: Rule) -> Option<&'static str> {
    use Rule::*;
    Some(match rule {
        expr | chain | sum | range | operand | number | primary | paren | list | if_expr | scan_expr
        | scan_part | scan_carry | bool | selector | neg | not | prefix | lambda_head | lambda_list | arg
        | statement | index_item | split_part | sample_args => "an expression",
        text => "a text in quotes",
        name | word | arg_name | param | label | name_list => "a name",
        pow | matmul | mul | div | add | sub | le | ge | eq | ne | lt | gt | and | or | infix => {
            "an operator"
        }
        type_expr | bound => "a type",
        dims => "dimensions in `[ ]`",
        path => "a selector such as `Net.**.weight`",
        assign => "`=`",
        colon => "`:`",
        comma => "`,`",
        arrow => "`->`",
        fat => "`=>`",
        params | open_paren | use_names => "`(`",
        close_paren => "`)`",
        open_bracket => "`[`",
        close_bracket => "`]`",
        block | open_brace | data_block | train_block => "`{`",
        close_brace => "`}`",
        kw_from => "`from`",
        kw_in | in_order => "`in`",
        kw_order => "`order`",
        kw_drop | drop_last => "`drop last`",
        kw_last => "`last`",
        kw_on | on_clause => "`on`",
        kw_every | every_clause => "`every`",
        kw_as | as_clause => "`as`",
        kw_over | over_clause => "`over`",
        kw_when => "`when`",
        kw_stalls => "`stalls`",
        kw_min_delta | min_delta => "`min_delta`",
        kw_best => "`best`",
        better => "`highest` or `lowest`",
        clip_by => "`value`, `norm` or `global_norm`",
        kw_lr => "`lr`",
        kw_by => "`by`",
        watched => "what is measured, such as `valid.loss`",
        kw_for => "`for`",
        kw_after => "`after`",
        kw_else => "`else`",
        unit => "`epochs` or `steps`",
        pipe => "`|>`",
        rest => "`..`",
        item | use_item | data_item | def_item | train_item | kw_use | kw_data | kw_train | def_kind => {
            "a definition"
        }
        train_stmt | batch_stmt | minimize_stmt | optimizer_stmt | epochs_stmt | steps_stmt
        | measure_stmt | stop_stmt | save_stmt | reduce_stmt | clip_stmt | accumulate_stmt | ema_stmt
        | swa_stmt | sample_stmt | kw_stop | kw_save | kw_sample | kw_reduce | kw_clip | kw_accumulate
        | kw_ema | kw_swa | kw_batch | kw_minimize | kw_optimizer | kw_epochs | kw_steps | kw_measure => {
            "a training statement"
        }
        clause | field_clause => "a field",
        split_clause | kw_split => "`split`",
        tokens_clause | kw_tokens => "`tokens`",
        window_clause | kw_window => "`window`",
        kw_stride => "`stride`",
        let_stmt | kw_let | var_stmt | kw_param | kw_state | update_stmt | kw_update | for_stmt
        | assign_stmt | yield_stmt | kw_yield | seed_item | kw_seed => "a statement",
        kw_reverse => "`reverse`",
        kw_with => "`with`",
        EOI => "the end of the statement",
        WHITESPACE | COMMENT | nl | skip | sep | more | operator | more_arrow | more_brace | more_else
        | more_on | more_over | more_scan | kw_scan | word_char | reserved | glob_head | glob_tail
        | path_part | file | dim | stage | to | kw_if | call | index | index_to | field => return None,
    })
}
