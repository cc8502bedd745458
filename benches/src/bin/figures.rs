//! Measures the speed of the whole loop and rewrites the figures of docs/benchmarks.md and the plot beside it.
//! `figures 20 100` measures these fleets and only prints. Times are what this machine gives: nothing is asserted.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use drey_benches::observations::{Sample, samples};
use drey_benches::operations::SEED;
use drey_benches::plot::{Chart, Series, grouped};
use drey_benches::speed::{Speed, Stretch, life};
use drey_benches::{gates, page};
use drey_reconciler::Policy;

/// That of the `drey` command, unless allocations are counted.
#[cfg(not(feature = "count-allocations"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fleets of the plot.
const FLEETS: [usize; 4] = [1, 20, 100, 500];

/// A calm hour, in which most of a fleet's life passes.
const CALM: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let fleets: Result<Vec<usize>, _> = std::env::args().skip(1).map(|argument| argument.parse()).collect();
    let Ok(fleets) = fleets else {
        eprintln!(
            "usage: figures [DEPLOYMENTS ...]\n  without numbers it measures {FLEETS:?} and rewrites docs/benchmarks.md"
        );
        return ExitCode::from(2);
    };
    match run(&fleets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(fleets: &[usize]) -> anyhow::Result<()> {
    let sizes = if fleets.is_empty() { &FLEETS[..] } else { fleets };
    let mut speeds = Vec::new();
    for deployments in sizes {
        let speed = fastest(*deployments).with_context(|| format!("{deployments} deployments"))?;
        print!("{}", rows(&speed));
        println!("checksum {:016x}", speed.checksum);
        speeds.push(speed);
    }
    if !fleets.is_empty() {
        return Ok(());
    }
    page::write_plot("benchmarks.svg", &chart(&speeds))?;
    page::rewrite(&[
        ("speed", table(&speeds)),
        ("decide", decide_table(&samples(SEED)?)),
        ("counts", count_table(&gates::load()?)),
    ])
}

/// Lives of small fleets are short, and a busy moment of the machine would decide the figure: the fastest of several
/// counts, part by part.
fn fastest(deployments: usize) -> anyhow::Result<Speed> {
    let lives = match deployments {
        0..=20 => 7,
        21..=100 => 3,
        _ => 1,
    };
    let mut best = life(deployments, CALM, SEED)?;
    for _ in 1..lives {
        let again = life(deployments, CALM, SEED)?;
        ensure!(again.checksum == best.checksum, "two lives of one seed differ");
        best = best.or_faster(again);
    }
    Ok(best)
}

fn table(speeds: &[Speed]) -> String {
    let mut text = format!("{}\n", page::machine());
    text += "| deployments | part of life | scenario time | real time | scenario s per s | passes | passes per s | passes per CPU s |\n";
    text += "|---:|---|---:|---:|---:|---:|---:|---:|\n";
    speeds.iter().fold(text, |text, speed| text + &rows(speed))
}

fn rows(speed: &Speed) -> String {
    let whole = speed.whole();
    let parts = speed.stretches.iter().chain([&whole]);
    parts.map(|stretch| row(speed.deployments, stretch)).collect()
}

fn row(deployments: usize, stretch: &Stretch) -> String {
    format!(
        "| {deployments} | {} | {} s | {:.3} s | {} | {} | {} | {} |\n",
        stretch.name,
        grouped(stretch.scenario.as_secs_f64()),
        stretch.real.as_secs_f64(),
        grouped(stretch.factor()),
        grouped(stretch.passes as f64),
        grouped(stretch.passes_per_second()),
        stretch.passes_per_cpu_second().map_or("-".to_owned(), grouped),
    )
}

fn chart(speeds: &[Speed]) -> Chart {
    let calm = |of: fn(&Stretch) -> f64| -> Vec<(f64, f64)> {
        let point = |speed: &Speed| Some((speed.deployments as f64, of(speed.stretch("calm")?)));
        speeds.iter().filter_map(point).collect()
    };
    let whole = |speed: &Speed| (speed.deployments as f64, speed.whole().factor());
    Chart {
        title: "The whole loop in virtual time, invariants on",
        x: "Flink deployments",
        y: "per second of real time",
        series: vec![
            Series { name: "scenario seconds, calm hour", colour: "#0b6bcb", points: calm(Stretch::factor) },
            Series {
                name: "scenario seconds, whole life",
                colour: "#c4541c",
                points: speeds.iter().map(whole).collect(),
            },
            Series { name: "passes, calm hour", colour: "#3a8a3a", points: calm(Stretch::passes_per_second) },
        ],
    }
}

/// Decisions of each kind, as many as fit into this.
const DECIDING: Duration = Duration::from_millis(300);

fn decide_table(samples: &[Sample]) -> String {
    let policy = Policy::default();
    let mut text = "| pass | plan | one `decide` | checksum |\n|---|---|---:|---:|\n".to_owned();
    for sample in samples {
        let (started, mut decisions) = (std::time::Instant::now(), 0_u32);
        while started.elapsed() < DECIDING {
            std::hint::black_box(drey_reconciler::decide(
                std::hint::black_box(&sample.observation),
                &policy,
                sample.now,
            ));
            decisions += 1;
        }
        let micros = started.elapsed().as_secs_f64() * 1e6 / f64::from(decisions);
        let plan: Vec<String> = sample.plan.iter().map(|kind| format!("{kind:?}")).collect();
        let plan = if plan.is_empty() { "nothing".to_owned() } else { plan.join(", ") };
        text += &format!("| {} | {plan} | {micros:.1} us | {:016x} |\n", sample.name, sample.decide(&policy));
    }
    text
}

fn count_table(counts: &gates::Counts) -> String {
    let head = "| count | baseline |\n|---|---:|\n".to_owned();
    counts.iter().fold(head, |text, (name, value)| text + &format!("| {name} | {value} |\n"))
}
