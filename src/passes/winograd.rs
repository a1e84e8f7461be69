//! Convolutions, and gradients of their images and weights, in Winograd's form where that is faster: 16 products for 2 x 2 results
//! instead of 36, with a kernel of 5 x 5 36 instead of 100, for transforms of the image, the weights and the result. What pays is measured where the kernel stands
//! ([`winograd::pays`]). Results differ from the direct form by rounding alone.
//!
//! Source: Lavin and Gray, Fast algorithms for convolutional neural networks, 2016.

use super::{Pass, rewrite};
use crate::ir::kernel::{Conv, Kernel, Leaf};
use crate::ir::{Attr, Attrs, Builder, Computation, Node};
use crate::kernels::{winograd, winograd_plain};
use crate::ops::winograd2d::{winograd2d, winograd2d_weight_grad};

/// The pass.
pub static PASS: Pass = Pass {
    name: "winograd",
    help: "computes 3x3 and 5x5 convolutions with fewer products",
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
        if let Some((conv, turned)) = plain(b, &node) {
            return winograd2d(b, [node.inputs[0], node.inputs[1]], &conv, turned);
        }
        if let Some(Kernel::Leaf(Leaf::ConvWeight(conv))) = b.graph.kernel_of(&node)
            && winograd_plain::pays(&conv)
        {
            return winograd2d_weight_grad(b, [node.inputs[0], node.inputs[1]], &conv);
        }
        rewrite::copy(b, node)
    })
}

/// The convolution that a node computes, if it is faster in this form, and whether its weights are turned.
fn plain(b: &Builder, node: &Node) -> Option<(Conv, bool)> {
    let (conv, turned) = match b.graph.kernel_of(node)? {
        Kernel::Leaf(Leaf::Conv(conv)) => (conv, false),
        Kernel::Leaf(Leaf::ConvInput(conv)) => (winograd_plain::of_input_gradient(&conv)?, true),
        _ => return None,
    };
    winograd_plain::pays(&conv).then_some((conv, turned))
}
