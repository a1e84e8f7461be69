//! Texts: tokens, windows, splits; and files that are no texts.

use std::collections::HashSet;

use nnc::base::Exit;
use nnc::readers::{Cut, DataError, Rows, Share, Table, TextSpec, TokenSource, Values, text};
use nnc::train::batches::Order;

use super::{Folder, gzip};

const HALVES: &[(&str, Share)] = &[("train", Share::Fraction(0.5)), ("valid", Share::Fraction(0.5))];

fn read(
    bytes: &[u8],
    cut: Cut,
    (window, stride): (usize, usize),
    splits: &[(&str, Share)],
) -> Result<Table, DataError> {
    let folder = Folder::new();
    let splits = splits.iter().map(|(name, share)| (name.to_string(), *share)).collect();
    text(&TextSpec {
        path: folder.write("t.txt", bytes),
        tokens: TokenSource::Learn(cut),
        window,
        stride,
        splits,
    })
}

/// What a field's window is as text.
fn window(table: &Table, field: usize, row: usize) -> String {
    let field = &table.fields[field];
    let Values::Windows { tokens, shift } = &field.values else { panic!("{:?}", field.values) };
    let from = row + shift;
    let vocabulary = field.vocabulary.as_ref().expect("a vocabulary");
    vocabulary.decode(&tokens[from..from + field.shape.elements()])
}

fn rows(rows: &Rows) -> Vec<usize> {
    (0..rows.len()).map(|i| rows.row(i)).collect()
}

#[test]
fn windows_over_characters() {
    for bytes in [b"abcdefghijklmnopqrstuvwxyz".to_vec(), gzip(b"abcdefghijklmnopqrstuvwxyz")] {
        let table = read(&bytes, Cut::Chars, (3, 3), HALVES).expect("reads");
        assert_eq!(table.constants, [("vocab".to_string(), 26)]);
        assert_eq!(table.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["tokens", "next"]);
        assert_eq!(table.fields[1].dtype.to_string(), "index<26>");
        // a to m: one window fewer than would fit, so that all can be moved by up to 2. n to z: end to end.
        assert_eq!((rows(&table.splits[0].rows), table.splits[0].rows.slack()), (vec![0, 3, 6], 2));
        assert_eq!((rows(&table.splits[1].rows), table.splits[1].rows.slack()), (vec![13, 16, 19, 22], 0));
        assert_eq!((window(&table, 0, 8), window(&table, 1, 8)), ("ijk".into(), "jkl".into()));
        assert_eq!((window(&table, 0, 22), window(&table, 1, 22)), ("wxy".into(), "xyz".into()));
    }
    let table = read(b"abcdefghijklmnopqrstuvwxyz", Cut::Chars, (3, 1), HALVES).expect("reads");
    assert_eq!(rows(&table.splits[0].rows), (0..10).collect::<Vec<_>>());
    assert_eq!(rows(&table.splits[1].rows), [13, 16, 19, 22], "the others are cut end to end");
    let all = read(b"abcdef", Cut::Chars, (2, 2), &[]).expect("reads");
    assert_eq!((all.splits[0].name.as_str(), rows(&all.splits[0].rows)), ("all", vec![0, 2]));
}

#[test]
fn epochs_begin_at_places_of_their_own() {
    let bytes: Vec<u8> = (0..200).map(|i| b'a' + (i * i % 26) as u8).collect();
    let table = read(&bytes, Cut::Chars, (8, 8), HALVES).expect("reads");
    let split = &table.splits[0].rows;
    let mut begins = HashSet::new();
    for epoch in 0..40 {
        let order = Order::shuffled(split, 5, epoch);
        let mut places = order.batch(0, split.len()).to_vec();
        places.sort_unstable();
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] == 8), "{places:?}");
        assert!(places.last().is_some_and(|last| last + 8 < 100), "{places:?}");
        begins.insert(places[0]);
    }
    assert_eq!(begins.len(), 8, "all places below a stride: {begins:?}");
    assert_eq!(Order::in_order(split).batch(0, 2), [0, 8]);
}

#[test]
fn words_are_those_of_the_first_split() {
    let text = b"One fish two fish. Red fish, blue fish! Gold is new now";
    let cut = Cut::Words { size: 6, lowercase: true };
    let splits = [("train", Share::Rows(38)), ("test", Share::Rows(17))];
    let table = read(text, cut, (3, 3), &splits).expect("reads");
    assert_eq!(table.constants, [("vocab".to_string(), 6)]);
    assert_eq!(window(&table, 0, 0), "<unk> fish <unk>");
    let test = table.splits[1].rows.row(0);
    assert_eq!(window(&table, 0, test), "<unk> <unk> <unk>", "new words are unknown");
    let table = read(text, Cut::Words { size: 100, lowercase: false }, (3, 3), &splits).expect("reads");
    assert_eq!(window(&table, 0, 1), "fish two fish");
    assert!(table.constants[0].1 < 100, "no more than there are");
}

#[test]
fn byte_pairs_are_those_of_the_first_split() {
    let text = "the theme of the thesis ".repeat(8) + &"zzzz yyyy ".repeat(20);
    let splits = [("train", Share::Rows(191)), ("test", Share::Rows(200))];
    let read = |size| read(text.as_bytes(), Cut::Bpe { size }, (4, 4), &splits);
    let table = read(300).expect("reads");
    assert_eq!(window(&table, 0, 0), "the theme of the");
    let test = table.splits[1].rows.row(0);
    assert_eq!(window(&table, 0, test), " zzz", "pairs of the test split are not joined");
    assert!(table.constants[0].1 <= 300 && table.constants[0].1 > 260);
    let small = read(256).expect_err("no room");
    assert_eq!(small.exit, Exit::Spec);
}

#[track_caller]
fn refused(bytes: &[u8], cut: Cut, window: usize, splits: &[(&str, Share)], exit: Exit, expected: &str) {
    let error = read(bytes, cut, (window, window), splits).expect_err(expected);
    let message = error.message.split_once("t.txt: ").map_or(error.message.as_str(), |(_, rest)| rest);
    assert_eq!((message, error.exit), (expected, exit));
}

#[test]
fn what_is_no_text_is_refused() {
    let data = |bytes: &[u8], expected| refused(bytes, Cut::Chars, 4, &[], Exit::Data, expected);
    data(b"", "the file is empty; a text is expected");
    data("\u{feff}".as_bytes(), "the file is empty; a text is expected");
    data(b"ab\ncd\xffef", "byte 5 in line 2 is not UTF-8 text");
    data(b"abcd", "the split `all` has 4 tokens; a window of 4 and the token after it need 5");
    data(
        &gzip(b"hello")[..12],
        "the gzip stream is damaged or cut off after 1 unpacked bytes: incomplete deflate stream",
    );
    refused(
        b"abcdefgh",
        Cut::Chars,
        4,
        HALVES,
        Exit::Data,
        "the split `train` has 4 tokens; a window of 4 and the token after it need 5",
    );
    refused(
        b"abcd efgh",
        Cut::Words { size: 9, lowercase: false },
        1,
        HALVES,
        Exit::Data,
        "the split `valid` has 0 tokens; a window of 1 and the token after it need 2",
    );
    let most = usize::MAX;
    refused(
        b"abcd",
        Cut::Chars,
        1,
        &[("a", Share::Rows(most))],
        Exit::Spec,
        &format!("the splits ask for {most} characters; the data has 4"),
    );
    let nearly_all = [("a", Share::Fraction(0.999)), ("b", Share::Fraction(0.001))];
    refused(b"abcd", Cut::Chars, 1, &nearly_all, Exit::Spec, "split `b` gets none of the 4 characters");
    for window in [most, most - 1] {
        let error = read(b"abcd", Cut::Chars, (window, most), &[]).expect_err("too long");
        assert_eq!(error.exit, Exit::Data);
    }
    let missing = TextSpec {
        path: "no/such.txt".into(),
        tokens: TokenSource::Learn(Cut::Chars),
        window: 1,
        stride: 1,
        splits: vec![],
    };
    assert_eq!(text(&missing).expect_err("missing").exit, Exit::Data);
}

#[test]
fn a_bomb_is_refused() {
    let bomb = gzip(&vec![b'a'; 80 << 20]);
    let error = read(&bomb, Cut::Chars, (4, 4), &[]).expect_err("too large");
    assert_eq!(error.exit, Exit::Resources);
}
