//! Denormal numbers count as 0 in the kernels of a step.
//!
//! Moments of an optimizer whose gradients have become 0 shrink until they are denormal, and then stay so: nine
//! tenths of the least number round to that number. Processors take a hundred cycles and more for an operation on
//! one, so that training becomes slower as it goes on (`mlp` of `tests/bench`: 0.49 ms a step became 1.0 after 6,000).

/// While it lives, arithmetic of this thread takes operands that are denormal as 0, and gives 0 for results that
/// would be. On processors other than x86-64 and aarch64 nothing changes.
pub struct DenormalsAreZero {
    before: Control,
}

impl DenormalsAreZero {
    /// From now on.
    #[must_use]
    pub fn start() -> DenormalsAreZero {
        let before = control();
        set_control(before | FLUSH);
        DenormalsAreZero { before }
    }
}

impl Drop for DenormalsAreZero {
    fn drop(&mut self) {
        set_control(self.before);
    }
}

#[cfg(target_arch = "x86_64")]
mod machine {
    use std::arch::asm;

    pub type Control = u32;
    /// Flush to zero (bit 15) and denormals are zero (bit 6) of MXCSR.
    pub const FLUSH: Control = 1 << 15 | 1 << 6;

    pub fn control() -> Control {
        let mut control: Control = 0;
        // SAFETY: every x86-64 has the register; its value is written to a place of its size.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags)) };
        control
    }

    pub fn set_control(control: Control) {
        // SAFETY: a value that was read from the register, with bits that every processor with AVX or SSE3 has. It
        // stays between calls of kernels, whose arithmetic is not moved across this.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use std::arch::asm;

    pub type Control = u64;
    /// Flush to zero (FZ, bit 24) of FPCR.
    pub const FLUSH: Control = 1 << 24;

    pub fn control() -> Control {
        let control: Control;
        // SAFETY: reads a register that every processor has.
        unsafe { asm!("mrs {}, fpcr", out(reg) control, options(nostack, preserves_flags)) };
        control
    }

    pub fn set_control(control: Control) {
        // SAFETY: a value that was read from the register, with a bit that every processor has.
        unsafe { asm!("msr fpcr, {}", in(reg) control, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod machine {
    pub type Control = ();
    pub const FLUSH: Control = ();
    pub fn control() -> Control {}
    pub fn set_control((): Control) {}
}

use machine::{Control, FLUSH, control, set_control};
