//! `cargo bench --bench steps`: the table of training steps against the peers that are installed.
//!
//! Arguments after `--`: names of networks (all if there are none) and `threads=N` (2 if not said). The Python
//! of the peers is `NNC_PYTHON`, or `python3`. nnc is timed before and after the peers, and the better of both
//! medians counts, so that all figures of a row come from one run on one state of the machine.

use std::collections::BTreeMap;
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
    let threads = arguments.iter().find_map(|a| a.strip_prefix("threads=")).unwrap_or("2").to_string();
    let chosen: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| NETWORKS.contains(a)).collect();
    if let Some(unknown) = arguments.iter().find(|a| !a.contains('=') && !NETWORKS.contains(&a.as_str())) {
        eprintln!("there is no network `{unknown}`; there are {}", NETWORKS.join(", "));
        std::process::exit(1);
    }
    let networks = if chosen.is_empty() { NETWORKS.to_vec() } else { chosen };
    let mut own: BTreeMap<&str, f64> = BTreeMap::new();
    let mut time_own = || {
        for network in &networks {
            let best = own.entry(network).or_insert(f64::INFINITY);
            *best = best.min(nnc(network, &threads));
        }
    };
    time_own();
    let peers = PEERS.map(|peer| times(peer, &threads, &networks));
    time_own();

    let names = peers.each_ref().map(|(name, _)| name.as_str());
    println!("milliseconds a training step, {threads} threads; in brackets how many times nnc's\n");
    println!("| network | nnc | {} |", names.join(" | "));
    println!("|---|---{}|", "|---".repeat(PEERS.len()));
    for network in &networks {
        let mine = own[network];
        let cells = peers.each_ref().map(|(_, times)| match times.get(*network) {
            Some(time) => format!("{time:.3} ({:.1}x)", time / mine),
            None => "-".to_string(),
        });
        println!("| {network} | {mine:.4} | {} |", cells.join(" | "));
    }
}

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

/// The name of a peer with its version, and its median steps; without times where it is not installed.
fn times(peer: &str, threads: &str, networks: &[&str]) -> (String, BTreeMap<String, f64>) {
    let python = std::env::var("NNC_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let script = home().join("peers").join(peer).with_extension("py");
    let output = Command::new(python).arg(script).arg(threads).args(networks).output();
    let lines = output.map(|output| lines(&output.stdout)).unwrap_or_default();
    let Some(name) = lines.first().and_then(|line| line["framework"].as_str()) else {
        return (format!("{peer} (not installed)"), BTreeMap::new());
    };
    let time = |line: &Value| Some((line["network"].as_str()?.to_string(), line["median_ms"].as_f64()?));
    (name.to_string(), lines.iter().filter_map(time).collect())
}

fn lines(text: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(text).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
