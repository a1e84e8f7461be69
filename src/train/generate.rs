//! Text from a language model: it is asked for the next token again and again.
//!
//! The model sees its fixed context. While there are fewer tokens, they stand at its beginning and the row of logits
//! after the last of them counts; so a model that looks at later places (which hold token 0) is of no use here.
//! Later the context moves on with the text.

use super::machine::{Feed, MachineOptions, Task, Variables};
use crate::base::{Diagnostic, Exit};
use crate::ir::experiment::ModelGraph;
use crate::ir::op::Moment;
use crate::ir::sampling::{Sampling, Speech};
use crate::kernels::random::Generator;
use crate::kernels::vecmath;
use crate::readers::text::vocabulary::Special;
use crate::readers::{Field, Values, Vocabulary, prompt_tokens};
use crate::ty::{DType, Shape, Type};

/// The random stream of samples; streams of graphs are small numbers.
const SAMPLE_STREAM: u64 = u64::MAX - 2;

/// A model that is ready to write.
pub struct Writer {
    task: Task,
    speech: Speech,
}

/// What a sample says and where it was taken.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SampleRecord {
    /// The stage's name.
    pub stage: String,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The step, from 1.
    pub step: u64,
    /// The model's name.
    pub model: String,
    /// What the text begins with.
    pub prompt: String,
    /// The text, with its beginning.
    pub text: String,
}

impl Writer {
    /// Compiles a model.
    ///
    /// # Errors
    /// Faults of the compiler, too little memory.
    pub fn new(model: &ModelGraph, types: &[Type], options: &MachineOptions) -> Result<Writer, Diagnostic> {
        let speech =
            model.speech().map_err(|why| refuse(format!("`{}` cannot write a text: {why}", model.name)))?;
        Ok(Writer { task: Task::new(&model.computation, types, 1, options)?, speech })
    }

    /// What the model sees and says.
    pub fn speech(&self) -> Speech {
        self.speech
    }

    /// The prompt, and how the model goes on. A function of the variables, seed and step alone.
    ///
    /// # Errors
    /// A prompt that the vocabulary does not have, or that is too short.
    pub fn write(
        &mut self,
        variables: &mut Variables,
        vocabulary: &Vocabulary,
        sampling: &Sampling,
        (seed, step): (u64, u64),
    ) -> Result<String, Diagnostic> {
        let mut tokens = prompt_tokens(&sampling.prompt, vocabulary, self.speech.shortest())
            .map_err(|why| refuse(format!("a text cannot begin with {:?}: {why}", sampling.prompt)))?;
        let Speech { context, tokens: kinds, each } = self.speech;
        let random = Generator::new(seed, SAMPLE_STREAM, step, 0);
        let unknown = vocabulary.special(Special::Unknown);
        for position in 0..sampling.length {
            let seen = &tokens[tokens.len().saturating_sub(context)..];
            let last = seen.len() - 1;
            let mut row = seen.to_vec();
            row.resize(context, 0);
            let field = Field {
                name: String::new(),
                dtype: DType::Index(kinds as u64),
                shape: Shape::of(&[context]),
                values: Values::I32(row),
                vocabulary: None,
            };
            let at = |_: usize| (&field, &[0u32][..]);
            let moment = Moment { seed, step, example: 0, batch: 1 };
            self.task.run(variables, &Feed { inputs: 1, at: &at }, moment);
            let logits = self.task.output(0).to_vec();
            let from = if each { last * kinds } else { 0 };
            let mut logits = logits[from..from + kinds].to_vec();
            if let Some(unknown) = unknown {
                logits[unknown as usize] = f64::NEG_INFINITY;
            }
            let draw = (random.bits64(position as u64) >> 11) as f64 / (1u64 << 53) as f64;
            tokens.push(choose(&logits, sampling, draw) as i32);
        }
        Ok(vocabulary.decode(&tokens))
    }
}

fn refuse(title: String) -> Diagnostic {
    Diagnostic::error("bad-prompt", title).exit(Exit::Usage)
}

/// The token that a number from 0 to before 1 stands for: each token has a part of the unit interval as long as its
/// probability.
fn choose(logits: &[f64], sampling: &Sampling, draw: f64) -> usize {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // The most likely first; of equals that with the smaller index.
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    let most = order[0];
    if sampling.temperature == 0.0 {
        return most;
    }
    order.truncate(sampling.top_k.unwrap_or(usize::MAX).max(1));
    let weight = |i: usize| {
        let scaled = (logits[i] - logits[most]) / sampling.temperature;
        // Our own function, so that a text does not depend on the system's.
        f64::from(vecmath::exp(scaled as f32))
    };
    let weights: Vec<f64> = order.iter().map(|i| weight(*i)).collect();
    let mut left = draw * weights.iter().sum::<f64>();
    for (i, weight) in order.iter().zip(weights) {
        left -= weight;
        if left < 0.0 {
            return *i;
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f64, top_k: Option<usize>) -> Sampling {
        Sampling { prompt: String::new(), length: 1, temperature, top_k }
    }

    /// How often each token is taken, of a thousand.
    fn shares(logits: &[f64], how: &Sampling) -> Vec<usize> {
        let mut counts = vec![0; logits.len()];
        (0..1000).for_each(|i| counts[choose(logits, how, (f64::from(i) + 0.5) / 1000.0)] += 1);
        counts
    }

    #[test]
    fn tokens_are_taken_by_their_probability() {
        let logits = [1f64.ln(), 3f64.ln(), 6f64.ln(), f64::NEG_INFINITY];
        assert_eq!(shares(&logits, &sampling(1.0, None)), [100, 300, 600, 0]);
        assert_eq!(shares(&logits, &sampling(1.0, Some(2))), [0, 333, 667, 0]);
        assert_eq!(shares(&logits, &sampling(0.0, None)), [0, 0, 1000, 0]);
        // Powers of 2 of the same weights: 1, 9, 36 of 46.
        assert_eq!(shares(&logits, &sampling(0.5, None)), [22, 195, 783, 0]);
        assert_eq!(choose(&[2.0, 2.0], &sampling(0.0, None), 0.9), 0);
    }
}
