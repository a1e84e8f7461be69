//! What the processor can do at most: multiply-adds in registers alone, to compare real work with.

use std::hint::black_box;
use std::time::Instant;

use super::isa::Isa;
use super::simd::{Portable, Vector};
#[cfg(target_arch = "x86_64")]
use super::simd::{Wide256, Wide512};

/// Independent sums: enough to hide the latency of a multiply-add on any present processor.
const SUMS: usize = 12;
/// Multiply-adds of each sum in one call.
const ROUNDS: usize = 200_000;

/// # Safety
/// The processor must have the features of `V`.
#[inline(always)]
unsafe fn work<V: Vector>(factor: f32) -> f32 {
    // SAFETY: by the caller, the processor has the features; the array has room for a vector.
    unsafe {
        let x = V::splat(factor);
        let mut sums = [V::zero(); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.fma(x, x);
            }
        }
        let mut total = V::zero();
        for sum in sums {
            total = total.fma(x, sum);
        }
        let mut out = [0.0; 16];
        total.store(out.as_mut_ptr());
        out.iter().sum()
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(factor: f32) -> f32 {
    // SAFETY: the features are enabled here.
    unsafe { work::<Wide256>(factor) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn avx512(factor: f32) -> f32 {
    // SAFETY: the features are enabled here.
    unsafe { work::<Wide512>(factor) }
}

/// Floating-point operations that one call makes; a multiply-add is two.
fn call(isa: Isa) -> f64 {
    let factor = black_box(0.5);
    let lanes = match isa {
        Isa::Scalar => {
            // SAFETY: plain Rust needs no features.
            black_box(unsafe { work::<Portable>(factor) });
            Portable::LANES
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            // SAFETY: this set is only current where the processor has it.
            black_box(unsafe { avx2(factor) });
            Wide256::LANES
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            // SAFETY: this set is only current where the processor has it.
            black_box(unsafe { avx512(factor) });
            Wide512::LANES
        }
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => {
            // SAFETY: plain Rust needs no features.
            black_box(unsafe { work::<Portable>(factor) });
            Portable::LANES
        }
    };
    2.0 * (lanes * SUMS * ROUNDS) as f64
}

/// The most floating-point operations a second that this many threads reach together.
pub fn flops_per_second(threads: usize) -> f64 {
    let isa = Isa::current();
    // A call takes some milliseconds; the best of several is the one least disturbed.
    let best = || {
        let one = |_| {
            let start = Instant::now();
            let flops = call(isa);
            flops / start.elapsed().as_secs_f64().max(1e-9)
        };
        (0..8).map(one).fold(0.0, f64::max)
    };
    let best = &best;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(best)).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).sum()
    })
}
