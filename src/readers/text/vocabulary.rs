//! Vocabularies: which token has which index, from text to indices and back.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::bpe::{self, BYTES, Pair};
use super::pieces::{chunks, joined, words};

/// Compiled code computes with indices as `f32`, which is exact up to here.
pub const LARGEST: usize = 1 << 24;

/// How a text is cut into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Each character is a token.
    Chars,
    /// Each word, sign and end of a line is one: the most frequent ones.
    Words {
        /// At most so many tokens, special ones included.
        size: usize,
        /// Capital letters are read as small ones.
        lowercase: bool,
    },
    /// Bytes and joined pairs of tokens.
    Bpe {
        /// At most so many tokens, special ones included.
        size: usize,
    },
}

/// A token that stands for no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Special {
    /// Behind the end of a row.
    Pad,
    /// In front of a row.
    Start,
    /// At the end of a row.
    End,
    /// Text that has no token.
    Unknown,
}

/// The tokens of a text with their indices: the special ones first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct Vocabulary {
    saved: Saved,
    /// The index of a character or word.
    places: HashMap<String, u32>,
    /// The token that a pair becomes, without the special ones in front.
    ranks: HashMap<Pair, u32>,
    /// The bytes of a byte-pair token.
    bytes: Vec<Vec<u8>>,
}

/// What is written of a vocabulary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    special: Vec<Special>,
    tokens: Tokens,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tokens {
    Chars(Vec<char>),
    Words(Vec<String>),
    SmallWords(Vec<String>),
    Bpe(Vec<Pair>),
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Vocabulary) -> bool {
        self.saved == other.saved
    }
}

impl From<Vocabulary> for Saved {
    fn from(vocabulary: Vocabulary) -> Saved {
        vocabulary.saved
    }
}

impl TryFrom<Saved> for Vocabulary {
    type Error = String;

    /// Refuses what no training makes: tokens twice, pairs of tokens that are not there.
    fn try_from(saved: Saved) -> Result<Vocabulary, String> {
        let first = saved.special.len();
        let mut places = HashMap::new();
        let mut ranks = HashMap::new();
        let mut bytes: Vec<Vec<u8>> = Vec::new();
        let mut place = |text: String| {
            let index = (first + places.len()) as u32;
            match places.insert(text, index) {
                None => Ok(()),
                Some(_) => Err(format!("token {index} is there twice")),
            }
        };
        match &saved.tokens {
            Tokens::Chars(tokens) => tokens.iter().try_for_each(|c| place(c.to_string()))?,
            Tokens::Words(tokens) | Tokens::SmallWords(tokens) => {
                tokens.iter().try_for_each(|word| place(word.clone()))?;
            }
            Tokens::Bpe(merges) => {
                bytes = (0..=255u8).map(|byte| vec![byte]).collect();
                for (i, (a, b)) in merges.iter().enumerate() {
                    let (Some(left), Some(right)) = (bytes.get(*a as usize), bytes.get(*b as usize)) else {
                        return Err(format!("pair {i} is of tokens that are not there"));
                    };
                    // Chunks are short, and so are tokens; a made-up file could double them with every line.
                    if left.len() + right.len() > 256 || ranks.insert((*a, *b), BYTES + i as u32).is_some() {
                        return Err(format!("pair {i} is not one that can be learnt"));
                    }
                    bytes.push([left.as_slice(), right].concat());
                }
            }
        }
        let vocabulary = Vocabulary { saved, places, ranks, bytes };
        match vocabulary.size() {
            0 => Err("there are no tokens".to_string()),
            1..=LARGEST => Ok(vocabulary),
            n => Err(format!("{n} tokens; at most {LARGEST} are possible")),
        }
    }
}

impl Vocabulary {
    /// The vocabulary of some texts. Special tokens come first in this order; words always have one for those
    /// that are not in it.
    ///
    /// # Errors
    /// A size that leaves no room, in words.
    pub fn learn(cut: Cut, special: &[Special], texts: &[&str]) -> Result<Vocabulary, String> {
        let mut special = special.to_vec();
        if matches!(cut, Cut::Words { .. }) && !special.contains(&Special::Unknown) {
            special.push(Special::Unknown);
        }
        let least = special.len() + if let Cut::Bpe { .. } = cut { BYTES as usize } else { 0 };
        let (Cut::Words { size, .. } | Cut::Bpe { size }) = cut else {
            let mut tokens: Vec<char> = texts.iter().flat_map(|text| text.chars()).collect::<Vec<char>>();
            tokens.sort_unstable();
            tokens.dedup();
            return Vocabulary::try_from(Saved { special, tokens: Tokens::Chars(tokens) });
        };
        if size <= least || size > LARGEST {
            let what = if let Cut::Bpe { .. } = cut { "bytes and special tokens" } else { "special tokens" };
            return Err(format!(
                "a vocabulary cannot have {size} tokens: more than its {least} {what}, at most {LARGEST}"
            ));
        }
        let tokens = match cut {
            Cut::Words { lowercase, .. } => {
                let tokens = frequent(texts, lowercase, size - special.len());
                if lowercase { Tokens::SmallWords(tokens) } else { Tokens::Words(tokens) }
            }
            Cut::Bpe { .. } | Cut::Chars => {
                Tokens::Bpe(bpe::train(texts.iter().copied(), size - special.len()))
            }
        };
        Vocabulary::try_from(Saved { special, tokens })
    }

    /// How many tokens there are.
    pub fn size(&self) -> usize {
        self.saved.special.len() + self.bytes.len() + self.places.len()
    }

    /// The index of a special token.
    pub fn special(&self, special: Special) -> Option<i32> {
        self.saved.special.iter().position(|known| *known == special).map(|at| at as i32)
    }

    /// What the tokens are, for people: `words`.
    pub fn kind(&self) -> &'static str {
        match self.saved.tokens {
            Tokens::Chars(_) => "characters",
            Tokens::Words(_) | Tokens::SmallWords(_) => "words",
            Tokens::Bpe(_) => "byte pairs",
        }
    }

    /// Appends the indices of a text.
    ///
    /// # Errors
    /// The first character that has no index, where there is no token for unknown ones.
    pub fn encode(&self, text: &str, out: &mut Vec<i32>) -> Result<(), char> {
        let unknown = self.special(Special::Unknown);
        let find = |text: &str| self.places.get(text).map(|at| *at as i32).or(unknown);
        match &self.saved.tokens {
            Tokens::Chars(_) => {
                let mut buffer = [0; 4];
                for c in text.chars() {
                    out.push(find(c.encode_utf8(&mut buffer)).ok_or(c)?);
                }
            }
            Tokens::Words(_) => out.extend(words(text).filter_map(find)),
            Tokens::SmallWords(_) => out.extend(words(text).filter_map(|word| find(&word.to_lowercase()))),
            Tokens::Bpe(_) => {
                let first = self.saved.special.len() as u32;
                let mut seen: HashMap<&str, Vec<u32>> = HashMap::new();
                for chunk in chunks(text) {
                    let tokens = seen.entry(chunk).or_insert_with(|| bpe::encode(chunk, &self.ranks));
                    out.extend(tokens.iter().map(|token| (first + *token) as i32));
                }
            }
        }
        Ok(())
    }

    /// The text of some indices. Special tokens are nothing, but unknown text is `<unk>`.
    pub fn decode(&self, indices: &[i32]) -> String {
        let first = self.saved.special.len();
        let unknown = self.special(Special::Unknown);
        let body = indices.iter().filter_map(|index| {
            let index = *index;
            (Some(index) == unknown || index as usize >= first).then(|| (index as usize).checked_sub(first))
        });
        match &self.saved.tokens {
            Tokens::Chars(tokens) => body
                .map(|at| at.and_then(|at| tokens.get(at)).map_or("<unk>".to_string(), char::to_string))
                .collect(),
            Tokens::Words(tokens) | Tokens::SmallWords(tokens) => {
                joined(body.map(|at| at.and_then(|at| tokens.get(at)).map_or("<unk>", String::as_str)))
            }
            Tokens::Bpe(_) => {
                let bytes: Vec<u8> = body
                    .flat_map(|at| at.and_then(|at| self.bytes.get(at)).cloned().unwrap_or_default())
                    .collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    }
}

/// The tokens of a text that a model is to go on from, of which it needs so many.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn prompt_tokens(text: &str, vocabulary: &Vocabulary, needed: usize) -> Result<Vec<i32>, String> {
    let mut tokens = Vec::new();
    vocabulary
        .encode(text, &mut tokens)
        .map_err(|c| format!("the character {c:?} is not in the vocabulary"))?;
    if tokens.len() >= needed {
        return Ok(tokens);
    }
    Err(match needed {
        1 => "there is no token in it".to_string(),
        n => format!("it has {} tokens; the model sees the last {n}", tokens.len()),
    })
}

/// The most frequent words; of equally frequent ones those first in the order of their letters.
fn frequent(texts: &[&str], lowercase: bool, most: usize) -> Vec<String> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for word in texts.iter().flat_map(|text| words(text)) {
        let word = if lowercase { word.to_lowercase() } else { word.to_string() };
        *counts.entry(word).or_default() += 1;
    }
    let mut known: Vec<(String, u64)> = counts.into_iter().collect();
    known.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    known.truncate(most);
    known.into_iter().map(|(word, _)| word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(vocabulary: &Vocabulary, text: &str) -> String {
        let mut indices = Vec::new();
        vocabulary.encode(text, &mut indices).expect("no unknown character");
        vocabulary.decode(&indices)
    }

    #[test]
    fn characters_are_in_the_order_of_their_code() {
        let v = Vocabulary::learn(Cut::Chars, &[], &["héllo\n", "a"]).expect("fits");
        let mut found = Vec::new();
        v.encode("\nahé", &mut found).expect("known");
        assert_eq!((v.size(), found), (6, vec![0, 1, 2, 5]));
        assert_eq!(v.encode("xyz", &mut Vec::new()), Err('x'));
        assert_eq!(round(&v, "holl\né"), "holl\né");
    }

    #[test]
    fn the_most_frequent_words_are_known() {
        let v = Vocabulary::learn(Cut::Words { size: 4, lowercase: true }, &[Special::Pad], &["b B a A c a"]);
        let v = v.expect("fits");
        let mut found = Vec::new();
        v.encode("a b c", &mut found).expect("all words are known or unknown");
        assert_eq!((v.size(), found), (4, vec![2, 3, 1]));
        assert_eq!(v.decode(&[0, 2, 1, 0]), "a <unk>");
        assert!(Vocabulary::learn(Cut::Words { size: 1, lowercase: false }, &[], &["a"]).is_err());
    }

    #[test]
    fn byte_pairs_spell_any_text() {
        let v = Vocabulary::learn(Cut::Bpe { size: 270 }, &[Special::Pad], &["the theme then the cat\n"]);
        let v = v.expect("fits");
        assert_eq!(round(&v, "the Ωmega then\n"), "the Ωmega then\n");
        let mut found = Vec::new();
        v.encode("the", &mut found).expect("bytes are known");
        assert!(found.len() < 3 && found.iter().all(|i| *i > 0 && (*i as usize) < v.size()), "{found:?}");
        assert!(Vocabulary::learn(Cut::Bpe { size: 256 }, &[], &["a"]).is_err());
    }

    #[test]
    fn a_vocabulary_is_read_back_and_a_made_up_one_refused() {
        let texts = ["to be or not to be"];
        for cut in [Cut::Chars, Cut::Words { size: 9, lowercase: false }, Cut::Bpe { size: 260 }] {
            let v = Vocabulary::learn(cut, &[Special::Pad], &texts).expect("fits");
            let text = serde_json::to_string(&v).expect("can be written");
            let again: Vocabulary = serde_json::from_str(&text).expect("can be read");
            assert_eq!((again.size(), round(&again, texts[0])), (v.size(), round(&v, texts[0])));
        }
        for wrong in [
            r#"{"special":[],"tokens":{"chars":["a","a"]}}"#,
            r#"{"special":[],"tokens":{"bpe":[[1,999]]}}"#,
            r#"{"special":[],"tokens":{"bpe":[[1,2],[1,2]]}}"#,
            r#"{"special":[],"tokens":{"words":[]}}"#,
            r#"{"special":[],"tokens":{"glyphs":[]}}"#,
        ] {
            assert!(serde_json::from_str::<Vocabulary>(wrong).is_err(), "{wrong}");
        }
        let doubling: Vec<Pair> =
            (0..40).map(|i| if i == 0 { (97, 97) } else { (255 + i, 255 + i) }).collect();
        let saved = Saved { special: vec![], tokens: Tokens::Bpe(doubling) };
        assert!(Vocabulary::try_from(saved).is_err());
    }
}
