//! What every stage of the compiler makes of `models/mnist_cnn.nn`, as text that a person can follow.

use std::path::Path;

use nnc::check::CheckOptions;
use nnc::driver::{self, Form};
use nnc::passes::Off;
use nnc::train::MachineOptions;

fn emit(form: Form) -> String {
    let checked = driver::check(Path::new("models/mnist_cnn.nn"), &CheckOptions::default());
    let experiment = checked.experiment.expect("the model is right");
    let options = MachineOptions { threads: 1, interpret: false, optimize: true, off: Off::NONE };
    driver::emit(&experiment, &experiment.stages[0], &checked.sources, form, &options).expect("it compiles")
}

macro_rules! stage {
    ($($test:ident, $name:literal, $form:expr;)*) => {
        $(#[test]
        fn $test() {
            insta::assert_snapshot!($name, emit($form));
        })*
    };
}

stage! {
    forward_graph, "ir", Form::Forward;
    gradient_graph, "grad", Form::Gradient;
    update_graph, "update", Form::Update;
    simplified_graph, "simplified", Form::Simplified;
    fused_kernels, "fused", Form::Fused;
    plan_of_memory, "plan", Form::Plan;
}

#[test]
fn syntax_tree() {
    let tree = driver::syntax_tree(Path::new("models/mnist_cnn.nn")).expect("it parses");
    insta::assert_snapshot!("ast", tree);
}

/// Machine code differs from machine to machine, so it is not pinned; but every loop nest has some.
#[test]
fn machine_code_of_every_nest() {
    for form in [Form::Clif, Form::Asm] {
        let text = emit(form);
        assert!(text.contains("sub mul add"), "the optimizer's kernel is there:\n{text}");
        assert!(text.lines().count() > 500, "{} lines", text.lines().count());
    }
}
