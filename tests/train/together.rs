//! `batch` in training steps and in measurements.

use std::path::PathBuf;

use nnc::driver;
use nnc::train::{MachineOptions, Record};

use super::{checked, machine, trained};

const SPEC: &str = r#"
data flowers = csv("iris.csv") {
  facts: f32[4] = standardize(columns("sepal_length".."petal_width"))
  kind: index<3> = category(column("species"))
  split train: 100, test: 50
}

model Net(facts: f32[4]) -> f32[3] { facts |> dense(8) |> tanh |> dense(3) }

## Half of the largest difference between two examples.
layer half_range(x: f32) -> f32 {
  let all = batch(x)
  0.5 * (max(all) - min(all))
}

train {
  batch 30 from flowers.train drop last
  let logits = Net(flowers.facts)
  let all = batch(logits)
  let near = softmax(-sum((all - logits)^2, axis: 1))
  let same = cast(batch(flowers.kind)) == cast(flowers.kind)
  minimize -log(sum(near * same) + 1e-3)
  optimizer adam(lr: 1e-2)
  epochs 4
  measure half_range(flowers.facts[2]) on flowers.test
  measure mean(batch(flowers.facts)[.., 2]) on flowers.test as average
  measure sqrt(mean((batch(flowers.facts)[.., 2])^2)) on flowers.train as size
}
"#;

fn spec() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/data/iris.csv");
    std::fs::copy(data, folder.path().join("iris.csv")).expect("a copy of the data");
    let path = folder.path().join("together.nn");
    std::fs::write(&path, SPEC).expect("a spec");
    (folder, path)
}

fn value(records: &[Record], name: &str, epoch: u64) -> f64 {
    let found = records.iter().find(|r| r.name == name && r.epoch == epoch);
    found.unwrap_or_else(|| panic!("{name} after epoch {epoch}")).value
}

#[test]
fn an_epoch_leaves_the_smaller_batch_out_and_the_loss_falls() {
    let (_folder, path) = spec();
    let checked = checked(&path);
    let stage = &checked.experiment.as_ref().expect("no errors").stages[0];
    assert_eq!((stage.steps_per_epoch, stage.total_steps), (3, 12));
    let (records, one) = trained(&checked, machine(1), None);
    assert!(value(&records, "loss", 4) < value(&records, "loss", 1), "{records:?}");
    for threads in [2, 3] {
        assert_eq!(trained(&checked, machine(threads), None).1, one, "{threads} threads");
    }
}

#[test]
fn a_measurement_collects_the_rows_of_the_whole_split() {
    let (_folder, path) = spec();
    let checked = checked(&path);
    let column = |split: &str| -> Vec<f64> {
        let table = &checked.tables[0];
        let rows = &table.splits.iter().find(|s| s.name == split).expect("a split").rows;
        let field = table.fields.iter().find(|f| f.name == "facts").expect("a field");
        let rows: Vec<u32> = (0..rows.len()).map(|i| rows.row(i) as u32).collect();
        nnc::train::batches::arrays(field, &rows).iter().map(|row| row.data[2]).collect()
    };
    let (test, train) = (column("test"), column("train"));
    let range = test.iter().fold(f64::MIN, |m, x| m.max(*x)) - test.iter().fold(f64::MAX, |m, x| m.min(*x));
    let size = (train.iter().map(|x| x * x).sum::<f64>() / train.len() as f64).sqrt();
    let average = test.iter().sum::<f64>() / test.len() as f64;
    let compiled = trained(&checked, machine(2), None).0;
    let interpreted = MachineOptions { interpret: true, ..machine(1) };
    for records in [compiled, trained(&checked, interpreted, None).0] {
        assert!((value(&records, "half_range", 4) - 0.5 * range).abs() < 1e-12);
        assert!((value(&records, "average", 1) - average).abs() < 1e-12);
        assert!((value(&records, "size", 2) - size).abs() < 1e-12);
    }
    let experiment = checked.experiment.as_ref().expect("no errors");
    assert!(driver::types(experiment).len() > 4);
}

const VIEWS: &str = r#"
data flowers = csv("iris.csv") {
  facts: f32[4] = standardize(columns("sepal_length".."petal_width"))
  split train: 120, test: 30
}

model Net(facts: f32[4]) -> f32[4] {
  param scale: f32[4] = ones()
  scale * facts
}

train {
  batch 30 from flowers.train in order
  minimize nt_xent(Net(flowers.facts), Net(sin(flowers.facts)), temperature: 0.5)
  optimizer sgd(lr: 1e-3)
  epochs 1
}
"#;

/// NT-Xent of the first batch, by the formula of Chen and others, 2020.
#[test]
fn views_are_told_apart_as_the_paper_says() {
    let (folder, _) = spec();
    let path = folder.path().join("views.nn");
    std::fs::write(&path, VIEWS).expect("a spec");
    let checked = checked(&path);
    let table = &checked.tables[0];
    let rows: Vec<u32> = (0..30).map(|i| table.splits[0].rows.row(i) as u32).collect();
    let unit = |row: Vec<f64>| {
        let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        row.into_iter().map(|x| x / length).collect::<Vec<f64>>()
    };
    let first = nnc::train::batches::arrays(&table.fields[0], &rows);
    let second = first.iter().map(|row| unit(row.data.iter().map(|x| x.sin()).collect()));
    let views: Vec<Vec<f64>> = first.iter().map(|row| unit(row.data.clone())).chain(second).collect();
    let near = |i: usize, j: usize| {
        let cosine: f64 = views[i].iter().zip(&views[j]).map(|(x, y)| x * y).sum();
        (cosine / 0.5).exp()
    };
    let loss = |i: usize| {
        let others: f64 = (0..60).filter(|j| *j != i).map(|j| near(i, j)).sum();
        -(near(i, (i + 30) % 60) / others).ln()
    };
    let expected = (0..60).map(loss).sum::<f64>() / 60.0;
    let records = trained(&checked, machine(2), Some(1)).0;
    let found = value(&records, "loss", 1);
    assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
}
