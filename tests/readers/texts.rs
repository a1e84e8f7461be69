//! Columns of texts: vocabularies, rows of tokens; and reading other files as those that were learnt from.

use nnc::base::Exit;
use nnc::readers::{
    Columns, CsvField, CsvKind, CsvSpec, Cut, DataError, Field, Outline, RowForm, Scale, Share, Table,
    TokenSource, Values, csv,
};

use super::Folder;

const PLAIN: RowForm = RowForm { length: 6, start: false, end: false, truncate: false };
const WORDS: Cut = Cut::Words { size: 100, lowercase: false };

fn text(name: &str, column: &str, cut: Cut, row: RowForm, constant: &str) -> CsvField {
    let (column, constant) = (column.to_string(), Some(constant.to_string()));
    let kind = CsvKind::Text { column, tokens: TokenSource::Learn(cut), row, bound: None, constant };
    CsvField { name: name.to_string(), kind }
}

fn read(content: &str, fields: Vec<CsvField>, splits: &[(&str, Share)]) -> Result<Table, DataError> {
    let folder = Folder::new();
    let splits = splits.iter().map(|(name, share)| (name.to_string(), *share)).collect();
    csv(&CsvSpec { path: folder.write("t.csv", content.as_bytes()), fields, splits, seed: 3 })
}

fn ints(field: &Field) -> &[i32] {
    match &field.values {
        Values::I32(values) => values,
        other => panic!("{other:?}"),
    }
}

fn constant(table: &Table, name: &str) -> Option<i64> {
    table.constants.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

#[test]
fn rows_are_filled_up() {
    let content = "word,code\nabba,\"x,y\"\nb,y\n";
    let fields = vec![
        text("word", "word", Cut::Chars, PLAIN, "letters"),
        text("code", "code", Cut::Chars, RowForm { start: true, end: true, ..PLAIN }, "signs"),
    ];
    let table = read(content, fields, &[]).expect("reads");
    // 0 pad, 1 start, 2 end, 3 unknown, 4 a, 5 b
    assert_eq!(ints(&table.fields[0]), [4, 5, 5, 4, 0, 0, 5, 0, 0, 0, 0, 0]);
    // 4 `,`, 5 x, 6 y
    assert_eq!(ints(&table.fields[1]), [1, 5, 4, 6, 2, 0, 1, 6, 2, 0, 0, 0]);
    let numbers = ["letters", "signs", "pad", "start", "end"].map(|name| constant(&table, name));
    assert_eq!(numbers, [Some(6), Some(7), Some(0), Some(1), Some(2)]);
    assert_eq!(
        (&table.fields[1].shape[..], table.fields[1].dtype.to_string()),
        (&[6][..], "index<7>".to_string())
    );
    let table = read(content, vec![text("word", "word", Cut::Chars, PLAIN, "v")], &[]).expect("reads");
    assert_eq!((constant(&table, "start"), constant(&table, "end")), (None, None));
}

#[test]
fn one_name_is_one_vocabulary() {
    let content = "a,b\none two,two three\nthree,one\n";
    let fields = |second: &str| vec![text("a", "a", WORDS, PLAIN, "v"), text("b", "b", WORDS, PLAIN, second)];
    let shared = read(content, fields("v"), &[]).expect("reads");
    assert_eq!(constant(&shared, "v"), Some(5));
    // 0 pad, 1 unknown; each of the words is there twice: 2 one, 3 three, 4 two
    assert_eq!(ints(&shared.fields[0])[..2], [2, 4]);
    assert_eq!(ints(&shared.fields[1])[..2], [4, 3]);
    let own = read("a,b\none two,x\nthree,y\n", fields("w"), &[]).expect("reads");
    assert_eq!((constant(&own, "v"), constant(&own, "w")), (Some(5), Some(4)));
    let mut mixed = fields("v");
    mixed[1] = text("b", "b", Cut::Chars, RowForm { length: 20, ..PLAIN }, "v");
    let error = read(content, mixed, &[]).expect_err("two ways to cut");
    assert!(error.exit == Exit::Spec && error.message.contains("`b` is cut otherwise"), "{}", error.message);
}

#[test]
fn nothing_is_learnt_from_the_test_rows() {
    let content = "t\n".to_string() + &(0..40).map(|i| format!("word{i} common\n")).collect::<String>();
    let splits = [("train", Share::Fraction(0.5)), ("test", Share::Fraction(0.5))];
    let table = read(&content, vec![text("t", "t", WORDS, PLAIN, "v")], &splits).expect("reads");
    // pad, unknown, common and 20 words
    assert_eq!(constant(&table, "v"), Some(23));
    for (split, unknown) in table.splits.iter().zip([false, true]) {
        for i in 0..split.rows.len() {
            let first = ints(&table.fields[0])[6 * split.rows.row(i)];
            assert_eq!(first == 1, unknown, "row {i} of {}", split.name);
        }
    }
}

#[test]
fn long_texts_are_cut_if_asked() {
    let content = "t\none two three four five six seven\n";
    let error = read(content, vec![text("t", "t", WORDS, PLAIN, "v")], &[]).expect_err("too long");
    assert!(
        error.message.ends_with("a text of 7 tokens in column \"t\", line 2; a row has 6"),
        "{}",
        error.message
    );
    assert!(error.help.is_some_and(|help| help.contains("truncate: true")));
    let cut = RowForm { truncate: true, ..PLAIN };
    let table = read(content, vec![text("t", "t", WORDS, cut, "v")], &[]).expect("reads");
    assert_eq!(ints(&table.fields[0]).len(), 6);
    assert!(ints(&table.fields[0]).iter().all(|token| *token > 1));
    let table =
        read(content, vec![text("t", "t", WORDS, RowForm { end: true, ..cut }, "v")], &[]).expect("reads");
    assert_eq!(ints(&table.fields[0])[5], 1, "the end stays");
}

#[track_caller]
fn refused(content: &str, field: CsvField, exit: Exit, expected: &str) {
    let error = read(content, vec![field], &[]).expect_err(expected);
    let message = error.message.split_once("t.csv: ").map_or(error.message.as_str(), |(_, rest)| rest);
    assert_eq!((message, error.exit), (expected, exit));
}

#[test]
fn wrong_columns_are_refused() {
    let field = |cut| text("t", "t", cut, PLAIN, "v");
    refused("t,n\na,1\n,2\n", field(Cut::Chars), Exit::Data, "no value in column \"t\", line 3");
    let title = "a vocabulary cannot have 2 tokens: more than its 2 special tokens, at most 16777216";
    refused("t\na\n", field(Cut::Words { size: 2, lowercase: false }), Exit::Spec, title);
    let mut bound = field(Cut::Chars);
    if let CsvKind::Text { bound, .. } = &mut bound.kind {
        *bound = Some(9);
    }
    refused("t\na\n", bound, Exit::Data, "column \"t\" has 3 tokens; the spec says index<9>");
    let clash = text("pad", "t", Cut::Chars, PLAIN, "v");
    refused("t\na\n", clash, Exit::Spec, "`pad` is both a number that the data gives and a field or split");
    let huge = text("t", "t", Cut::Chars, RowForm { length: usize::MAX >> 3, ..PLAIN }, "v");
    let error = read("t\na\n", vec![huge], &[]).expect_err("too large");
    assert_eq!(error.exit, Exit::Resources, "{}", error.message);
}

#[test]
fn another_file_is_read_with_what_was_learnt() {
    let train = "x,kind,t,n\n1,b,to be,0\n3,a,or not,1\n5,b,to see,2\n";
    let fields = vec![
        CsvField {
            name: "x".into(),
            kind: CsvKind::Numbers { columns: Columns::One("x".into()), scale: Scale::Learn },
        },
        CsvField {
            name: "kind".into(),
            kind: CsvKind::Category { column: "kind".into(), order: None, bound: None, constant: None },
        },
        text("t", "t", WORDS, PLAIN, "v"),
        CsvField {
            name: "n".into(),
            kind: CsvKind::Index { columns: Columns::One("n".into()), bound: None, constant: None },
        },
    ];
    let table = read(train, fields, &[]).expect("reads");
    // As a run folder keeps it.
    let kept = serde_json::to_string(&Outline::of(&table)).expect("can be written");
    let outline: Outline = serde_json::from_str(&kept).expect("can be read");
    let kept = outline.table().expect("a table");
    for (was, is) in table.fields.iter().zip(&kept.fields) {
        assert_eq!((&was.name, was.dtype, &was.shape), (&is.name, is.dtype, &is.shape));
    }
    assert_eq!((kept.splits[0].rows.len(), &kept.constants), (3, &table.constants));
    let recipe = kept.recipe.expect("a recipe");
    let folder = Folder::new();
    let other = folder.write("other.csv", b"t,x,n,kind\nto do or not to be,7,2,a\n");
    let again = recipe.read(&other, &["x", "kind", "t", "n"]).expect("reads");
    // The mean was 3, the deviation the root of 8 / 3.
    assert!(
        matches!(&again.fields[0].values, Values::F32(v) if (v[0] - 4.0 / (8f32 / 3.0).sqrt()).abs() < 1e-6)
    );
    assert_eq!(ints(&again.fields[1]), [0]);
    let (before, after) = (ints(&table.fields[2]), ints(&again.fields[2]));
    assert_eq!(after[0], before[0], "the same word has the same number");
    assert_eq!(after[1], 1, "a new word is unknown");
    // Only the columns that are asked for need be there.
    let texts = folder.write("texts.csv", b"t\nbe\n");
    assert_eq!(recipe.read(&texts, &["t"]).expect("reads").fields.len(), 1);
    let wrong = folder.write("wrong.csv", b"t,x,n,kind\nbe,7,2,c\n");
    let error = recipe.read(&wrong, &["kind"]).expect_err("a new category");
    assert!(
        error.exit == Exit::Data && error.message.contains("\"c\" in column \"kind\", line 2"),
        "{}",
        error.message
    );
    let error = recipe.read(&folder.write("n.csv", b"n\n3\n"), &["n"]).expect_err("an index beyond");
    assert!(error.message.contains("outside index<3>"), "{}", error.message);
}

#[test]
fn what_is_kept_of_data_is_not_believed() {
    for wrong in [
        r#"{"name":"d","origin":"","sha256":"","rows":1,"fields":[{"name":"x","index":0,"shape":[1]}],"splits":[],"constants":[],"recipe":null}"#,
        r#"{"name":"d","origin":"","sha256":"","rows":1,"fields":[{"name":"x","index":2,"shape":[-1]}],"splits":[],"constants":[],"recipe":null}"#,
        r#"{"name":"d","origin":"","sha256":"","rows":1,"fields":[{"name":"x","index":2,"shape":[1000000,1000000,1000000]}],"splits":[],"constants":[],"recipe":null}"#,
    ] {
        let outline: Outline = serde_json::from_str(wrong).expect("has the form");
        assert_eq!(outline.table().expect_err("no such table").exit, Exit::Weights);
    }
    assert!(serde_json::from_str::<Outline>(r#"{"name":"d"}"#).is_err());
}
