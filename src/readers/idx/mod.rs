//! Tables from IDX files, the format of MNIST: two zero bytes, an element type, a number of dimensions, the
//! dimensions as big-endian 32-bit numbers, the elements. Source: Y. LeCun, C. Cortes, C. Burges, The MNIST
//! database.

mod table;

pub use table::{IdxField, IdxKind, IdxSpec, Source, idx};

use super::{DataError, gzip};
use crate::base::Exit;
use crate::ty::Shape;

/// The contents of an IDX file.
#[derive(Clone, Debug, PartialEq)]
pub struct Idx {
    /// Extents, outermost first: the first is the number of rows.
    pub dims: Vec<usize>,
    /// The elements, row-major.
    pub data: Elements,
}

/// The elements of an IDX file.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Unsigned bytes.
    Bytes(Vec<u8>),
    /// Whole numbers: signed bytes, 16 or 32 bits.
    Whole(Vec<i32>),
    /// Numbers of 32 or 64 bits, as 32 bits.
    Real(Vec<f32>),
}

/// The element types of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U8,
    I8,
    I16,
    I32,
    F32,
    F64,
}

impl Kind {
    fn of(code: u8) -> Option<Kind> {
        Some(match code {
            0x08 => Kind::U8,
            0x09 => Kind::I8,
            0x0B => Kind::I16,
            0x0C => Kind::I32,
            0x0D => Kind::F32,
            0x0E => Kind::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> u64 {
        match self {
            Kind::U8 | Kind::I8 => 1,
            Kind::I16 => 2,
            Kind::I32 | Kind::F32 => 4,
            Kind::F64 => 8,
        }
    }
}

/// What the first bytes say.
struct Header {
    kind: Kind,
    dims: Vec<usize>,
    /// Length of the header itself.
    length: usize,
    /// Length of the whole file.
    promised: u64,
}

impl Header {
    /// `7840016 bytes for 10000 x 28 x 28`
    fn expectation(&self) -> String {
        let dims: Vec<String> = self.dims.iter().map(usize::to_string).collect();
        format!("{} bytes for {} and {} of header", self.promised, dims.join(" x "), self.length)
    }
}

/// Reads an IDX file, plain or gzip; `name` is for messages.
///
/// # Errors
/// A wrong magic number, an unknown element type, an extent of 0, a length other than the header says, a
/// damaged gzip stream.
pub fn parse(name: &str, bytes: Vec<u8>) -> Result<Idx, DataError> {
    let header = header(name, &bytes)?;
    let bytes = if gzip::is_gzip(&bytes) {
        let most = gzip::ceiling(bytes.len());
        if header.promised > most {
            let message = format!(
                "{name}: the header promises {}; a file of {} packed bytes may hold {most}",
                header.expectation(),
                bytes.len()
            );
            return Err(DataError { exit: Exit::Resources, ..DataError::new(message) }
                .help("the header is wrong, or the file is packed more tightly than real data"));
        }
        gzip::unpack_at_most(name, &bytes, header.promised)?
    } else {
        bytes
    };
    let found = bytes.len() as u64;
    if found > header.promised {
        let more = if found == header.promised + 1 { " and more" } else { "" };
        let message = format!("{name}: expected {}, found {found}{more}", header.expectation());
        return Err(DataError::new(message).help("there is something after the data, or the header is wrong"));
    }
    if found < header.promised {
        let message = format!("{name}: expected {}, found {found}", header.expectation());
        return Err(
            DataError::new(message).help("the file is cut off, or the header is wrong: fetch it again")
        );
    }
    let data = elements(name, header.kind, bytes, header.length)?;
    Ok(Idx { dims: header.dims, data })
}

/// Reads the header alone, without believing anything of it.
fn header(name: &str, bytes: &[u8]) -> Result<Header, DataError> {
    let cut = |found: usize, needed: usize| {
        DataError::new(format!("{name}: expected {needed} bytes of IDX header, found {found}"))
            .help("the file is cut off: fetch it again")
    };
    let start = gzip::peek(bytes, 4);
    let &[zero, zero_too, code, rank] = start.as_slice() else {
        // A broken gzip stream says more than a short header.
        if gzip::is_gzip(bytes) {
            gzip::unpack_at_most(name, bytes, 4)?;
        }
        return Err(cut(start.len(), 4));
    };
    if zero != 0 || zero_too != 0 {
        let message = format!("{name}: begins with {zero:02x} {zero_too:02x}; an IDX file begins with 00 00");
        return Err(DataError::new(message).help("is this an IDX file?"));
    }
    let kind = Kind::of(code).ok_or_else(|| {
        DataError::new(format!(
            "{name}: element type 0x{code:02x} at byte 2; IDX knows 08, 09, 0b, 0c, 0d and 0e"
        ))
    })?;
    if rank == 0 {
        return Err(DataError::new(format!("{name}: 0 dimensions at byte 3; expected at least 1")));
    }
    let length = 4 + 4 * usize::from(rank);
    let whole = gzip::peek(bytes, length);
    if whole.len() < length {
        if gzip::is_gzip(bytes) {
            gzip::unpack_at_most(name, bytes, length as u64)?;
        }
        return Err(cut(whole.len(), length));
    }
    let extents: Vec<i64> =
        whole[4..].chunks_exact(4).map(|b| i64::from(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))).collect();
    if let Some(axis) = extents.iter().position(|extent| *extent == 0) {
        let message = format!("{name}: dimension {axis} is 0 at byte {}", 4 + 4 * axis);
        return Err(DataError::new(message).help("every dimension is at least 1"));
    }
    let shape = Shape::checked(&extents).map_err(|bad| DataError::new(format!("{name}: {bad}")))?;
    let promised = shape.elements() as u64 * kind.bytes() + length as u64;
    Ok(Header { kind, dims: shape.to_vec(), length, promised })
}

/// The elements after the header.
fn elements(name: &str, kind: Kind, mut bytes: Vec<u8>, start: usize) -> Result<Elements, DataError> {
    if kind == Kind::U8 {
        bytes.drain(..start);
        return Ok(Elements::Bytes(bytes));
    }
    let data = &bytes[start..];
    let elements = match kind {
        Kind::U8 | Kind::I8 => Elements::Whole(data.iter().map(|b| i32::from(b.cast_signed())).collect()),
        Kind::I16 => Elements::Whole(
            data.chunks_exact(2).map(|b| i32::from(i16::from_be_bytes([b[0], b[1]]))).collect(),
        ),
        Kind::I32 => Elements::Whole(
            data.chunks_exact(4).map(|b| i32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect(),
        ),
        Kind::F32 => Elements::Real(
            data.chunks_exact(4).map(|b| f32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect(),
        ),
        Kind::F64 => Elements::Real(
            data.chunks_exact(8)
                .map(|b| f64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                .collect(),
        ),
    };
    if let Elements::Real(values) = &elements
        && let Some(at) = values.iter().position(|value| !value.is_finite())
    {
        let message = format!("{name}: element {at} is {}; every value must be finite", values[at]);
        return Err(DataError::new(message));
    }
    Ok(elements)
}
