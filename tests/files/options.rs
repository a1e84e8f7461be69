//! Every definition of the library is used, and every option of it has an effect: with another value the losses or
//! the variables of a few steps are others. Options are found by reading the library, so a new definition needs a line
//! in `USES`, and its options are then tried with values made from their defaults.

use std::collections::HashMap;
use std::path::Path;

use nnc::base::Severity;
use nnc::check::{CheckOptions, check};
use nnc::interp::Session;
use nnc::ir::Array;
use nnc::ir::op::Moment;
use nnc::syntax::ast::{Def, DefKind, DimExpr, Expr, ExprKind, Param};
use nnc::ty::Shape;

use super::library::definitions;

/// How a definition is used: `{}` is where options go. Initialisers, optimizers and schedules by their name alone,
/// unless they need arguments. See `body` for the names that these expressions see.
const USES: &[(&str, &str)] = &[
    ("leaky_relu", "x |> leaky_relu({})"),
    ("relu6", "4 * x |> relu6({})"),
    ("elu", "x |> elu({})"),
    ("selu", "x |> selu({})"),
    ("gelu", "x |> gelu({})"),
    ("silu", "x |> silu({})"),
    ("softplus", "x |> softplus({})"),
    ("softsign", "x |> softsign({})"),
    ("mish", "x |> mish({})"),
    ("hard_sigmoid", "x |> hard_sigmoid({})"),
    ("clamp", "clamp(x, -0.5, 0.5{})"),
    ("logsumexp", "logsumexp(x{})"),
    ("softmax", "softmax(x{})"),
    ("log_softmax", "log_softmax(x{})"),
    ("normalize", "normalize(x{})"),
    ("norm", "norm(reshape(x[0..4, 0..4], [4, 4]){})"),
    ("fgsm", "fgsm(v => sum(sin(v)), x{})"),
    ("pgd", "pgd(v => sum(sin(v) * iota(6)), x{})"),
    ("constant", "constant(0.5{})"),
    ("uniform", ""),
    ("normal", ""),
    ("truncated_normal", ""),
    ("glorot_uniform", ""),
    ("glorot_normal", ""),
    ("he_uniform", ""),
    ("he_normal", ""),
    ("lecun_uniform", ""),
    ("lecun_normal", ""),
    ("orthogonal", ""),
    ("conv3d", "volume |> conv3d(4, kernel: 2{})"),
    ("max_pool3d", "max_pool3d(volume{})"),
    ("avg_pool3d", "avg_pool3d(volume{})"),
    ("over_volume", "over_volume(max_pool, volume, size: 2, stride: 2, padding: \"same\"{})"),
    ("margins", "x * margins(6, 3, 1, 1, 1{})[0]"),
    ("windows", "x * windows(6, 3, 1, 1{})"),
    ("each_nth", "each_nth(volume, 2{})"),
    ("marks", "x[.., 0] * marks(iota(4) < 2, 4, true{})"),
    ("where_read", "where_read(iota(4) < 2, x[0, 0], x[.., 1], x[.., 2]{})"),
    ("simple_rnn", "x |> simple_rnn(3{})"),
    ("lstm", "concat(x |> lstm(3{}))"),
    ("gru", "concat(x |> gru(3{}))"),
    ("bidirectional", "x |> bidirectional(gru(2), simple_rnn(2, go_backwards: true){})"),
    ("along", "along(x, true{})"),
    ("outputs_of", "outputs_of(x, all: true, backwards: true{})"),
    ("dense", "x |> dense(3{})"),
    ("conv2d", "image |> conv2d(4, kernel: 2{})"),
    ("conv1d", "x |> conv1d(6, kernel: 2{})"),
    ("conv2d_transpose", "image |> conv2d_transpose(4, kernel: 3{})"),
    ("conv1d_transpose", "x |> conv1d_transpose(6, kernel: 3{})"),
    ("depthwise_conv2d", "image |> depthwise_conv2d(kernel: 2{})"),
    ("max_pool1d", "x |> max_pool1d({})"),
    ("avg_pool1d", "x |> avg_pool1d({})"),
    ("resize", "image |> resize(4{})"),
    ("interpolation", "interpolation(6, 4, \"bilinear\") @ x[0]"),
    ("upsampling2d", "image |> upsampling2d({})"),
    ("tril", "tril(x{})"),
    ("triu", "triu(x{})"),
    ("max_pool2d", "image |> max_pool2d({})"),
    ("avg_pool2d", "image |> avg_pool2d({})"),
    ("global_avg_pool", "image |> global_avg_pool({})"),
    ("global_max_pool", "image |> global_max_pool({})"),
    ("flatten", "image |> flatten({})"),
    ("embedding", "tokens |> embedding(3{})"),
    ("dropout", "dropout(x, 0.5{})"),
    ("spatial_dropout", "spatial_dropout(x, 0.5{})"),
    ("alpha_dropout", "alpha_dropout(x, 0.5{})"),
    ("gaussian_dropout", "gaussian_dropout(x, 0.5{})"),
    ("gaussian_noise", "gaussian_noise(x, 0.5{})"),
    ("batch_norm", "x |> batch_norm({})"),
    ("layer_norm", "x |> layer_norm({})"),
    ("standardized", "standardized(x, 1e-3{})"),
    ("rms_norm", "x |> rms_norm({})"),
    ("group_norm", "image |> group_norm(groups: 2{})"),
    ("instance_norm", "image |> instance_norm({})"),
    ("weight_norm", "x |> dense(3, norm: weight_norm({}))"),
    ("spectral_norm", "x |> dense(3, norm: spectral_norm({}))"),
    ("multi_head_attention", "x |> multi_head_attention(3{})"),
    ("attention", "attention(x, sin(2 * x), cos(x){})"),
    ("causal_mask", "softmax(causal_mask(x @ transpose(x){}))"),
    ("rotate", "rotate(x{})"),
    ("position_angles", "x + position_angles(4, 6, 100{})"),
    ("positional", "x |> positional({})"),
    ("learned_positions", "x |> learned_positions({})"),
    ("feed_forward", "x |> feed_forward({})"),
    ("transformer_encoder", "x |> transformer_encoder(3{})"),
    ("transformer_decoder", "x |> transformer_decoder(3, memory: sin(5 * x)[0..3]{})"),
    ("residual", "x |> residual(dense(6){})"),
    ("resnet_block", "image |> resnet_block(4{})"),
    ("squeeze_excite", "image |> squeeze_excite({})"),
    ("highway", "x |> highway({})"),
    ("separable_conv2d", "image |> separable_conv2d(3, kernel: 2{})"),
    ("squash", "squash(x{})"),
    ("capsule_routing", "x |> capsule_routing(3, dim: 2{})"),
    ("mixture_of_experts", "x |> mixture_of_experts(2{})"),
    ("load_balance", "load_balance(softmax(x){})"),
    ("cross_entropy", "cross_entropy(scores, labels{})"),
    ("kept", "kept(labels{})"),
    ("focal", "focal(scores, labels{})"),
    ("binary_focal", "binary_focal(scores, bits{})"),
    ("soft_cross_entropy", "soft_cross_entropy(scores, softmax(sin(scores)){})"),
    ("binary_cross_entropy", "binary_cross_entropy(scores, bits{})"),
    ("same_shape", "same_shape(scores, bits{})"),
    ("mse", "mse(x, sin(x){})"),
    ("mae", "mae(x, sin(x){})"),
    ("huber", "huber(3 * x, 0 * x{})"),
    ("log_cosh", "log_cosh(x, sin(x){})"),
    ("quantile", "quantile(x, sin(2 * x){})"),
    ("poisson", "poisson(2 + x, 1 + sin(x){})"),
    ("kl_divergence", "kl_divergence(softmax(sin(scores)), scores{})"),
    ("distillation", "distillation(scores, sin(scores){})"),
    ("hinge", "hinge(scores, 2 * bits - 1{})"),
    ("multi_margin", "multi_margin(scores, labels{})"),
    ("margin_loss", "margin_loss(sigmoid(scores), labels{})"),
    ("dice", "dice(scores, bits{})"),
    ("l1", "sum(x |> dense(2)) + l1([scores, x]{})"),
    ("l2", "sum(x |> dense(2)) + l2([scores, x]{})"),
    ("cosine_similarity", "cosine_similarity(x, sin(3 * x){})"),
    ("cosine_loss", "cosine_loss(x, sin(3 * x){})"),
    ("contrastive", "contrastive(0.1 * x, 0.1 * sin(x), bits[.., 0]{})"),
    ("triplet", "triplet(x, sin(3 * x), cos(x){})"),
    ("nt_xent", "if training { nt_xent(x[0], sin(3 * x[1]){}) } else { x[0, 0] }"),
    ("auroc", "if training { auroc(x[0, 0], bits[0, 0]{}) } else { x[0, 0] }"),
    ("average_precision", "if training { average_precision(x[0, 0], bits[0, 0]{}) } else { x[0, 0] }"),
    ("counts_by_score", "counts_by_score(x[0], cast(tokens)){}[0]"),
    ("reparameterize", "reparameterize(x, sin(x){})"),
    ("kl_normal", "kl_normal(x, sin(x){})"),
    ("bernoulli_log_likelihood", "bernoulli_log_likelihood(scores, bits{})"),
    ("normal_log_likelihood", "normal_log_likelihood(x, sin(x){})"),
    ("ctc", "ctc(scores, cast(1 + iota(2), bound: 3){})"),
    ("edit_distance", "edit_distance(tokens, reverse(tokens, 0){})"),
    ("error_rate", "error_rate(tokens, near{})"),
    ("accuracy", "accuracy(scores, labels{})"),
    ("top_k", "top_k(scores, labels{})"),
    ("binary_accuracy", "binary_accuracy(scores, bits{})"),
    ("rmse", "rmse(x, sin(x){})"),
    ("perplexity", "perplexity(scores, labels{})"),
    ("confusion_matrix", "confusion_matrix(scores, labels{})"),
    ("precision", "precision(scores, labels{})"),
    ("recall", "recall(scores, labels{})"),
    ("f1", "f1(4 * x[.., 3..6], labels{})"),
    ("class_average", "class_average(batch_mean(x[0..3, 0..3] ^ 2), [1, 2, 3], [3, 4, 5], 1, micro{})"),
    ("diagonal", "diagonal(x[0..3, 0..3]{})"),
    ("balanced_accuracy", "balanced_accuracy(scores, labels{})"),
    ("mcc", "mcc(scores, labels{})"),
    ("cohen_kappa", "cohen_kappa(scores, labels{})"),
    ("r2", "if training { r2(x[0, 0], sin(x)[0, 0]{}) } else { x[0, 0] }"),
    ("explained_variance", "if training { explained_variance(x[0, 0], sin(x)[0, 0]{}) } else { x[0, 0] }"),
    ("variance", "if training { variance(x[0, 0]{}) } else { x[0, 0] }"),
    ("shift_right", "cast(shift_right(tokens{}))"),
    ("greedy", "cast(greedy((source, row) => one_hot(row, 5), x, length: 3, tokens: 5{}))"),
    ("exact_match", "exact_match(tokens, cast(select(cast(tokens) == 2, 1, cast(tokens)), bound: 5){})"),
    ("bleu", "bleu(tokens, near{})"),
    ("sgd", ""),
    ("rmsprop", ""),
    ("adagrad", ""),
    ("adam", ""),
    ("adamw", ""),
    ("lion", ""),
    ("adadelta", ""),
    ("adamax", ""),
    ("nadam", ""),
    ("radam", ""),
    ("adafactor", ""),
    ("lamb", ""),
    ("lars", ""),
    ("muon", ""),
    ("decayed", "decayed(x, 0.1, 0.2{})"),
    ("trust_ratio", "trust_ratio(x, 2{})"),
    ("newton_schulz", "newton_schulz(x{})"),
    ("cosine", "cosine(0.1{})"),
    ("linear", "linear(0.1{})"),
    ("exponential", "exponential(0.1, decay_steps: 2, decay_rate: 0.5{})"),
    ("stepwise", "stepwise(0.1, at: [2]{})"),
    ("polynomial", "polynomial(0.1{})"),
    ("inverse_sqrt", "inverse_sqrt(0.1, warmup: 2)"),
    ("cosine_restarts", "cosine_restarts(0.1, first: 2{})"),
    ("one_cycle", "one_cycle(0.1{})"),
    ("piecewise", "piecewise([0.1, 0.05], at: [2]{})"),
    ("warmup", "warmup(0.1, steps: 3)"),
    ("schedule_progress", "0.1 * schedule_progress(1)"),
    ("schedule_warmup", "schedule_warmup(0.1, 0.1, 2)"),
];

/// Options whose other value is not made from the default, or that have an effect only next to others: definition,
/// option, what else is given, the value.
const SPECIAL: &[(&str, &str, &str, &str)] = &[
    ("norm", "epsilon", "", "0.5"),
    ("normalize", "epsilon", "", "50"),
    ("cosine_similarity", "epsilon", "", "50"),
    ("spectral_norm", "epsilon", "", "50"),
    ("group_norm", "groups", "", "4"),
    ("lion", "beta_1", "", "5"),
    ("stepwise", "warmup", "", "3"),
    ("piecewise", "warmup", "", "3"),
    ("sgd", "dampening", "momentum: 0.9", "0.5"),
    ("radam", "beta_2", "", "0.9"),
    ("adafactor", "relative_step", "lr: 2", "false"),
    ("muon", "rms_rate", "", "0.4"),
    ("fgsm", "clip", "", "[0, 0.5]"),
    ("pgd", "clip", "", "[0, 0.2]"),
    ("pgd", "norm", "random_start: false", "l2"),
    ("simple_rnn", "activation", "", "relu"),
    ("simple_rnn", "mask", "", "iota(4) < 2"),
    ("lstm", "mask", "", "iota(4) < 2"),
    ("gru", "mask", "", "iota(4) < 2"),
    ("conv3d", "padding", "", "same"),
    ("conv3d", "groups", "", "2"),
    ("max_pool3d", "stride", "", "1"),
    ("avg_pool3d", "stride", "", "1"),
    ("max_pool3d", "padding", "size: 3", "same"),
    ("avg_pool3d", "padding", "size: 3", "same"),
    ("dense", "norm", "", "weight_norm"),
    ("conv2d", "norm", "", "weight_norm"),
    ("conv2d", "padding", "", "same"),
    ("conv2d", "groups", "", "2"),
    ("conv1d", "groups", "", "2"),
    ("conv2d_transpose", "padding", "", "same"),
    ("conv1d_transpose", "padding", "", "same"),
    ("depthwise_conv2d", "padding", "", "same"),
    ("max_pool1d", "stride", "", "1"),
    ("avg_pool1d", "stride", "", "1"),
    ("max_pool1d", "padding", "size: 3", "same"),
    ("avg_pool1d", "padding", "size: 3", "same"),
    ("max_pool2d", "stride", "", "1"),
    ("avg_pool2d", "stride", "", "1"),
    ("max_pool2d", "padding", "size: 4", "same"),
    ("avg_pool2d", "padding", "size: 4", "same"),
    ("standardized", "axis", "", "0"),
    ("logsumexp", "axis", "", "0"),
    ("softmax", "axis", "", "0"),
    ("log_softmax", "axis", "", "0"),
    ("normalize", "axis", "", "0"),
    ("norm", "axis", "", "0"),
    ("multi_head_attention", "memory", "", "sin(5 * x)"),
    ("multi_head_attention", "mask", "", "iota(4) < 2"),
    ("attention", "mask", "", "iota(4) < 2"),
    ("feed_forward", "units", "", "5"),
    ("transformer_encoder", "units", "", "5"),
    ("transformer_encoder", "mask", "", "iota(4) < 2"),
    ("transformer_decoder", "units", "", "5"),
    ("transformer_decoder", "mask", "", "iota(4) < 1 or iota(4) > 2"),
    ("transformer_decoder", "memory_mask", "", "iota(3) < 2"),
    ("mixture_of_experts", "units", "", "5"),
    ("mixture_of_experts", "gates", "", "softmax(x[.., 0..2])"),
    ("squeeze_excite", "ratio", "", "2"),
    ("separable_conv2d", "padding", "", "same"),
    ("cross_entropy", "ignore", "", "1"),
    ("perplexity", "ignore", "", "pad"),
    ("ctc", "steps", "", "3"),
    ("ctc", "zero_infinity", "steps: 0.5", "true"),
    ("edit_distance", "ignore", "", "2"),
    ("error_rate", "ignore", "", "pad"),
    ("kept", "ignore", "", "pad"),
    ("exact_match", "ignore", "", "1"),
    ("bleu", "n", "", "1"),
    ("bleu", "ignore", "n: 1", "2"),
    ("binary_focal", "alpha", "", "0.3"),
    ("normal_log_likelihood", "log_variance", "", "0.5 * x"),
    ("confusion_matrix", "normalize", "", "all"),
    ("f1", "beta", "", "2"),
    ("top_k", "k", "", "1"),
    ("sgd", "nesterov", "momentum: 0.9", "true"),
];

/// Options without an effect that this test could see, each with the reason.
const EXEMPT: &[(&str, &str, &str)] = &[];

const LABELS: &str = "let labels = argmax(sin(9 * x[.., 0..3] + iota(4, 3)), axis: -1)";

/// A spec that uses an expression. `x` is f32[4, 6], `image` f32[6, 6, 4], `volume` f32[4, 4, 4, 2],
/// `scores` f32[4, 3], `bits` the same of 0 and 1,
/// `labels` index<3>[4], `tokens` and `near` index<5>[6].
fn spec(def: &Def, file: &str, usage: &str) -> String {
    let mut init = "normal(stddev: 0.5)";
    let mut optimizer = "sgd(lr: 0.1)".to_string();
    let mut y = "x |> dense(3)";
    match (file, def.kind) {
        ("initializers.nn", _) => init = usage,
        ("schedules.nn", _) => optimizer = format!("sgd(lr: {usage})"),
        (_, DefKind::Optimizer) => optimizer = usage.to_string(),
        _ => y = usage,
    }
    format!(
        "data flowers = csv(\"models/data/iris.csv\") {{\n\
         facts: f32[4] = columns(\"sepal_length\"..\"petal_width\")\n}}\n\
         model Net(facts: f32[4]) -> f32 {{\n\
         param shift: f32[4, 6] = {init}\n\
         let x = 0.9 * sin(reshape(iota(24), [4, 6]) * (1 + facts[0]) + facts[1]) + 0.3 * shift\n\
         let image = sin(reshape(iota(144), [6, 6, 4]) * (1 + facts[2])) + x[0, 0..4]\n\
         let volume = sin(reshape(iota(128), [4, 4, 4, 2]) * (1 + facts[1])) + x[0, 0..2]\n\
         let scores = 3 * sin(5 * x[.., 0..3])\n\
         let bits = 1 * (sin(7 * x[.., 0..3]) > 0)\n\
         {LABELS}\n\
         let tokens = cast(floor(2 + 1.9 * sin(reshape(iota(6), [6]) * (1 + facts[3]))), bound: 5)\n\
         let near = cast(floor(2 + 1.9 * sin(reshape(iota(6), [6]) * (1 + facts[3]) + 0.3)), bound: 5)\n\
         let y = {y}\n\
         let flat = reshape(cast(y), [-1])\n\
         sum(flat * sin(1 + iota(len(flat)))) + 0.01 * sum(x * x)\n}}\n\
         train {{\nbatch 3 from flowers.all\nminimize Net(flowers.facts)\noptimizer {optimizer}\nsteps 9\n}}\n"
    )
}

/// The losses of some steps, and all variables after them. What has no gradient still has a loss.
fn outcome(text: &str) -> Result<Vec<f64>, String> {
    let options = CheckOptions { text: Some(text.to_string()), ..CheckOptions::default() };
    let checked = check(Path::new("options.nn"), &options);
    let errors: Vec<String> = checked
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| d.render(&checked.sources, false))
        .collect();
    if !errors.is_empty() {
        return Err(format!("{}\n{text}", errors.join("\n")));
    }
    let experiment = checked.experiment.expect("an experiment");
    let stage = &experiment.stages[0];
    let moment = |step: u64| Moment { seed: 1, step, example: 0, batch: 3 };
    let mut session = Session::initial(&experiment.variables, moment(0));
    let row = |e: usize| (0..4).map(|i| 0.1 + 0.17 * (e * 4 + i) as f64).collect();
    let facts: Vec<Array> = (0..3).map(|e| Array::new(Shape::of(&[4]), row(e))).collect();
    let inputs = vec![facts; stage.inputs.len()];
    let mut found = Vec::new();
    // Some optimizers change what they do after a few steps.
    let steps = if text.contains("optimizer sgd(lr: 0.1)") { 3 } else { 8 };
    for step in 1..=steps {
        let outputs = session.step(&stage.step, &inputs, moment(step));
        found.push(outputs[0].1.of(0).data[0]);
    }
    session.variables.iter().for_each(|v| found.extend(&v.data));
    if found.iter().all(|v| v.is_finite()) {
        Ok(found)
    } else {
        Err(format!("not finite: {found:?}\n{text}"))
    }
}

fn differ(a: &[f64], b: &[f64]) -> bool {
    a.len() != b.len() || a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-9 * (1.0 + a.abs()))
}

fn usage_of(def: &Def) -> String {
    let name = def.name.name.as_str();
    let uses = USES.iter().find(|(n, _)| *n == name);
    let Some((_, usage)) = uses else { panic!("`{name}` has no line in USES of tests/files/options.rs") };
    if usage.is_empty() { format!("{name}({{}})") } else { (*usage).to_string() }
}

/// A use with arguments put in, or in the place of one of the same name.
fn filled(usage: &str, arguments: &[String]) -> String {
    let mut text = usage.to_string();
    let mut list = Vec::new();
    for argument in arguments.iter().filter(|a| !a.is_empty()) {
        let name = argument.split_inclusive(": ").next().unwrap_or_default();
        match text.find(name) {
            Some(at) => {
                let end = text[at..].find(['{', ',', ')']).map_or(text.len(), |length| at + length);
                text.replace_range(at..end, argument);
            }
            None => list.push(argument.clone()),
        }
    }
    let comma = if list.is_empty() || text.contains("({}") { "" } else { ", " };
    text.replace("{}", &format!("{comma}{}", list.join(", ")))
}

fn words(param: &Param) -> Vec<String> {
    let dims = param.ty.as_ref().and_then(|ty| ty.dims.as_deref()).unwrap_or_default();
    dims.iter()
        .filter_map(|dim| match dim {
            DimExpr::Expr(Expr { kind: ExprKind::Name(name), .. }) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// Other values for an option, made from its type and default.
fn others(param: &Param) -> Vec<String> {
    let ty = param.ty.as_ref().map_or("any", |ty| ty.name.name.as_str());
    let default = param.default.as_ref().expect("an option");
    match (ty, &default.kind) {
        ("bool", ExprKind::Bool(value)) => vec![(!value).to_string()],
        ("int", ExprKind::Number { value, .. }) => vec![format!("{}", value + 1.0)],
        ("f32" | "schedule", ExprKind::Number { value, .. }) => vec![format!("{}", 0.5 * value + 0.1)],
        ("f32" | "schedule", ExprKind::Unary(..)) => vec!["-0.3".to_string()],
        ("choice", ExprKind::Number { value, .. }) => vec![format!("{}", value + 1.0)],
        ("choice", ExprKind::Name(word)) => {
            words(param).into_iter().filter(|w| w != word && w != "int" && w != "list").collect()
        }
        ("function", ExprKind::Name(name)) if name == "gelu" || name == "relu" => vec!["tanh".to_string()],
        ("function", _) => vec!["() => normal(stddev: 0.3)".to_string()],
        _ => Vec::new(),
    }
}

#[test]
fn every_option_has_an_effect() {
    let mut known: HashMap<String, Result<Vec<f64>, String>> = HashMap::new();
    let mut of = |text: String| known.entry(text.clone()).or_insert_with(|| outcome(&text)).clone();
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (file, def) in definitions() {
        let name = def.name.name.as_str();
        let usage = usage_of(&def);
        wrong.extend(of(spec(&def, &file, &filled(&usage, &[]))).err());
        let options = def.first.iter().chain(def.second.iter().flatten()).filter(|p| p.default.is_some());
        for param in options {
            let option = param.name.name.as_str();
            if EXEMPT.iter().any(|(d, o, _)| *d == name && *o == option) {
                continue;
            }
            let special: Vec<_> = SPECIAL.iter().filter(|(d, o, ..)| *d == name && *o == option).collect();
            let values: Vec<(String, String)> = match &special[..] {
                [] => others(param).into_iter().map(|value| (String::new(), value)).collect(),
                some => {
                    some.iter().map(|(_, _, with, value)| (with.to_string(), value.to_string())).collect()
                }
            };
            if values.is_empty() {
                wrong.push(format!("`{option}` of `{name}` needs a line in SPECIAL"));
            }
            for (with, value) in values {
                let set = format!("{option}: {value}");
                let before = of(spec(&def, &file, &filled(&usage, std::slice::from_ref(&with))));
                let after = of(spec(&def, &file, &filled(&usage, &[with, set.clone()])));
                tried += 1;
                match (before, after) {
                    (Ok(before), Ok(after)) if differ(&before, &after) => {}
                    (Ok(_), Ok(_)) => wrong.push(format!("{file}: {name}({set}) has no effect")),
                    (before, after) => wrong.extend(before.err().into_iter().chain(after.err())),
                }
            }
        }
    }
    assert!(tried > 120, "only {tried} options");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tables_speak_of_what_there_is() {
    let all = definitions();
    let has = |name: &str, option: &str| {
        all.iter().any(|(_, def)| {
            let mut params = def.first.iter().chain(def.second.iter().flatten());
            def.name.name == name && (option.is_empty() || params.any(|p| p.name.name == option))
        })
    };
    for (name, _) in USES {
        assert!(has(name, ""), "there is no `{name}`");
    }
    let named = SPECIAL.iter().map(|(d, o, ..)| (d, o)).chain(EXEMPT.iter().map(|(d, o, _)| (d, o)));
    for (name, option) in named {
        assert!(has(name, option), "`{name}` has no option `{option}`");
    }
}
