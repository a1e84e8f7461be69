//! Bytes of a file, unpacked where it is gzip, within limits that hold before anything is allocated.

use std::io::Read;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::DataError;
use crate::base::{Exit, limits, memory};

/// Whether the bytes begin like a gzip file.
pub fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The whole of a file as it is on disk.
///
/// # Errors
/// What is missing, not a file, unreadable, or larger than the limit or the memory that is free.
pub fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let refuse =
        |error: std::io::Error| DataError::new(format!("{}: {error}", path.display())).help("check the path");
    let about = std::fs::metadata(path).map_err(refuse)?;
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "no ordinary file" };
        return Err(DataError::new(format!("{}: this is {what}; a file is expected", path.display())));
    }
    let most = limits::UNPACKED_BYTES.min(memory::available().unwrap_or(u64::MAX));
    if about.len() > most {
        let message = format!("{}: {} bytes; at most {most} can be read", path.display(), about.len());
        return Err(DataError { exit: Exit::Resources, ..DataError::new(message) });
    }
    let mut bytes = Vec::with_capacity(about.len() as usize + 1);
    // A file that grows while it is read is no reason to run out of memory.
    let file = std::fs::File::open(path).map_err(refuse)?;
    file.take(most).read_to_end(&mut bytes).map_err(refuse)?;
    Ok(bytes)
}

/// How many bytes may come out of this many packed ones.
pub fn ceiling(packed: usize) -> u64 {
    let by_ratio = (packed as u64).saturating_mul(limits::UNPACK_RATIO).max(limits::UNPACK_FREE);
    // While a vector grows, its old and its new memory are both there.
    let by_memory = memory::available().map_or(u64::MAX, |free| free / 2);
    by_ratio.min(limits::UNPACKED_BYTES).min(by_memory)
}

/// The contents of bytes that may be gzip; `name` is for messages.
///
/// # Errors
/// A damaged or truncated stream, and one that unpacks to more than [`ceiling`].
pub fn unpack(name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, DataError> {
    if !is_gzip(&bytes) {
        return Ok(bytes);
    }
    let limit = ceiling(bytes.len());
    let out = unpack_at_most(name, &bytes, limit)?;
    if out.len() as u64 > limit {
        let message = format!("{name}: {} bytes that unpack to more than {limit}", bytes.len());
        return Err(DataError { exit: Exit::Resources, ..DataError::new(message) }
            .help("no real data is packed so tightly; if this is, unpack it first"));
    }
    Ok(out)
}

/// Unpacks gzip until `limit + 1` bytes are there: one more than the limit says that it does not hold.
///
/// # Errors
/// A damaged or truncated stream.
pub fn unpack_at_most(name: &str, bytes: &[u8], limit: u64) -> Result<Vec<u8>, DataError> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).take(limit.saturating_add(1)).read_to_end(&mut out).map_err(|error| {
        let message = format!(
            "{name}: the gzip stream is damaged or cut off after {} unpacked bytes: {error}",
            out.len()
        );
        DataError::new(message).help("fetch the file again")
    })?;
    Ok(out)
}

/// The first `count` bytes of what would be unpacked, to read a header before the rest. Fewer where there are
/// no more, or where the stream breaks off: whoever reads the rest will say so.
pub fn peek(bytes: &[u8], count: usize) -> Vec<u8> {
    if !is_gzip(bytes) {
        return bytes.iter().take(count).copied().collect();
    }
    let mut out = Vec::new();
    // The bytes before an error are kept.
    let _ = MultiGzDecoder::new(bytes).take(count as u64).read_to_end(&mut out);
    out
}
