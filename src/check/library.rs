//! The standard library: `.nn` text that ships inside the binary.

/// Every file of the library with its text, in the order in which they are read.
pub static FILES: &[(&str, &str)] = &[
    ("std/activations.nn", include_str!("../std/activations.nn")),
    ("std/alignment.nn", include_str!("../std/alignment.nn")),
    ("std/attacks.nn", include_str!("../std/attacks.nn")),
    ("std/attention.nn", include_str!("../std/attention.nn")),
    ("std/blocks.nn", include_str!("../std/blocks.nn")),
    ("std/images.nn", include_str!("../std/images.nn")),
    ("std/initializers.nn", include_str!("../std/initializers.nn")),
    ("std/layers.nn", include_str!("../std/layers.nn")),
    ("std/losses.nn", include_str!("../std/losses.nn")),
    ("std/metrics.nn", include_str!("../std/metrics.nn")),
    ("std/noise.nn", include_str!("../std/noise.nn")),
    ("std/normalization.nn", include_str!("../std/normalization.nn")),
    ("std/optimizers.nn", include_str!("../std/optimizers.nn")),
    ("std/ranking.nn", include_str!("../std/ranking.nn")),
    ("std/recurrent.nn", include_str!("../std/recurrent.nn")),
    ("std/volumes.nn", include_str!("../std/volumes.nn")),
    ("std/schedules.nn", include_str!("../std/schedules.nn")),
    ("std/sequences.nn", include_str!("../std/sequences.nn")),
    ("std/similarity.nn", include_str!("../std/similarity.nn")),
    ("std/text_metrics.nn", include_str!("../std/text_metrics.nn")),
    ("std/variational.nn", include_str!("../std/variational.nn")),
];
