//! Networks of some hundred layers are compiled and run. What the compiler does grows with the number of
//! layers and not with its square; with the square, these tests would take minutes.

use std::fmt::Write;

use super::{checked, machine, trained};

const LAYERS: usize = 500;

fn spec(layers: &str, body: &str) -> String {
    format!(
        "data digits = mnist()\n\
         {layers}\n\
         model Deep(image: f32[28, 28, 1]) -> f32[10] {{ {body} }}\n\
         train {{\n\
         batch 64 from digits.train\n\
         minimize cross_entropy(Deep(digits.image), digits.label)\n\
         optimizer adam(lr: 1e-3)\n\
         epochs 1\n\
         }}\n"
    )
}

/// Trains for two steps; returns the number of variables.
fn run(text: &str) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep.nn");
    std::fs::write(&path, text).expect("a file");
    let (records, variables) = trained(&checked(&path), machine(2), Some(2));
    assert!(records.iter().all(|record| record.value.is_finite()), "{records:?}");
    variables.len()
}

/// All layers alike: their loop nests share code.
#[test]
fn hundreds_of_equal_layers() {
    let block = "layer block()(x: f32[n]) -> f32[32] { x |> dense(32) |> relu }";
    let text = spec(block, &format!("image |> flatten |> repeat({LAYERS}, block()) |> dense(10)"));
    // Weight and bias, each with two moments.
    assert_eq!(run(&text), 3 * 2 * (LAYERS + 1));
}

/// No two neighbours alike.
#[test]
fn hundreds_of_different_layers() {
    let mut body = "image |> flatten".to_string();
    for layer in 0..LAYERS {
        write!(body, " |> dense({}) |> relu", 20 + layer % 97).expect("text grows");
    }
    assert_eq!(run(&spec("", &(body + " |> dense(10)"))), 3 * 2 * (LAYERS + 1));
}

/// Values that live long: each block is added to what came before it.
#[test]
fn hundreds_of_residual_layers() {
    let block = "layer block()(x: f32[n]) -> f32[n] { x + 0.1 * (x |> layer_norm |> dense(16) |> tanh) }";
    let text = spec(
        block,
        &format!("image |> flatten |> dense(16) |> repeat({}, block()) |> dense(10)", LAYERS / 2),
    );
    assert_eq!(run(&text), 3 * (4 * (LAYERS / 2) + 4));
}
