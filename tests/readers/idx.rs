//! IDX and gzip: MNIST's form, truncated, lying and packed too tightly.

use nnc::base::Exit;
use nnc::readers::idx::{Elements, parse};
use nnc::readers::{DataError, IdxField, IdxKind, IdxSpec, Rows, Source, Table, Values, idx, mnist};

use super::{Folder, Lcg, gzip};

fn file(code: u8, dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend_from_slice(data);
    bytes
}

fn error(bytes: Vec<u8>) -> DataError {
    parse("x.idx", bytes).expect_err("this file is wrong")
}

#[test]
fn the_embedded_digits_are_whole() {
    let table = mnist(None).unwrap();
    assert_eq!(table.origin, "embedded MNIST digits, 8,000 train and 2,000 test");
    assert_eq!(table.digest.len(), 64);
    assert_eq!((table.rows, table.fields.len()), (10_000, 2));
    let [image, label] = table.fields.as_slice() else { panic!("two fields") };
    assert_eq!(
        (image.name.as_str(), image.dtype.to_string(), &*image.shape),
        ("image", "f32".into(), &[28, 28, 1][..])
    );
    assert_eq!(
        (label.name.as_str(), label.dtype.to_string(), label.shape.rank()),
        ("label", "index<10>".into(), 0)
    );
    let (Values::U8 { data, scale }, Values::I32(labels)) = (&image.values, &label.values) else {
        panic!("bytes and indices")
    };
    assert_eq!((data.len(), *scale), (10_000 * 28 * 28, 1.0 / 255.0));
    // Stratified: each digit is about a tenth of each part; the mean pixel is that of MNIST, 0.1307.
    for rows in [0..8_000, 8_000..10_000] {
        for digit in 0..10 {
            let part =
                labels[rows.clone()].iter().filter(|l| **l == digit).count() as f64 / rows.len() as f64;
            assert!((0.08..0.12).contains(&part), "{part} of the rows {rows:?} are {digit}");
        }
    }
    let mean = data.iter().map(|b| f64::from(*b)).sum::<f64>() / data.len() as f64 / 255.0;
    assert!((mean - 0.1307).abs() < 0.01, "{mean}");
    let splits: Vec<_> =
        table.splits.iter().map(|s| (s.name.as_str(), s.rows.row(0), s.rows.len())).collect();
    assert_eq!(splits, [("train", 0, 8_000), ("test", 8_000, 2_000)]);
}

/// Four small files under some form of their names.
fn folder(
    train: &str,
    test: &str,
    end: &str,
    pack: fn(&[u8]) -> Vec<u8>,
) -> (Folder, Result<Table, DataError>) {
    let folder = Folder::new();
    for (prefix, rows) in [(train, 3u32), (test, 2)] {
        let pixels: Vec<u8> = (0..rows * 6).map(|i| i as u8).collect();
        let labels: Vec<u8> = (0..rows).map(|i| i as u8 + 4).collect();
        folder.write(
            &prefix.replace('*', &format!("images{end}3-ubyte")),
            &pack(&file(8, &[rows, 2, 3], &pixels)),
        );
        folder.write(&prefix.replace('*', &format!("labels{end}1-ubyte")), &pack(&file(8, &[rows], &labels)));
    }
    let table = mnist(Some(folder.path()));
    (folder, table)
}

#[test]
fn a_folder_is_read_under_every_usual_name() {
    let plain = |bytes: &[u8]| bytes.to_vec();
    for (_, table) in [
        folder("train-*", "t10k-*", "-idx", plain),
        folder("train-*", "t10k-*", ".idx", plain),
        folder("train-*.gz", "t10k-*.gz", "-idx", gzip),
        folder("train-*.gz", "t10k-*.gz", ".idx", gzip),
        // Packed, but not called so.
        folder("train-*", "t10k-*", "-idx", gzip),
    ] {
        let table = table.unwrap();
        assert!(table.origin.ends_with("in IDX form, 3 train and 2 test"), "{}", table.origin);
        assert_eq!(&*table.fields[0].shape, &[2, 3, 1]);
        let Values::I32(labels) = &table.fields[1].values else { panic!("indices") };
        assert_eq!(labels, &[4, 5, 6, 4, 5]);
        let Values::U8 { data, .. } = &table.fields[0].values else { panic!("bytes") };
        assert_eq!(data[16..20], [16, 17, 0, 1]);
        assert!(matches!(table.splits[1].rows, Rows::Range(ref r) if *r == (3..5)));
    }
}

#[test]
fn a_folder_that_is_wrong_is_refused_by_name() {
    let (files, _) = folder("train-*", "t10k-*", "-idx", |b| b.to_vec());
    let check = |name: &str, bytes: &[u8], message: &str| {
        let before = std::fs::read(files.path().join(name)).unwrap();
        files.write(name, bytes);
        let error = mnist(Some(files.path())).expect_err(message);
        assert!(error.message.contains(message) && error.message.contains(name), "{}", error.message);
        assert_eq!(error.exit, Exit::Data);
        files.write(name, &before);
    };
    check("train-labels-idx1-ubyte", &file(8, &[3], &[1, 10, 2]), "10 in row 1 is outside index<10>");
    check("t10k-labels-idx1-ubyte", &file(8, &[3], &[1, 2, 3]), "3 rows");
    check("t10k-images-idx3-ubyte", &file(8, &[2, 3, 2], &[0; 12]), "rows of [3, 2]");
    check("train-images-idx3-ubyte", b"", "expected 4 bytes of IDX header, found 0");
    check("train-images-idx3-ubyte", &gzip(b"ab"), "expected 4 bytes of IDX header, found 2");
    std::fs::remove_file(files.path().join("t10k-labels-idx1-ubyte")).unwrap();
    let error = mnist(Some(files.path())).unwrap_err();
    assert!(error.message.contains("there is no file t10k-labels-idx1-ubyte.gz or"), "{}", error.message);
    let error = mnist(Some(&files.path().join("nowhere"))).unwrap_err();
    assert!(error.message.contains("nowhere: there is no file train-images"), "{}", error.message);
}

#[test]
fn every_prefix_of_a_file_is_refused() {
    let whole = file(8, &[3, 2], &[1, 2, 3, 4, 5, 6]);
    assert_eq!(parse("x", whole.clone()).unwrap().data, Elements::Bytes(vec![1, 2, 3, 4, 5, 6]));
    for length in 0..whole.len() {
        let error = error(whole[..length].to_vec());
        let expected = match length {
            0..4 => format!("x.idx: expected 4 bytes of IDX header, found {length}"),
            4..12 => format!("x.idx: expected 12 bytes of IDX header, found {length}"),
            _ => format!("x.idx: expected 18 bytes for 3 x 2 and 12 of header, found {length}"),
        };
        assert_eq!((error.message, error.exit), (expected, Exit::Data));
        // Cut off before it was packed.
        assert!(parse("x", gzip(&whole[..length])).is_err());
    }
    let packed = gzip(&whole);
    assert_eq!(parse("x", packed.clone()).unwrap(), parse("x", whole).unwrap());
    for length in 0..packed.len() {
        let error = error(packed[..length].to_vec());
        assert!(length < 4 || error.message.contains("damaged or cut off"), "{length}: {}", error.message);
    }
}

#[test]
fn what_follows_the_data_is_refused() {
    let mut bytes = file(8, &[2], &[1, 2]);
    bytes.extend([0; 5]);
    assert_eq!(error(bytes.clone()).message, "x.idx: expected 10 bytes for 2 and 8 of header, found 15");
    assert_eq!(
        error(gzip(&bytes)).message,
        "x.idx: expected 10 bytes for 2 and 8 of header, found 11 and more"
    );
    let mut packed = gzip(&file(8, &[2], &[1, 2]));
    packed.extend(b"junk");
    assert!(error(packed).message.contains("damaged"), "rubbish after the stream");
}

#[test]
fn headers_that_lie_are_refused() {
    for (bytes, expected) in [
        (file(8, &[u32::MAX; 3], &[0; 9]), "the tensor has more than 68719476736 elements"),
        (file(8, &[u32::MAX], &[0; 9]), "expected 4294967303 bytes for 4294967295 and 8 of header, found 17"),
        (file(8, &[1; 200], &[0]), "200 dimensions; at most 12 are possible"),
        (file(8, &[3, 0], &[]), "dimension 1 is 0 at byte 8"),
        (file(8, &[], &[1]), "0 dimensions at byte 3"),
        (file(7, &[1], &[1]), "element type 0x07 at byte 2"),
        (b"PK\x03\x04 not an IDX file".to_vec(), "begins with 50 4b"),
    ] {
        let message = error(bytes).message;
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_bomb_does_not_go_off() {
    // 80 MB of zeros in 78 kB, honest in its header: more than any real data is packed.
    let honest = file(8, &[100_000, 28, 28], &vec![0; 78_400_000]);
    let packed = gzip(&honest);
    assert!(packed.len() < 100_000, "{}", packed.len());
    let refused = error(packed);
    assert_eq!(refused.exit, Exit::Resources);
    assert!(
        refused.message.contains("the header promises 78400016 bytes for 100000 x 28 x 28"),
        "{}",
        refused.message
    );
    // With a small header, no more is unpacked than that says.
    let lying = file(8, &[10], &vec![0; 78_400_000]);
    let message = error(gzip(&lying)).message;
    assert_eq!(message, "x.idx: expected 18 bytes for 10 and 8 of header, found 19 and more");
}

#[test]
fn all_element_types_are_read() {
    let read = |code, data: &[u8]| parse("x", file(code, &[2], data)).unwrap().data;
    assert_eq!(read(0x09, &[0xff, 5]), Elements::Whole(vec![-1, 5]));
    assert_eq!(read(0x0b, &[0xff, 0xfe, 1, 0]), Elements::Whole(vec![-2, 256]));
    assert_eq!(read(0x0c, &[0, 1, 0, 0, 0, 0, 0, 9]), Elements::Whole(vec![65_536, 9]));
    let floats: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    assert_eq!(read(0x0d, &floats), Elements::Real(vec![1.5, -2.0]));
    let doubles: Vec<u8> = [0.25f64, 3.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    assert_eq!(read(0x0e, &doubles), Elements::Real(vec![0.25, 3.0]));
    let nan: Vec<u8> = [1.0, f32::NAN].iter().flat_map(|x| x.to_be_bytes()).collect();
    assert_eq!(error(file(0x0d, &[2], &nan)).message, "x.idx: element 1 is NaN; every value must be finite");
}

#[test]
fn named_files_become_fields() {
    let folder = Folder::new();
    let write = |name: &str, bytes: Vec<u8>| Source::File(folder.write(name, &bytes));
    let numbers = write("a", file(0x0b, &[2, 2], &[0, 1, 0, 2, 0, 3, 0xff, 0xff]));
    let letters = write("b", file(8, &[2], &[0, 25]));
    let field = |name: &str, kind, source: &Source| IdxField {
        name: name.to_string(),
        kind,
        files: vec![source.clone()],
    };
    let index = |bound| IdxKind::Index { bound, constant: Some("letters".to_string()) };
    let spec = |bound| IdxSpec {
        splits: vec!["all".to_string()],
        fields: vec![field("x", IdxKind::Numbers, &numbers), field("y", index(bound), &letters)],
    };
    let table = idx(&spec(None)).unwrap();
    assert!(matches!(&table.fields[0].values, Values::F32(v) if v[..] == [1.0, 2.0, 3.0, -1.0]));
    assert_eq!(table.constants, [("letters".to_string(), 26)]);
    assert_eq!(idx(&spec(Some(30))).unwrap().fields[1].dtype.to_string(), "index<30>");
    let message = idx(&spec(Some(25))).unwrap_err().message;
    assert!(message.contains("25 in row 1 is outside index<25>"), "{message}");
    let mut uneven = spec(None);
    uneven.fields[1].files.push(letters.clone());
    assert_eq!(idx(&uneven).unwrap_err().exit, Exit::Spec);
    uneven.fields.clear();
    assert_eq!(idx(&uneven).unwrap_err().exit, Exit::Spec);
    // Labels must be whole and not negative.
    let negative = write("c", file(0x09, &[2], &[0xff, 0]));
    let real = write("d", file(0x0d, &[2], &[0; 8]));
    for (source, expected) in [(negative, "-1 in row 0 is outside"), (real, "not whole numbers")] {
        let spec =
            IdxSpec { splits: vec!["all".to_string()], fields: vec![field("y", index(None), &source)] };
        let message = idx(&spec).unwrap_err().message;
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn mutations_never_panic() {
    let plain = file(0x0d, &[2, 3], &[0; 24]);
    let mut random = Lcg(1);
    for whole in [plain.clone(), gzip(&plain)] {
        for _ in 0..3_000 {
            // Either is right: a changed pixel is still a pixel.
            let _ = parse("x", random.mutated(&whole));
        }
    }
}
