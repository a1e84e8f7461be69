//! The words of a text: a flat list of tokens for the checks before parsing, for error messages and for the formatter.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A name or keyword.
    Word,
    /// A number with its suffix.
    Number,
    /// Digits that run into letters, such as `10k`.
    BadNumber,
    /// A text in quotes.
    Text,
    /// A text whose line ends before its closing quote.
    OpenText,
    /// `# ...` up to the end of its line.
    Comment,
    /// The end of a line.
    Newline,
    /// An operator or a bracket.
    Symbol,
    /// A character that the language does not have.
    Unknown,
}

/// A word of the text.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// What.
    pub kind: TokenKind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Token {
    /// Its text.
    pub fn text<'t>(&self, source: &'t str) -> &'t str {
        source.get(self.start..self.end).unwrap_or("")
    }

    /// Whether it means something to the parser besides ending a line.
    pub fn is_visible(&self) -> bool {
        !matches!(self.kind, TokenKind::Comment | TokenKind::Newline)
    }
}

/// The operators of two characters; all others have one.
const PAIRS: [&str; 8] = ["|>", "->", "=>", "==", "!=", "<=", ">=", ".."];
const SINGLES: &str = "()[]{},:;=<>+-*/^@.";

/// All tokens in order. Every text can be scanned; what is wrong with it shows in the kinds.
pub fn scan(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length) = match c {
            ' ' | '\t' | '\r' | '\u{feff}' => {
                at += c.len_utf8();
                continue;
            }
            '\n' => (TokenKind::Newline, 1),
            '#' => {
                let line = rest.find('\n').map_or(rest, |end| &rest[..end]);
                (TokenKind::Comment, line.trim_end().len())
            }
            '"' => quoted(rest),
            'a'..='z' | 'A'..='Z' | '_' => (TokenKind::Word, word_length(rest)),
            '0'..='9' => number(rest),
            _ => match PAIRS.iter().find(|pair| rest.starts_with(**pair)) {
                Some(pair) => (TokenKind::Symbol, pair.len()),
                None if SINGLES.contains(c) => (TokenKind::Symbol, 1),
                None => (TokenKind::Unknown, c.len_utf8()),
            },
        };
        tokens.push(Token { kind, start: at, end: at + length });
        at += length;
    }
    tokens
}

fn word_length(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

fn digits_length(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'_').count()
}

/// A text in quotes at the start of `rest`.
fn quoted(rest: &str) -> (TokenKind, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return (TokenKind::OpenText, rest[..at].trim_end().len()),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (TokenKind::Text, at + 1),
            _ => {}
        }
    }
    (TokenKind::OpenText, rest.trim_end().len())
}

/// A number at the start of `rest`, as the rule `number` of the grammar has it.
fn number(rest: &str) -> (TokenKind, usize) {
    let mut length = digits_length(rest);
    let after = &rest[length..];
    if after.starts_with('.') && after[1..].starts_with(|c: char| c.is_ascii_digit()) {
        length += 1 + digits_length(&after[1..]);
    }
    let after = &rest[length..];
    if after.starts_with(['e', 'E']) {
        let sign = usize::from(after[1..].starts_with(['+', '-']));
        let digits = after[1 + sign..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 {
            length += 1 + sign + digits;
        }
    }
    let after = &rest[length..];
    if let Some(suffix) = ["%", "KiB", "MiB", "GiB"].iter().find(|suffix| after.starts_with(**suffix)) {
        length += suffix.len();
    }
    match word_length(&rest[length..]) {
        0 => (TokenKind::Number, length),
        more => (TokenKind::BadNumber, length + more),
    }
}
