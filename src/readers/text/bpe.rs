//! Byte-pair encoding: the most frequent pair of neighbours becomes a token of its own, again and again, from the
//! 256 bytes on (Sennrich, Haddow and Birch, 2016; on bytes as in GPT-2, Radford and others, 2019).
//!
//! Own code rather than the crate `tokenizers`: that brings 52 further crates (threads, random numbers, a second
//! regular-expression engine), more than half of what the whole compiler uses, for these two functions.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::pieces::chunks;

/// Tokens that are there before any pair is joined.
pub const BYTES: u32 = 256;

/// Two neighbours.
pub type Pair = (u32, u32);

/// The pairs to join, the first one first, so that there are at most `most` tokens. Of pairs that are equally
/// frequent the one with the smaller numbers goes first. Pairs that occur once are not joined.
pub fn train<'a>(texts: impl Iterator<Item = &'a str>, most: usize) -> Vec<Pair> {
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for chunk in texts.flat_map(chunks) {
        *counts.entry(chunk).or_default() += 1;
    }
    let mut known: Vec<(&str, i64)> = counts.into_iter().collect();
    known.sort_unstable();
    let mut words: Vec<(Vec<u32>, i64)> = Vec::with_capacity(known.len());
    for (chunk, count) in known {
        words.push((chunk.bytes().map(u32::from).collect(), count));
    }
    let mut pairs: HashMap<Pair, i64> = HashMap::new();
    let mut places: HashMap<Pair, HashSet<u32>> = HashMap::new();
    for (number, (word, count)) in words.iter().enumerate() {
        for pair in word.windows(2) {
            let pair = (pair[0], pair[1]);
            *pairs.entry(pair).or_default() += count;
            places.entry(pair).or_default().insert(number as u32);
        }
    }
    // Counts in the heap may be old; they are only right if the table says the same.
    let mut heap: BinaryHeap<(i64, Reverse<Pair>)> =
        pairs.iter().map(|(pair, n)| (*n, Reverse(*pair))).collect();
    let mut merges = Vec::new();
    while BYTES as usize + merges.len() < most {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        let now = pairs.get(&pair).copied().unwrap_or(0);
        if now != count {
            if now > 0 {
                heap.push((now, Reverse(pair)));
            }
            continue;
        }
        if count < 2 {
            break;
        }
        let token = BYTES + merges.len() as u32;
        merges.push(pair);
        let mut grown: HashSet<Pair> = HashSet::new();
        for number in places.remove(&pair).unwrap_or_default() {
            let (word, count) = &mut words[number as usize];
            let before = std::mem::take(word);
            *word = join(&before, pair, token);
            for old in before.windows(2) {
                *pairs.entry((old[0], old[1])).or_default() -= *count;
            }
            for new in word.windows(2) {
                let new = (new[0], new[1]);
                *pairs.entry(new).or_default() += *count;
                places.entry(new).or_default().insert(number);
                grown.insert(new);
            }
        }
        pairs.remove(&pair);
        heap.extend(grown.into_iter().filter_map(|pair| Some((*pairs.get(&pair)?, Reverse(pair)))));
    }
    merges
}

/// The word with every occurrence of a pair, from the left, as one token.
fn join(word: &[u32], pair: Pair, token: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(word.len());
    let mut at = 0;
    while at < word.len() {
        if at + 1 < word.len() && (word[at], word[at + 1]) == pair {
            out.push(token);
            at += 2;
        } else {
            out.push(word[at]);
            at += 1;
        }
    }
    out
}

/// The tokens of a chunk: pairs are joined in the order in which they were learnt.
pub fn encode(chunk: &str, ranks: &HashMap<Pair, u32>) -> Vec<u32> {
    let mut word: Vec<u32> = chunk.bytes().map(u32::from).collect();
    loop {
        let best = word.windows(2).filter_map(|p| ranks.get(&(p[0], p[1])).map(|t| (*t, (p[0], p[1])))).min();
        match best {
            Some((token, pair)) => word = join(&word, pair, token),
            None => return word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_paper() {
        // low 5, lower 2, newest 6, widest 3: the first joins are e s, es t, l o, lo w. (The paper marks ends of
        // words, which chunks do not.)
        let text = ["low"; 5].iter().chain(&["lower"; 2]).chain(&["newest"; 6]).chain(&["widest"; 3]);
        let text: String = text.map(|word| format!("{word}\n")).collect();
        let merges = train([text.as_str()].into_iter(), 256 + 4);
        let byte = |c: char| c as u32;
        assert_eq!(
            merges,
            [(byte('e'), byte('s')), (256, byte('t')), (byte('l'), byte('o')), (258, byte('w'))]
        );
        let ranks = merges.iter().enumerate().map(|(i, pair)| (*pair, 256 + i as u32)).collect();
        assert_eq!(encode("lowest", &ranks), [259, 257]);
    }

    /// The same by counting anew after every join.
    fn slowly(text: &str, most: usize) -> Vec<Pair> {
        let mut words: Vec<Vec<u32>> = chunks(text).map(|c| c.bytes().map(u32::from).collect()).collect();
        let mut merges = Vec::new();
        while 256 + merges.len() < most {
            let mut counts: HashMap<Pair, i64> = HashMap::new();
            for word in &words {
                word.windows(2).for_each(|p| *counts.entry((p[0], p[1])).or_default() += 1);
            }
            let best = counts.into_iter().map(|(pair, n)| (n, Reverse(pair))).max();
            let Some((2.., Reverse(pair))) = best else { break };
            let token = 256 + merges.len() as u32;
            merges.push(pair);
            words.iter_mut().for_each(|word| *word = join(word, pair, token));
        }
        merges
    }

    #[test]
    fn joins_are_those_of_counting_anew() {
        let text = "the cat that sat at the mat, the theme then; aaaa aaa aaaaa abab ababab\n".repeat(3);
        for most in [257, 270, 300, 1000] {
            assert_eq!(train([text.as_str()].into_iter(), most), slowly(&text, most), "{most}");
        }
    }
}
