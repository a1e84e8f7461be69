//! What expressions mean: each is elaborated in a model and evaluated by the reference evaluator.

use std::path::Path;

use nnc::check::{CheckOptions, check};
use nnc::interp::{Env, Value, evaluate};
use nnc::ir::Array;
use nnc::ir::op::Moment;
use nnc::ty::Shape;

use super::check::rendered;

/// The value of `body` where `x` is [[1, 2, 3], [4, 5, 6]], `v` is [1, 2, 3] and `k` is the index 1 of 3.
fn value(definitions: &str, body: &str) -> (Vec<usize>, Vec<f64>) {
    let text = format!("{definitions}\nmodel M(x: f32[2, 3], v: f32[3], k: index<3>) {{ {body} }}\n");
    let options = CheckOptions { text: Some(text), ..CheckOptions::default() };
    let checked = check(Path::new("meaning.nn"), &options);
    assert!(!checked.failed(), "{body}\n{}", rendered(&checked));
    let experiment = checked.experiment.expect("an experiment");
    let model = experiment.models.iter().find(|model| model.name == "M").expect("the model");
    let moment = Moment { seed: 0, step: 0, example: 0, batch: 1 };
    let variables: Vec<Array> =
        experiment.variables.iter().map(|v| nnc::interp::initial_value(v, moment)).collect();
    let inputs = [
        vec![Array::new(Shape::of(&[2, 3]), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])],
        vec![Array::new(Shape::of(&[3]), vec![1.0, 2.0, 3.0])],
        vec![Array::scalar(1.0)],
    ];
    let graph = &model.computation.graph;
    let env = Env { variables: &variables, inputs: &inputs, moment: Moment { step: 1, ..moment } };
    let target = model.computation.outputs[0].1;
    let array = match &evaluate(graph, &[target], &env)[0] {
        Value::Once(array) => array.clone(),
        Value::Each(arrays) => arrays[0].clone(),
    };
    (array.shape.to_vec(), array.data)
}

#[test]
fn expressions_mean_what_the_language_says() {
    let cases: &[(&str, &[usize], &[f64])] = &[
        ("x + v", &[2, 3], &[2.0, 4.0, 6.0, 5.0, 7.0, 9.0]),
        ("1 - v * 2", &[3], &[-1.0, -3.0, -5.0]),
        ("v ^ 3 + v ^ 2", &[3], &[2.0, 12.0, 36.0]),
        ("2 ^ v", &[3], &[2.0, 4.0, 8.0]),
        ("v ^ -1 * 6", &[3], &[6.0, 3.0, 2.0]),
        ("-v ^ 2", &[3], &[-1.0, -4.0, -9.0]),
        ("x @ v", &[2], &[14.0, 32.0]),
        ("v @ v", &[], &[14.0]),
        ("transpose(x) @ [1, 1]", &[3], &[5.0, 7.0, 9.0]),
        ("x @ transpose(x)", &[2, 2], &[14.0, 32.0, 32.0, 77.0]),
        (
            "cast(v > 1.5) + cast(v >= 3) + cast(v != 2) + cast(v == 2) + cast(v < 2) + cast(v <= 2)",
            &[3],
            &[3.0, 3.0, 3.0],
        ),
        ("select(v > 1 and not (v == 3), v, -v)", &[3], &[-1.0, 2.0, -3.0]),
        ("x[0]", &[3], &[1.0, 2.0, 3.0]),
        ("x[-1, 0]", &[], &[4.0]),
        ("x[.., 1]", &[2], &[2.0, 5.0]),
        ("x[.., 1..]", &[2, 2], &[2.0, 3.0, 5.0, 6.0]),
        ("v[..-1]", &[2], &[1.0, 2.0]),
        ("v[k]", &[], &[2.0]),
        ("let [a, b] = x\n b - a", &[3], &[3.0, 3.0, 3.0]),
        ("let [a, b, c] = split(v, 3)\n concat(c, a, b)", &[3], &[3.0, 1.0, 2.0]),
        ("split(x, [1, 2])[1]", &[2, 2], &[2.0, 3.0, 5.0, 6.0]),
        ("stack(v, v, axis: 1)", &[3, 2], &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]),
        ("concat(x, x, axis: 0)", &[4, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("reverse(v)", &[3], &[3.0, 2.0, 1.0]),
        ("pad(v, 1)", &[5], &[0.0, 1.0, 2.0, 3.0, 0.0]),
        ("pad(v, low: [0], high: [2], value: 7)", &[5], &[1.0, 2.0, 3.0, 7.0, 7.0]),
        ("reshape(x, [3, -1])", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("sum(x)", &[], &[21.0]),
        ("sum(x, axis: 0)", &[3], &[5.0, 7.0, 9.0]),
        ("mean(x, axis: -1, keep: true)", &[2, 1], &[2.0, 5.0]),
        ("max(x, axis: 1) - min(x, axis: 1)", &[2], &[2.0, 2.0]),
        ("max(3, 7, 5) + min(4, 2) + v", &[3], &[10.0, 11.0, 12.0]),
        ("cast(argmax(x, axis: 0))", &[3], &[1.0, 1.0, 1.0]),
        ("one_hot(k)", &[3], &[0.0, 1.0, 0.0]),
        ("one_hot(k, 4)", &[4], &[0.0, 1.0, 0.0, 0.0]),
        ("iota(3) + iota(2, 3, axis: 0)", &[2, 3], &[0.0, 1.0, 2.0, 1.0, 2.0, 3.0]),
        ("einsum(\"n d, m d -> n m\", x, x)", &[2, 2], &[14.0, 32.0, 32.0, 77.0]),
        ("einsum(\"n d, d, d -> n\", x, v, v)", &[2], &[36.0, 78.0]),
        ("einsum(\"n d -> d n\", x)", &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        ("einsum(\"n d -> d\", x)", &[3], &[5.0, 7.0, 9.0]),
        ("einsum(\".. d, d -> ..\", x, v)", &[2], &[14.0, 32.0]),
        ("rearrange(x, \"a b -> b a\")", &[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        ("rearrange(x, \"a b -> (b a)\")", &[6], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        (
            "rearrange(x, \"a b -> (a b)\") |> rearrange(\"(p q) -> q p\", p: 3)",
            &[2, 3],
            &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0],
        ),
        ("rearrange(v, \"n -> n 1\")", &[3, 1], &[1.0, 2.0, 3.0]),
        ("grad(sum(x ^ 2), x)", &[2, 3], &[2.0, 4.0, 6.0, 8.0, 10.0, 12.0]),
        ("grad(y => sum(y ^ 3), v)", &[3], &[3.0, 12.0, 27.0]),
        ("grad(sum(grad(sum(v ^ 3), v) ^ 2), v)", &[3], &[36.0, 288.0, 972.0]),
        ("grad(sum(v * stop_gradient(v)), v)", &[3], &[1.0, 2.0, 3.0]),
        ("let f = y => y * 2\n f(f(v))", &[3], &[4.0, 8.0, 12.0]),
        ("let t = v\n for i in 1..4 { t = t + i }\n t", &[3], &[7.0, 8.0, 9.0]),
        ("let t = 0\n for n in [2, 5] { if n > 3 { t = t + n } }\n v * t", &[3], &[5.0, 10.0, 15.0]),
        ("if training { v } else { -v }", &[3], &[-1.0, -2.0, -3.0]),
        ("v * (7 / 2) + 6 / 3", &[3], &[5.5, 9.0, 12.5]),
        ("v + len(v) + shape(x)[1] + rank(x)", &[3], &[9.0, 10.0, 11.0]),
        ("all(v > 0) and any(v > 2)", &[], &[1.0]),
    ];
    for (body, shape, expected) in cases {
        let (found_shape, found) = value("", body);
        assert_eq!(found_shape, *shape, "the shape of {body}");
        let near = found.iter().zip(*expected).all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs().max(1.0));
        assert!(near, "{body}: {found:?}, not {expected:?}");
    }
}

#[test]
fn layers_bind_dimensions_and_share_what_is_shared() {
    let scale = "layer scale(by: f32)(x: f32[.., d]) -> f32[.., d] { x * by / d }";
    assert_eq!(value(scale, "v |> scale(3)").1, [1.0, 2.0, 3.0]);
    assert_eq!(value(scale, "v |> repeat(2, scale(6))").1, [4.0, 8.0, 12.0]);
    let add = "layer add()(x: f32[d]) -> f32[d] { param b: f32[d] = ones()\n x + b }";
    assert_eq!(value(add, "let f = add()\n f(f(v))").1, [3.0, 4.0, 5.0]);
    let wide = "let width = 2\nlayer wide(x: f32[n]) -> f32[width * n] { concat(x, x) }";
    assert_eq!(value(wide, "wide(v)").0, [6]);
    let word = "layer pick(x: f32[..], how: choice[up, down] = up) { if how == \"up\" { x } else { -x } }";
    assert_eq!(value(word, "v |> pick(how: down)").1, [-1.0, -2.0, -3.0]);
    assert_eq!(value(word, "v |> pick").1, [1.0, 2.0, 3.0]);
}

#[test]
fn rows_are_moved_and_written_token_by_token() {
    // After each token the next one is the most likely; the source says how far to go on from 4.
    let definitions = "layer following(source: f32[3], row: index<w>[t]) -> f32[t, w] {
      let here = one_hot(row, w)
      concat(here[.., -1..], here[.., ..-1]) + 0.1 * source[0] * here
    }";
    let rows = [
        ("cast(shift_right(cast(v, 5)))", vec![0.0, 1.0, 2.0]),
        ("cast(shift_right(cast(v, 5), start: 4))", vec![4.0, 1.0, 2.0]),
        ("cast(shift_right(cast(v[..1], 5), start: 4))", vec![4.0]),
        ("cast(greedy(following, v, length: 4, tokens: 6))", vec![1.0, 2.0, 3.0, 4.0]),
        ("cast(greedy(following, v, length: 4, tokens: 6, start: 3))", vec![4.0, 5.0, 0.0, 1.0]),
        ("cast(greedy(following, 20 * v, length: 2, tokens: 6, start: 3))", vec![3.0, 3.0]),
    ];
    for (body, expected) in rows {
        assert_eq!(value(definitions, body).1, expected, "{body}");
    }
}

#[test]
fn settings_of_the_command_line_replace_those_of_the_file() {
    let text = "let width = 4\nlet rate = 0.5\nmodel M(v: f32[3]) { concat(v * rate, zeros(width)) }\n";
    let run = |set: &[(&str, &str)]| {
        let set = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let options = CheckOptions { text: Some(text.to_string()), set, ..CheckOptions::default() };
        check(Path::new("settings.nn"), &options)
    };
    let shape = |set| {
        let checked = run(set);
        let model = &checked.experiment.expect("an experiment").models[0];
        model.computation.graph[model.computation.outputs[0].1].ty.shape.to_vec()
    };
    assert_eq!(shape(&[]), [7]);
    assert_eq!(shape(&[("width", "9"), ("rate", "1")]), [12]);
    for (set, message) in [
        (("widht", "9"), "did you mean `width`"),
        (("width", "0.5"), "the setting `width` is the number 4, not the number 0.5"),
        (("width", "= ="), "is not `NAME=VALUE`"),
    ] {
        let text = rendered(&run(&[set]));
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn deep_and_large_specs_are_refused_or_done_without_a_crash() {
    let brackets = format!("model M(v: f32[3]) {{ {}v{} }}", "(".repeat(10_000), ")".repeat(10_000));
    let chain = format!("model M(v: f32[3]) {{ v {} }}", "+ v ".repeat(10_000));
    let pipe = format!("model M(v: f32[3]) {{ v {} }}", "|> relu ".repeat(10_000));
    let mutual = "layer a(x) { b(x) }\nlayer b(x) { a(x) }\nmodel M(v: f32[3]) { a(v) }".to_string();
    let many =
        "model M(v: f32[3]) { let t = v\n for i in 0..90_000 { for j in 0..90_000 { t = t + v } }\n t }"
            .to_string();
    for text in [brackets, chain, pipe, mutual, many] {
        let options = CheckOptions { text: Some(text), ..CheckOptions::default() };
        let checked = check(Path::new("deep.nn"), &options);
        let faults = checked.diagnostics.iter().filter(|d| d.exit as u8 == 70).count();
        assert_eq!(faults, 0, "{}", rendered(&checked));
    }
}
