//! `nnc bench`: how fast are training steps?

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::{MachineArgs, Outcome, SpecArgs, Stopped, terminal};
use crate::base::{Diagnostic, Exit, Sources};
use crate::driver;
use crate::exec::Cost;
use crate::ir::experiment::{Experiment, Stage};
use crate::ir::op::Moment;
use crate::ir::plan::Plan;
use crate::kernels::{isa::Isa, peak};
use crate::readers::Table;
use crate::train::batches::Batches;
use crate::train::cost::{self, Flops};
use crate::train::run::{seed, step_of};
use crate::train::{MachineOptions, Task, Variables};

/// Arguments of `nnc bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    machine: MachineArgs,
    /// Steps that are timed
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Steps before the first timed one
    #[arg(long, value_name = "N", default_value = "10")]
    warmup: u32,
    /// Time one stage only [default: all]
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Also time every kernel, on one thread
    #[arg(long)]
    profile: bool,
    /// Print JSON objects, one a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn bench(args: &BenchArgs) -> Outcome {
    let checked = args.spec.check()?;
    let Some(experiment) = &checked.experiment else { return Ok(Exit::Spec) };
    let at = |problem: Diagnostic| Stopped::at(&checked.sources, vec![problem]);
    let options = args.machine.options();
    let mut found = false;
    for (index, stage) in experiment.stages.iter().enumerate() {
        if args.stage.as_ref().is_some_and(|name| *name != stage.name) {
            continue;
        }
        found = true;
        let mut bench = Bench::new(experiment, index, &checked.tables, &options).map_err(at)?;
        for _ in 0..args.warmup {
            bench.step();
        }
        let times: Vec<Duration> = (0..args.steps).map(|_| bench.step()).collect();
        let costs = bench.costs(if args.profile { PROFILED } else { SAMPLED });
        report(args, stage, &bench, times, &costs, &options);
        if args.profile {
            profile(args, &bench, &costs, &checked.sources);
        }
    }
    if !found {
        let names: Vec<&str> = experiment.stages.iter().map(|s| s.name.as_str()).collect();
        let problem = Diagnostic::error("no-stage", "there is no such stage in the spec").exit(Exit::Usage);
        return Err(at(problem.help(format!("the stages are {}", names.join(", ")))));
    }
    Ok(Exit::Ok)
}

/// The steps of a stage, made as in a run.
struct Bench<'a> {
    batches: Batches<'a>,
    task: Task,
    variables: Variables,
    seed: u64,
    step: u64,
    batch: usize,
}

impl<'a> Bench<'a> {
    fn new(
        experiment: &'a Experiment,
        index: usize,
        tables: &'a [Table],
        options: &MachineOptions,
    ) -> Result<Bench<'a>, Diagnostic> {
        let stage = &experiment.stages[index];
        let types = driver::types(experiment);
        let seed = seed(experiment, index);
        let batches = Batches::new(tables, stage, seed);
        let batch = stage.batches.first().map_or(1, |b| b.size);
        let variables = driver::variables(experiment, options, None).map_err(|mut problems| {
            problems.pop().unwrap_or_else(|| Diagnostic::internal("bench", "no memory"))
        })?;
        let task = Task::new(&step_of(stage, &types), &types, batch, options)?;
        Ok(Bench { batches, task, variables, seed, step: 0, batch })
    }

    /// One step; only full batches, so that steps compare.
    fn step(&mut self) -> Duration {
        let full = self.batches.full().max(1) as u64;
        self.batches.seek(self.step % full + 1);
        self.step += 1;
        let moment = Moment { seed: self.seed, step: self.step, example: 0, batch: self.batch as u64 };
        let start = Instant::now();
        self.batches.run(&mut self.task, &mut self.variables, moment);
        start.elapsed()
    }

    fn plan(&self) -> Option<&Plan> {
        match &self.task {
            Task::Compiled(program) => Some(program.plan()),
            Task::Interpreted(_) => None,
        }
    }
}

fn report(
    args: &BenchArgs,
    stage: &Stage,
    bench: &Bench,
    mut times: Vec<Duration>,
    costs: &[Cost],
    options: &MachineOptions,
) {
    times.sort_unstable();
    let seconds = |at: usize| times[at.min(times.len() - 1)].as_secs_f64();
    let (median, fastest, slow) = (seconds(times.len() / 2), seconds(0), seconds(times.len() * 9 / 10));
    let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
    let items = bench.batch as f64 / median;
    let flops = bench.plan().map(|plan| {
        let Flops { done, dense } = cost::step_flops(plan, bench.batch);
        let left_out = costs.iter().map(|cost| cost.left_out).sum();
        Flops { done: done.saturating_sub(left_out), dense }
    });
    let peak = peak::flops_per_second(options.threads);
    let rate = flops.map(|flops| flops.done as f64 / median);
    let dense = flops.map(|flops| flops.dense as f64 / median);
    let isa = Isa::current();
    if args.json {
        let line = json!({
            "stage": stage.name, "batch": bench.batch, "threads": options.threads,
            "interpreted": options.interpret, "isa": format!("{isa:?}").to_lowercase(),
            "steps": times.len(), "median_ms": median * 1e3, "fastest_ms": fastest * 1e3,
            "p90_ms": slow * 1e3, "mean_ms": mean * 1e3, "items_per_second": items, "flops_per_step": flops.map(|f| f.done),
            "gflops": rate.map(|r| r / 1e9), "peak_gflops": peak / 1e9, "share_of_peak": rate.map(|r| r / peak),
            "dense_flops_per_step": flops.map(|f| f.dense), "dense_gflops": dense.map(|r| r / 1e9),
        });
        terminal::line(&line.to_string());
        return;
    }
    terminal::line(&format!(
        "stage {}: batch {}, {} threads, {} steps",
        stage.name,
        bench.batch,
        options.threads,
        times.len()
    ));
    terminal::line(&format!(
        "  {:.3} ms a step (median; fastest {:.3}, 90 % below {:.3})",
        median * 1e3,
        fastest * 1e3,
        slow * 1e3
    ));
    terminal::line(&format!("  {} examples a second", terminal::thousands(items as u64)));
    if let Some(rate) = rate {
        terminal::line(&format!(
            "  {:.1} GFLOP/s done: {:.0} % of the {:.0} GFLOP/s measured for multiply-adds in registers ({isa:?})",
            rate / 1e9,
            100.0 * rate / peak,
            peak / 1e9
        ));
    }
    if let Some(dense) = dense
        && flops.is_some_and(|flops| flops.done < flops.dense)
    {
        terminal::line(&format!("  {:.1} GFLOP/s of those that the network defines", dense / 1e9));
    }
}

/// How many profiled steps are averaged.
const PROFILED: u32 = 20;
/// As many without `--profile`, to count what the data let be left out.
const SAMPLED: u32 = 2;

/// Shows what each kernel takes.
fn profile(args: &BenchArgs, bench: &Bench, costs: &[Cost], sources: &Sources) {
    let Some(plan) = bench.plan() else {
        terminal::note("note: the interpreter has no kernels to time");
        return;
    };
    let flops = cost::kernel_flops(plan, bench.batch);
    let mut kernels: Vec<Timed> = Vec::new();
    let mut lines: Vec<Timed> = Vec::new();
    for ((kernel, flops), cost) in plan.kernels.iter().zip(flops).zip(costs) {
        let seconds = cost.time.as_secs_f64();
        let flops = Flops { done: flops.done.saturating_sub(cost.left_out), ..flops };
        let timed = Timed { name: kernel.name.clone(), place: sources.place(kernel.span), seconds, flops };
        match lines.iter_mut().find(|line| line.place == timed.place) {
            Some(line) => {
                line.seconds += timed.seconds;
                line.flops.done += flops.done;
                line.flops.dense += flops.dense;
            }
            None => lines.push(Timed { name: sources.line(kernel.span), ..timed.clone() }),
        }
        kernels.push(timed);
    }
    let all: f64 = kernels.iter().map(|kernel| kernel.seconds).sum();
    let peak = peak::flops_per_second(1);
    for (title, mut rows) in [("line of the spec", lines), ("kernel", kernels)] {
        rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        if !args.json {
            terminal::line(&format!("  by {title}, on one thread, {:.3} ms a step:", all * 1e3));
            terminal::line("    time         ms   GFLOP/s  of peak  avoided");
        }
        for row in rows {
            row.show(args.json, title, all, peak);
        }
    }
}

/// A kernel or a line of the spec with its time and work in one step on one thread.
#[derive(Clone)]
struct Timed {
    name: String,
    place: String,
    seconds: f64,
    flops: Flops,
}

impl Timed {
    fn show(&self, as_json: bool, title: &str, all: f64, peak: f64) {
        let Flops { done, dense } = self.flops;
        let rate = done as f64 / self.seconds.max(1e-12);
        let share = rate / peak;
        let avoided = dense.saturating_sub(done);
        let percent = 100.0 * self.seconds / all.max(1e-12);
        if as_json {
            let key = if title == "kernel" { "kernel" } else { "line" };
            let line = json!({
                key: self.name, "place": self.place, "ms": self.seconds * 1e3, "percent": percent,
                "flops": done, "flops_avoided": avoided, "gflops": rate / 1e9, "share_of_peak": share,
            });
            terminal::line(&line.to_string());
            return;
        }
        let work = match done {
            0 => format!("{:>9} {:>8}", "", ""),
            _ => format!("{:9.1} {:6.0} %", rate / 1e9, 100.0 * share),
        };
        let avoided = match avoided {
            0 => String::new(),
            _ => format!("{:.0} %", 100.0 * avoided as f64 / dense as f64),
        };
        let (ms, place, name) = (self.seconds * 1e3, &self.place, &self.name);
        terminal::line(&format!("  {percent:5.1} % {ms:9.3} {work} {avoided:>8}  {place}  {name}"));
    }
}

impl Bench<'_> {
    /// What each kernel takes in a step on one thread, the mean of so many; nothing where there are no kernels.
    fn costs(&mut self, steps: u32) -> Vec<Cost> {
        if self.plan().is_none() {
            return Vec::new();
        }
        let mut sums: Vec<Cost> = Vec::new();
        for costs in (0..steps).filter_map(|_| self.profiled()) {
            sums.resize(costs.len(), Cost::default());
            for (sum, cost) in sums.iter_mut().zip(costs) {
                sum.time += cost.time;
                sum.left_out += cost.left_out;
            }
        }
        let mean = |sum: Cost| Cost { time: sum.time / steps, left_out: sum.left_out / u64::from(steps) };
        sums.into_iter().map(mean).collect()
    }

    /// One step on one thread with what each kernel takes.
    fn profiled(&mut self) -> Option<Vec<Cost>> {
        // An ordinary step first: it feeds the batch, which the profiled one then sees again.
        self.step();
        let moment = Moment { seed: self.seed, step: self.step, example: 0, batch: self.batch as u64 };
        match (&mut self.task, &mut self.variables) {
            (Task::Compiled(program), Variables::Compiled(store)) => {
                Some(program.run_profiled(store, moment))
            }
            (Task::Compiled(_) | Task::Interpreted(_), _) => None,
        }
    }
}
