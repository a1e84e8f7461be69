//! Progress of a run: a bar on a terminal, a line per epoch elsewhere, JSON objects with `--json`.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::terminal;
use crate::train::run::{every_text, length_text};
use crate::train::{Event, Record, SampleRecord};

/// How progress is shown.
enum Form {
    Bar(ProgressBar),
    Lines,
    Json,
}

/// Shows the events of a run.
pub struct Progress {
    form: Form,
    started: Instant,
    /// Examples since the last record of the loss.
    examples: usize,
    loss: f64,
    steps: u64,
    line: Vec<String>,
    /// What stands below the line: measured matrices.
    tables: Vec<String>,
    line_step: u64,
}

impl Progress {
    /// For a run whose output is JSON or not.
    pub fn new(json: bool) -> Progress {
        let form = if json {
            Form::Json
        } else if std::io::stderr().is_terminal() {
            Form::Bar(ProgressBar::hidden())
        } else {
            Form::Lines
        };
        let started = Instant::now();
        let (line, tables) = (Vec::new(), Vec::new());
        Progress { form, started, examples: 0, loss: 0.0, steps: 0, line, tables, line_step: 0 }
    }

    /// Takes note of an event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Stage { stage, steps } => {
                self.flush();
                self.started = Instant::now();
                self.steps = *steps;
                let length = length_text(stage.length);
                self.say(&format!(
                    "stage {}: {length}, {steps} steps of {} examples",
                    stage.name, stage.batches[0].size
                ));
                if let Form::Bar(bar) = &mut self.form {
                    let style = "{bar:30} {pos}/{len} steps  {msg}  {eta} left";
                    let template = ProgressStyle::with_template(style);
                    *bar = ProgressBar::new(*steps)
                        .with_style(template.unwrap_or_else(|_| ProgressStyle::default_bar()));
                }
            }
            Event::Step { examples, loss, step, .. } => {
                self.examples += examples;
                self.loss = *loss;
                if let Form::Bar(bar) = &self.form {
                    // A message for every step would cost more than the step of a small network.
                    if step % 16 == 0 || *step == self.steps {
                        let rate = self.examples as f64 / self.started.elapsed().as_secs_f64();
                        bar.set_message(format!("loss {loss:.4}  {}/s", terminal::count(rate)));
                        bar.set_position(*step);
                    }
                }
            }
            Event::Record(record) => self.record(record),
            Event::Sample(record) => self.sample(record),
            Event::Stalled { stage, when, stalled } => {
                self.flush();
                let best = stalled.best.as_ref().map_or("it never was a number".to_string(), |best| {
                    format!(
                        "the best was {:.4} at epoch {}, step {}",
                        best.value, best.when.epoch, best.when.step
                    )
                });
                self.say(&format!(
                    "stage {} stops at epoch {}, step {}: {} has stalled for {}; {best}",
                    stage.name,
                    when.epoch,
                    when.step,
                    stalled.name,
                    every_text(stalled.patience)
                ));
            }
            Event::Best { .. } | Event::Epoch { .. } => {}
        }
    }

    /// A text stands on lines of its own, behind the numbers of the same step.
    fn sample(&mut self, record: &SampleRecord) {
        if let Form::Json = self.form {
            if let Ok(line) = serde_json::to_string(record) {
                terminal::line(&line);
            }
            return;
        }
        self.flush();
        self.say(&format!("step {}, {} writes:\n{}\n", record.step, record.model, record.text));
    }

    fn record(&mut self, record: &Record) {
        if let Form::Json = self.form {
            if let Ok(line) = serde_json::to_string(record) {
                terminal::line(&line);
            }
            return;
        }
        if record.step != self.line_step {
            self.flush();
            self.line_step = record.step;
            self.line.push(format!("epoch {}, step {}", record.epoch, record.step));
        }
        self.line.push(format!("{} {} {}", record.split, record.name, record.measured.line(4)));
        let table = record.measured.table(4);
        if !table.is_empty() {
            self.tables.push(format!("  {} {}", record.split, record.name));
            self.tables.extend(table);
        }
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            let line = std::mem::take(&mut self.line).join("  ");
            self.say(&line);
            for line in std::mem::take(&mut self.tables) {
                self.say(&line);
            }
        }
    }

    /// Ends the stage's display.
    pub fn finish(&mut self) {
        self.flush();
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
    }

    /// A line for people; none with `--json`.
    pub fn say(&self, text: &str) {
        match &self.form {
            Form::Bar(bar) if !bar.is_hidden() => bar.suspend(|| terminal::line(text)),
            Form::Bar(_) | Form::Lines => terminal::line(text),
            Form::Json => {}
        }
    }
}
