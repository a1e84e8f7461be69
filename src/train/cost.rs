//! What an experiment costs, before it runs: operations by layer, memory by class. What is counted here are
//! the plans that the run then uses.

use std::sync::Arc;

use super::machine::{MachineOptions, plan_of};
use super::run::step_of;
use super::{loader, measure};
use crate::base::Diagnostic;
use crate::exec::arena_bytes;
use crate::ir::experiment::{Experiment, LayerUse, ModelGraph, Stage, VariableKind};
use crate::ir::kernel::{Combine, Kernel, Source};
use crate::ir::plan::{Arena, Phase, Plan};
use crate::ir::{Graph, NodeId};
use crate::passes::plan::cost;
use crate::readers::{Table, Values};
use crate::ty::Type;

/// A layer of a model, or the operations between two layers.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerCost {
    /// The path of the instance: `Cnn.conv2d_2`; empty between layers.
    pub path: String,
    /// What is applied: `conv2d(64, kernel: 3)`.
    pub text: String,
    /// How deep it stands in the model; 1 for its own layers.
    pub depth: usize,
    /// The type of its result.
    pub output: String,
    /// Elements of its trained parameters, those of inner layers included; 0 where they were counted before.
    pub parameters: usize,
    /// Whether its parameters belong to an earlier application too.
    pub shared: bool,
    /// Floating-point operations of the forward pass for one example; a multiply-add is two.
    pub flops: u64,
}

/// The layers of a model down to a depth.
pub fn layers(experiment: &Experiment, model: &ModelGraph, depth: usize) -> Vec<LayerCost> {
    let mut seen: Vec<&str> = Vec::new();
    let shown = model.layers.iter().filter(|layer| layer.depth <= depth);
    shown
        .map(|layer| {
            let shared = seen.contains(&layer.path.as_str());
            let parameters = parameters_under(experiment, &layer.path);
            if parameters > 0 {
                seen.push(&layer.path);
            }
            LayerCost {
                path: layer.path.clone(),
                text: layer.text.clone(),
                depth: layer.depth,
                output: layer.output.to_string(),
                parameters: if shared { 0 } else { parameters },
                shared: shared && parameters > 0,
                flops: flops_of(&model.computation.graph, layer),
            }
        })
        .collect()
}

/// Elements of the trained parameters below a path.
pub fn parameters_under(experiment: &Experiment, path: &str) -> usize {
    let below = |p: &str| p.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    let own = experiment.variables.iter().filter(|v| v.kind == VariableKind::Param && below(&v.path));
    own.map(|v| v.ty.shape.elements()).sum()
}

fn flops_of(graph: &Graph, layer: &LayerUse) -> u64 {
    graph.ids().skip(layer.nodes.start).take(layer.nodes.len()).map(|id| node(graph, id)).sum()
}

/// Operations of a whole model's forward pass for one example.
pub fn forward(model: &ModelGraph) -> u64 {
    model.computation.graph.ids().map(|id| node(&model.computation.graph, id)).sum()
}

/// Operations of one node for one example. An op that consists of others counts one for each element that it
/// reads or makes, whichever are more.
fn node(graph: &Graph, id: NodeId) -> u64 {
    let node = &graph[id];
    let made = node.ty.shape.elements() as u64;
    let read = node.inputs.iter().map(|input| graph[*input].ty.shape.elements() as u64).max().unwrap_or(0);
    match graph.kernel(id) {
        None => made.max(read),
        Some(Kernel::Source(
            Source::Input(_)
            | Source::Variable(_)
            | Source::Argument(_)
            | Source::Constant(_)
            | Source::Step
            | Source::BatchSize,
        )) => 0,
        Some(Kernel::Map(_)) => made,
        Some(Kernel::Reduce(Combine::Sum | Combine::Max | Combine::Min, _) | Kernel::BatchSum) => read,
        Some(
            Kernel::View(_)
            | Kernel::Reshape
            | Kernel::Iota(_)
            | Kernel::Pad { .. }
            | Kernel::Concat(_)
            | Kernel::Batch
            | Kernel::Example,
        ) => 0,
        Some(Kernel::Contract(c)) => {
            let [a, b] = [0, 1].map(|i| &graph[node.inputs[i]].ty.shape);
            let labels = c.a.iter().zip(a.iter()).chain(c.b.iter().zip(b.iter()));
            let mut extents: Vec<(u8, u64)> = labels.map(|(label, n)| (*label, *n as u64)).collect();
            extents.sort_unstable();
            extents.dedup();
            2 * extents.iter().map(|(_, n)| n).product::<u64>()
        }
        Some(Kernel::Leaf(leaf)) => cost::leaf(&leaf, made as usize),
        Some(Kernel::Scan(scan)) => {
            let body = &scan.body.graph;
            scan.count as u64 * body.ids().map(|id| self::node(body, id)).sum::<u64>()
        }
    }
}

/// Memory of one stage in bytes, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Trained parameters.
    pub parameters: usize,
    /// States of layers.
    pub states: usize,
    /// States of optimizers, those of all stages.
    pub optimizer: usize,
    /// Gradients, and their partial sums.
    pub gradients: usize,
    /// Values of single examples: activations and their gradients.
    pub activations: usize,
    /// The batch.
    pub batch: usize,
    /// Batches assembled ahead, where a core is left for that.
    pub ahead: usize,
    /// The programs of the measurements, which stay between measurements.
    pub measures: usize,
    /// The tables.
    pub tables: usize,
    /// The copy of all variables from which a step that diverged is made again.
    pub copies: usize,
    /// The compiler itself, its code and what it works with: about [`PROGRAM`].
    pub program: usize,
}

/// What a process takes besides the data and the memory of the plans, as measured with small networks.
const PROGRAM: usize = 16_000_000;

impl Memory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.parameters
            + self.states
            + self.optimizer
            + self.gradients
            + self.activations
            + self.batch
            + self.ahead
            + self.measures
            + self.tables
            + self.copies
            + self.program
    }
}

/// What a stage costs.
#[derive(Clone, Debug)]
pub struct StageCost {
    /// Operations of a training step: forward, backward and update.
    pub flops: Flops,
    /// The step itself.
    pub plan: Plan,
    /// Its memory.
    pub memory: Memory,
}

/// Floating-point operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flops {
    /// Those that are done.
    pub done: u64,
    /// Those that the network defines; what nobody reads, and zeros of gradients, need not be computed.
    pub dense: u64,
}

/// Operations of each kernel in a whole step with this batch.
pub fn kernel_flops(plan: &Plan, batch: usize) -> Vec<Flops> {
    let mut times = vec![0; plan.kernels.len()];
    for phase in &plan.phases {
        match phase {
            Phase::Tiles(kernels) => kernels.iter().for_each(|k| times[k.0 as usize] = batch as u64),
            Phase::Once(groups) => groups.iter().flatten().for_each(|(k, _)| times[k.0 as usize] = 1),
        }
    }
    let kernels = plan.kernels.iter().zip(times);
    kernels.map(|(k, times)| Flops { done: k.flops * times, dense: k.dense * times }).collect()
}

/// Operations of a whole step with this batch.
pub fn step_flops(plan: &Plan, batch: usize) -> Flops {
    let add = |a: Flops, b: Flops| Flops { done: a.done + b.done, dense: a.dense + b.dense };
    kernel_flops(plan, batch).into_iter().fold(Flops::default(), add)
}

/// Counts a stage.
///
/// # Errors
/// Faults of the compiler.
pub fn stage(
    experiment: &Experiment,
    stage: &Stage,
    tables: &[Table],
    options: &MachineOptions,
) -> Result<StageCost, Diagnostic> {
    let types: Vec<Type> = experiment.variables.iter().map(|v| v.ty.clone()).collect();
    let batch = stage.batches.first().map_or(1, |b| b.size);
    let plan = plan_of(&step_of(stage, &types), &types, batch, options)?;
    let arenas = arena_bytes(&plan, options.threads);
    let of = |arena: Arena| arenas[arena as usize];
    let mut memory = Memory {
        gradients: of(Arena::Once) + of(Arena::Slots),
        activations: of(Arena::Tile) + of(Arena::Batch),
        batch: of(Arena::Inputs),
        ahead: loader::bytes(of(Arena::Inputs), stage.total_steps),
        tables: tables.iter().map(table).sum(),
        program: PROGRAM,
        ..Memory::default()
    };
    for variable in &experiment.variables {
        let bytes = (4 * variable.ty.shape.elements()).next_multiple_of(64);
        match variable.kind {
            VariableKind::Param => memory.parameters += bytes,
            VariableKind::State => memory.states += bytes,
            VariableKind::OptimizerState => memory.optimizer += bytes,
        }
    }
    memory.copies = memory.parameters + memory.states + memory.optimizer;
    for m in &stage.measures {
        let plan = plan_of(&measure::cut(m).partial, &types, measure::batch_size(m, tables), options)?;
        memory.measures += arena_bytes(&plan, options.threads).iter().sum::<usize>();
    }
    for sample in &stage.samples {
        let plan = plan_of(&experiment.models[sample.model].computation, &types, 1, options)?;
        memory.measures += arena_bytes(&plan, options.threads).iter().sum::<usize>();
    }
    Ok(StageCost { flops: step_flops(&plan, batch), plan, memory })
}

/// Bytes of a table.
fn table(table: &Table) -> usize {
    let field = |values: &Values| match values {
        Values::U8 { data, .. } => data.len(),
        Values::F32(data) => 4 * data.len(),
        Values::I32(data) => 4 * data.len(),
        // Fields share their tokens.
        Values::Windows { tokens, .. } => 4 * tokens.len(),
    };
    let shared = |i: usize| match &table.fields[i].values {
        Values::Windows { tokens, .. } => table.fields[..i].iter().any(
            |other| matches!(&other.values, Values::Windows { tokens: t, .. } if Arc::ptr_eq(t, tokens)),
        ),
        Values::U8 { .. } | Values::F32(_) | Values::I32(_) => false,
    };
    let own = table.fields.iter().enumerate().filter(|(i, _)| !shared(*i));
    own.map(|(_, f)| field(&f.values)).sum()
}
