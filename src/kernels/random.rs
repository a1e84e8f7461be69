//! Random numbers from a counter: each is a function of where it is used, so nothing has to be stored
//! and no order of computation, number of threads or resumption changes one.
//!
//! The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
//! as 1, 2, 3" (SC 2011). One call with the seed as key turns (stream, step) into a key; with that, the
//! counter (example, element / 4) gives four words, one for each of four neighbouring elements.

use super::isa::Isa;
use super::vecmath;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Philox4x32 with 10 rounds.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c0);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c2);
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [c0, c1, c2, c3]
}

#[inline(always)]
fn halves(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

/// The numbers of one random node at one step for one example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generator {
    key: [u32; 2],
    example: [u32; 2],
}

impl Generator {
    /// `stream` tells the nodes of an experiment apart, `example` counts within all that a step sees.
    pub fn new(seed: u64, stream: u64, step: u64, example: u64) -> Generator {
        let ([a, b], [c, d]) = (halves(stream), halves(step));
        let [k0, k1, _, _] = philox([a, b, c, d], halves(seed));
        Generator { key: [k0, k1], example: halves(example) }
    }

    /// The four words of elements `4 * block` to `4 * block + 3`.
    #[inline(always)]
    fn block(&self, block: u64) -> [u32; 4] {
        let [low, high] = halves(block);
        philox([low, high, self.example[0], self.example[1]], self.key)
    }

    /// 32 random bits.
    pub fn bits(&self, element: u64) -> u32 {
        self.block(element / 4)[(element % 4) as usize]
    }

    /// 64 random bits: those of elements `2 * pair` and `2 * pair + 1`, the first of them on top.
    pub fn bits64(&self, pair: u64) -> u64 {
        let [a, b, c, d] = self.block(pair / 2);
        let (high, low) = if pair.is_multiple_of(2) { (a, b) } else { (c, d) };
        u64::from(high) << 32 | u64::from(low)
    }

    /// Uniform in `[0, 1)`, a multiple of `2^-24`.
    pub fn uniform(&self, element: u64) -> f32 {
        uniform_of(self.bits(element))
    }

    /// Standard normal.
    pub fn normal(&self, element: u64) -> f32 {
        normals_of(self.block(element / 4))[(element % 4) as usize]
    }

    /// Elements 0, 1, 2, ... of the uniform distribution.
    pub fn fill_uniform(&self, out: &mut [f32]) {
        self.fill(out, Isa::current(), Kind::Uniform);
    }

    /// Elements 0, 1, 2, ... of the normal distribution.
    pub fn fill_normal(&self, out: &mut [f32]) {
        self.fill(out, Isa::current(), Kind::Normal);
    }

    fn fill(&self, out: &mut [f32], isa: Isa, kind: Kind) {
        match isa.min(Isa::detected()) {
            Isa::Scalar => fill_with(self, out, kind),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has these features, as `detected` says.
            Isa::Avx2 => unsafe { fill_avx2(self, out, kind) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the processor has these features, as `detected` says.
            Isa::Avx512 => unsafe { fill_avx512(self, out, kind) },
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => fill_with(self, out, kind),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Uniform,
    Normal,
}

/// Blocks are made this many at a time, so that the compiler can use vectors.
const LANES: usize = 16;

#[inline(always)]
fn fill_with(generator: &Generator, out: &mut [f32], kind: Kind) {
    match kind {
        Kind::Uniform => fill_blocks(generator, out, |words| words.map(uniform_of)),
        Kind::Normal => fill_blocks(generator, out, normals_of),
    }
}

#[inline(always)]
fn fill_blocks(generator: &Generator, out: &mut [f32], map: impl Fn([u32; 4]) -> [f32; 4]) {
    let mut chunks = out.chunks_exact_mut(4 * LANES);
    let mut block = 0;
    for chunk in &mut chunks {
        let mut values = [[0.0; LANES]; 4];
        for lane in 0..LANES {
            let four = map(generator.block(block + lane as u64));
            for (row, value) in values.iter_mut().zip(four) {
                row[lane] = value;
            }
        }
        for lane in 0..LANES {
            for (row, values) in values.iter().enumerate() {
                chunk[4 * lane + row] = values[lane];
            }
        }
        block += LANES as u64;
    }
    for four in chunks.into_remainder().chunks_mut(4) {
        let values = map(generator.block(block));
        four.copy_from_slice(&values[..four.len()]);
        block += 1;
    }
}

/// # Safety
/// The processor must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn fill_avx2(generator: &Generator, out: &mut [f32], kind: Kind) {
    fill_with(generator, out, kind);
}

/// # Safety
/// The processor must have AVX-512 F, VL, DQ and BW.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
unsafe fn fill_avx512(generator: &Generator, out: &mut [f32], kind: Kind) {
    fill_with(generator, out, kind);
}

#[inline(always)]
fn uniform_of(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / 16_777_216.0)
}

/// Box-Muller on two pairs. The first of a pair is taken from `(0, 1]`, so that its logarithm is finite.
#[inline(always)]
fn normals_of(words: [u32; 4]) -> [f32; 4] {
    let pair = |a: u32, b: u32| {
        let u = ((a >> 8) + 1) as f32 * (1.0 / 16_777_216.0);
        let radius = (-2.0 * vecmath::log(u)).sqrt();
        let angle = std::f32::consts::TAU * uniform_of(b);
        (radius * vecmath::cos(angle), radius * vecmath::sin(angle))
    };
    let (a, b) = pair(words[0], words[1]);
    let (c, d) = pair(words[2], words[3]);
    [a, b, c, d]
}

/// 32 random bits; see [`Generator`].
pub fn bits(seed: u64, stream: u64, step: u64, example: u64, element: u64) -> u32 {
    Generator::new(seed, stream, step, example).bits(element)
}

/// Uniform in `[0, 1)`; see [`Generator`].
pub fn uniform(seed: u64, stream: u64, step: u64, example: u64, element: u64) -> f32 {
    Generator::new(seed, stream, step, example).uniform(element)
}

/// Standard normal; see [`Generator`].
pub fn normal(seed: u64, stream: u64, step: u64, example: u64, element: u64) -> f32 {
    Generator::new(seed, stream, step, example).normal(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_the_published_vectors() {
        // From kat_vectors of the authors' library, Random123.
        let vectors = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([!0; 4], [!0; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, expected) in vectors {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn fills_equal_single_numbers_on_every_instruction_set() {
        for isa in Isa::available() {
            for length in [0, 1, 3, 4, 5, 63, 64, 65, 131] {
                let generator = Generator::new(7, 3, 11, length);
                let mut out = vec![9.0; length as usize + 1];
                let (body, canary) = out.split_at_mut(length as usize);
                generator.fill(body, isa, Kind::Uniform);
                for (i, x) in body.iter().enumerate() {
                    assert_eq!(*x, generator.uniform(i as u64));
                }
                generator.fill(body, isa, Kind::Normal);
                for (i, x) in body.iter().enumerate() {
                    assert_eq!(x.to_bits(), generator.normal(i as u64).to_bits(), "{isa:?} {i}");
                }
                assert_eq!(canary, [9.0]);
            }
        }
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        let mut out = vec![0.0; 1 << 17];
        let n = out.len() as f64;
        let moment = |out: &[f32], k: i32| out.iter().map(|x| f64::from(*x).powi(k)).sum::<f64>() / n;
        Generator::new(1, 0, 1, 0).fill_uniform(&mut out);
        assert!(out.iter().all(|x| (0.0..1.0).contains(x)));
        for k in 1..=4 {
            assert!((moment(&out, k) - 1.0 / f64::from(k + 1)).abs() < 5e-3, "moment {k}");
        }
        Generator::new(1, 0, 2, 0).fill_normal(&mut out);
        assert!(out.iter().all(|x| x.is_finite()));
        for (k, expected, bound) in [(1, 0.0, 0.02), (2, 1.0, 0.02), (3, 0.0, 0.05), (4, 3.0, 0.1)] {
            assert!((moment(&out, k) - expected).abs() < bound, "moment {k}: {}", moment(&out, k));
        }
    }

    #[test]
    fn every_coordinate_matters() {
        let base = bits(1, 2, 3, 4, 5);
        for other in [
            bits(2, 2, 3, 4, 5),
            bits(1, 3, 3, 4, 5),
            bits(1, 2, 4, 4, 5),
            bits(1, 2, 3, 5, 5),
            bits(1, 2, 3, 4, 6),
            bits(1, 2, 3, 4, 5 + (1 << 40)),
            bits(1 + (1 << 40), 2, 3, 4, 5),
        ] {
            assert_ne!(base, other);
        }
    }
}
