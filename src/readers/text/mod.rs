//! A text as one long row of tokens, seen through windows: examples for language models.
//!
//! A row of the table is the place of a window's first token, so windows at all places need no copies.

mod bpe;
mod pieces;
pub mod vocabulary;

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use self::vocabulary::{Cut, Vocabulary};
use super::splits::{self, Share};
use super::{DataError, Field, Recipe, Rows, Split, Table, TokenSource, Values, gzip, hex, utf8};
use crate::base::{Exit, memory};
use crate::ty::{DType, Shape};

/// What to read, and as what.
#[derive(Clone, Debug)]
pub struct TextSpec {
    /// The file, plain or gzip, UTF-8.
    pub path: PathBuf,
    /// What a token is.
    pub tokens: TokenSource,
    /// Tokens in a window.
    pub window: usize,
    /// From one window of the first split to the next.
    pub stride: usize,
    /// Names and shares of the splits, in characters, one after the other in the text. The first is that which
    /// is trained on. Without any, all of the text is one split, `all`.
    pub splits: Vec<(String, Share)>,
}

/// Reads the file. Fields: `tokens`, and `next`, which is one token further. Words and byte pairs are learnt from
/// the first split, characters from the whole text. The number of tokens is the constant `vocab`.
///
/// The first split has a window at every `stride`-th place, and as far as it is long enough all of them may be
/// moved together by less than a stride ([`Rows::slack`]). The others are cut end to end.
///
/// # Errors
/// A file that is missing, damaged, empty or not UTF-8; splits that do not work out or are shorter than a window.
pub fn text(spec: &TextSpec) -> Result<Table, DataError> {
    let file = spec.path.display().to_string();
    let packed = gzip::read_file(&spec.path)?;
    let digest = hex(&Sha256::digest(&packed));
    let bytes = gzip::unpack(&file, packed)?;
    let text = utf8::text(&file, &bytes)?;
    if text.is_empty() {
        return Err(DataError::new(format!("{file}: the file is empty; a text is expected")));
    }
    enough_memory(&file, text.len())?;
    let (vocabulary, parts) = match &spec.tokens {
        TokenSource::Given(vocabulary) => {
            (Arc::clone(vocabulary), parts(&file, text, &spec.splits, Cut::Chars)?)
        }
        TokenSource::Learn(cut) => {
            let parts = parts(&file, text, &spec.splits, *cut)?;
            let learnt_from = match cut {
                Cut::Chars => text,
                Cut::Words { .. } | Cut::Bpe { .. } => parts[0].1,
            };
            let vocabulary = Vocabulary::learn(*cut, &[], &[learnt_from])
                .map_err(|why| DataError { exit: Exit::Spec, ..DataError::new(format!("{file}: {why}")) })?;
            (Arc::new(vocabulary), parts)
        }
    };
    let mut tokens: Vec<i32> = Vec::new();
    let mut ends = Vec::new();
    for (_, part) in &parts {
        vocabulary.encode(part, &mut tokens).map_err(|c| unknown(&file, text, c))?;
        ends.push(tokens.len());
    }
    if u32::try_from(tokens.len()).is_err() {
        let message = format!("{file}: {} tokens; at most {} are read", tokens.len(), u32::MAX);
        return Err(DataError { exit: Exit::Resources, ..DataError::new(message) });
    }
    let mut splits: Vec<Split> = Vec::new();
    let mut start = 0;
    for (i, ((name, _), end)) in parts.iter().zip(ends).enumerate() {
        let rows = windows(start, end, spec.window, (i == 0).then_some(spec.stride));
        let rows = rows.ok_or_else(|| too_short(&file, name, end - start, spec.window))?;
        splits.push(Split { name: name.clone(), rows });
        start = end;
    }
    let size = vocabulary.size();
    let origin = format!("{file}, {} tokens ({size} different {})", tokens.len(), vocabulary.kind());
    let tokens = Arc::new(tokens);
    let field = |name: &str, shift| Field {
        name: name.to_string(),
        dtype: DType::Index(size as u64),
        shape: Shape::of(&[spec.window]),
        values: Values::Windows { tokens: Arc::clone(&tokens), shift },
        vocabulary: Some(Arc::clone(&vocabulary)),
    };
    Ok(Table {
        name: String::new(),
        origin,
        digest,
        rows: splits.iter().map(|split| split.rows.len()).sum(),
        fields: vec![field("tokens", 0), field("next", 1)],
        splits,
        constants: vec![("vocab".to_string(), size as i64)],
        recipe: Some(Recipe::Text { vocabulary, window: spec.window }),
    })
}

/// A character that the training text does not have, at its first place.
fn unknown(file: &str, text: &str, c: char) -> DataError {
    let before = text.split(c).next().unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    DataError::new(format!("{file}: the character {c:?} in line {line} has no token"))
        .help("the tokens are the characters of the text that was trained on")
}

/// Each token takes four bytes, and there are at most as many as there are bytes of text.
fn enough_memory(file: &str, bytes: usize) -> Result<(), DataError> {
    let (needed, free) = (4 * bytes as u64, memory::available().unwrap_or(u64::MAX));
    if needed <= free {
        return Ok(());
    }
    let message = format!("{file}: {bytes} bytes of text may take {needed} bytes as tokens; {free} are free");
    Err(DataError { exit: Exit::Resources, ..DataError::new(message) }.help("read a part of the text"))
}

/// The text of each split, one after the other. No word is cut in two.
fn parts<'a>(
    file: &str,
    text: &'a str,
    shares: &[(String, Share)],
    cut: Cut,
) -> Result<Vec<(String, &'a str)>, DataError> {
    if shares.is_empty() {
        return Ok(vec![("all".to_string(), text)]);
    }
    let counts = splits::counts(text.chars().count(), shares, "characters")
        .map_err(|error| DataError { message: format!("{file}: {}", error.message), ..error })?;
    let mut rest = text;
    let mut parts = Vec::new();
    // What was moved behind a cut is missing at the next.
    let mut moved = 0;
    for ((name, _), count) in shares.iter().zip(counts) {
        let wanted = count.saturating_sub(moved);
        let mut at = rest.char_indices().nth(wanted).map_or(rest.len(), |(at, _)| at);
        moved = moved.saturating_sub(count);
        if let Cut::Words { .. } | Cut::Bpe { .. } = cut {
            let word = rest[at..].find(char::is_whitespace).unwrap_or(rest.len() - at);
            moved += rest[at..at + word].chars().count();
            at += word;
        }
        let (part, after) = rest.split_at(at);
        parts.push((name.clone(), part));
        rest = after;
    }
    Ok(parts)
}

/// The windows of the tokens from `start` to before `end`, with one token behind each. Without a stride they
/// lie end to end.
fn windows(start: usize, end: usize, window: usize, stride: Option<usize>) -> Option<Rows> {
    let places = (end - start).checked_sub(window)?;
    if places == 0 {
        return None;
    }
    let (step, spare) = stride.map_or((window, 0), |stride| (stride, stride - 1));
    // A window fewer, where there are several, so that all can be moved by up to a stride.
    let slack = if places > spare { spare } else { 0 };
    let count = (places - slack - 1) / step + 1;
    Some(Rows::Windows { start, count, stride: step, slack })
}

fn too_short(file: &str, split: &str, tokens: usize, window: usize) -> DataError {
    let message = format!(
        "{file}: the split `{split}` has {tokens} tokens; a window of {window} and the token after it need {}",
        window + 1
    );
    DataError::new(message).help("take a smaller window, or give the split a larger share")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(rows: &Rows) -> (Vec<usize>, usize) {
        ((0..rows.len()).map(|i| rows.row(i)).collect(), rows.slack())
    }

    #[test]
    fn windows_with_their_next_token_lie_in_their_split() {
        assert_eq!(places(&windows(10, 31, 5, None).expect("fits")), (vec![10, 15, 20, 25], 0));
        assert_eq!(places(&windows(10, 30, 5, None).expect("fits")), (vec![10, 15, 20], 0));
        assert_eq!(places(&windows(0, 8, 5, Some(1)).expect("fits")), (vec![0, 1, 2], 0));
        // The last window may begin at 19 - 5 = 14 when it is moved by 4.
        assert_eq!(places(&windows(0, 20, 5, Some(5)).expect("fits")), (vec![0, 5, 10], 4));
        assert_eq!(places(&windows(0, 6, 5, Some(5)).expect("fits")), (vec![0], 0));
        assert!(windows(0, 5, 5, Some(5)).is_none() && windows(0, 2, 5, None).is_none());
        for (end, window, stride) in [(50, 7, 7), (51, 7, 3), (9, 3, 5), (8, 7, 1), (12, 5, 20)] {
            let rows = windows(0, end, window, Some(stride)).expect("fits");
            let last = rows.row(rows.len() - 1) + rows.slack();
            assert!(last + window < end, "{end} {window} {stride}");
        }
    }

    #[test]
    fn words_are_not_cut_in_two() {
        let shares = [("a".to_string(), Share::Rows(6)), ("b".to_string(), Share::Rows(5))];
        let found = |cut| parts("f", "hello world again", &shares, cut).expect("fits");
        let texts = |cut| found(cut).into_iter().map(|(_, part)| part).collect::<Vec<_>>();
        assert_eq!(texts(Cut::Chars), ["hello ", "world"]);
        assert_eq!(texts(Cut::Bpe { size: 300 }), ["hello world", ""]);
        let shares = [("a".to_string(), Share::Rows(5)), ("b".to_string(), Share::Rows(9))];
        let found = parts("f", "hello world again", &shares, Cut::Bpe { size: 300 }).expect("fits");
        assert_eq!(found.iter().map(|(_, part)| *part).collect::<Vec<_>>(), ["hello", " world again"]);
    }
}
