//! Where a text is cut before its pieces become tokens: words for word tokens, chunks for byte-pair encoding.

/// The longest chunk that byte-pair encoding works on, in bytes: its time grows with the square of it.
const CHUNK: usize = 256;

/// The words of a text: runs of letters and digits (with apostrophes and hyphens inside them), every other
/// visible character, and every end of a line. Blanks only part them.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
        let first = rest.chars().next()?;
        let length = if first.is_alphanumeric() { word_length(rest) } else { first.len_utf8() };
        let (word, after) = rest.split_at(length);
        rest = after;
        Some(word)
    })
}

fn word_length(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let inner =
            matches!(c, '\'' | '’' | '-') && characters.peek().is_some_and(|(_, c)| c.is_alphanumeric());
        if !c.is_alphanumeric() && !inner {
            return at;
        }
    }
    text.len()
}

/// What words look like when they stand side by side again.
pub fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for word in words {
        let first = word.chars().next().unwrap_or(' ');
        let tight =
            matches!(first, '.' | ',' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '\n' | '\'' | '’' | '%');
        let opens = out.is_empty() || out.ends_with(['\n', '(', '[', '{', '\'', '’']);
        if !tight && !opens {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// The chunks of a text within which byte pairs are joined: a run of letters, of digits or of other visible
/// characters, each with one blank before it if there is one, and runs of further blanks. Together they are the
/// text. (As in GPT-2, without its English endings: Radford and others, 2019.)
pub fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (chunk, after) = rest.split_at(chunk_length(rest));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[derive(PartialEq)]
enum Class {
    Blank,
    Letter,
    Digit,
    Other,
}

fn class(c: char) -> Class {
    match c {
        c if c.is_whitespace() => Class::Blank,
        c if c.is_alphabetic() => Class::Letter,
        c if c.is_numeric() => Class::Digit,
        _ => Class::Other,
    }
}

/// The length of the first chunk; 0 for no text.
fn chunk_length(text: &str) -> usize {
    let run = |from: usize| {
        let mut characters = text[from..].char_indices();
        let Some((_, first)) = characters.next() else { return from };
        let first = class(first);
        from + characters.find(|(_, c)| class(*c) != first).map_or(text.len() - from, |(at, _)| at)
    };
    let end = match run(0) {
        end if !text.starts_with(char::is_whitespace) => end,
        // The last blank of a run belongs to what follows.
        end if end < text.len() && text[..end].ends_with(' ') => {
            if end > 1 {
                end - 1
            } else {
                run(1)
            }
        }
        end => end,
    };
    text.floor_char_boundary(end.min(CHUNK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_signs() {
        let found: Vec<&str> = words("Don't  stop, well-known 3rd\nline -- 'so'").collect();
        assert_eq!(
            found,
            ["Don't", "stop", ",", "well-known", "3rd", "\n", "line", "-", "-", "'", "so", "'"]
        );
        assert_eq!(joined(words("In (the) end, all\nis well.")), "In (the) end, all\nis well.");
    }

    #[test]
    fn chunks_are_the_text() {
        let text = "Now  the 12 days,\n\n  it's   over \n";
        let found: Vec<&str> = chunks(text).collect();
        assert_eq!(
            found,
            ["Now", " ", " the", " 12", " days", ",", "\n\n ", " it", "'", "s", "  ", " over", " \n"]
        );
        let long = "é".repeat(1000);
        assert_eq!(chunks(&long).collect::<String>(), long);
        assert!(chunks(&long).all(|chunk| chunk.len() <= CHUNK));
    }
}
