//! Bytes of a file, unpacked where it is gzip, within limits that hold before anything is allocated.

use std::io::Read;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::DataError;
use crate::base::{Exit, limits};

/// Whether the bytes begin like a gzip file.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The whole of a file as it is on disk.
///
/// # Errors
/// A file that is missing, unreadable, or larger than the limit.
pub fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let refuse = |error: std::io::Error| {
        DataError::new(format!("{}: {error}", path.display()))
            .help("check the path; it is taken from the spec's folder")
    };
    let length = std::fs::metadata(path).map_err(refuse)?.len();
    if length > limits::UNPACKED_BYTES {
        let message =
            format!("{}: {length} bytes; at most {} are read", path.display(), limits::UNPACKED_BYTES);
        return Err(DataError { exit: Exit::Resources, ..DataError::new(message) });
    }
    std::fs::read(path).map_err(refuse)
}

/// The contents of bytes that may be gzip; `name` is for messages. At most `most` bytes come out, if given.
///
/// # Errors
/// A damaged or truncated stream, and one that unpacks to more than `most` or the limits.
pub fn unpack(name: &str, bytes: Vec<u8>, most: Option<u64>) -> Result<Vec<u8>, DataError> {
    if !is_gzip(&bytes) {
        return Ok(bytes);
    }
    let by_ratio = (bytes.len() as u64).saturating_mul(limits::UNPACK_RATIO);
    let limit = most.unwrap_or(u64::MAX).min(limits::UNPACKED_BYTES).min(by_ratio);
    let mut out = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes.as_slice()).take(limit + 1);
    decoder.read_to_end(&mut out).map_err(|error| {
        DataError::new(format!(
            "{name}: the gzip stream is damaged or cut off after {} unpacked bytes ({error})",
            out.len()
        ))
        .help("fetch the file again")
    })?;
    if out.len() as u64 > limit {
        return Err(DataError::new(format!("{name}: unpacks to more than {limit} bytes"))
            .help("the file is larger than it says, or not what it should be"));
    }
    Ok(out)
}

/// The first bytes of what [`unpack`] would return, to read a header before the rest.
///
/// # Errors
/// A damaged stream.
pub fn peek(name: &str, bytes: &[u8], count: usize) -> Result<Vec<u8>, DataError> {
    if !is_gzip(bytes) {
        return Ok(bytes.iter().take(count).copied().collect());
    }
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).take(count as u64).read_to_end(&mut out).map_err(|error| {
        DataError::new(format!("{name}: the gzip stream is damaged ({error})")).help("fetch the file again")
    })?;
    Ok(out)
}
