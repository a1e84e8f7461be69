//! The commands around a run: check, plan, bench, gradcheck, fmt, ops, emit.

use super::{OK, Place, SPEC, USAGE, at_home};

#[test]
fn check_is_short_when_all_is_well() {
    let place = Place::tiny();
    let done = place.nnc(&["check", "tiny.nn"]).exits(OK).prints("no errors");
    assert_eq!(done.out.lines().count(), 1);
    assert!(!place.path("runs").exists());
}

#[test]
fn plan_counts_the_parameters_of_the_digits_network() {
    let done = at_home(&["plan", "models/mnist_cnn.nn"]).exits(OK);
    for count in ["320", "18,496", "102,464", "650", "121,930"] {
        assert!(done.out.contains(count), "{count} in\n{}", done.out);
    }
    let cuts = "a batch is cut into 8 slots, each of 1 tile of 16 examples; 1 pass over the tiles";
    assert!(done.out.contains(cuts), "{cuts} in\n{}", done.out);
    let done = at_home(&["plan", "models/mnist_cnn.nn", "--json"]).exits(OK);
    let plan = &done.lines()[0];
    let layers = plan["models"][0]["layers"].as_array().expect("a list");
    let own: Vec<u64> = layers.iter().filter_map(|l| l["parameters"].as_u64()).filter(|n| *n > 0).collect();
    assert_eq!(own, [320, 18_496, 102_464, 650]);
    let outputs: Vec<&str> = layers.iter().filter_map(|l| l["output"].as_str()).collect();
    assert_eq!(outputs.first(), Some(&"f32[26, 26, 32]"));
    assert_eq!(outputs.last(), Some(&"f32[10]"));
    // The convolutions alone: 2 operations for each tap of each output.
    let taps = 2 * (26 * 26 * 32 * 9 + 11 * 11 * 64 * 9 * 32);
    let flops = plan["models"][0]["flops"].as_u64().expect("a number");
    assert!(flops > taps && flops < taps + taps / 5, "{flops} FLOPs");
    let training = plan["stages"][0]["training_flops_per_example"].as_u64().expect("a number");
    assert!(training > 2 * flops && training < 4 * flops, "{training} FLOPs of training, {flops} forward");
    assert_eq!(plan["stages"][0]["memory"]["parameters"].as_u64().expect("bytes") / 64, {
        // Each tensor starts at a multiple of 64 bytes.
        [288, 32, 18_432, 64, 102_400, 64, 640, 10].iter().map(|n: &u64| (4 * n).div_ceil(64)).sum::<u64>()
    });
}

#[test]
fn bench_measures() {
    let place = Place::tiny();
    let done = place.nnc(&["bench", "tiny.nn", "--steps", "5", "--warmup", "1", "--json"]).exits(OK);
    let line = &done.lines()[0];
    for key in ["median_ms", "items_per_second", "gflops", "peak_gflops", "share_of_peak"] {
        assert!(line[key].as_f64().is_some_and(|v| v > 0.0), "{key} in {line}");
    }
    let done = place.nnc(&["bench", "tiny.nn", "--steps", "2", "--profile"]).exits(OK);
    done.prints("by kernel").prints("tiny.nn:");
    place.nnc(&["bench", "tiny.nn", "--stage", "nothing"]).exits(USAGE).says("train");
}

#[test]
fn gradients_are_right_and_it_says_how_many_were_checked() {
    let place = Place::tiny();
    let set = ["gradcheck", "tiny.nn", "--set", "width=2"];
    let done = place.nnc(&[&set[..], &["--elements", "20"]].concat()).exits(OK);
    done.prints("20 of 1,568").prints("at most 20 elements");
    let done = place.nnc(&[&set[..], &["--json", "--elements", "7"]].concat()).exits(OK);
    let lines = done.lines();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(line["ok"], true, "{line}");
        assert!(line["error"].as_f64().is_some_and(|e| e < 1e-5), "{line}");
    }
    assert!(lines.iter().any(|l| l["derived"].as_f64().is_some_and(|g| g != 0.0)), "some gradient is not 0");
}

/// `gradcheck` of the small spec with something added to its loss.
fn gradcheck_with(place: &Place, term: &str) -> super::Done {
    place.write("with.nn", super::TINY.replace("minimize cross", &format!("minimize {term} + cross")));
    place.nnc(&["gradcheck", "with.nn", "--set", "width=2", "--elements", "5"])
}

#[test]
fn a_gradient_that_differs_is_reported() {
    // Differences of so large a loss are noise, whatever the gradient.
    let done = gradcheck_with(&Place::new(), "1e12").exits(SPEC);
    done.prints("WRONG").says("Tiny.dense.weight").says("drown");
}

#[test]
fn what_is_stopped_on_purpose_is_no_fault() {
    gradcheck_with(&Place::new(), "stop_gradient(sum(logits * logits))").exits(OK).prints("ok");
}

#[test]
fn fmt_leaves_a_formatted_file_alone() {
    let place = Place::tiny();
    place.nnc(&["fmt", "--check", "tiny.nn"]).exits(OK);
    place.write("wild.nn", super::TINY.replace("  image |> flatten", " image   |>flatten"));
    place.nnc(&["fmt", "--check", "wild.nn"]).exits(SPEC).prints("wild.nn");
    place.nnc(&["fmt", "--stdout", "wild.nn"]).exits(OK).prints(super::TINY);
    place.nnc(&["fmt", "wild.nn"]).exits(OK);
    assert_eq!(place.text("wild.nn"), super::TINY);
}

#[test]
fn ops_documents_all_three_kinds() {
    let place = Place::new();
    let all = place.nnc(&["ops"]).exits(OK);
    for name in ["conv2d", "cross_entropy", "adam", "rearrange", "batch_sum"] {
        assert!(all.out.contains(&format!("  {name} ")), "{name}");
    }
    place
        .nnc(&["ops", "dense"])
        .exits(OK)
        .prints("layer dense(")
        .prints("glorot_uniform")
        .prints("x @ weight");
    place.nnc(&["ops", "tanh"]).exits(OK).prints("hyperbolic tangent");
    place.nnc(&["ops", "dens"]).exits(USAGE).says("did you mean `dense`?");
}

#[test]
fn every_form_can_be_printed() {
    let forms = ["ast", "ir", "grad", "update", "simplified", "fused", "plan", "clif", "asm"];
    for form in forms {
        let done = at_home(&["emit", "models/mlp.nn", "--stage", form]).exits(OK);
        assert!(done.out.lines().count() > 5, "{form}:\n{}", done.out);
    }
    at_home(&["emit", "models/mlp.nn", "--stage", "irr"]).exits(USAGE);
}

#[test]
fn a_pass_that_is_left_out_does_nothing() {
    let plan = |more: &[&str]| at_home(&[&["plan", "models/mnist_cnn.nn"], more].concat()).exits(OK).out;
    let all = plan(&[]);
    assert!(all.contains("Winograd: 16 products for 36"), "{all}");
    let direct = plan(&["--off", "winograd"]);
    assert!(direct.contains("Winograd's form is turned off") && !direct.contains("16 products"), "{direct}");
    let dense = plan(&["--off", "winograd", "--off", "conv-pool"]);
    assert!(!dense.contains("fused with bias"), "{dense}");
    let emit = |more: &[&str]| {
        at_home(&[&["emit", "models/mnist_cnn.nn", "--stage", "simplified"], more].concat()).exits(OK).out
    };
    assert!(emit(&[]).contains("conv_pool2d") && !emit(&["--off", "conv-pool"]).contains("conv_pool2d"));

    let place = Place::tiny();
    place.nnc(&["bench", "tiny.nn", "--off", "cse", "--steps", "2", "--warmup", "0"]).exits(OK);
    place.nnc(&["run", "tiny.nn", "--off", "dce"]).exits(OK);
    // What there is to leave out is said.
    place.nnc(&["run", "tiny.nn", "--off", "nothing"]).exits(USAGE).says("winograd");
    place.nnc(&["run", "tiny.nn", "--off", "decompose"]).exits(USAGE).says("possible values");
    place.nnc(&["run", "tiny.nn", "--off", "cse", "--no-passes"]).exits(USAGE).says("cannot be used with");
    place.nnc(&["run", "tiny.nn", "--off", "cse", "--interpret"]).exits(USAGE).says("cannot be used with");
}
