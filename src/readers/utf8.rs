//! Bytes as text.

use super::DataError;

/// The text of a file's bytes, without a byte order mark, which some programs put in front.
///
/// # Errors
/// The first byte that is not UTF-8, with its line.
pub fn text<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, DataError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
        DataError::new(format!("{file}: byte {} in line {line} is not UTF-8 text", error.valid_up_to()))
            .help("save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
