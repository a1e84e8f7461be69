//! `nnc run`: what is in a run folder, and that it is the same every time.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::{INTERRUPTED, OK, Place, RESOURCES};

#[test]
fn a_run_folder_has_everything() {
    let place = Place::tiny();
    place.nnc(&["run", "tiny.nn"]).exits(OK).prints("embedded").prints("test accuracy").prints("runs/tiny");
    assert_eq!(place.text("runs/tiny/spec.nn"), super::TINY);
    let report = place.json("runs/tiny/run.json");
    assert_eq!(report["ended"], "finished");
    assert_eq!(report["seed"], 0);
    assert_eq!(report["parameters"], 784 * 8 + 8 + 8 * 10 + 10);
    assert_eq!(report["settings"]["width"], "8");
    for key in ["spec_sha256", "isa", "threads", "nnc", "seconds", "seconds_to_first_step"] {
        assert!(!report[key].is_null(), "{key} in {report}");
    }
    assert_eq!(report["data"][0]["sha256"].as_str().map(str::len), Some(64));
    let names: Vec<(String, String)> = place
        .text("runs/tiny/metrics.jsonl")
        .lines()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
            for key in ["stage", "epoch", "step", "split", "name", "value"] {
                assert!(!record[key].is_null(), "{key} in {record}");
            }
            assert_eq!(record.as_object().map(serde_json::Map::len), Some(6), "{record}");
            (record["split"].as_str().unwrap_or("").into(), record["name"].as_str().unwrap_or("").into())
        })
        .collect();
    assert_eq!(names, [("train".into(), "loss".into()), ("test".into(), "accuracy".into())]);
    let bytes = place.read("runs/tiny/weights.safetensors");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a whole file");
    let mut names = file.names();
    names.sort_unstable();
    assert_eq!(names, ["Tiny.dense.bias", "Tiny.dense.weight", "Tiny.dense_2.bias", "Tiny.dense_2.weight"]);
    assert_eq!(file.tensor("Tiny.dense.weight").expect("there").shape(), [784, 8]);
    assert!(!place.path("runs/tiny/.lock").exists());
}

#[test]
fn an_older_run_is_never_written_over() {
    let place = Place::tiny();
    place.nnc(&["run", "tiny.nn", "--max-steps", "1"]).exits(OK);
    let first = place.read("runs/tiny/weights.safetensors");
    place.nnc(&["run", "tiny.nn", "--max-steps", "2"]).exits(OK).prints("runs/tiny-2");
    assert!(place.read("runs/tiny/weights.safetensors") == first);
    assert!(place.read("runs/tiny-2/weights.safetensors") != first);
    place
        .nnc(&["run", "tiny.nn", "--max-steps", "1", "--out", "runs/tiny"])
        .exits(RESOURCES)
        .says("earlier run")
        .says("--out");
    assert!(place.read("runs/tiny/weights.safetensors") == first);
}

#[test]
fn threads_and_repeats_change_no_byte() {
    let place = Place::tiny();
    let cnn = concat!(env!("CARGO_MANIFEST_DIR"), "/models/mnist_cnn.nn");
    for (spec, steps) in [("tiny.nn", "40"), (cnn, "3")] {
        let run = |threads: &str, out: &str| {
            place.nnc(&["run", spec, "--max-steps", steps, "--threads", threads, "--out", out]).exits(OK);
            let files = ["weights.safetensors", "metrics.jsonl"].map(|f| place.read(&format!("{out}/{f}")));
            std::fs::remove_dir_all(place.path(out)).expect("removed");
            files
        };
        let one = run("1", "a");
        for threads in ["1", "2", "4"] {
            assert!(run(threads, "b") == one, "{spec}: {threads} threads give other bytes than 1");
        }
    }
}

/// Without AVX-512 the same compares one set with itself, and the scalar twins are compared kernel by kernel.
#[test]
fn instruction_sets_change_no_byte() {
    let place = Place::new();
    for model in ["mnist_cnn", "vit", "char_gru", "resnet"] {
        let spec = format!("{}/models/{model}.nn", env!("CARGO_MANIFEST_DIR"));
        let run = |set: &str| {
            let mut command = place.command(&["run", &spec, "--max-steps", "2", "--out", set]);
            let done = command.env("NNC_ISA", set).output().expect("nnc starts");
            assert!(done.status.success(), "{model} with {set}");
            let weights = place.read(&format!("{set}/weights.safetensors"));
            std::fs::remove_dir_all(place.path(set)).expect("removed");
            weights
        };
        assert!(run("avx512") == run("avx2"), "{model}: the weights depend on the instruction set");
    }
}

#[test]
fn the_seed_matters() {
    let place = Place::tiny();
    let run = |seed: &str| {
        place.nnc(&["run", "tiny.nn", "--max-steps", "2", "--seed", seed, "--out", seed]).exits(OK);
        place.read(&format!("{seed}/weights.safetensors"))
    };
    assert!(run("1") != run("2"), "two seeds, one result");
}

#[test]
fn the_seed_of_a_stage_matters() {
    let place = Place::new();
    let mut results = Vec::new();
    for seed in ["seed 1", "seed 2"] {
        place.write("s.nn", super::TINY.replace("  epochs 1", &format!("  epochs 1\n  {seed}")));
        place.nnc(&["run", "s.nn", "--max-steps", "2", "--out", seed]).exits(OK);
        results.push(place.read(&format!("{seed}/weights.safetensors")));
    }
    assert!(results[0] != results[1], "two seeds, one result");
}

#[test]
fn a_setting_changes_the_network() {
    let place = Place::tiny();
    place.nnc(&["run", "tiny.nn", "--max-steps", "1", "--set", "width=5", "--out", "w"]).exits(OK);
    assert_eq!(place.json("w/run.json")["parameters"], 784 * 5 + 5 + 5 * 10 + 10);
    assert_eq!(place.json("w/run.json")["set"]["width"], "5");
}

#[test]
fn json_output_is_the_log_itself() {
    let place = Place::tiny();
    let done = place.nnc(&["run", "tiny.nn", "--json", "--max-steps", "3", "--out", "j"]).exits(OK);
    assert_eq!(done.lines().len(), 2);
    assert_eq!(done.out, place.text("j/metrics.jsonl"));
}

#[test]
fn the_interpreter_trains_like_the_compiled_code() {
    let place = Place::tiny();
    for (out, more) in [("compiled", None), ("interpreted", Some("--interpret"))] {
        let mut args = vec!["run", "tiny.nn", "--max-steps", "2", "--out", out, "--set", "width=3"];
        args.extend(more);
        place.nnc(&args).exits(OK);
    }
    let values = |folder: &str| {
        let bytes = place.read(&format!("{folder}/weights.safetensors"));
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("a whole file");
        let view = file.tensor("Tiny.dense.weight").expect("there");
        let floats = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        floats.collect::<Vec<_>>()
    };
    let (compiled, interpreted) = (values("compiled"), values("interpreted"));
    assert_eq!(compiled.len(), 784 * 3);
    for (a, b) in compiled.iter().zip(&interpreted) {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(0.02), "{a} compiled, {b} interpreted");
    }
    assert_eq!(place.json("interpreted/run.json")["interpreted"], true);
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let place = Place::new();
    place.write("long.nn", super::TINY.replace("epochs 1", "epochs 100000"));
    let mut first = start(&place);
    let second = place.nnc(&["run", "long.nn", "--max-steps", "1", "--out", "x"]);
    stop(&mut first);
    second.exits(RESOURCES).says("another run writes here");
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_what_was_learnt() {
    let place = Place::new();
    place.write("long.nn", super::TINY.replace("epochs 1", "epochs 100000"));
    let mut child = start(&place);
    assert_eq!(stop(&mut child), Some(INTERRUPTED));
    assert_eq!(place.json("x/run.json")["ended"], "interrupted");
    assert!(place.text("x/metrics.jsonl").lines().count() >= 2);
    let init = ["run", "long.nn", "--max-steps", "1", "--out", "y", "--init", "x/weights.safetensors"];
    place.nnc(&init).exits(OK);
}

/// A long run in folder `x`, when its first epoch is over.
fn start(place: &Place) -> std::process::Child {
    let mut command = place.command(&["run", "long.nn", "--json", "--out", "x"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("nnc starts");
    let mut lines = BufReader::new(child.stdout.as_mut().expect("a pipe")).lines();
    for _ in 0..2 {
        assert!(matches!(lines.next(), Some(Ok(line)) if line.contains("value")));
    }
    child
}

/// Interrupts a run as Ctrl-C does; returns its exit code.
fn stop(child: &mut std::process::Child) -> Option<i32> {
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill starts").success());
    child.wait().expect("it ends").code()
}
