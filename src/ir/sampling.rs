//! Text written by a model, one token after the other: what a model must be like, and what is asked of it.

use super::experiment::{Every, ModelGraph};
use crate::base::Span;
use crate::ty::DType;

/// How a model is asked for the next token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    /// How many tokens it sees.
    pub context: usize,
    /// How many tokens there are.
    pub tokens: usize,
    /// Whether its result has a row of logits for each token that it sees, of which that of the last one counts.
    pub each: bool,
}

impl Speech {
    /// How many tokens a prompt has at least.
    pub fn shortest(&self) -> usize {
        if self.each { 1 } else { self.context }
    }
}

impl ModelGraph {
    /// The form of a model that can write: `index<v>[t] -> f32[t, v]`, or `-> f32[v]` for the token after the last.
    ///
    /// # Errors
    /// Why the model is none, in words.
    pub fn speech(&self) -> Result<Speech, String> {
        let [(name, input)] = self.inputs.as_slice() else {
            return Err(format!("it has {} inputs, not one", self.inputs.len()));
        };
        let (DType::Index(tokens), [context]) = (input.dtype, &input.shape[..]) else {
            return Err(format!("its input `{name}` is {input}, not a row of tokens"));
        };
        let (tokens, context) = (tokens as usize, *context);
        let output = self.computation.outputs.first().map(|(_, node)| &self.computation.graph[*node].ty);
        let form = |each| Ok(Speech { context, tokens, each });
        match output {
            Some(ty) if ty.dtype == DType::F32 && ty.shape[..] == [context, tokens] => form(true),
            Some(ty) if ty.dtype == DType::F32 && ty.shape[..] == [tokens] => form(false),
            Some(ty) => Err(format!("its result is {ty}, not f32[{context}, {tokens}] or f32[{tokens}]")),
            None => Err("it has no result".to_string()),
        }
    }
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// What it begins with.
    pub prompt: String,
    /// How many tokens are added.
    pub length: usize,
    /// Logits are divided by it; 0 takes the most likely token.
    pub temperature: f64,
    /// Only the so many most likely tokens are taken.
    pub top_k: Option<usize>,
}

/// `sample Gpt prompt: "ROMEO:", length: 200, temperature: 0.8 every 500 steps`
#[derive(Clone, Debug)]
pub struct Sample {
    /// Index into the experiment's models.
    pub model: usize,
    /// Index of the table, and of its field, whose vocabulary is used.
    pub vocabulary: (usize, usize),
    /// What is to be written.
    pub sampling: Sampling,
    /// How often.
    pub every: Every,
    /// The statement.
    pub span: Span,
}
