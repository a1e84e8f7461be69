//! The standard library: `.nn` text that ships inside the binary.

/// Every file of the library with its text, in the order in which they are read.
pub static FILES: &[(&str, &str)] = &[
    ("std/activations.nn", include_str!("../std/activations.nn")),
    ("std/attacks.nn", include_str!("../std/attacks.nn")),
    ("std/initializers.nn", include_str!("../std/initializers.nn")),
    ("std/layers.nn", include_str!("../std/layers.nn")),
    ("std/losses.nn", include_str!("../std/losses.nn")),
    ("std/metrics.nn", include_str!("../std/metrics.nn")),
    ("std/optimizers.nn", include_str!("../std/optimizers.nn")),
    ("std/recurrent.nn", include_str!("../std/recurrent.nn")),
    ("std/schedules.nn", include_str!("../std/schedules.nn")),
];
