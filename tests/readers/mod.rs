//! Files that are right, and files that are wrong in every way: exact errors, never a panic.

mod csv;
mod idx;
mod safetensors;
mod text;
mod texts;

use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};

/// A folder that goes away with the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Numbers for mutations; the same in every run.
pub struct Lcg(pub u64);

impl Lcg {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0) * n as u128) >> 64) as usize
    }

    /// The bytes with one to four of them changed, removed or added.
    pub fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let byte = self.below(256) as u8;
            match self.below(4) {
                _ if out.is_empty() => out.push(byte),
                0 => out.insert(self.below(out.len()), byte),
                1 => drop(out.remove(self.below(out.len()))),
                2 => out.truncate(self.below(out.len() + 1)),
                _ => {
                    let at = self.below(out.len());
                    out[at] = byte;
                }
            }
        }
        out
    }
}
