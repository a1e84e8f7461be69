//! The IDX format of MNIST: two zero bytes, an element type, a number of dimensions, the dimensions as
//! big-endian 32-bit numbers, the elements. Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database.

use super::DataError;

/// The contents of an IDX file of bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Idx {
    /// Extents, outermost first: the first is the number of rows.
    pub dims: Vec<usize>,
    /// The elements, row-major.
    pub data: Vec<u8>,
}

/// The number of bytes that the header promises, if there is a whole header.
pub fn promised(bytes: &[u8]) -> Option<u64> {
    let dims = usize::from(*bytes.get(3)?);
    let mut total: u64 = 1;
    for i in 0..dims {
        let at = 4 + 4 * i;
        let dim = bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)?;
        total = total.saturating_mul(u64::from(dim));
    }
    Some(total.saturating_add(4 + 4 * dims as u64))
}

/// Reads an IDX file of unsigned bytes with this many dimensions; `name` is for messages.
///
/// # Errors
/// A wrong magic number, another element type, another number of dimensions, an extent of 0, and a length
/// other than the header says.
pub fn parse(name: &str, bytes: Vec<u8>, rank: usize) -> Result<Idx, DataError> {
    let header = 4 + 4 * rank;
    if bytes.len() < header {
        let message =
            format!("{name}: {} bytes; an IDX header of {rank} dimensions has {header}", bytes.len());
        return Err(DataError::new(message).help("the file is cut off; fetch it again"));
    }
    if bytes[0] != 0 || bytes[1] != 0 {
        let message =
            format!("{name}: begins with {:02x} {:02x}; an IDX file begins with 00 00", bytes[0], bytes[1]);
        return Err(DataError::new(message).help("is this an IDX file?"));
    }
    if bytes[2] != 8 {
        let message = format!("{name}: element type 0x{:02x} at byte 2; only 0x08 (bytes) is read", bytes[2]);
        return Err(DataError::new(message));
    }
    if usize::from(bytes[3]) != rank {
        let message = format!("{name}: {} dimensions at byte 3; expected {rank}", bytes[3]);
        return Err(
            DataError::new(message).help("images have 3 dimensions, labels 1: are the files swapped?")
        );
    }
    let dims: Vec<usize> = bytes[4..header]
        .chunks_exact(4)
        .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize)
        .collect();
    if let Some(axis) = dims.iter().position(|d| *d == 0) {
        return Err(DataError::new(format!("{name}: dimension {axis} is 0 at byte {}", 4 + 4 * axis)));
    }
    let expected = promised(&bytes).unwrap_or(u64::MAX);
    if expected != bytes.len() as u64 {
        let shape: Vec<String> = dims.iter().map(usize::to_string).collect();
        let message = format!(
            "{name}: {} bytes; the header promises {} = {expected} with its {header} bytes of header",
            bytes.len(),
            shape.join(" x ")
        );
        let help = if (bytes.len() as u64) < expected {
            "the file is cut off; fetch it again"
        } else {
            "there is something after the data"
        };
        return Err(DataError::new(message).help(help));
    }
    let data = bytes[header..].to_vec();
    Ok(Idx { dims, data })
}
