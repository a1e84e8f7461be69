//! `cargo bench --bench steps`: the table of training steps against the peers that are installed.
//!
//! Arguments after `--`: names of networks (all if there are none), `threads=N` (2 if not said) and `rounds=N` (3).
//! The Python of the peers is `NNC_PYTHON`, or `python3`. In each round every side is timed once, one after the other,
//! and of each side the round with the lowest median counts: a machine that is slow for a while is slow for all.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const NETWORKS: [&str; 12] = [
    "cnn",
    "mlp",
    "tiny",
    "gpt",
    "lstm",
    "gru",
    "resnet",
    "cnn_average",
    "cnn_stride",
    "cnn_norm",
    "cnn_5x5",
    "cnn_24_48",
];
const PEERS: [&str; 3] = ["pytorch", "keras", "jax"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let setting = |name: &str| arguments.iter().find_map(|a| a.strip_prefix(name)?.strip_prefix('='));
    let threads = setting("threads").unwrap_or("2");
    let rounds: NonZeroU32 = setting("rounds").unwrap_or("3").parse().expect("`rounds` is a number above 0");
    let chosen: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| NETWORKS.contains(a)).collect();
    if let Some(unknown) = arguments.iter().find(|a| !a.contains('=') && !NETWORKS.contains(&a.as_str())) {
        eprintln!("there is no network `{unknown}`; there are {}", NETWORKS.join(", "));
        std::process::exit(1);
    }
    let networks = if chosen.is_empty() { NETWORKS.to_vec() } else { chosen };
    let mut own = Times::new();
    let mut peers = PEERS.map(|peer| (format!("{peer} (not installed)"), Times::new()));
    for _ in 0..rounds.get() {
        lower(&mut own, networks.iter().map(|network| (network.to_string(), nnc(network, threads))));
        for (peer, (name, best)) in PEERS.iter().zip(&mut peers) {
            if let Some((framework, times)) = times(peer, threads, &networks) {
                *name = framework;
                lower(best, times);
            }
        }
    }

    let names = peers.each_ref().map(|(name, _)| name.as_str());
    println!(
        "milliseconds a training step, {threads} threads, lowest median of {rounds} rounds; in brackets how many"
    );
    println!("times nnc's\n");
    println!("| network | nnc | {} |", names.join(" | "));
    println!("|---|---{}|", "|---".repeat(PEERS.len()));
    for network in &networks {
        let mine = own[*network];
        let cells = peers.each_ref().map(|(_, times)| match times.get(*network) {
            Some(time) => format!("{time:.3} ({:.1}x)", time / mine),
            None => "-".to_string(),
        });
        println!("| {network} | {mine:.4} | {} |", cells.join(" | "));
    }
}

/// The median step of each network, in milliseconds.
type Times = BTreeMap<String, f64>;

fn home() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench"))
}

/// The median step of nnc.
fn nnc(network: &str, threads: &str) -> f64 {
    let steps = match network {
        "tiny" => "50000",
        "mlp" => "2000",
        _ => "200",
    };
    let output = Command::new(env!("CARGO_BIN_EXE_nnc"))
        .args(["bench", "--json", "--threads", threads, "--steps", steps])
        .arg(home().join(network).with_extension("nn"))
        .output()
        .expect("nnc starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    lines(&output.stdout).first().and_then(|line| line["median_ms"].as_f64()).expect("a median")
}

/// The name of a peer with its version, and its median steps; `None` where it is not installed.
fn times(peer: &str, threads: &str, networks: &[&str]) -> Option<(String, Vec<(String, f64)>)> {
    let python = std::env::var("NNC_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let script = home().join("peers").join(peer).with_extension("py");
    let output = Command::new(python).arg(script).arg(threads).args(networks).output().ok()?;
    let lines = lines(&output.stdout);
    let name = lines.first()?["framework"].as_str()?.to_string();
    let time = |line: &Value| Some((line["network"].as_str()?.to_string(), line["median_ms"].as_f64()?));
    Some((name, lines.iter().filter_map(time).collect()))
}

/// Keeps the lower of the known and the new medians.
fn lower(best: &mut Times, new: impl IntoIterator<Item = (String, f64)>) {
    for (network, time) in new {
        best.entry(network).and_modify(|known| *known = known.min(time)).or_insert(time);
    }
}

fn lines(text: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(text).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
