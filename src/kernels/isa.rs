//! Which instruction set the kernels use: found out once, or forced by `NNC_ISA`.

use std::sync::OnceLock;

/// An instruction set for which kernels exist, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust, the same everywhere.
    Scalar,
    /// x86-64 with AVX2, FMA and POPCNT.
    Avx2,
    /// x86-64 with AVX-512 (F, VL, DQ, BW), AVX2, FMA and POPCNT.
    Avx512,
}

impl Isa {
    /// The best set this processor has.
    pub fn detected() -> Isa {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("popcnt");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw");
            if avx2 && avx512 {
                return Isa::Avx512;
            }
            if avx2 {
                return Isa::Avx2;
            }
        }
        Isa::Scalar
    }

    /// All sets this processor has, weakest first.
    pub fn available() -> Vec<Isa> {
        let best = Isa::detected();
        [Isa::Scalar, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| *isa <= best).collect()
    }

    /// The set named by `NNC_ISA` (`scalar`, `avx2`, `avx512`) if the processor has it, else the best.
    /// Decided at the first call.
    pub fn current() -> Isa {
        static CURRENT: OnceLock<Isa> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let wanted = match std::env::var("NNC_ISA").as_deref() {
                Ok("scalar") => Isa::Scalar,
                Ok("avx2") => Isa::Avx2,
                _ => Isa::Avx512,
            };
            wanted.min(Isa::detected())
        })
    }
}

/// Compiles one `#[inline(always)]` body for each instruction set, as a function that takes the set as
/// its first argument.
macro_rules! versions {
    ($(#[$doc:meta])* $vis:vis unsafe fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident;) => {
        $(#[$doc])*
        $vis unsafe fn $name(isa: $crate::kernels::isa::Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $type),*) {
                // SAFETY: the contract of the body is that of this function.
                unsafe { $body($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
            unsafe fn avx512($($arg: $type),*) {
                // SAFETY: the contract of the body is that of this function.
                unsafe { $body($($arg),*) }
            }
            // SAFETY: the contract of the body is that of this function, and the processor has the set.
            unsafe {
                match isa.min($crate::kernels::isa::Isa::detected()) {
                    #[cfg(target_arch = "x86_64")]
                    $crate::kernels::isa::Isa::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::kernels::isa::Isa::Avx512 => avx512($($arg),*),
                    _ => $body($($arg),*),
                }
            }
        }
    };
}
pub(super) use versions;

/// One of three values by an instruction set, or by a weaker one if the processor does not have it: for plain Rust, AVX2
/// and AVX-512.
macro_rules! by_isa {
    ($isa:expr, $scalar:expr, $avx2:expr, $avx512:expr) => {
        match $isa.min($crate::kernels::isa::Isa::detected()) {
            $crate::kernels::isa::Isa::Scalar => $scalar,
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::isa::Isa::Avx2 => $avx2,
            #[cfg(target_arch = "x86_64")]
            $crate::kernels::isa::Isa::Avx512 => $avx512,
            #[cfg(not(target_arch = "x86_64"))]
            $crate::kernels::isa::Isa::Avx2 | $crate::kernels::isa::Isa::Avx512 => $scalar,
        }
    };
}
pub(super) use by_isa;
