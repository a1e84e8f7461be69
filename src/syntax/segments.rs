//! Cuts a text with matching brackets into statements without parsing it: for error messages and to go on after an error.

use super::scan::{Token, TokenKind};
use super::words::Place;

/// The statement around a place in the text.
pub struct Segment {
    /// The visible tokens of the statement, with those of blocks inside it.
    pub tokens: Vec<Token>,
    /// The kind of block it stands in.
    pub place: Place,
    /// The brackets that are open at the place, from outside in, that were opened in this statement.
    pub open: Vec<Token>,
}

/// An open `{` with the statements seen in it so far.
struct Frame {
    place: Place,
    /// Indices of the tokens of the statement that is being read.
    current: Vec<usize>,
    /// `(` and `[` open in this statement.
    round: Vec<usize>,
}

/// The statement in which `at` lies; the one before if `at` lies behind its last word.
pub fn around(text: &str, tokens: &[Token], at: usize) -> Segment {
    let mut frames = vec![Frame { place: Place::Top, current: Vec::new(), round: Vec::new() }];
    let mut index = 0;
    let mut reached = false;
    let mut depth_at = 0;
    let mut open_at = Vec::new();
    while let Some(token) = tokens.get(index) {
        if !reached && token.start >= at {
            reached = true;
            depth_at = frames.len();
            // A place behind the last word of a block belongs to the block's last statement.
            let frame = &frames[depth_at - 1];
            open_at = frame.round.clone();
        }
        let last = frames.len() - 1;
        let ends = frames[last].round.is_empty()
            && (token.kind == TokenKind::Newline || token.text(text) == ";")
            && !continues(text, tokens, index, &frames[last]);
        if ends {
            if reached && frames.len() == depth_at && !frames[last].current.is_empty() {
                break;
            }
            // Where nothing follows in the block, what went before is the statement meant.
            let next = tokens[index + 1..].iter().find(|t| t.is_visible());
            let closes = next.is_none_or(|t| t.text(text) == "}");
            if !(closes && next.is_none_or(|t| t.start >= at)) {
                frames[last].current.clear();
            }
            index += 1;
            continue;
        }
        if token.is_visible() {
            match token.text(text) {
                "{" => {
                    frames[last].current.push(index);
                    let place = inside(text, tokens, &frames[last]);
                    frames.push(Frame { place, current: Vec::new(), round: Vec::new() });
                }
                "}" => {
                    if reached && frames.len() == depth_at {
                        break;
                    }
                    if let Some(frame) = frames.pop() {
                        match frames.last_mut() {
                            Some(outer) => {
                                // The tokens of the block belong to the statement around it as well.
                                let from = outer.current.last().map_or(index, |i| i + 1);
                                outer.current.extend(from..=index);
                            }
                            None => frames.push(frame),
                        }
                    }
                }
                symbol => {
                    if matches!(symbol, "(" | "[") {
                        frames[last].round.push(index);
                    } else if matches!(symbol, ")" | "]") {
                        frames[last].round.pop();
                    }
                    frames[last].current.push(index);
                }
            }
        }
        index += 1;
    }
    let depth = if reached { depth_at } else { frames.len() };
    let frame = frames.swap_remove(depth.saturating_sub(1).min(frames.len() - 1));
    let pick = |indices: &[usize]| -> Vec<Token> {
        indices.iter().filter_map(|i| tokens.get(*i)).filter(|t| t.is_visible()).copied().collect()
    };
    Segment { tokens: pick(&frame.current), place: frame.place, open: pick(&open_at) }
}

/// Whether the line break at `index` is inside a statement: an operator before or after it asks for more.
fn continues(text: &str, tokens: &[Token], index: usize, frame: &Frame) -> bool {
    if tokens[index].kind != TokenKind::Newline {
        return false;
    }
    let before = frame.current.last().and_then(|i| tokens.get(*i));
    if before.is_some_and(|t| joins(t.text(text))) {
        return true;
    }
    let after = tokens[index + 1..].iter().find(|t| t.is_visible());
    before.is_some() && after.is_some_and(|t| joins(t.text(text)) || matches!(t.text(text), "else" | "{"))
}

/// Whether a statement cannot end before or after this word.
pub fn joins(word: &str) -> bool {
    is_infix(word) || matches!(word, "=" | "|>" | "->" | "=>" | ":" | ",")
}

/// Whether this is an operator between two operands.
pub fn is_infix(word: &str) -> bool {
    matches!(word, "^" | "@" | "*" | "/" | "+" | "-" | "<" | "<=" | ">" | ">=" | "==" | "!=" | "and" | "or")
}

/// The kind of the block that a `{` opens.
fn inside(text: &str, tokens: &[Token], frame: &Frame) -> Place {
    let first = frame.current.first().and_then(|i| tokens.get(*i)).map_or("", |t| t.text(text));
    match (frame.place, first) {
        (Place::Top, "train") => Place::Train,
        (Place::Top, "data") => Place::Data,
        _ => Place::Body,
    }
}
