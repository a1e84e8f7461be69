//! The text form of plans, for `nnc emit`: `fused` shows what each kernel computes, `plan` when and where.

use std::fmt::Write;

use crate::ir::Level;
use crate::ir::kernel::{Combine, Conv, ConvPool, Gradient, Leaf, Scalar, Window};
use crate::ir::plan::{
    Access, Arena, Buffer, BufferId, Extent, Gemm, Instr, LeafCall, Matrix, Nest, Phase, Plan, Routine, Work,
    WriteMode,
};

/// What each kernel computes, in the order in which kernels run.
pub fn fused(plan: &Plan) -> String {
    let mut out = String::new();
    let names = names(plan);
    for (p, phase) in plan.phases.iter().enumerate() {
        match phase {
            Phase::Tiles(order) => {
                let _ = writeln!(out, "phase {p}: for every tile of the batch");
                for k in order {
                    kernel(&mut out, plan, &names, k.0, false);
                }
            }
            Phase::Once(groups) => {
                let _ = writeln!(out, "phase {p}: once");
                for (k, cut) in groups.iter().flatten() {
                    kernel(&mut out, plan, &names, k.0, *cut);
                }
            }
        }
    }
    for (from, to) in &plan.copies {
        let _ = writeln!(out, "copy {} to {}", names[from.0 as usize], names[to.0 as usize]);
    }
    out
}

/// How a full batch is cut.
pub fn cuts(plan: &Plan) -> String {
    format!(
        "{}, each of {} of {}",
        counted(plan.slots, "slot"),
        counted(plan.tiles_per_slot, "tile"),
        counted(plan.tile, "example")
    )
}

/// Phases, cuts and memory.
pub fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "batch of {}: {}", plan.batch, cuts(plan));
    let _ = writeln!(out, "memory in bytes:");
    let arenas = [
        (Arena::Variables, "variables", "parameters and states"),
        (Arena::Inputs, "inputs", "one batch of the data"),
        (Arena::Once, "once", "whole-batch values"),
        (Arena::Tile, "tile", "values of one tile, for each worker"),
        (Arena::Batch, "batch", "per-example values that outlive a phase"),
        (Arena::Slots, "slots", "partial sums over the batch, for each slot"),
    ];
    for (arena, name, what) in arenas {
        let _ = writeln!(out, "  {name:<10} {:>12}  {what}", plan.arena_bytes[arena as usize]);
    }
    let _ = writeln!(out, "buffers:");
    let names = names(plan);
    for (b, buffer) in plan.buffers.iter().enumerate() {
        let level = match buffer.level {
            Level::Once => "",
            Level::Each => "each ",
        };
        let arena = arenas[buffer.arena as usize].1;
        let place = format!("{arena}+{}", buffer.offset);
        let ty = format!("{level}{}", buffer.ty);
        let _ = writeln!(out, "  {:<5} {place:<18} {ty:<24} {}", names[b], buffer.name);
    }
    out.push_str(&fused(plan));
    out
}

fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn names(plan: &Plan) -> Vec<String> {
    (0..plan.buffers.len()).map(|b| format!("b{b}")).collect()
}

fn kernel(out: &mut String, plan: &Plan, names: &[String], k: u32, cut: bool) {
    let kernel = &plan.kernels[k as usize];
    let cut = if cut { ", cut over the workers" } else { "" };
    let _ = writeln!(out, "  k{k} {}{cut}", kernel.name);
    work_text(out, plan, names, &kernel.work);
}

fn work_text(out: &mut String, plan: &Plan, names: &[String], work: &Work) {
    match work {
        Work::Nest(nest) => nest_text(out, nest, &plan.buffers, names),
        Work::Gemm(gemm) => gemm_text(out, gemm, names),
        Work::Leaf(call) => leaf_text(out, call, names),
        Work::Loop(work) => {
            let order = if work.reverse { ", from the last to the first" } else { "" };
            let _ = writeln!(out, "    for each of {} steps{order}", work.count);
            for kernel in &work.kernels {
                let mut inner = String::new();
                let _ = writeln!(inner, "  {}", kernel.name);
                work_text(&mut inner, plan, names, &kernel.work);
                inner.lines().for_each(|line| {
                    let _ = writeln!(out, "    {line}");
                });
            }
        }
    }
}

/// An extent of a product.
fn product_extent(gemm: &Gemm, of: &Extent) -> String {
    match of {
        Extent::Examples(1) if gemm.cut.is_some() => "the batch".to_string(),
        Extent::Examples(n) if gemm.cut.is_some() => format!("{n} times the batch"),
        Extent::Examples(_) | Extent::Const(_) => extent(of),
    }
}

fn extent(extent: &Extent) -> String {
    match extent {
        Extent::Const(n) => n.to_string(),
        Extent::Examples(1) => "examples".to_string(),
        Extent::Examples(n) => format!("{n} examples"),
    }
}

/// The letters of the loops, outermost first.
fn letter(dim: usize, examples: bool) -> String {
    if examples {
        return "n".to_string();
    }
    match "ijkabcdefgh".chars().nth(dim) {
        Some(letter) => letter.to_string(),
        None => format!("l{dim}"),
    }
}

fn nest_text(out: &mut String, nest: &Nest, buffers: &[Buffer], names: &[String]) {
    let letters: Vec<String> =
        nest.dims.iter().enumerate().map(|(d, e)| letter(d, matches!(e, Extent::Examples(_)))).collect();
    let loops = |range: std::ops::Range<usize>| -> String {
        range.map(|d| format!("{} < {}", letters[d], extent(&nest.dims[d]))).collect::<Vec<_>>().join(", ")
    };
    let outputs = nest.dims.len() - nest.reduced;
    if outputs > 0 {
        let _ = writeln!(out, "    for {}", loops(0..outputs));
    }
    if nest.reduced > 0 {
        let _ = writeln!(out, "    over {}", loops(outputs..nest.dims.len()));
    }
    let uses = uses(nest);
    let mut texts: Vec<String> = Vec::new();
    for (i, instr) in nest.body.iter().enumerate() {
        let text = instr_text(instr, nest, &texts, &letters, buffers, names);
        let long = uses[i] > 1 && matches!(instr, Instr::Apply(..)) || text.len() > 90;
        if long || matches!(instr, Instr::Reduced(..)) {
            let _ = writeln!(out, "    t{i} = {text}");
            texts.push(format!("t{i}"));
        } else {
            texts.push(text);
        }
    }
    for store in &nest.stores {
        let target = access_text(&store.access, &letters, buffers, names);
        let sign = match store.mode {
            WriteMode::Overwrite => "=",
            WriteMode::Slot => "+=",
        };
        let _ = writeln!(out, "    {target} {sign} {}", texts[store.value]);
    }
}

fn uses(nest: &Nest) -> Vec<usize> {
    let mut uses = vec![0; nest.body.len()];
    for instr in &nest.body {
        match instr {
            Instr::Apply(_, args) => args.iter().for_each(|a| uses[*a] += 1),
            Instr::Reduced(_, value) => uses[*value] += 1,
            Instr::Load(_) | Instr::Const(_) | Instr::Coordinate(_) => {}
        }
    }
    nest.stores.iter().for_each(|s| uses[s.value] += 1);
    uses
}

fn access_text(access: &Access, letters: &[String], buffers: &[Buffer], names: &[String]) -> String {
    let BufferId(b) = access.buffer;
    let mut terms: Vec<String> = Vec::new();
    for (stride, letter) in access.strides.iter().zip(letters) {
        match stride {
            0 => {}
            1 => terms.push(letter.clone()),
            stride => terms.push(format!("{stride}{letter}")),
        }
    }
    if access.offset != 0 {
        terms.push(access.offset.to_string());
    }
    if terms.is_empty() && buffers[b as usize].ty.shape.rank() == 0 {
        return names[b as usize].clone();
    }
    if terms.is_empty() {
        terms.push("0".to_string());
    }
    format!("{}[{}]", names[b as usize], terms.join(" + "))
}

fn instr_text(
    instr: &Instr,
    nest: &Nest,
    texts: &[String],
    letters: &[String],
    buffers: &[Buffer],
    names: &[String],
) -> String {
    match instr {
        Instr::Load(load) => {
            let load = &nest.loads[*load];
            let text = access_text(&load.access, letters, buffers, names);
            if load.sum_slots { format!("slots({text})") } else { text }
        }
        Instr::Const(value) => format!("{value}"),
        Instr::Coordinate(dim) => letters[*dim].clone(),
        Instr::Apply(scalar, args) => {
            let args: Vec<&str> = args.iter().map(|a| texts[*a].as_str()).collect();
            scalar_text(*scalar, &args)
        }
        Instr::Reduced(combine, value) => {
            let word = match combine {
                Combine::Sum => "sum",
                Combine::Max => "max",
                Combine::Min => "min",
            };
            format!("{word} {}", texts[*value])
        }
    }
}

fn scalar_text(scalar: Scalar, args: &[&str]) -> String {
    let infix = match scalar {
        Scalar::Add => Some("+"),
        Scalar::Sub => Some("-"),
        Scalar::Mul => Some("*"),
        Scalar::Div => Some("/"),
        Scalar::Lt => Some("<"),
        Scalar::Le => Some("<="),
        Scalar::Eq => Some("=="),
        _ => None,
    };
    match (infix, args) {
        (Some(sign), [a, b]) => format!("({a} {sign} {b})"),
        _ => format!("{}({})", format!("{scalar:?}").to_lowercase(), args.join(", ")),
    }
}

fn gemm_text(out: &mut String, gemm: &Gemm, names: &[String]) {
    if !gemm.outer.is_empty() {
        let loops: Vec<String> = gemm
            .outer
            .iter()
            .map(|(e, steps)| format!("{} (steps {steps:?})", product_extent(gemm, e)))
            .collect();
        let _ = writeln!(out, "    for {}", loops.join(", "));
    }
    let matrix = |m: &Matrix| {
        let at = if m.offset == 0 { String::new() } else { format!("+{}", m.offset) };
        format!("{}{at}(row {}, column {})", names[m.buffer.0 as usize], m.row, m.column)
    };
    let sign = match gemm.mode {
        WriteMode::Overwrite => "=",
        WriteMode::Slot => "+=",
    };
    let _ = writeln!(
        out,
        "    matrix product [{} x {}] over {}: {} {sign} {}{} * {}",
        product_extent(gemm, &gemm.m),
        product_extent(gemm, &gemm.n),
        product_extent(gemm, &gemm.k),
        matrix(&gemm.c),
        matrix(&gemm.a),
        if gemm.sparse { " without zeros" } else { "" },
        matrix(&gemm.b)
    );
}

fn leaf_text(out: &mut String, call: &LeafCall, names: &[String]) {
    let inputs: Vec<&str> = call.inputs.iter().map(|b| names[b.0 as usize].as_str()).collect();
    let sign = match call.mode {
        WriteMode::Overwrite => "=",
        WriteMode::Slot => "+=",
    };
    let outputs: Vec<&str> = call.outputs.iter().map(|b| names[b.0 as usize].as_str()).collect();
    let (outputs, inputs) = (outputs.join(", "), inputs.join(", "));
    let _ = writeln!(out, "    {outputs} {sign} {}: {inputs}", routine(&call.routine));
}

/// A call of a hand-written kernel in words.
fn routine(routine: &Routine) -> String {
    match routine {
        Routine::Leaf(op) => leaf(op),
        Routine::ConvPoolForward { spec, winograd } => {
            let form = if *winograd { ", in Winograd's form" } else { "" };
            format!("maxima and their taps of the convolution, {}{form}", conv_pool(spec))
        }
        Routine::ConvPoolInputGradient(spec) => {
            format!("input gradient at the maxima of the convolution, {}", conv_pool(spec))
        }
        Routine::LumpedConvInput { conv, layer } => {
            let ([h, w], of) = (layer.window.kernel, leaf(&Leaf::ConvInput(*conv)));
            format!("{of}, a sum where {h} x {w} of the last are 0")
        }
        Routine::ConvPoolWeightGradient(spec) => {
            format!("weight and bias gradients at the maxima of the convolution, {}", conv_pool(spec))
        }
        Routine::BiasedConv { conv, winograd, relu } => {
            let form = if *winograd { " in Winograd's form" } else { "" };
            let relu = if *relu { " and ReLU" } else { "" };
            format!("convolution{form} with bias{relu}, {}", convolution(conv))
        }
        Routine::Winograd(conv) => format!("convolution in Winograd's form, {}", convolution(conv)),
        Routine::WinogradWeights { conv, turned } => {
            let from = if *turned { "turned weights" } else { "weights" };
            format!("{from} in Winograd's form for the convolution, {}", convolution(conv))
        }
        Routine::TurnedWeights(spec) => {
            format!("turned weights for the input gradient of the convolution, {}", conv_pool(spec))
        }
    }
}

fn conv_pool(spec: &ConvPool) -> String {
    let ([h, w], [ph, pw]) = (spec.pool, spec.pooled);
    let relu = if spec.relu { ", ReLU" } else { "" };
    format!("{}{relu}, maximum of {h} x {w} to {ph} x {pw}", convolution(&spec.conv))
}

/// The leaf of an op in words.
fn leaf(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Conv(conv) => format!("convolution, {}", convolution(conv)),
        Leaf::ConvInput(conv) => format!("input gradient of the convolution, {}", convolution(conv)),
        Leaf::ConvWeight(conv) => format!("weight gradient of the convolution, {}", convolution(conv)),
        Leaf::WinogradWeight(conv) => {
            format!("weight gradient in Winograd's form of the convolution, {}", convolution(conv))
        }
        Leaf::Winograd { conv, .. } => format!("convolution in Winograd's form, {}", convolution(conv)),
        Leaf::ConvPool { spec, .. } => format!("maxima of the convolution, {}", conv_pool(spec)),
        Leaf::ConvPoolGradient(spec, of) => {
            let of = match of {
                Gradient::Input => "input",
                Gradient::Weight => "weight",
                Gradient::Bias => "bias",
            };
            format!("{of} gradient at the maxima of the convolution, {}", conv_pool(spec))
        }
        Leaf::MaxPool(w) => format!("maximum of windows, {}", windows(w)),
        Leaf::MaxPoolInput(w) => format!("gradient of the maximum of windows, {}", windows(w)),
        Leaf::MaxPoolPick(w) => format!("elements at the maxima of windows, {}", windows(w)),
        Leaf::SumPool(w) => format!("sum of windows, {}", windows(w)),
        Leaf::SumPoolInput(w) => format!("gradient of the sum of windows, {}", windows(w)),
        Leaf::ArgMax { outer, n, inner, min } => {
            format!("index of the {} of {outer} x {n} x {inner}", if *min { "minimum" } else { "maximum" })
        }
        Leaf::ArgSort { outer, n, descending } => {
            format!("{} order of {outer} x {n}", if *descending { "descending" } else { "ascending" })
        }
        Leaf::CumSum { outer, n, inner, exclusive, reverse } => {
            let from = if *reverse { " from the end" } else { "" };
            let without = if *exclusive { ", without the element itself" } else { "" };
            format!("running sums of {outer} x {n} x {inner}{from}{without}")
        }
        Leaf::Gather { rows, width, count } => format!("{count} rows of {width} out of {rows}"),
        Leaf::ScatterAdd { rows, width, count } => format!("{count} rows of {width} added into {rows}"),
        Leaf::Random { distribution, stream } => format!("random numbers, {distribution:?}, stream {stream}"),
    }
}

fn windows(w: &Window) -> String {
    let pair = |p: [usize; 2]| format!("{} x {}", p[0], p[1]);
    let mut text =
        format!("{} over {} x {} to {}", pair(w.kernel), pair(w.input), w.channels, pair(w.output));
    for (name, values, usual) in [("stride", w.stride, 1), ("dilation", w.dilation, 1), ("padding", w.pad, 0)]
    {
        if values != [usual; 2] {
            text.push_str(&format!(", {name} {}", pair(values)));
        }
    }
    text
}

fn convolution(conv: &Conv) -> String {
    let groups = if conv.groups > 1 { format!(", {} groups", conv.groups) } else { String::new() };
    format!("{} x {}{groups}", windows(&conv.window), conv.out_channels)
}
