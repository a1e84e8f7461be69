//! What each pass makes of small graphs: the text before and after, and equal values.

use nnc::ir::text::{parse, print};
use nnc::ir::verify::verify;
use nnc::ir::{Computation, NodeId};
use nnc::{ops, passes};

use super::harness::{Sample, assert_same};

fn read(text: &str) -> Computation {
    let computation = parse(text, ops::find).unwrap_or_else(|why| panic!("{why}\n{text}"));
    verify(&computation).unwrap_or_else(|fault| panic!("{fault}"));
    computation
}

/// Runs one pass over a graph whose last node is its result; returns both texts.
pub fn shown(pass: &str, text: &str) -> String {
    let mut before = read(text);
    if before.outputs.is_empty() {
        before.outputs.push(("result".into(), NodeId(before.graph.len() as u32 - 1)));
    }
    let sample = Sample::draw(&before.graph, 3, 9);
    let pass = passes::find(pass).expect("the pass");
    let after = passes::run_pass(pass, before.clone()).unwrap_or_else(|fault| panic!("{}", fault.title));
    assert_same(&before, &after, &sample, 1e-12, pass.name);
    format!("{}--- {}\n{}", print(&before, None), pass.name, print(&after, None))
}

const LEAVES: &str = "%0 = input {index: 0} : each f32[3, 4]
%1 = variable {id: 0} : once f32[4]
";

/// `LEAVES` and these lines through `simplify`.
pub fn simplified(lines: &str) -> String {
    shown("simplify", &format!("{LEAVES}{lines}"))
}

#[test]
fn simplify_drops_neutral_elements() {
    insta::assert_snapshot!(simplified(
        "%2 = constant {value: 0.0} : once f32
         %3 = broadcast %2 : once f32[3, 4]
         %4 = constant {value: 1.0} : once f32
         %5 = broadcast %4 : once f32[3, 4]
         %6 = add %3, %0 : each f32[3, 4]
         %7 = mul %6, %5 : each f32[3, 4]
         %8 = sub %7, %3 : each f32[3, 4]
         %9 = div %8, %5 : each f32[3, 4]
         %10 = pow %9, %5 : each f32[3, 4]
         %11 = tanh %10 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_moves_signs() {
    insta::assert_snapshot!(simplified(
        "%2 = neg %0 : each f32[3, 4]
         %3 = neg %2 : each f32[3, 4]
         %4 = add %3, %2 : each f32[3, 4]
         %5 = sub %4, %2 : each f32[3, 4]
         %6 = constant {value: -1.0} : once f32
         %7 = broadcast %6 : once f32[3, 4]
         %8 = mul %7, %5 : each f32[3, 4]
         %9 = constant {value: 0.0} : once f32
         %10 = broadcast %9 : once f32[3, 4]
         %11 = sub %10, %8 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_writes_cheaper_arithmetic() {
    insta::assert_snapshot!(simplified(
        "%2 = constant {value: 8.0} : once f32
         %3 = broadcast %2 : once f32[3, 4]
         %4 = div %0, %3 : each f32[3, 4]
         %5 = constant {value: 2.0} : once f32
         %6 = broadcast %5 : once f32[3, 4]
         %7 = pow %4, %6 : each f32[3, 4]
         %8 = constant {value: 3.0} : once f32
         %9 = broadcast %8 : once f32[3, 4]
         %10 = div %7, %9 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_folds_constants_where_f32_agrees() {
    insta::assert_snapshot!(simplified(
        "%2 = constant {value: 0.5} : once f32
         %3 = constant {value: 3.0} : once f32
         %4 = mul %2, %3 : once f32
         %5 = exp %4 : once f32
         %6 = constant {value: 1000.0} : once f32
         %7 = exp %6 : once f32
         %8 = constant {value: 1.00000001} : once f32
         %9 = constant {value: 1.0} : once f32
         %10 = sub %8, %9 : once f32
         output folded = %5
         output infinite-in-f32 = %7
         output cancels-in-f32 = %10"
    ));
}

#[test]
fn simplify_keeps_what_could_hide_a_nan() {
    insta::assert_snapshot!(simplified(
        "%2 = constant {value: 0.0} : once f32
         %3 = broadcast %2 : once f32[3, 4]
         %4 = mul %0, %3 : each f32[3, 4]
         %5 = sub %4, %4 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_decides_known_conditions() {
    insta::assert_snapshot!(simplified(
        "%2 = constant {value: 1.0} : once f32
         %3 = broadcast %2 : once f32[3, 4]
         %4 = constant {value: 2.0} : once f32
         %5 = broadcast %4 : once f32[3, 4]
         %6 = lt %3, %5 : once bool[3, 4]
         %7 = tanh %0 : each f32[3, 4]
         %8 = select %6, %7, %0 : each f32[3, 4]
         %9 = lt %0, %8 : each bool[3, 4]
         %10 = and %9, %6 : each bool[3, 4]
         %11 = select %10, %8, %8 : each f32[3, 4]
         %12 = select %10, %11, %0 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_keeps_results_per_example() {
    // The result is the same for all examples, but it is read per example.
    insta::assert_snapshot!(simplified(
        "%2 = broadcast %1 : once f32[3, 4]
         %3 = le %0, %0 : each bool[3, 4]
         %4 = select %3, %2, %2 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_joins_moves() {
    insta::assert_snapshot!(simplified(
        "%2 = transpose %0 {permutation: [1, 0]} : each f32[4, 3]
         %3 = transpose %2 {permutation: [1, 0]} : each f32[3, 4]
         %4 = reshape %3 : each f32[2, 6]
         %5 = reshape %4 : each f32[12]
         %6 = reverse %5 {axes: [0]} : each f32[12]
         %7 = reverse %6 {axes: [0]} : each f32[12]
         %8 = slice %7 {start: [2], extent: [10], stride: [1]} : each f32[10]
         %9 = slice %8 {start: [1], extent: [4], stride: [2]} : each f32[4]
         %10 = broadcast %9 : each f32[1, 4]
         %11 = broadcast %10 : each f32[5, 4]
         %12 = concat %11 {axis: 0} : each f32[5, 4]"
    ));
}

#[test]
fn simplify_repeats_a_moved_constant() {
    insta::assert_snapshot!(simplified(
        "%2 = constant {value: 3.0} : once f32
         %3 = broadcast %2 : once f32[4, 3]
         %4 = transpose %3 {permutation: [1, 0]} : once f32[3, 4]
         %5 = mul %0, %4 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_lets_the_repeat_add_leading_axes() {
    insta::assert_snapshot!(simplified(
        "%2 = reshape %1 : once f32[1, 4]
         %3 = broadcast %2 : once f32[3, 4]
         %4 = reshape %1 : once f32[4, 1]
         %5 = broadcast %4 : once f32[4, 3]
         %6 = transpose %5 {permutation: [1, 0]} : once f32[3, 4]
         %7 = add %3, %6 : once f32[3, 4]
         %8 = add %0, %7 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_computes_before_it_repeats() {
    insta::assert_snapshot!(simplified(
        "%2 = broadcast %1 : once f32[3, 4]
         %3 = constant {value: 0.5} : once f32
         %4 = broadcast %3 : once f32[3, 4]
         %5 = mul %2, %4 : once f32[3, 4]
         %6 = tanh %5 : once f32[3, 4]
         %7 = add %0, %6 : each f32[3, 4]"
    ));
}

#[test]
fn simplify_sums_equal_terms_by_a_factor() {
    insta::assert_snapshot!(simplified(
        "%2 = broadcast %1 : once f32[5, 4]
         %3 = sum %2 {axes: [0, 1]} : once f32
         %4 = reduce_max %2 {axes: [0]} : once f32[4]
         %5 = reshape %0 : each f32[3, 1, 4]
         %6 = broadcast %5 : each f32[3, 7, 4]
         %7 = sum %6 {axes: [1]} : each f32[3, 4]
         %8 = reshape %7 : each f32[3, 4, 1]
         %9 = sum %8 {axes: [2]} : each f32[3, 4]
         output all = %3
         output maximum = %4
         output inner = %9"
    ));
}

#[test]
fn simplify_pools_before_the_bias_and_the_relu() {
    // pool(relu(x + bias)) with the gradients of x and of the bias.
    insta::assert_snapshot!(shown(
        "simplify",
        "%0 = input {index: 0} : each f32[6, 4, 3]
         %1 = input {index: 1} : each f32[3, 2, 3]
         %2 = variable {id: 0} : once f32[3]
         %3 = broadcast %2 : once f32[6, 4, 3]
         %4 = add %0, %3 : each f32[6, 4, 3]
         %5 = constant {value: 0.0} : once f32
         %6 = broadcast %5 : once f32[6, 4, 3]
         %7 = maximum %4, %6 : each f32[6, 4, 3]
         %8 = max_pool2d %7 {stride: [2, 2], size: [2, 2]} : each f32[3, 2, 3]
         %9 = max_pool2d_grad %7, %1 {stride: [2, 2], size: [2, 2]} : each f32[6, 4, 3]
         %10 = lt %6, %7 : each bool[6, 4, 3]
         %11 = select %10, %9, %6 : each f32[6, 4, 3]
         %12 = sum %11 {axes: [0, 1]} : each f32[3]
         output pool = %8
         output slope = %11
         output bias-slope = %12"
    ));
}

/// A convolution of 11 rows under windows of 2 x 2 needs 10 of them, and 12 of the 13 rows of what it reads.
#[test]
fn region_leaves_out_what_no_window_reads() {
    insta::assert_snapshot!(shown(
        "region",
        "%0 = input {index: 0} : each f32[13, 13, 4]
         %1 = variable {id: 0} : once f32[3, 3, 4, 8]
         %2 = tanh %0 : each f32[13, 13, 4]
         %3 = conv2d %2, %1 {stride: [1, 1], low: [0, 0], high: [0, 0], dilation: [1, 1], groups: 1} : each f32[11, 11, 8]
         %4 = variable {id: 1} : once f32[8]
         %5 = broadcast %4 : once f32[11, 11, 8]
         %6 = add %3, %5 : each f32[11, 11, 8]
         %7 = sum_pool2d %6 {stride: [2, 2], low: [0, 0], high: [0, 0], dilation: [1, 1], size: [2, 2]} : each f32[5, 5, 8]"
    ));
}

/// A slice reads 5 of 9 rows; on the way back the others are zeros.
#[test]
fn region_goes_back_with_the_gradient_of_a_slice() {
    use nnc::ir::computation::VariableId;
    use nnc::ops::Windows;
    use nnc::ty::{Shape, Type};
    let mut b = nnc::ir::Builder::default();
    let image = ops::input(&mut b, 0, &Type::f32(Shape::of(&[9, 9, 2])));
    let weights = ops::variable(&mut b, VariableId(0), &Shape::of(&[3, 3, 2, 3]));
    let windows = Windows { low: [1; 2], high: [1; 2], ..Windows::default() };
    let y = ops::conv2d(&mut b, image, weights, &windows, 1);
    let y = ops::relu(&mut b, y);
    let part = ops::slice(&mut b, y, &[1, 0, 0], &[4, 9, 3], &[1, 1, 1]);
    let square = ops::mul(&mut b, part, part);
    let loss = ops::sum(&mut b, square, &[0, 1, 2]);
    let slopes = passes::autodiff::gradients(&mut b, loss, &[weights, image]);
    let outputs = slopes.into_iter().enumerate().map(|(i, slope)| (format!("slope {i}"), slope)).collect();
    let all = Computation { graph: b.graph, outputs, updates: Vec::new() };
    let sample = Sample::draw(&all.graph, 3, 4);
    let mut texts = Vec::new();
    let options = passes::Options { off: vec!["conv-pool".into(), "winograd".into()] };
    let mut seen = |pass: &passes::Pass, after: &Computation| {
        if pass.name == "region" {
            assert_same(&all, after, &sample, 1e-12, "region");
            texts.push(print(after, None));
        }
    };
    passes::run_watched(all.clone(), &options, &mut seen).expect("the passes run");
    insta::assert_snapshot!(texts.concat());
}

/// One row of many is not worth other extents; what somebody reads stays.
#[test]
fn region_leaves_alone_what_is_read_or_too_little() {
    let pool = |side: usize, more: &str| {
        shown(
            "region",
            &format!(
                "%0 = input {{index: 0}} : each f32[{side}, {side}, 2]
                 %1 = tanh %0 : each f32[{side}, {side}, 2]
                 %2 = sum_pool2d %1 {{stride: [2, 2], low: [0, 0], high: [0, 0], dilation: [1, 1], size: [2, 2]}} : each f32[{half}, {half}, 2]
                 {more}",
                half = side / 2
            ),
        )
    };
    let all = |text: &str, side: usize| {
        text.split("--- region")
            .nth(1)
            .and_then(|after| after.lines().find(|line| line.contains("tanh")))
            .is_some_and(|line| line.ends_with(&format!(": each f32[{side}, {side}, 2]")))
    };
    assert!(!all(&pool(9, ""), 9));
    assert!(all(&pool(301, ""), 301));
    let read = "%3 = sum %1 {axes: [0, 1, 2]} : each f32
                %4 = broadcast %3 : each f32[4, 4, 2]
                %5 = add %4, %2 : each f32[4, 4, 2]";
    assert!(all(&pool(9, read), 9));
}

/// With channels enough, a convolution and the gradient of its image take Winograd's form; with a stride they do not.
#[test]
fn winograd_takes_plain_convolutions_and_their_gradients() {
    let plain = "stride: [1, 1], low: [1, 1], high: [1, 1], dilation: [1, 1], groups: 1";
    let strided = "stride: [2, 2], low: [1, 1], high: [1, 1], dilation: [1, 1], groups: 1";
    insta::assert_snapshot!(shown(
        "winograd",
        &format!(
            "%0 = input {{index: 0}} : each f32[8, 8, 32]
             %1 = variable {{id: 0}} : once f32[3, 3, 32, 34]
             %2 = conv2d %0, %1 {{{plain}}} : each f32[8, 8, 34]
             %3 = conv2d_input_grad %2, %1 {{{plain}, size: [8, 8]}} : each f32[8, 8, 32]
             %4 = conv2d %0, %1 {{{strided}}} : each f32[4, 4, 34]
             %5 = conv2d_weight_grad %0, %2 {{{plain}, size: [3, 3]}} : each f32[3, 3, 32, 34]
             output dx = %3
             output dw = %5
             output strided = %4"
        )
    ));
}

#[test]
fn conv_pool_joins_convolution_bias_relu_and_pool() {
    // As simplify leaves it, with the gradients of the image, the weights and the bias.
    insta::assert_snapshot!(shown(
        "conv-pool",
        "%0 = input {index: 0} : each f32[6, 6, 2]
         %1 = input {index: 1} : each f32[2, 2, 4]
         %2 = variable {id: 0} : once f32[3, 3, 2, 4]
         %3 = variable {id: 1} : once f32[4]
         %4 = conv2d %0, %2 : each f32[4, 4, 4]
         %5 = max_pool2d %4 {stride: [2, 2], size: [2, 2]} : each f32[2, 2, 4]
         %6 = broadcast %3 : once f32[2, 2, 4]
         %7 = add %5, %6 : each f32[2, 2, 4]
         %8 = constant {value: 0.0} : once f32
         %9 = broadcast %8 : once f32[2, 2, 4]
         %10 = maximum %7, %9 : each f32[2, 2, 4]
         %11 = lt %9, %7 : each bool[2, 2, 4]
         %12 = select %11, %1, %9 : each f32[2, 2, 4]
         %13 = max_pool2d_grad %4, %12 {stride: [2, 2], size: [2, 2]} : each f32[4, 4, 4]
         %14 = conv2d_weight_grad %0, %13 {size: [3, 3]} : each f32[3, 3, 2, 4]
         %15 = conv2d_input_grad %13, %2 {size: [6, 6]} : each f32[6, 6, 2]
         %16 = sum %12 {axes: [0, 1]} : each f32[4]
         output y = %10
         output dw = %14
         output dx = %15
         output db = %16"
    ));
}

#[test]
fn cse_computes_equal_values_once() {
    insta::assert_snapshot!(shown(
        "cse",
        "%0 = input {index: 0} : each f32[3]  # a
         %1 = input {index: 0} : each f32[3]  # b
         %2 = variable {id: 0} : once f32[3]  # b
         %3 = add %0, %2 : each f32[3]  # first
         %4 = add %2, %1 : each f32[3]  # second
         %5 = sub %0, %2 : each f32[3]  # first
         %6 = sub %2, %1 : each f32[3]  # the other way round
         %7 = mul %3, %4 : each f32[3]
         %8 = mul %5, %6 : each f32[3]
         %9 = concat %7, %8 {axis: 0} : each f32[6]"
    ));
}

#[test]
fn cse_keeps_random_streams_and_signs_of_zero_apart() {
    insta::assert_snapshot!(shown(
        "cse",
        "%0 = random_uniform {stream: 1, each: true} : each f32[3]
         %1 = random_uniform {stream: 2, each: true} : each f32[3]
         %2 = random_uniform {stream: 1, each: true} : each f32[3]
         %3 = constant {value: 0.0} : once f32
         %4 = constant {value: -0.0} : once f32
         %5 = mul %0, %1 : each f32[3]
         %6 = mul %2, %5 : each f32[3]
         %7 = div %3, %4 : once f32
         output draws = %6
         output nan = %7"
    ));
}

#[test]
fn dce_keeps_outputs_and_updates() {
    insta::assert_snapshot!(shown(
        "dce",
        "%0 = input {index: 0} : each f32[3]
         %1 = variable {id: 0} : once f32[3]
         %2 = tanh %0 : each f32[3]
         %3 = mul %2, %1 : each f32[3]
         %4 = sigmoid %0 : each f32[3]
         %5 = batch_sum %0 : once f32[3]
         output product = %3
         update variable 0 = %5"
    ));
}

#[test]
fn decompose_expands_definitions() {
    insta::assert_snapshot!(shown(
        "decompose",
        "%0 = input {index: 0} : each f32[3, 4]  # Net
         %1 = variable {id: 0} : once f32[4]  # Net
         %2 = mean %0 {axes: [0]} : each f32[4]  # Net.norm
         %3 = stop_gradient %2 : each f32[4]  # Net.norm
         %4 = batch_sum %1 : once f32[4]  # loss
         %5 = mul %3, %4 : each f32[4]  # loss"
    ));
}

#[test]
fn copies_keeps_old_values_apart_from_new_ones() {
    insta::assert_snapshot!(shown(
        "copies",
        "%0 = variable {id: 0} : once f32[2]
         %1 = variable {id: 1} : once f32[2]
         %2 = variable {id: 2} : once f32[2]
         %3 = reshape %0 : once f32[2, 1]
         output before = %3
         output constant = %2
         update variable 0 = %1
         update variable 1 = %0
         update variable 2 = %2"
    ));
}

fn broken(_: Computation) -> Computation {
    panic!("no rule for {}", "this")
}

fn lawless(computation: Computation) -> Computation {
    Computation { outputs: vec![("lost".into(), NodeId(77))], ..computation }
}

#[test]
fn a_pass_at_fault_is_blamed_by_name() {
    for (name, run) in [("broken", broken as fn(Computation) -> Computation), ("lawless", lawless)] {
        let pass = passes::Pass { name, help: "", required: false, run };
        let fault = passes::run_pass(&pass, read(LEAVES)).expect_err("a fault");
        assert!(fault.title.contains(&format!("the pass `{name}`")), "{}", fault.title);
        assert_eq!(fault.exit, nnc::base::Exit::Internal);
    }
}

#[test]
fn loops_read_sequences_without_their_zeros() {
    let scan = |slices: [&str; 2]| {
        let [a, b] = slices;
        format!(
            "{LEAVES}%2 = pad %0 {{low: [0, 2], high: [0, 2], fill: 0.0}} : each f32[3, 8]
             %3 = scan %2, %1 {{sequences: 1, reverse: false, body: [
                 %0 = argument {{index: 0, each: true}} : each f32[8]
                 %1 = argument {{index: 1, each: true}} : each f32[4]
                 %2 = slice %0 {{start: [2], extent: [4], stride: [1]}} : each f32[4]
                 %3 = slice %0 {{start: [{a}], extent: [2], stride: [1]}} : each f32[2]
                 %4 = slice %0 {{start: [{b}], extent: [2], stride: [1]}} : each f32[2]
                 %5 = add %1, %2 : each f32[4]
                 %6 = mul %3, %4 : each f32[2]
                 output carry 0 = %5
                 output row 0 = %5
                 output row 1 = %6
             ]}} : each f32[3, 6]\n"
        )
    };
    insta::assert_snapshot!(shown("unpad", &scan(["3", "6"])));
    // A step that reads columns together with zeros keeps them.
    assert!(
        shown("unpad", &scan(["1", "6"])).contains("argument {index: 0, each: true}         : each f32[8]")
    );
}

#[test]
fn options_leave_passes_out() {
    let reports = |options: &passes::Options| {
        let (_, reports) = passes::run(read(LEAVES), options).expect("the passes run");
        reports.iter().map(|report| report.pass).collect::<Vec<_>>()
    };
    assert_eq!(
        reports(&passes::Options::default()),
        [
            "scans",
            "decompose",
            "simplify",
            "cse",
            "unpad",
            "simplify",
            "dce",
            "hoist",
            "region",
            "conv-pool",
            "winograd",
            "copies"
        ]
    );
    assert_eq!(reports(&passes::Options::bare()), ["decompose", "copies"]);
    let off = vec!["simplify".to_string(), "decompose".to_string()];
    assert_eq!(
        reports(&passes::Options { off }),
        ["scans", "decompose", "cse", "unpad", "dce", "hoist", "region", "conv-pool", "winograd", "copies"]
    );
}

#[test]
fn long_graphs_take_linear_time() {
    // 20,000 layers in a row, every one with work for each pass; quadratic passes would not come back.
    let mut text = LEAVES.to_string();
    let mut last = 0;
    text.push_str("%2 = constant {value: 1.0} : once f32\n%3 = broadcast %2 : once f32[3, 4]\n");
    for layer in 0..20_000 {
        let at = 4 + 2 * layer;
        text.push_str(&format!("%{at} = mul %{last}, %3 : each f32[3, 4]\n"));
        text.push_str(&format!("%{} = stop_gradient %{at} : each f32[3, 4]\n", at + 1));
        last = at + 1;
    }
    text.push_str(&format!("output end = %{last}\n"));
    let (after, _) = passes::run(read(&text), &passes::Options::default()).expect("the passes run");
    assert_eq!(after.graph.len(), 1);
}

#[test]
fn simplify_does_not_take_a_repeated_part_for_the_whole() {
    // The repeat has the shape of what the part was taken from.
    insta::assert_snapshot!(simplified(
        "%2 = slice %1 {start: [0], extent: [1], stride: [3]} : once f32[1]
         %3 = broadcast %2 : once f32[4]
         %4 = mul %3, %1 : once f32[4]"
    ));
}
