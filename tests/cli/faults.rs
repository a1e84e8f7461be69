//! What goes wrong ends with a message and the right exit code, never with a panic.

use std::io::Read;
use std::process::Stdio;

use super::{DATA, DIVERGED, OK, Place, RESOURCES, SPEC, TINY, USAGE};

#[test]
fn a_wrong_command_line() {
    let place = Place::tiny();
    place.nnc(&[]).exits(USAGE);
    place.nnc(&["chek", "tiny.nn"]).exits(USAGE).says("check");
    place.nnc(&["run"]).exits(USAGE);
    place.nnc(&["run", "tiny.nn", "--thread", "2"]).exits(USAGE).says("--threads");
    place.nnc(&["run", "tiny.nn", "--threads", "0"]).exits(USAGE);
    // An option that would have no effect is refused.
    place.nnc(&["run", "tiny.nn", "--interpret", "--threads", "2"]).exits(USAGE).says("--interpret");
    place.nnc(&["plan", "tiny.nn", "--interpret"]).exits(USAGE).says("--interpret");
    place.nnc(&["emit", "tiny.nn", "--threads", "2"]).exits(USAGE).says("--threads");
    place.nnc(&["run", "tiny.nn", "--set", "width"]).exits(USAGE).says("NAME=VALUE");
    place.nnc(&["run", "none.nn"]).exits(USAGE).says("none.nn");
    place.nnc(&["--help"]).exits(OK).prints("gradcheck");
    place.nnc(&["--version"]).exits(OK).prints(env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_wrong_setting() {
    let place = Place::tiny();
    let done = place.nnc(&["check", "tiny.nn", "--set", "widht=3"]);
    assert!(matches!(done.code, Some(USAGE | SPEC)), "{:?}", done.code);
    done.says("widht").says("width");
}

#[test]
fn a_wrong_spec_shows_all_errors() {
    let place = Place::new();
    place.write("bad.nn", TINY.replace("dense(10)", "dens(10)").replace("adam(", "adamm("));
    for command in ["check", "run", "plan", "gradcheck", "bench"] {
        place.nnc(&[command, "bad.nn"]).exits(SPEC).says("dens").says("adamm");
    }
    assert!(!place.path("runs").exists(), "nothing is written for a wrong spec");
}

#[test]
fn data_that_is_not_there_or_damaged() {
    let place = Place::tiny();
    place.nnc(&["run", "tiny.nn", "--data", "nowhere"]).exits(DATA).says("nowhere");
    let home = concat!(env!("CARGO_MANIFEST_DIR"), "/src/readers/digits");
    for name in [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ] {
        let bytes = std::fs::read(format!("{home}/{name}.gz")).expect("the embedded digits");
        place.write(&format!("d/{name}.gz"), bytes);
    }
    place.nnc(&["run", "tiny.nn", "--data", "d", "--max-steps", "1"]).exits(OK).prints("d in IDX form");
    let mut command = place.command(&["run", "tiny.nn", "--max-steps", "1"]);
    let output = command.env("NNC_DATA", "d").output().expect("nnc starts");
    assert!(String::from_utf8_lossy(&output.stdout).contains("d in IDX form"));
    let whole = place.read("d/train-images-idx3-ubyte.gz");
    place.write("d/train-images-idx3-ubyte.gz", &whole[..whole.len() / 2]);
    place.nnc(&["run", "tiny.nn", "--data", "d"]).exits(DATA).says("train-images");
    place.write("d/train-images-idx3-ubyte.gz", []);
    place.nnc(&["run", "tiny.nn", "--data", "d"]).exits(DATA).says("train-images");
}

#[test]
fn a_folder_that_cannot_be_written() {
    let place = Place::tiny();
    place.write("file", "in the way");
    place.nnc(&["run", "tiny.nn", "--max-steps", "1", "--out", "file/x"]).exits(RESOURCES).says("--out");
}

#[test]
fn a_loss_that_explodes_names_its_operation() {
    let place = Place::new();
    let spec =
        TINY.replace("minimize cross_entropy(logits, digits.label)", "minimize mean(log(logits + 1 - step))");
    place.write("bad.nn", spec);
    let done = place
        .nnc(&["run", "bad.nn", "--out", "x"])
        .exits(DIVERGED)
        .says("diverged")
        .says("`log`")
        .says("bad.nn");
    assert!(!done.err.contains("panic"), "{}", done.err);
    assert_eq!(place.json("x/run.json")["ended"], "diverged");
    nnc::readers::safetensors::read(&place.path("x/weights.safetensors")).expect("the last finite weights");
}

#[test]
fn an_update_that_explodes_keeps_the_weights_before_it() {
    let place = Place::new();
    // The root has a finite value and an infinite slope at 0, which is reached at the third step.
    let spec = "\
data digits = mnist()
model Line(image: f32[28, 28, 1]) -> f32 {
  param w: f32 = ones()
  w + 0 * sum(image)
}
train {
  batch 32 from digits.train
  let y = Line(digits.image)
  minimize sqrt(abs(y * (3 - step)))
  optimizer sgd(lr: 0)
  steps 10
}
";
    place.write("bad.nn", spec);
    place.nnc(&["run", "bad.nn", "--out", "x"]).exits(DIVERGED).says("step 3").says("`Line.w`");
    let weights = nnc::readers::safetensors::read(&place.path("x/weights.safetensors")).expect("whole");
    assert_eq!(weights["Line.w"].1, [1.0]);
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_quiet() {
    let place = Place::tiny();
    let mut command = place.command(&["ops"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nnc starts");
    let mut first = [0; 16];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("some output");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.code().is_some(), "not ended by a signal");
    assert_ne!(output.status.code(), Some(101));
}
