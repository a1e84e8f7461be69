//! Every law of the IR, broken once.

use nnc::ir::text::parse;
use nnc::ir::verify::{verify, verify_variables};
use nnc::ir::{Attrs, Computation, Graph, Level, Node, NodeId};
use nnc::ops;
use nnc::ty::{Shape, Type};

const TEXT: &str = "
%0 = input {index: 0} : each f32[3]
%1 = variable {id: 0} : once f32[3]
%2 = mul %0, %1 : each f32[3]
%3 = batch_sum %2 : once f32[3]
output total = %3
update variable 0 = %3
";

fn sound() -> Computation {
    parse(TEXT, ops::find).expect("a sound computation")
}

/// Why a computation is refused after a change to one node.
fn refused(at: usize, change: impl Fn(&mut Node)) -> String {
    let Computation { graph, outputs, updates } = sound();
    let mut nodes = graph.into_nodes();
    change(&mut nodes[at]);
    let broken = Computation { graph: Graph::from_nodes(nodes), outputs, updates };
    verify(&broken).expect_err("a broken law").to_string()
}

/// Why a computation is refused after a change to its roots.
fn refused_roots(change: impl Fn(&mut Computation)) -> String {
    let mut broken = sound();
    change(&mut broken);
    verify(&broken).expect_err("a broken law").to_string()
}

#[test]
fn a_sound_computation_is_accepted() {
    assert!(verify(&sound()).is_ok());
    assert!(verify_variables(&sound(), &[Type::f32(Shape::of(&[3]))]).is_ok());
}

#[test]
fn each_broken_law_is_named() {
    let faults = [
        refused(2, |node| node.inputs[1] = NodeId(3)),
        refused(2, |node| node.inputs[1] = NodeId(2)),
        refused(2, |node| node.inputs[1] = NodeId(99)),
        refused(2, |node| node.inputs.truncate(1)),
        refused(2, |node| node.attrs = Attrs::none().int("axis", 1)),
        refused(1, |node| node.attrs = Attrs::none()),
        refused(2, |node| node.ty = Type::f32(Shape::of(&[4]))),
        refused(2, |node| node.level = Level::Once),
        refused(3, |node| node.op = ops::find("neg").expect("an op")),
        refused(1, |node| {
            node.attrs = Attrs::none().int("id", 0).ints("shape", [2]);
            node.ty = Type::f32(Shape::of(&[2]));
        }),
        refused_roots(|c| c.outputs[0].1 = NodeId(9)),
        refused_roots(|c| c.updates[0].value = NodeId(9)),
        refused_roots(|c| c.outputs.push(("total".into(), NodeId(1)))),
        refused_roots(|c| c.updates.push(c.updates[0])),
        refused_roots(|c| c.updates[0].value = NodeId(2)),
    ];
    insta::assert_snapshot!(faults.join("\n"));
}

#[test]
fn variables_have_the_declared_types() {
    let fault = |types: &[Type]| verify_variables(&sound(), types).expect_err("another type").to_string();
    let faults = [fault(&[]), fault(&[Type::f32(Shape::of(&[4]))])];
    insta::assert_snapshot!(faults.join("\n"));
}

#[test]
fn two_reads_of_one_source_agree() {
    let text = "%0 = variable {id: 4} : once f32[2]\n%1 = variable {id: 4} : once f32[3]\n";
    let computation = parse(text, ops::find).expect("each line alone is sound");
    insta::assert_snapshot!(verify(&computation).expect_err("two types").to_string());
    let text = "%0 = variable {id: 4} : once f32[2]\nupdate variable 4 = %1\n";
    let text = text.replace("update", "%1 = constant {value: 1.0} : once f32\nupdate");
    let computation = parse(&text, ops::find).expect("each line alone is sound");
    insta::assert_snapshot!(verify(&computation).expect_err("another type").to_string());
}
