//! Convolutions in Winograd's form where that is faster: 16 products for a window of 2 x 2 results instead of
//! 36, with a kernel of 5 x 5 36 instead of 100, for transforms of the image, the weights and the result. What pays is measured where the kernel stands
//! ([`winograd::pays`]). Results differ from the direct form by rounding alone.
//!
//! Source: Lavin and Gray, Fast algorithms for convolutional neural networks, 2016.

use super::{Pass, rewrite};
use crate::ir::kernel::{Kernel, Leaf};
use crate::ir::{Attr, Attrs, Computation};
use crate::kernels::winograd;

/// The pass.
pub static PASS: Pass = Pass {
    name: "winograd",
    help: "computes 3x3 and 5x5 convolutions under 2x2 pools with fewer products",
    required: false,
    run,
};

fn run(computation: Computation) -> Computation {
    rewrite::rebuild(computation, |b, mut node| {
        if let Some(Kernel::Leaf(Leaf::ConvPool { spec, winograd: false })) = b.graph.kernel_of(&node)
            && winograd::pays(&spec)
        {
            let switched = |(name, value): (&'static str, &Attr)| match name {
                "winograd" => (name, Attr::Bool(true)),
                _ => (name, value.clone()),
            };
            let attrs = node.attrs.iter().map(switched);
            node.attrs = attrs.fold(Attrs::none(), |attrs, (name, value)| attrs.with(name, value));
        }
        rewrite::copy(b, node)
    })
}
