//! Averaged weights (`ema`, `swa`): training goes on with the parameters, but what is measured, kept as the best or
//! written is their average, and a stage leaves it in their place.

use std::collections::HashMap;

use super::machine::Variables;
use crate::ir::computation::VariableId;
use crate::ir::experiment::{Measure, ModelGraph, Stage};
use crate::ir::kernel::{Kernel, Source};
use crate::ir::{Attrs, Computation, Graph};

/// The measurements of a stage as they read the variables while it trains.
pub fn measures(stage: &Stage) -> Vec<Measure> {
    let measure =
        |measure: &Measure| Measure { computation: averaged(stage, &measure.computation), ..measure.clone() };
    stage.measures.iter().map(measure).collect()
}

/// A model as it reads the variables while a stage trains.
pub fn model(stage: &Stage, model: &ModelGraph) -> ModelGraph {
    ModelGraph { computation: averaged(stage, &model.computation), ..model.clone() }
}

/// A computation with averages in the place of parameters.
fn averaged(stage: &Stage, computation: &Computation) -> Computation {
    let average: HashMap<VariableId, VariableId> = stage.averages.iter().copied().collect();
    let Computation { graph, outputs, updates } = computation.clone();
    let variables: Vec<Option<VariableId>> = graph
        .ids()
        .map(|id| match graph.kernel(id) {
            Some(Kernel::Source(Source::Variable(variable))) => average.get(&variable).copied(),
            _ => None,
        })
        .collect();
    let mut nodes = graph.into_nodes();
    for (node, variable) in nodes.iter_mut().zip(variables) {
        if let Some(variable) = variable {
            node.attrs = Attrs::none().int("id", i64::from(variable.0)).sizes("shape", &node.ty.shape);
        }
    }
    Computation { graph: Graph::from_nodes(nodes), outputs, updates }
}

/// Before the first step the averages are the parameters themselves.
pub fn begin(stage: &Stage, variables: &mut Variables) {
    for (param, average) in &stage.averages {
        let values = variables.get(*param);
        variables.set(*average, &values);
    }
}

/// After the last step the parameters are their averages.
pub fn finish(stage: &Stage, variables: &mut Variables) {
    for (param, average) in &stage.averages {
        let values = variables.get(*average);
        variables.set(*param, &values);
    }
}
