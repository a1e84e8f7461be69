//! `sample` statements: texts that a model writes while it is trained.

use super::checker::Checker;
use super::stage::{Frameworks, Parts};
use super::value::{Eval, Reported, Value};
use crate::base::{Span, did_you_mean};
use crate::ir::sampling::{Sample, Sampling};
use crate::readers::prompt_tokens;
use crate::syntax::ast::{Arg, TrainStatement};

/// What may be said of a sample.
const NAMES: [&str; 4] = ["prompt", "length", "temperature", "top_k"];

impl<'a> Checker<'a> {
    /// The samples of a stage.
    pub fn written(&mut self, parts: &Parts<'a>, framework: Option<&Frameworks>) -> Eval<Vec<Sample>> {
        let mut samples = Vec::new();
        let mut failed = false;
        for statement in &parts.samples {
            match self.sample(statement, framework) {
                Ok(sample) => samples.push(sample),
                Err(Reported) => failed = true,
            }
        }
        if failed { Err(Reported) } else { Ok(samples) }
    }

    fn sample(&mut self, statement: &'a TrainStatement, framework: Option<&Frameworks>) -> Eval<Sample> {
        let TrainStatement::Sample { model: name, args, every, span } = statement else {
            return Err(Reported);
        };
        let every = self.every(every.as_ref(), framework);
        let given = self.sampling(args, *span);
        let (every, (sampling, prompt_span)) = (every?, given?);
        let Some(model) = self.models.iter().position(|model| model.name == name.name) else {
            if self.broken.contains(&name.name) {
                return Err(Reported);
            }
            let names: Vec<&str> = self.models.iter().map(|model| model.name.as_str()).collect();
            let near = did_you_mean(&name.name, names.iter().copied()).map(str::to_string);
            let title = format!("there is no model `{}`", name.name);
            let problem = self.problem_at(name.span, "unknown-name", title, "no model");
            return Err(self.report(match near {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help("`sample` takes a model that this file defines"),
            }));
        };
        let place = self.models[model].span;
        let speech = match self.models[model].speech() {
            Ok(speech) => speech,
            Err(why) => {
                let title = format!("`{}` cannot write a text: {why}", name.name);
                let problem = self
                    .problem_at(name.span, "wrong-model", title, "asked to here")
                    .label(place, "defined here")
                    .help("`model Gpt(tokens: index<play.vocab>[64]) -> f32[64, play.vocab]` can");
                return Err(self.report(problem));
            }
        };
        let fed: Vec<usize> =
            framework.iter().flat_map(|f| &f.batches).map(|batch| batch.rows.table).collect();
        let vocabulary = fed.iter().find_map(|table| {
            let fields = &self.tables[*table].fields;
            let fits = |v: &crate::readers::Vocabulary| v.size() == speech.tokens;
            fields
                .iter()
                .position(|field| field.vocabulary.as_deref().is_some_and(fits))
                .map(|at| (*table, at))
        });
        let Some((table, field)) = vocabulary else {
            let title = format!("no text of this stage has {} tokens", speech.tokens);
            let problem = self
                .problem_at(name.span, "no-vocabulary", title, "as this model has")
                .help("a model that writes is trained on data from `text(..)`, or on a column of texts");
            return Err(self.report(problem));
        };
        let known = self.tables[table].fields[field].vocabulary.clone().ok_or(Reported)?;
        if let Err(why) = prompt_tokens(&sampling.prompt, &known, speech.shortest()) {
            let title = format!("`{}` cannot go on from this prompt", name.name);
            return self.error_at(prompt_span, "bad-prompt", title, &why);
        }
        Ok(Sample { model, vocabulary: (table, field), sampling, every, span: *span })
    }

    /// `prompt: "ROMEO:", length: 200, temperature: 0.8, top_k: 40`, with the place of the prompt.
    fn sampling(&mut self, args: &'a [Arg], span: Span) -> Eval<(Sampling, Span)> {
        let given = self.data_arguments("sample", &NAMES, args)?;
        let [prompt, length, temperature, top_k] = <[_; 4]>::try_from(given).map_err(|_| Reported)?;
        let Some((prompt, prompt_span)) = prompt else {
            let problem = self
                .problem_at(
                    span,
                    "missing-argument",
                    "`sample` needs a prompt",
                    "what does the text begin with?",
                )
                .help("`sample Gpt prompt: \"The \", length: 200`");
            return Err(self.report(problem));
        };
        let Value::Text(prompt) = prompt else {
            let found = self.describe(&prompt);
            return self.error_at(
                prompt_span,
                "wrong-type",
                "a prompt is a text",
                &format!("this is {found}"),
            );
        };
        let whole = |c: &mut Self, given: Option<(Value<'a>, Span)>, what: &str| match given {
            None => Ok(None),
            Some((value, span)) => match c.whole(&value, span, what)? {
                n if n > 0 => Ok(Some(n as usize)),
                n => c.error_at(span, "bad-range", format!("{what} is {n}"), "at least 1"),
            },
        };
        let length = whole(self, length, "`length`")?.unwrap_or(200);
        let top_k = whole(self, top_k, "`top_k`")?;
        let temperature = match temperature {
            None => 1.0,
            Some((value, span)) => match value.number() {
                Some(t) if t >= 0.0 && t.is_finite() => t,
                _ => {
                    let found = self.describe(&value);
                    let title = "`temperature` is a number from 0 on";
                    return self.error_at(span, "bad-range", title, &format!("this is {found}"));
                }
            },
        };
        Ok((Sampling { prompt: prompt.to_string(), length, temperature, top_k }, prompt_span))
    }
}
