//! Safetensors: what is written is read; what lies is refused.

use nnc::base::Exit;
use nnc::readers::safetensors::{Tensors, read, write, write_whole};
use nnc::ty::Shape;

use super::{Folder, Lcg};

fn sample() -> Tensors {
    let mut tensors = Tensors::new();
    tensors.insert("Net.dense.weight".into(), (Shape::of(&[2, 3]), vec![1.0, -2.5, 0.0, 1e-40, 3e38, 6.0]));
    tensors.insert("Net.dense.bias".into(), (Shape::of(&[3]), vec![0.5; 3]));
    tensors.insert("scale".into(), (Shape::scalar(), vec![-0.0]));
    tensors
}

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn entry(name: &str, dtype: &str, shape: &str, from: u64, to: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
}

#[test]
fn what_is_written_is_read() {
    let folder = Folder::new();
    let path = folder.path().join("w.safetensors");
    write(&path, &sample()).unwrap();
    let read_back = read(&path).unwrap();
    assert_eq!(read_back, sample());
    assert!(read_back["scale"].1[0].is_sign_negative());
    let bytes = std::fs::read(&path).unwrap();
    // Over an old file, with the same bytes, and nothing left beside it.
    write(&path, &sample()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_written_leaves_the_old() {
    let folder = Folder::new();
    let error = write(&folder.path().join("no/such/w.safetensors"), &sample()).unwrap_err();
    assert_eq!(error.exit, Exit::Resources);
    assert!(error.message.contains("cannot be written"), "{}", error.message);
    // A folder of this name stands in the way of the rename.
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    assert_eq!(write_whole(&taken, b"x").unwrap_err().exit, Exit::Resources);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn doubles_are_rounded() {
    let folder = Folder::new();
    let data: Vec<u8> = [0.1f64, -3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let bytes = file(&format!("{{{}}}", entry("a", "F64", "[2]", 0, 16)), &data);
    let tensors = read(&folder.write("w", &bytes)).unwrap();
    assert_eq!(tensors["a"].1, [0.1f32, -3.0]);
}

#[test]
fn files_that_lie_are_refused() {
    let folder = Folder::new();
    let one = |e: String| format!("{{{e}}}");
    let two = |a: String, b: String| format!("{{{a},{b}}}");
    let nan: Vec<u8> = [1.0, f32::NAN].iter().flat_map(|x| x.to_le_bytes()).collect();
    let large: Vec<u8> = 1e300f64.to_le_bytes().to_vec();
    let huge = u64::MAX.to_le_bytes();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "0 bytes; a safetensors file begins with 8 bytes"),
        (vec![1, 2, 3], "3 bytes; a safetensors file"),
        (huge.to_vec(), "the header's length is 18446744073709551615 bytes; the file has 8"),
        (file("{}", &[])[..9].to_vec(), "the header's length is 2 bytes; the file has 9"),
        (file("{", &[]), "the header is wrong"),
        (file("[]", &[]), "the header is wrong"),
        (file("\u{7f}", &[]), "the header is wrong"),
        (file(&one(entry("a", "F32", "[2]", 0, 16)), &[0; 8]), "`a` lies at bytes 0 to 16"),
        (file(&one(entry("a", "F32", "[2]", 8, 0)), &[0; 8]), "`a` lies at bytes 8 to 0"),
        (
            file(&one(entry("a", "F32", "[2]", 0, u64::MAX)), &[0; 8]),
            "`a` lies at bytes 0 to 18446744073709551615",
        ),
        (file(&one(entry("a", "F32", "[3]", 0, 8)), &[0; 8]), "not a whole safetensors file"),
        (
            file(&one(entry("a", "F32", "[4294967296,4294967296]", 0, 8)), &[0; 8]),
            "not a whole safetensors file",
        ),
        (file(&one(entry("a", "F32", "[-1]", 0, 8)), &[0; 8]), "not a whole safetensors file"),
        (file(&one(entry("a", "F32", "[0]", 0, 0)), &[]), "tensor `a`: a dimension is 0"),
        (
            file(&one(entry("a", "F32", "[2]", 0, 8)), &[0; 9]),
            "the tensors end at byte 8 of the data; there are 9",
        ),
        (file(&one(entry("a", "F16", "[2]", 0, 4)), &[0; 4]), "tensor `a` is F16; F32 or F64 is needed"),
        (file(&one(entry("a", "BF16", "[2]", 0, 4)), &[0; 4]), "tensor `a` is BF16"),
        (file(&one(entry("a", "I64", "[1]", 0, 8)), &[0; 8]), "tensor `a` is I64"),
        (file(&one(entry("a", "Q7", "[1]", 0, 8)), &[0; 8]), "not a whole safetensors file"),
        (file(&one(entry("a", "F32", "[2]", 0, 8)), &nan), "tensor `a`: element 1 is NaN, not a finite f32"),
        (file(&one(entry("a", "F64", "[1]", 0, 8)), &large), "tensor `a`: element 0 is inf"),
        (
            file(&two(entry("a", "F32", "[1]", 0, 4), entry("a", "F32", "[1]", 0, 4)), &[0; 4]),
            "tensor `a` is there twice",
        ),
        (
            file(&two(entry("a", "F32", "[2]", 0, 8), entry("b", "F32", "[2]", 4, 12)), &[0; 12]),
            "`b` lies at bytes 4 to 12; expected is a place from 8",
        ),
        (
            file(&two(entry("a", "F32", "[1]", 0, 4), entry("b", "F32", "[1]", 8, 12)), &[0; 12]),
            "`b` lies at bytes 8 to 12; expected is a place from 4",
        ),
    ];
    for (bytes, expected) in cases {
        let error = read(&folder.write("w.safetensors", &bytes)).expect_err(expected);
        assert!(error.message.contains(expected), "expected {expected}\nfound {}", error.message);
        assert_eq!(error.exit, Exit::Weights);
    }
    assert_eq!(read(&folder.path().join("nowhere")).unwrap_err().exit, Exit::Weights);
    assert_eq!(read(folder.path()).unwrap_err().exit, Exit::Weights);
}

#[test]
fn every_prefix_is_refused() {
    let folder = Folder::new();
    let path = folder.path().join("w");
    write(&path, &sample()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        assert!(read(&folder.write("w", &whole[..length])).is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn mutations_never_panic() {
    let folder = Folder::new();
    let path = folder.path().join("w");
    write(&path, &sample()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut random = Lcg(2);
    for _ in 0..2_000 {
        // Either is right: a changed weight is still a weight.
        let _ = read(&folder.write("w", &random.mutated(&whole)));
    }
}
