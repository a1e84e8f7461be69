//! The standard library: `.nn` text that ships inside the binary.

use std::collections::HashMap;
use std::sync::LazyLock;

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

/// Where each name of the library is defined: the number of its file, and of the item there. Known without parsing:
/// in the library an item begins with a word at the start of a line, and its name follows.
pub static NAMES: LazyLock<HashMap<&str, [usize; 2]>> = LazyLock::new(|| {
    let items =
        |text: &'static str| text.lines().filter(|line| line.starts_with(|c: char| c.is_alphabetic()));
    let named = |(file, (_, text)): (usize, &(&str, &'static str))| {
        items(text).enumerate().filter_map(move |(item, line)| Some((name_in(line)?, [file, item])))
    };
    FILES.iter().enumerate().flat_map(named).collect()
});

/// The name in `layer dense(units: int)`.
fn name_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(' ')?;
    rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()
}
