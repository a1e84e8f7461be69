//! What the grammar knows about single words and the words alone do not show: is this `-` a sign, does this `(` call.

use std::collections::HashMap;

use pest::Parser;

use super::grammar::{NnParser, Rule};

/// The role of the word that starts at a byte.
#[derive(Clone, Copy, Default)]
struct Mark {
    prefix: bool,
    bound: bool,
    postfix: bool,
    lone: bool,
    keyword: bool,
    goes_on: bool,
}

/// The roles of the words of a text.
pub struct Marks {
    marks: HashMap<usize, Mark>,
    /// The ranges of globs, in order.
    paths: Vec<(usize, usize)>,
}

impl Marks {
    /// The roles in a text that parses; of one that does not, nothing is known.
    pub fn of(text: &str) -> Marks {
        let mut marks = Marks { marks: HashMap::new(), paths: Vec::new() };
        let Ok(pairs) = NnParser::parse(Rule::file, text) else { return marks };
        for pair in pairs.flatten() {
            let span = pair.as_span();
            let (start, length) = (span.start(), span.as_str().trim_end().len());
            match pair.as_rule() {
                Rule::neg | Rule::not => marks.at(start).prefix = true,
                Rule::bound => {
                    marks.at(start).bound = true;
                    marks.at(start + length.saturating_sub(1)).bound = true;
                }
                Rule::call | Rule::index | Rule::params | Rule::dims => marks.at(start).postfix = true,
                Rule::rest => marks.at(start).lone = true,
                Rule::selector | Rule::path => marks.paths.push((start, start + length)),
                rule if starts_statement(rule) => marks.at(start).keyword = true,
                rule if joins(rule) => marks.at(start).goes_on = true,
                _ => {}
            }
        }
        marks.paths.sort_unstable();
        marks
    }

    fn at(&mut self, start: usize) -> &mut Mark {
        self.marks.entry(start).or_default()
    }

    fn get(&self, start: usize) -> Mark {
        self.marks.get(&start).copied().unwrap_or_default()
    }

    /// A sign or `not`.
    pub fn is_prefix(&self, start: usize) -> bool {
        self.get(start).prefix
    }

    /// The `<` or `>` around a bound.
    pub fn is_bound(&self, start: usize) -> bool {
        self.get(start).bound
    }

    /// The bracket of a call, an index, a list of arguments or dimensions: it touches what it follows.
    pub fn is_postfix(&self, start: usize) -> bool {
        self.get(start).postfix
    }

    /// A `..` that stands for any dimensions.
    pub fn is_lone(&self, start: usize) -> bool {
        self.get(start).lone
    }

    /// The first word of a statement or item that is not just a value.
    pub fn is_keyword(&self, start: usize) -> bool {
        self.get(start).keyword
    }

    /// An operator or clause at the start of a line: the line goes on with the statement before it.
    pub fn goes_on(&self, start: usize) -> bool {
        self.get(start).goes_on
    }

    /// Inside a glob such as `Net.**.weight`.
    pub fn in_path(&self, start: usize) -> bool {
        let after = self.paths.partition_point(|path| path.0 <= start);
        after.checked_sub(1).and_then(|i| self.paths.get(i)).is_some_and(|path| start < path.1)
    }
}

fn starts_statement(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        use_item
            | seed_item
            | data_item
            | split_clause
            | tokens_clause
            | window_clause
            | field_clause
            | def_item
            | let_stmt
            | var_stmt
            | update_stmt
            | for_stmt
            | assign_stmt
            | yield_stmt
            | train_item
            | batch_stmt
            | minimize_stmt
            | optimizer_stmt
            | epochs_stmt
            | steps_stmt
            | measure_stmt
            | sample_stmt
            | stop_stmt
            | save_stmt
            | reduce_stmt
            | clip_stmt
            | accumulate_stmt
            | ema_stmt
            | swa_stmt
    )
}

fn joins(rule: Rule) -> bool {
    use Rule::*;
    matches!(
        rule,
        pow | matmul
            | mul
            | div
            | add
            | sub
            | le
            | ge
            | eq
            | ne
            | lt
            | gt
            | and
            | or
            | pipe
            | arrow
            | on_clause
            | every_clause
            | as_clause
            | over_clause
    )
}
