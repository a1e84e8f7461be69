//! The text form: what it looks like, and that it is read back.

use nnc::ir::computation::VariableId;
use nnc::ir::text::{parse, print};
use nnc::ir::{Builder, Computation, Update};
use nnc::ops;
use nnc::ty::{DType, Shape, Type};

fn sample() -> Computation {
    let mut b = Builder { scope: "Net".into(), ..Builder::default() };
    let image = ops::input(&mut b, 0, &Type::f32(Shape::of(&[8, 9, 1])));
    let label = ops::input(&mut b, 1, &Type::new(DType::Index(4), Shape::scalar()));
    b.scope = "Net.conv2d".into();
    let w = ops::variable(&mut b, VariableId(0), &Shape::of(&[3, 3, 1, 4]));
    let windows = ops::Windows { high: [1, 0], ..ops::Windows::default() };
    let map = ops::conv2d(&mut b, image, w, &windows, 1);
    b.scope = "mean".into();
    let pooled = ops::mean(&mut b, map, &[0, 1]);
    b.scope.clear();
    let hot = ops::one_hot(&mut b, label, 4);
    let product = ops::contract(&mut b, pooled, hot, "c, c ->");
    let loss = ops::batch_sum(&mut b, product);
    let scaled = ops::scale(&mut b, loss, 1e-7);
    let zero = ops::zeros_like(&mut b, w);
    let all = ops::broadcast_like(&mut b, scaled, zero);
    Computation {
        graph: b.graph,
        outputs: vec![("loss".into(), loss), ("gradient Net.conv2d.weight".into(), all)],
        updates: vec![Update { variable: VariableId(0), value: all }],
    }
}

#[test]
fn the_text_is_read_back() {
    let text = print(&sample(), None);
    insta::assert_snapshot!(text);
    let back = parse(&text, ops::find).expect("the text form is read back");
    assert_eq!(print(&back, None), text);
    assert_eq!(back.outputs.len(), 2);
    assert_eq!(back.updates, sample().updates);
}

#[test]
fn every_kind_of_argument_is_read_back() {
    // Every sample case of every op: all attributes there are.
    for op in ops::ALL {
        for case in (op.cases)() {
            let mut b = Builder::default();
            let leaves: Vec<_> =
                case.inputs.iter().enumerate().map(|(i, ty)| ops::input(&mut b, i, ty)).collect();
            b.try_add(op, &leaves, case.attrs.clone()).expect("a sample case fits");
            let text = print(&Computation { graph: b.graph, ..Computation::default() }, None);
            let back = parse(&text, ops::find).unwrap_or_else(|why| panic!("{why}\n{text}"));
            assert_eq!(print(&back, None), text);
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let wrong = |text: &str| parse(text, ops::find).expect_err(text);
    let faults = [
        wrong("%0 = pluss : once f32"),
        wrong("%1 = constant {value: 1.0} : once f32"),
        wrong("%0 = constant {value: one} : once f32"),
        wrong("%0 = constant {colour: 1} : once f32"),
        wrong("%0 = constant : once f32"),
        wrong("%0 = constant {value: 1.0} : each f32"),
        wrong("%0 = constant {value: 1.0} : once f32[2]"),
        wrong("%0 = constant {value: 1.0} : once f32 then"),
        wrong("# fine\n%0 = constant {value: 1.0} : once f32\n%1 = neg %2 : once f32"),
        wrong("%0 = constant {value: 1.0} : once f32\n%1 = add %0 : once f32"),
        wrong("output loss = %0"),
        wrong("update variable x = %0"),
        wrong("%0 = input {index: 0} : each f32[0]"),
        wrong("%0 = input {index: 0} : each f64"),
    ];
    insta::assert_snapshot!(faults.join("\n"));
}
