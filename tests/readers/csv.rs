//! CSV: numbers, indices, categories, splits; and all that a spreadsheet can do wrong.

use nnc::base::Exit;
use nnc::readers::{Columns, CsvField, CsvKind, CsvSpec, DataError, Field, Scale, Share, Table, Values, csv};

use super::{Folder, Lcg, gzip};

fn numbers(name: &str, columns: Columns, standardize: bool) -> CsvField {
    CsvField {
        name: name.to_string(),
        kind: CsvKind::Numbers { columns, scale: if standardize { Scale::Learn } else { Scale::AsIs } },
    }
}

fn one(name: &str) -> Columns {
    Columns::One(name.to_string())
}

fn category(column: &str, order: Option<&[&str]>, bound: Option<u64>) -> CsvField {
    let order = order.map(|order| order.iter().map(|value| value.to_string()).collect());
    let constant = Some("kinds".to_string());
    let kind = CsvKind::Category { column: column.to_string(), order, bound, constant };
    CsvField { name: "kind".to_string(), kind }
}

fn index(columns: Columns, bound: Option<u64>) -> CsvField {
    CsvField {
        name: "i".to_string(),
        kind: CsvKind::Index { columns, bound, constant: Some("top".to_string()) },
    }
}

fn read_with(text: &[u8], fields: Vec<CsvField>, splits: &[(&str, Share)]) -> Result<Table, DataError> {
    let folder = Folder::new();
    let splits = splits.iter().map(|(name, share)| (name.to_string(), *share)).collect();
    csv(&CsvSpec { path: folder.write("t.csv", text), fields, splits, seed: 3 })
}

fn read(text: &str, field: CsvField) -> Result<Table, DataError> {
    read_with(text.as_bytes(), vec![field], &[])
}

fn floats(field: &Field) -> &[f32] {
    match &field.values {
        Values::F32(values) => values,
        other => panic!("{other:?}"),
    }
}

fn ints(field: &Field) -> &[i32] {
    match &field.values {
        Values::I32(values) => values,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(text: &str, field: CsvField, exit: Exit, expected: &str) -> String {
    let error = read(text, field).expect_err(expected);
    let message = error.message.split_once("t.csv: ").map_or(error.message.as_str(), |(_, rest)| rest);
    assert_eq!((message, error.exit), (expected, exit));
    error.help.unwrap_or_default()
}

#[test]
fn columns_become_fields() {
    let text = "a,b , c,kind\n1,2,3,x\n 4 ,-5e-1,+6,\"y, or z\"\n";
    let fields = vec![
        numbers("p", one("a"), false),
        numbers("q", Columns::Range("a".into(), "c".into()), false),
        numbers("r", Columns::List(vec!["c".into(), "a".into()]), false),
        category("kind", None, None),
        index(Columns::List(vec!["a".into(), "c".into()]), None),
    ];
    let expected = |table: Table| {
        assert_eq!((table.rows, table.splits.len()), (2, 1));
        assert_eq!((table.splits[0].name.as_str(), table.splits[0].rows.len()), ("all", 2));
        assert_eq!(floats(&table.fields[0]), [1.0, 4.0]);
        assert_eq!(table.fields[0].shape.rank(), 0);
        assert_eq!(floats(&table.fields[1]), [1.0, 2.0, 3.0, 4.0, -0.5, 6.0]);
        assert_eq!(&*table.fields[1].shape, &[3]);
        assert_eq!(floats(&table.fields[2]), [3.0, 1.0, 6.0, 4.0]);
        assert_eq!(ints(&table.fields[3]), [0, 1]);
        assert_eq!(table.fields[3].dtype.to_string(), "index<2>");
        assert_eq!(ints(&table.fields[4]), [1, 3, 4, 6]);
        assert_eq!(table.constants, [("kinds".to_string(), 2), ("top".to_string(), 7)]);
    };
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let mac = text.trim_end().to_string();
    let blank = text.replace("\n 4", "\n\n 4");
    for text in [text.to_string(), windows, mac, blank] {
        expected(read_with(text.as_bytes(), fields.clone(), &[]).unwrap());
        expected(read_with(&gzip(text.as_bytes()), fields.clone(), &[]).unwrap());
    }
}

#[test]
fn cells_that_are_no_numbers_are_named() {
    let a = || numbers("x", one("a"), false);
    refused("a,b\n1,2\nabc,3\n", a(), Exit::Data, "\"abc\" is not a number in column \"a\", line 3");
    refused(
        "a,b\r\n1,2\r\n\r\nabc,3\r\n",
        a(),
        Exit::Data,
        "\"abc\" is not a number in column \"a\", line 4",
    );
    refused("a,b\n1,\"2\n3\"\n1_0,3\n", a(), Exit::Data, "\"1_0\" is not a number in column \"a\", line 4");
    refused("a,b\n\"1,5\",3\n", a(), Exit::Data, "\"1,5\" is not a number in column \"a\", line 2");
    refused(
        "a,b\n1e39,3\n",
        a(),
        Exit::Data,
        "\"1e39\" is not a finite 32-bit number in column \"a\", line 2",
    );
    refused(
        "a,b\n-inf,3\n",
        a(),
        Exit::Data,
        "\"-inf\" is not a finite 32-bit number in column \"a\", line 2",
    );
    refused("a,b\n1,2\n ,3\n", a(), Exit::Data, "no value in column \"a\", line 3");
    let help = refused(
        "a,b\nNaN,2\nx,3\n?,4\n",
        a(),
        Exit::Data,
        "no value (\"NaN\") in column \"a\", line 2 (and 2 more cells are wrong)",
    );
    assert!(help.contains("missing values are not guessed"));
    let long = format!("a,b\n{},1\n", "z".repeat(200));
    let shown = format!("\"{}...\" is not a number in column \"a\", line 2", "z".repeat(40));
    refused(&long, a(), Exit::Data, &shown);
    let huge = format!("a,b\n{},1\n", "7".repeat(70_000));
    refused(&huge, a(), Exit::Data, "a value of 70000 bytes in column \"a\", line 2; at most 65536 are read");
    // What is not asked for is not judged.
    assert!(read("a,b\n1,\n2,NaN\n", a()).is_ok());
}

#[test]
fn indices_are_whole_and_bounded() {
    let a = |bound| index(one("a"), bound);
    assert_eq!(read("a\n3\n0\n", a(Some(5))).unwrap().constants, [("top".to_string(), 5)]);
    refused("a\n3\n5\n", a(Some(5)), Exit::Data, "\"5\" is outside index<5> in column \"a\", line 3");
    refused("a\n1.0\n", a(None), Exit::Data, "\"1.0\" is not a whole number from 0 in column \"a\", line 2");
    refused("a\n-1\n", a(None), Exit::Data, "\"-1\" is not a whole number from 0 in column \"a\", line 2");
    refused(
        "a\n16777216\n",
        a(None),
        Exit::Data,
        "\"16777216\" is outside index<16777216> in column \"a\", line 2",
    );
}

#[test]
fn categories_are_counted_through() {
    let text = "a\n10\n9\n2\n10\n";
    assert_eq!(ints(&read(text, category("a", None, None)).unwrap().fields[0]), [2, 1, 0, 2]);
    let words = "a\n10\n9\nNA\n10\n";
    assert_eq!(ints(&read(words, category("a", None, None)).unwrap().fields[0]), [0, 1, 2, 0]);
    let order: &[&str] = &["NA", "10", "9", "unseen"];
    let table = read(words, category("a", Some(order), Some(4))).unwrap();
    assert_eq!(ints(&table.fields[0]), [1, 2, 0, 1]);
    assert_eq!(table.constants, [("kinds".to_string(), 4)]);
    let help = refused(
        "a\nbenign\nmalignent\n",
        category("a", Some(&["benign", "malignant"]), None),
        Exit::Data,
        "\"malignent\" in column \"a\", line 3, is not one of the categories",
    );
    assert_eq!(help, "did you mean \"malignant\"?");
    refused(
        "a\nx\ny\nz\n",
        category("a", None, Some(2)),
        Exit::Data,
        "column \"a\" has 3 categories (\"x\", \"y\", \"z\"); the spec says index<2>",
    );
    refused("a,b\nx,1\n,2\n", category("a", None, None), Exit::Data, "no value in column \"a\", line 3");
    let twice = read("a\nx\n", category("a", Some(&["x", "x"]), None)).unwrap_err();
    assert_eq!(
        (twice.message.as_str(), twice.exit),
        ("the order of column \"a\" names \"x\" twice", Exit::Spec)
    );
    // One constant cannot be two numbers.
    let fields = vec![category("a", None, None), category("b", None, None)];
    let error = read_with(b"a,b\nx,1\nx,2\n", fields, &[]).unwrap_err();
    assert_eq!(error.message, "`kinds` is 1 by one field and 2 by another");
}

#[test]
fn columns_that_are_not_there_are_refused() {
    let x = |columns| numbers("x", columns, false);
    let text = "age,weight,height\n1,2,3\n";
    let help = refused(text, x(one("wieght")), Exit::Spec, "there is no column \"wieght\"");
    assert_eq!(help, "did you mean \"weight\"?");
    let help = refused(text, x(one("zzz")), Exit::Spec, "there is no column \"zzz\"");
    assert_eq!(help, "the columns are \"age\", \"weight\", \"height\"");
    refused("a,b,a\n1,2,3\n", x(one("a")), Exit::Data, "columns 1 and 3 have the same name \"a\"");
    let range = Columns::Range("height".into(), "age".into());
    let help = refused(text, x(range), Exit::Spec, "column \"height\" stands after \"age\"");
    assert_eq!(help, "did you mean columns(\"age\"..\"height\")?");
    assert_eq!(read(text, x(Columns::List(vec![]))).unwrap_err().message, "field `x` has no columns");
}

#[test]
fn files_that_are_no_tables_are_refused() {
    let a = || numbers("x", one("a"), false);
    refused("", a(), Exit::Data, "the file is empty; a header line is expected");
    refused("\n\n", a(), Exit::Data, "the file is empty; a header line is expected");
    refused("a,b\n", a(), Exit::Data, "no rows after the header line");
    refused("a,b\n1,2\n3\n", a(), Exit::Data, "line 3 has 1 value; the header has 2");
    refused("a,b\n1,2,3\n", a(), Exit::Data, "line 2 has 3 values; the header has 2");
    let help = refused("a,b\n\"1,2\n3,4\n", a(), Exit::Data, "line 2 has 1 value; the header has 2");
    assert!(help.contains("is a quotation mark open?"), "{help}");
    let error = read_with(b"a,b\n1,2\n\xff,3\n", vec![a()], &[]).unwrap_err();
    assert!(error.message.ends_with("byte 8 in line 3 is not UTF-8 text"), "{}", error.message);
    let packed = gzip(b"a,b\n1,2\n");
    let error = read_with(&packed[..packed.len() - 3], vec![a()], &[]).unwrap_err();
    assert!(error.message.contains("the gzip stream is damaged or cut off after 8 unpacked bytes"));
    let error = read_with(&gzip(&vec![b'\n'; 80_000_000]), vec![a()], &[]).unwrap_err();
    assert_eq!(error.exit, Exit::Resources);
    assert!(error.message.contains("unpack to more than 67108864"), "{}", error.message);
    let nowhere = CsvSpec { path: "no/such.csv".into(), fields: vec![], splits: vec![], seed: 0 };
    let error = csv(&nowhere).unwrap_err();
    assert!(error.message.starts_with("no/such.csv: ") && error.exit == Exit::Data, "{}", error.message);
    let folder = Folder::new();
    let error = csv(&CsvSpec { path: folder.path().to_path_buf(), ..nowhere }).unwrap_err();
    assert!(error.message.ends_with("this is a folder; a file is expected"), "{}", error.message);
}

/// `rows` rows of a number that counts and one that does not.
fn counting(rows: usize) -> String {
    let lines: Vec<String> = (0..rows).map(|i| format!("{},7\n", i * i)).collect();
    format!("a,b\n{}", lines.concat())
}

fn rows(table: &Table, split: usize) -> Vec<usize> {
    let rows = &table.splits[split].rows;
    (0..rows.len()).map(|i| rows.row(i)).collect()
}

#[test]
fn splits_share_the_rows() {
    let text = counting(103);
    let a = || vec![numbers("x", one("a"), false)];
    let read = |splits: &[(&str, Share)]| read_with(text.as_bytes(), a(), splits);
    let shares =
        [("train", Share::Fraction(0.8)), ("valid", Share::Fraction(0.1)), ("test", Share::Fraction(0.1))];
    let table = read(&shares).unwrap();
    let parts: Vec<Vec<usize>> = (0..3).map(|i| rows(&table, i)).collect();
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [82, 11, 10]);
    assert!(parts.iter().all(|part| part.is_sorted()));
    let mut all = parts.concat();
    all.sort_unstable();
    assert_eq!(all, (0..103).collect::<Vec<_>>());
    assert_ne!(parts[0], (0..82).collect::<Vec<_>>(), "the rows are drawn, not cut");
    assert_eq!(rows(&read(&shares).unwrap(), 1), parts[1]);
    let table = read(&[("train", Share::Rows(100)), ("test", Share::Rows(2))]).unwrap();
    assert_eq!((table.splits[0].rows.len(), table.splits[1].rows.len()), (100, 2));
    for (splits, expected) in [
        (vec![("a", Share::Fraction(0.8)), ("b", Share::Fraction(0.3))], "the splits' shares sum to 110%"),
        (
            vec![("a", Share::Rows(100)), ("b", Share::Rows(4))],
            "the splits ask for 104 rows; the data has 103",
        ),
        (vec![("a", Share::Rows(usize::MAX)), ("b", Share::Rows(2))], "ask for 18446744073709551615 rows"),
        (vec![("a", Share::Fraction(0.001))], "split `a` gets none of the 103 rows"),
        (vec![("a", Share::Rows(0))], "split `a` gets none of the 103 rows"),
        (vec![("a", Share::Fraction(0.0))], "split `a` has a share of 0"),
        (vec![("a", Share::Fraction(f64::NAN))], "split `a` has a share of NaN"),
        (vec![("a", Share::Fraction(80.0))], "split `a` has a share of 80"),
        (vec![("a", Share::Rows(1)), ("a", Share::Rows(1))], "two splits have the name `a`"),
    ] {
        let error = read(&splits).unwrap_err();
        assert!(error.message.contains(expected), "{}", error.message);
        assert_eq!(error.exit, Exit::Spec);
    }
}

#[test]
fn statistics_are_those_of_the_first_split() {
    let text = counting(50);
    let splits = [("train", Share::Fraction(0.5)), ("test", Share::Fraction(0.5))];
    let table = read_with(text.as_bytes(), vec![numbers("x", one("a"), true)], &splits).unwrap();
    let (train, values) = (rows(&table, 0), floats(&table.fields[0]));
    let raw: Vec<f64> = train.iter().map(|row| (row * row) as f64).collect();
    let mean = raw.iter().sum::<f64>() / 25.0;
    let deviation = (raw.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 25.0).sqrt();
    for (row, value) in values.iter().enumerate() {
        let expected = ((row * row) as f64 - mean) / deviation;
        assert!((f64::from(*value) - expected).abs() < 1e-6);
    }
    let error = read_with(text.as_bytes(), vec![numbers("x", one("b"), true)], &splits).unwrap_err();
    assert!(
        error
            .message
            .ends_with("column \"b\" is 7 in every row of the split `train`: it cannot be standardized")
    );
}

#[test]
fn a_standardized_value_is_finite() {
    let text = "a\n1e-38\n2e-38\n3e-38\n1e38\n";
    let splits = [("train", Share::Rows(3))];
    // Whichever three rows are drawn, either all numbers fit or the odd one out is named.
    let mut refused = 0;
    for seed in 0..32 {
        let folder = Folder::new();
        let splits = splits.iter().map(|(name, share)| (name.to_string(), *share)).collect();
        let path = folder.write("t.csv", text.as_bytes());
        let spec = CsvSpec { path, fields: vec![numbers("x", one("a"), true)], splits, seed };
        match csv(&spec) {
            Ok(table) => {
                assert!(rows(&table, 0).contains(&3));
                assert!(floats(&table.fields[0]).iter().all(|x| x.is_finite()));
            }
            Err(error) => {
                assert!(error.message.contains("in column \"a\", row 3, is too far"), "{}", error.message);
                refused += 1;
            }
        }
    }
    assert!((1..32).contains(&refused), "both happen: {refused}");
}

#[test]
fn mutations_never_panic() {
    let text = b"a,b,c\n1,2,\"x\"\n3,4.5,\"y \"\"z\"\"\"\n6,7,x\n8,9,q\n";
    let fields = || vec![numbers("x", one("b"), true), index(one("a"), None), category("c", None, None)];
    let mut random = Lcg(3);
    for whole in [text.to_vec(), gzip(text)] {
        for _ in 0..1_000 {
            // Either is right: a changed number is still a number.
            let _ = read_with(&random.mutated(&whole), fields(), &[("train", Share::Fraction(0.5))]);
        }
    }
}
