//! The two sets of vector instructions: their registers, and which instruction does what.

use iced_x86::{Code, Register};

use super::program::Kind;
use crate::kernels::isa::Isa;

/// Which instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Sixteen lanes, masks in registers of their own.
    Avx512,
    /// Eight lanes, masks in vectors.
    Avx2,
}

impl Set {
    /// The set for an instruction set; it need not be one of this processor.
    pub fn of(isa: Isa) -> Option<Set> {
        match isa {
            Isa::Scalar => None,
            Isa::Avx2 => Some(Set::Avx2),
            Isa::Avx512 => Some(Set::Avx512),
        }
    }

    /// Lanes of a vector.
    pub fn width(self) -> usize {
        match self {
            Set::Avx512 => 16,
            Set::Avx2 => 8,
        }
    }

    /// How many registers hold values; the next ones hold a result on its way to memory, and three operands.
    pub fn values(self) -> u8 {
        match self {
            Set::Avx512 => 28,
            Set::Avx2 => 9,
        }
    }

    /// The numbers of the registers for masks.
    pub fn masks(self) -> std::ops::Range<u8> {
        match self {
            Set::Avx512 => 1..6,
            Set::Avx2 => 9..12,
        }
    }

    /// The vector register of this number.
    pub fn register(self, number: u8) -> Register {
        let first = match self {
            Set::Avx512 => Register::ZMM0,
            Set::Avx2 => Register::YMM0,
        };
        first + u32::from(number)
    }

    /// The mask register of this number.
    pub fn mask(self, number: u8) -> Register {
        match self {
            Set::Avx512 => Register::K0 + u32::from(number),
            Set::Avx2 => Register::YMM0 + u32::from(number),
        }
    }

    /// A result that has no register.
    pub fn result(self) -> Register {
        match self {
            Set::Avx512 => Register::ZMM28,
            Set::Avx2 => Register::YMM12,
        }
    }

    /// Operands that have no register.
    pub fn operands(self) -> [Register; 3] {
        match self {
            Set::Avx512 => [Register::ZMM29, Register::ZMM30, Register::ZMM31],
            Set::Avx2 => [Register::YMM13, Register::YMM14, Register::YMM15],
        }
    }

    /// The instruction for what needs just one, with the number that it takes.
    pub fn code(self, kind: Kind) -> (Code, Option<i32>) {
        let [wide, narrow] = match kind {
            Kind::Add => [Code::EVEX_Vaddps_zmm_k1z_zmm_zmmm512b32_er, Code::VEX_Vaddps_ymm_ymm_ymmm256],
            Kind::Sub => [Code::EVEX_Vsubps_zmm_k1z_zmm_zmmm512b32_er, Code::VEX_Vsubps_ymm_ymm_ymmm256],
            Kind::Mul => [Code::EVEX_Vmulps_zmm_k1z_zmm_zmmm512b32_er, Code::VEX_Vmulps_ymm_ymm_ymmm256],
            Kind::Div => [Code::EVEX_Vdivps_zmm_k1z_zmm_zmmm512b32_er, Code::VEX_Vdivps_ymm_ymm_ymmm256],
            Kind::Max => [Code::EVEX_Vmaxps_zmm_k1z_zmm_zmmm512b32_sae, Code::VEX_Vmaxps_ymm_ymm_ymmm256],
            Kind::Min => [Code::EVEX_Vminps_zmm_k1z_zmm_zmmm512b32_sae, Code::VEX_Vminps_ymm_ymm_ymmm256],
            Kind::IntAdd => [Code::EVEX_Vpaddd_zmm_k1z_zmm_zmmm512b32, Code::VEX_Vpaddd_ymm_ymm_ymmm256],
            Kind::IntSub => [Code::EVEX_Vpsubd_zmm_k1z_zmm_zmmm512b32, Code::VEX_Vpsubd_ymm_ymm_ymmm256],
            Kind::And => [Code::EVEX_Vpandd_zmm_k1z_zmm_zmmm512b32, Code::VEX_Vpand_ymm_ymm_ymmm256],
            Kind::Xor => [Code::EVEX_Vpxord_zmm_k1z_zmm_zmmm512b32, Code::VEX_Vpxor_ymm_ymm_ymmm256],
            Kind::Sqrt => [Code::EVEX_Vsqrtps_zmm_k1z_zmmm512b32_er, Code::VEX_Vsqrtps_ymm_ymmm256],
            Kind::Floor | Kind::Trunc => {
                [Code::EVEX_Vrndscaleps_zmm_k1z_zmmm512b32_imm8_sae, Code::VEX_Vroundps_ymm_ymmm256_imm8]
            }
            Kind::Convert => [Code::EVEX_Vcvtdq2ps_zmm_k1z_zmmm512b32_er, Code::VEX_Vcvtdq2ps_ymm_ymmm256],
            Kind::ToInteger => {
                [Code::EVEX_Vcvttps2dq_zmm_k1z_zmmm512b32_sae, Code::VEX_Vcvttps2dq_ymm_ymmm256]
            }
            Kind::Shl(_) => [Code::EVEX_Vpslld_zmm_k1z_zmmm512b32_imm8, Code::VEX_Vpslld_ymm_ymm_imm8],
            Kind::Sar(_) => [Code::EVEX_Vpsrad_zmm_k1z_zmmm512b32_imm8, Code::VEX_Vpsrad_ymm_ymm_imm8],
            Kind::Permute(_) => {
                [Code::EVEX_Vpermilps_zmm_k1z_zmmm512b32_imm8, Code::VEX_Vpermilps_ymm_ymmm256_imm8]
            }
            Kind::Less | Kind::LessEqual | Kind::Equal | Kind::NotEqual => {
                [Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae, Code::VEX_Vcmpps_ymm_ymm_ymmm256_imm8]
            }
            Kind::IntEqual => [Code::EVEX_Vpcmpeqd_kr_k1_zmm_zmmm512b32, Code::VEX_Vpcmpeqd_ymm_ymm_ymmm256],
            Kind::Both => [Code::VEX_Kandw_kr_kr_kr, Code::VEX_Vandps_ymm_ymm_ymmm256],
            Kind::Either => [Code::VEX_Korw_kr_kr_kr, Code::VEX_Vorps_ymm_ymm_ymmm256],
            _ => unreachable!("{kind:?} takes more than one instruction"),
        };
        let number = match kind {
            // Without exceptions, and without asking for the rounding mode.
            Kind::Floor => Some(0b1001),
            Kind::Trunc => Some(0b1011),
            Kind::Shl(by) | Kind::Sar(by) | Kind::Permute(by) => Some(by.into()),
            Kind::Less => Some(0x11),
            Kind::LessEqual => Some(0x12),
            Kind::Equal => Some(0x00),
            Kind::NotEqual => Some(0x04),
            _ => None,
        };
        (if self == Set::Avx512 { wide } else { narrow }, number)
    }

    /// The first instruction for AVX-512, the second for AVX2.
    pub fn either(self, wide: Code, narrow: Code) -> Code {
        if self == Set::Avx512 { wide } else { narrow }
    }
}
