//! The header of a safetensors file, checked against the file before anything else reads it: the length in
//! eight bytes, then JSON that gives each tensor's type, shape and place.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The longest header that is read.
const HEADER_BYTES: u64 = 100_000_000;

/// Where a tensor says that it lies in the data.
#[derive(Deserialize)]
struct Place {
    data_offsets: (u64, u64),
}

/// All tensors; a name that stands there twice is an error.
struct Places(BTreeMap<String, Place>);

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Places, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Places;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Places, M::Error> {
                let mut places = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let place = map.next_value()?;
                    if places.contains_key(&name) {
                        return Err(M::Error::custom(format!("tensor `{name}` is there twice")));
                    }
                    places.insert(name, place);
                }
                Ok(Places(places))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Says what is wrong with the header, if anything is.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let total = bytes.len();
    let Some((start, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(format!("{total} bytes; a safetensors file begins with 8 bytes of header length"));
    };
    let length = u64::from_le_bytes(*start);
    if length > HEADER_BYTES || length > rest.len() as u64 {
        return Err(format!("the header's length is {length} bytes; the file has {total}"));
    }
    let (header, data) = rest.split_at(length as usize);
    let places: Places =
        serde_json::from_slice(header).map_err(|error| format!("the header is wrong: {error}"))?;
    let mut expected = 0;
    let mut in_order: Vec<(&String, (u64, u64))> =
        places.0.iter().map(|(name, place)| (name, place.data_offsets)).collect();
    in_order.sort_by_key(|(_, offsets)| *offsets);
    for (name, (start, end)) in in_order {
        if start != expected || end < start || end > data.len() as u64 {
            return Err(format!(
                "tensor `{name}` lies at bytes {start} to {end}; expected is a place from {expected} within {}",
                data.len()
            ));
        }
        expected = end;
    }
    if expected != data.len() as u64 {
        return Err(format!("the tensors end at byte {expected} of the data; there are {}", data.len()));
    }
    Ok(())
}
