//! Language models and texts: samples, and predictions that need only the run folder.

use super::{DATA, OK, Place, SPEC, USAGE, WEIGHTS};

const PLAY: &str = "\
data play = text(\"play.txt\") {
  tokens chars
  window 8
  split train: 90%, valid: 10%
}

model Next(tokens: index<play.vocab>[8]) -> f32[8, play.vocab] {
  tokens |> embedding(8) |> dense(play.vocab)
}

train {
  batch 16 from play.train
  minimize cross_entropy(Next(play.tokens), play.next)
  optimizer adam(lr: 3e-2)
  steps 60
  sample Next prompt: \"ab\", length: 12, temperature: 0.5 every 20 steps
}
";

fn play() -> Place {
    let place = Place::new();
    place.write("play.nn", PLAY);
    place.write("play.txt", "abcdefgh\n".repeat(60));
    place
}

#[test]
fn a_model_writes_while_it_is_trained_and_after() {
    let place = play();
    let done = place.nnc(&["run", "play.nn", "--out", "x", "--threads", "1"]).exits(OK);
    done.prints("step 20, Next writes:").prints("step 60, Next writes:");
    let samples = place.text("x/samples.jsonl");
    let samples: Vec<serde_json::Value> =
        samples.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(samples.iter().filter_map(|s| s["step"].as_u64()).collect::<Vec<_>>(), [20, 40, 60]);
    for sample in &samples {
        let text = sample["text"].as_str().expect("a text");
        assert!(text.starts_with("ab") && text.chars().count() == 14, "{text:?}");
    }
    // After 60 steps each letter is followed by the next.
    assert_eq!(samples[2]["text"], "abcdefgh\nabcde");
    // The same on more threads, and without the data.
    place.nnc(&["run", "play.nn", "--out", "y", "--threads", "3"]).exits(OK);
    assert_eq!(place.text("x/samples.jsonl"), place.text("y/samples.jsonl"));
    std::fs::remove_file(place.path("play.txt")).expect("there");
    std::fs::remove_file(place.path("play.nn")).expect("there");
    let sample = |args: &[&str]| place.nnc(&[&["sample", "x"], args].concat()).exits(OK).out;
    assert_eq!(sample(&[]), "abcdefgh\nabcde\n");
    assert_eq!(sample(&["--prompt", "fg", "--length", "3", "--temperature", "0"]), "fgh\na\n");
    assert_eq!(sample(&["--prompt", "h", "--length", "1", "--top-k", "1", "--temperature", "9"]), "h\n\n");
    let hot = ["--temperature", "50", "--length", "40", "--seed"];
    let (one, two) = (sample(&[&hot[..], &["1"]].concat()), sample(&[&hot[..], &["2"]].concat()));
    assert_ne!(one, two, "another seed");
    assert_eq!(one, sample(&[&hot[..], &["1"]].concat()));
    let json = place.nnc(&["sample", "x", "--json"]).exits(OK);
    assert_eq!(json.lines()[0]["text"], "abcdefgh\nabcde");
}

#[test]
fn what_cannot_be_written_is_said() {
    let place = play();
    place.nnc(&["run", "play.nn", "--out", "x", "--max-steps", "1"]).exits(OK);
    place
        .nnc(&["sample", "x", "--prompt", "xyz"])
        .exits(USAGE)
        .says("the character 'x' is not in the vocabulary");
    place.nnc(&["sample", "x", "--prompt", ""]).exits(USAGE).says("there is no token in it");
    place.nnc(&["sample", "x", "--model", "Nexxt"]).exits(USAGE).says("did you mean `Next`?");
    place.nnc(&["sample", "x", "--temperature=-1"]).exits(USAGE).says("from 0 on");
    place.write("x/data.json", "[]]");
    place.nnc(&["sample", "x"]).exits(WEIGHTS).says("data.json");
    let place = Place::tiny();
    place.nnc(&["run", "tiny.nn", "--out", "x", "--max-steps", "1"]).exits(OK);
    place.nnc(&["sample", "x"]).exits(USAGE).says("no model of the spec can write a text");
}

const MOODS: &str = "\
use \"parts/encoder.nn\"

data lines = csv(\"lines.csv\") {
  body: index<vocab>[6] = words(column(\"text\"), size: 50, pad: 6)
  length: f32 = standardize(column(\"length\"))
  mood: index<2> = category(column(\"mood\"))
  split train: 80%, test: 20%
}

model Mood(body: index<lines.vocab>[6], length: f32) -> f32[2] {
  let known = cast(body != lines.pad)
  let word = encode(8)(body) * reshape(known, [6, 1])
  concat(sum(word, axis: 0), reshape(length, [1])) |> dense(2)
}

train {
  batch 8 from lines.train
  let logits = Mood(lines.body, lines.length)
  minimize cross_entropy(logits, lines.mood)
  optimizer adam(lr: 5e-2)
  epochs 20
  measure accuracy(logits, lines.mood) on lines.test
}
";

fn moods() -> Place {
    let place = Place::new();
    place.write("moods.nn", MOODS);
    place.write(
        "parts/encoder.nn",
        "layer encode(size: int)(body: index<n>[..]) -> f32[.., size] { body |> embedding(size) }\n",
    );
    let (glad, sad) = (["good", "sunny", "bright"], ["bad", "grey", "dull"]);
    let mut rows = String::from("text,length,mood\n");
    for i in 0..60 {
        let (word, mood) = if i % 2 == 0 { (glad[i % 3], "glad") } else { (sad[i % 3], "sad") };
        rows += &format!("a {word} day {},{},{mood}\n", i % 5, 10 + i % 7);
    }
    place.write("lines.csv", rows);
    place
}

#[test]
fn new_rows_are_predicted_from_the_run_folder_alone() {
    let place = moods();
    place.nnc(&["run", "moods.nn", "--out", "x"]).exits(OK);
    place.write("new.csv", "length,text\n12,a good day\n14,a dull evening\n");
    std::fs::create_dir(place.path("away")).expect("a folder");
    for name in ["moods.nn", "lines.csv", "parts"] {
        std::fs::rename(place.path(name), place.path("away").join(name)).expect("moved");
    }
    let done = place.nnc(&["predict", "x", "--file", "new.csv", "--json"]).exits(OK);
    let guesses: Vec<bool> = done
        .lines()
        .iter()
        .map(|line| {
            line["output"][0].as_f64().expect("a number") > line["output"][1].as_f64().expect("a number")
        })
        .collect();
    // Categories are in the order of their letters: glad, sad.
    assert_eq!(guesses, [true, false]);
    place.write("wrong.csv", "text\na day\n");
    place.nnc(&["predict", "x", "--file", "wrong.csv"]).exits(SPEC).says("there is no column \"length\"");
    place.write("wrong.csv", "text,length\na day,long\n");
    place.nnc(&["predict", "x", "--file", "wrong.csv"]).exits(DATA).says("\"long\" is not a number");
    place.nnc(&["predict", "x", "--file", "none.csv"]).exits(DATA).says("none.csv");
    // Rows of the data itself need the data.
    place.nnc(&["predict", "x"]).exits(DATA).says("lines.csv");
}

#[test]
fn rows_of_another_file_are_read_as_those_of_the_data() {
    let place = moods();
    place.nnc(&["run", "moods.nn", "--out", "x"]).exits(OK);
    // The rows of all splits, in the order of the file.
    let all = place.nnc(&["predict", "x", "--file", "lines.csv"]).exits(OK).out;
    let all: Vec<&str> = all.lines().collect();
    let test = place.nnc(&["predict", "x"]).exits(OK).out;
    assert_eq!(test.lines().count(), 1 + 12);
    for line in test.lines().skip(1) {
        assert!(all.contains(&line), "{line}");
    }
}

#[test]
fn digits_have_no_other_file() {
    let place = Place::tiny();
    place.nnc(&["run", "tiny.nn", "--out", "x", "--max-steps", "1"]).exits(OK);
    place.nnc(&["predict", "x", "--file", "tiny.nn"]).exits(USAGE).says("`--file` is for data from");
}
