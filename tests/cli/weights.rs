//! Weights go out and come in again; what does not fit is said by name.

use std::collections::BTreeMap;

use nnc::readers::safetensors::{Tensors, read, write};
use nnc::ty::Shape;

use super::{OK, Place, USAGE, WEIGHTS};

/// A folder with a trained run in `x`.
fn trained() -> (Place, Tensors) {
    let place = Place::tiny();
    place.nnc(&["run", "tiny.nn", "--max-steps", "5", "--out", "x"]).exits(OK);
    let tensors = read(&place.path("x/weights.safetensors")).expect("whole");
    (place, tensors)
}

fn init(place: &Place, tensors: &Tensors) -> super::Done {
    write(&place.path("w.safetensors"), tensors).expect("written");
    place.nnc(&["run", "tiny.nn", "--max-steps", "1", "--out", "y", "--init", "w.safetensors"])
}

#[test]
fn weights_come_back_as_they_were() {
    let (place, tensors) = trained();
    let log = place.text("x/metrics.jsonl");
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["value"].clone();
    let accuracy = value(log.lines().last().expect("a measurement"));
    let from_folder = place.nnc(&["eval", "x", "--json"]).exits(OK);
    assert_eq!(from_folder.lines()[0]["value"], accuracy);
    let from_file = place.nnc(&["eval", "tiny.nn", "--weights", "x/weights.safetensors", "--json"]);
    assert_eq!(from_file.exits(OK).lines()[0]["value"], accuracy);
    init(&place, &tensors).exits(OK);
}

#[test]
fn eval_uses_the_settings_of_the_run() {
    let place = Place::tiny();
    place.nnc(&["run", "tiny.nn", "--max-steps", "2", "--out", "x", "--set", "width=4"]).exits(OK);
    place.nnc(&["eval", "x"]).exits(OK).prints("accuracy");
    place
        .nnc(&["eval", "tiny.nn", "--weights", "x/weights.safetensors"])
        .exits(WEIGHTS)
        .says("[784, 4]")
        .says("[784, 8]");
}

#[test]
fn the_best_weights_are_kept_beside_the_last() {
    let place = Place::new();
    // With this rate the accuracy goes up and down.
    let spec = super::TINY.replace("1e-2", "0.3").replace("epochs 1", "epochs 4\n  save best test.accuracy");
    place.write("best.nn", spec);
    place
        .nnc(&["run", "best.nn", "--out", "x"])
        .exits(OK)
        .prints("best test.accuracy")
        .prints("best.safetensors");
    let log = place.text("x/metrics.jsonl");
    let lines = log.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"));
    let all: Vec<f64> =
        lines.filter(|l| l["name"] == "accuracy").filter_map(|l| l["value"].as_f64()).collect();
    let best = all.iter().copied().fold(0.0, f64::max);
    let report = place.json("x/run.json");
    assert_eq!(report["best"]["value"].as_f64(), Some(best));
    assert_eq!(report["best"]["epoch"].as_u64(), all.iter().position(|v| *v == best).map(|i| i as u64 + 1));
    let value = |args: &[&str]| place.nnc(args).exits(OK).lines()[0]["value"].as_f64();
    assert_eq!(value(&["eval", "x", "--best", "--json"]), Some(best));
    assert_eq!(value(&["eval", "x", "--json"]), all.last().copied());
    assert_ne!(all.last(), Some(&best), "the last is not the best: {all:?}");
    let rows = |more: &[&str]| place.nnc(&[&["predict", "x", "--limit", "3"], more].concat()).exits(OK).out;
    assert_ne!(rows(&["--best"]), rows(&[]));
}

#[test]
fn the_best_weights_must_be_there() {
    let (place, _) = trained();
    place.nnc(&["eval", "x", "--best"]).exits(WEIGHTS).says("save best");
    place.nnc(&["eval", "tiny.nn", "--best"]).exits(USAGE).says("run folder");
    let both = ["eval", "x", "--best", "--weights", "x/weights.safetensors"];
    place.nnc(&both).exits(USAGE).says("--weights");
}

#[test]
fn a_run_that_stops_early_says_so() {
    let place = Place::new();
    let stop = "epochs 50\n  stop when test.loss stalls for 1 epochs";
    place.write("s.nn", super::TINY.replace("1e-2", "0.1").replace("epochs 1", stop));
    place
        .nnc(&["run", "s.nn", "--out", "x"])
        .exits(OK)
        .prints("test.loss has stalled for 1 epoch; the best was");
    let report = place.json("x/run.json");
    assert_eq!(report["ended"], "finished");
    assert_eq!(report["stopped_early"][0]["name"], "test.loss");
    assert_eq!(report["best"], serde_json::Value::Null);
}

#[test]
fn eval_wants_weights() {
    let place = Place::tiny();
    place.nnc(&["eval", "tiny.nn"]).exits(USAGE).says("--weights");
    place.nnc(&["eval", "tiny.nn", "--weights", "none.safetensors"]).exits(WEIGHTS);
    place.nnc(&["eval", "."]).exits(WEIGHTS).says("run.json");
}

#[test]
fn a_renamed_tensor_is_both_missing_and_too_many() {
    let (place, mut tensors) = trained();
    let tensor = tensors.remove("Tiny.dense.weight").expect("there");
    tensors.insert("Tiny.dense.weigth".to_string(), tensor);
    init(&place, &tensors)
        .exits(WEIGHTS)
        .says("`Tiny.dense.weight` is not there")
        .says("`Tiny.dense.weigth` belongs to nothing")
        .says("did you mean `Tiny.dense.weight`?");
    assert!(!place.path("y/weights.safetensors").exists());
}

#[test]
fn every_fault_is_named_not_the_first_only() {
    let (place, mut tensors) = trained();
    tensors.insert("Tiny.dense.bias".to_string(), (Shape::of(&[3]), vec![0.0; 3]));
    tensors.insert("Tiny.extra".to_string(), (Shape::of(&[1]), vec![0.0]));
    tensors.remove("Tiny.dense_2.bias");
    init(&place, &tensors).exits(WEIGHTS).says("[3]").says("Tiny.extra").says("Tiny.dense_2.bias");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let (place, mut tensors) = trained();
    tensors.get_mut("Tiny.dense.bias").expect("there").1[2] = f32::NAN;
    init(&place, &tensors).exits(WEIGHTS).says("`Tiny.dense.bias`").says("element 2 is NaN");
}

#[test]
fn damaged_files_are_refused() {
    let (place, _) = trained();
    let whole = place.read("x/weights.safetensors");
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases: BTreeMap<&str, Vec<u8>> = [
        ("empty", Vec::new()),
        ("short", whole[..5].to_vec()),
        ("cut", whole[..whole.len() - 7].to_vec()),
        ("long", [&whole[..], b"more"].concat()),
        ("lying", lying),
        ("other", b"not weights at all, only some text".to_vec()),
    ]
    .into();
    for (name, bytes) in cases {
        place.write("w.safetensors", bytes);
        let done =
            place.nnc(&["run", "tiny.nn", "--max-steps", "1", "--out", name, "--init", "w.safetensors"]);
        assert_eq!(done.code, Some(WEIGHTS), "{name}: {}", done.err);
        assert!(done.err.contains("w.safetensors"), "{name}: {}", done.err);
    }
}

#[test]
fn predictions_agree_with_the_accuracy() {
    let (place, _) = trained();
    let done = place.nnc(&["predict", "x", "--json"]).exits(OK);
    let rows = done.lines();
    assert_eq!(rows.len(), 2000);
    let table = nnc::readers::mnist(None).expect("the embedded digits");
    let labels = match &table.fields[1].values {
        nnc::readers::Values::I32(labels) => labels.clone(),
        other => panic!("labels are {other:?}"),
    };
    let right = rows.iter().filter(|row| {
        let output: Vec<f64> =
            row["output"].as_array().expect("a list").iter().filter_map(serde_json::Value::as_f64).collect();
        assert_eq!(output.len(), 10);
        let best = (0..10).fold(0, |best, i| if output[i] > output[best] { i } else { best });
        best as i32 == labels[row["row"].as_u64().expect("a row") as usize]
    });
    let accuracy = right.count() as f64 / 2000.0;
    let measured = place.nnc(&["eval", "x", "--json"]).lines()[0]["value"].as_f64().expect("a number");
    assert!((accuracy - measured).abs() < 1e-9, "{accuracy} predicted, {measured} measured");
}

#[test]
fn predict_says_what_it_needs() {
    let (place, _) = trained();
    place.nnc(&["predict", "x", "--limit", "2"]).exits(OK).prints("row,output_0,");
    place.nnc(&["predict", "x", "--on", "digits.tset"]).exits(USAGE).says("did you mean `digits.test`?");
    place.nnc(&["predict", "x", "--model", "Tiney"]).exits(USAGE).says("did you mean `Tiny`?");
    place.nnc(&["predict", "x", "--input", "imag=image"]).exits(USAGE).says("did you mean `image`?");
    place.nnc(&["predict", "x", "--input", "image=label"]).exits(USAGE).says("index<10>");
}
