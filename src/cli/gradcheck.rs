//! `nnc gradcheck`: are the gradients of this spec's losses right?

use clap::Args;
use serde_json::json;

use super::{Outcome, SpecArgs, Stopped, terminal};
use crate::base::{Diagnostic, Exit};
use crate::driver;
use crate::passes::Off;
use crate::train::MachineOptions;
use crate::train::gradcheck::{self, Checked, Options};

/// Arguments of `nnc gradcheck`.
#[derive(Debug, Args)]
pub struct GradcheckArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// Examples in the batch
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Check at most so many elements of each parameter, evenly spread; 0 checks all
    #[arg(long, value_name = "N", default_value = "0")]
    elements: usize,
    /// Largest error allowed, relative to the largest gradient of the parameter
    #[arg(long, value_name = "X", default_value = "1e-5")]
    tolerance: f64,
    /// Print JSON objects, one a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn gradcheck(args: &GradcheckArgs) -> Outcome {
    let checked = args.spec.check()?;
    let Some(experiment) = &checked.experiment else { return Ok(Exit::Spec) };
    let at = |problem: Diagnostic| Stopped::at(&checked.sources, vec![problem]);
    let options = MachineOptions { threads: 1, interpret: true, optimize: false, off: Off::NONE };
    let variables = driver::variables(experiment, &options, None)
        .map_err(|problems| Stopped::at(&checked.sources, problems))?;
    let elements = if args.elements == 0 { usize::MAX } else { args.elements };
    let mut wrong: Vec<String> = Vec::new();
    let mut partial = false;
    for (index, stage) in experiment.stages.iter().enumerate() {
        if !args.json {
            terminal::line(&format!(
                "stage {}: the gradient of the loss of {} examples, in f64, against central differences, near the first values",
                stage.name, args.batch
            ));
        }
        let mut seen = |result: &Checked| {
            let good = result.error <= args.tolerance;
            partial |= result.checked < result.elements;
            if !good {
                wrong.push(result.path.clone());
            }
            show(args, &stage.name, result, good);
        };
        let options = Options { batch: args.batch as usize, elements };
        gradcheck::stage(experiment, index, &checked.tables, &variables, &options, &mut seen).map_err(at)?;
    }
    if !args.json {
        let extent = if partial {
            format!("at most {elements} elements of each parameter were checked")
        } else {
            "every element of every parameter was checked".to_string()
        };
        terminal::line(&extent);
    }
    if wrong.is_empty() {
        return Ok(Exit::Ok);
    }
    let title = format!("the gradient of {} differs from central differences", wrong.join(", "));
    Err(at(Diagnostic::error("wrong-gradient", title)
        .note("that is meant for steps such as floor, and happens by chance next to a kink such as that of relu, and where the loss is so large that differences drown; what stop_gradient stops is held in place, so it is not at fault")
        .help("try another --seed; if the same parameters differ, the gradient rule of an operation is wrong: please report it with the spec")))
}

fn show(args: &GradcheckArgs, stage: &str, result: &Checked, good: bool) {
    if args.json {
        let line = json!({
            "stage": stage, "parameter": result.path, "elements": result.elements,
            "checked": result.checked, "error": result.error, "element": result.worst.element,
            "derived": result.worst.derived, "measured": result.worst.measured, "ok": good,
        });
        terminal::line(&line.to_string());
        return;
    }
    let of = terminal::thousands(result.elements as u64);
    let count = match result.checked == result.elements {
        true => format!("all {of}"),
        false => format!("{} of {of}", terminal::thousands(result.checked as u64)),
    };
    let mut line = format!(
        "  {} {:<40} {count:>20} elements, largest error {:.1e}",
        if good { "ok   " } else { "WRONG" },
        result.path,
        result.error
    );
    if !good {
        let w = &result.worst;
        line += &format!(" (element {}: {:e} derived, {:e} measured)", w.element, w.derived, w.measured);
    }
    terminal::line(&line);
}
