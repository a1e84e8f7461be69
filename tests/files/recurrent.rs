//! The recurrent layers of the library against figures of PyTorch 2.15 (`torch.nn.LSTM`, `GRU`, `RNN` in f64) on the
//! same numbers. PyTorch's order of a GRU's gates is r, z, n; the weights have been put into that order there.

use std::path::Path;

use nnc::check::{CheckOptions, check};
use nnc::interp::{Env, Session, evaluate};
use nnc::ir::Array;
use nnc::ir::experiment::Experiment;
use nnc::ir::op::Moment;
use nnc::ty::Shape;

const MOMENT: Moment = Moment { seed: 0, step: 1, example: 0, batch: 1 };

/// `0.5 sin(start + 1.7 k)` for the k-th element.
fn waves(elements: usize, start: f64) -> Vec<f64> {
    (0..elements).map(|k| 0.5 * (start + 1.7 * k as f64).sin()).collect()
}

/// A model that puts a layer on the upper left corner of an image, `f32[3, 2]`, and a loss of it.
fn experiment(layer: &str) -> Experiment {
    let text = format!(
        "data digits = mnist()\n\
         model Net(x: f32[28, 28, 1]) -> f32[..] {{ reshape(x, [28, 28])[..3, ..2] |> {layer} }}\n\
         train {{\nbatch 1 from digits.train\nminimize sum(Net(digits.image))\noptimizer sgd\nsteps 1\n}}\n"
    );
    let options = CheckOptions { text: Some(text.clone()), ..CheckOptions::default() };
    let checked = check(Path::new("test.nn"), &options);
    let shown: String = checked.diagnostics.iter().map(|d| d.render(&checked.sources, false)).collect();
    checked.experiment.unwrap_or_else(|| panic!("{shown}\n{text}"))
}

/// What the model gives where its parameters are waves, each from its own start, in their order.
fn value(layer: &str, input: &[f64]) -> Vec<f64> {
    let experiment = experiment(layer);
    let mut image = Array::new(Shape::of(&[28, 28, 1]), vec![0.0; 784]);
    for (k, x) in input.iter().enumerate() {
        image.data[28 * (k / 2) + k % 2] = *x;
    }
    let variables: Vec<Array> = (experiment.variables.iter().enumerate())
        .map(|(i, v)| Array::new(v.ty.shape.clone(), waves(v.ty.shape.elements(), 1.0 + i as f64)))
        .collect();
    let model = &experiment.models[0].computation;
    let env = Env { variables: &variables, inputs: &[vec![image]], moment: MOMENT };
    evaluate(&model.graph, &[model.outputs[0].1], &env)[0].of(0).data.clone()
}

fn assert_near(layer: &str, found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len(), "{layer}");
    for (a, b) in found.iter().zip(wanted) {
        assert!((a - b).abs() < 1e-12, "{layer}: {found:?}, not {wanted:?}");
    }
}

const LSTM: [f64; 6] = [
    -0.007149817555397645,
    -0.12845449403685485,
    -0.09913312045800574,
    -0.09496219032770048,
    -0.02321952296516931,
    -0.18348757094866136,
];
const LSTM_CELL: [f64; 2] = [-0.04462262546855496, -0.30291403286107466];
const GRU: [f64; 6] = [
    -0.3671980672325782,
    -0.1797710707362944,
    -0.4167965846951895,
    -0.4159789504017876,
    -0.4923577927329151,
    -0.3574160719697864,
];
const RNN: [f64; 6] = [
    -0.13920730150642716,
    -0.4881620802208746,
    0.3205568306977658,
    -0.5637115724732447,
    0.3636454665582776,
    -0.6422467894741711,
];

#[test]
fn recurrent_layers_give_the_figures_of_pytorch() {
    let x = waves(6, 0.1);
    let backwards: Vec<f64> = x.chunks(2).rev().flatten().copied().collect();
    let turned = |rows: &[f64]| rows.chunks(2).rev().flatten().copied().collect::<Vec<f64>>();
    for (name, rows) in [("lstm", LSTM), ("gru", GRU), ("simple_rnn", RNN)] {
        let layer = |options: &str| format!("{name}(2{options})");
        assert_near(name, &value(&layer(""), &x), &rows[4..]);
        assert_near(name, &value(&layer(", return_sequences: true"), &x), &rows);
        assert_near(name, &value(&layer(", go_backwards: true"), &backwards), &rows[4..]);
        let all = value(&layer(", return_sequences: true, go_backwards: true"), &backwards);
        assert_near(name, &all, &turned(&rows));
    }
    let states = value("lstm(2, return_state: true) |> (parts => concat(parts[0], parts[1], parts[2]))", &x);
    assert_near("lstm", &states, &[&LSTM[4..], &LSTM[4..], &LSTM_CELL].concat());
    let states = value("gru(2, return_state: true) |> (parts => concat(parts[0], parts[1]))", &x);
    assert_near("gru", &states, &[&GRU[4..], &GRU[4..]].concat());
}

#[test]
fn first_values_of_recurrent_layers() {
    let experiment = experiment("lstm(5)");
    let session = Session::initial(&experiment.variables, MOMENT);
    let named = |name: &str| {
        let place = experiment.variables.iter().position(|v| v.path.ends_with(name)).expect("a parameter");
        session.variables[place].clone()
    };
    let bias = named(".bias").data;
    assert_eq!(bias, [vec![0.0; 5], vec![1.0; 5], vec![0.0; 10]].concat());
    let recurrent = named(".recurrent");
    for i in 0..5 {
        for j in 0..5 {
            let product: f64 = (0..20).map(|k| recurrent.at(&[i, k]) * recurrent.at(&[j, k])).sum();
            let wanted = f64::from(u8::from(i == j));
            assert!((product - wanted).abs() < 1e-9, "rows {i} and {j}: {product}");
        }
    }
}
