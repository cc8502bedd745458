//! docs/benchmarks.md, of which programs rewrite the parts between markers, and the plots beside it.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::gates;
use crate::plot::Chart;

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Puts each body between `<!-- NAME -->` and `<!-- /NAME -->`.
pub fn rewrite(parts: &[(&str, String)]) -> anyhow::Result<()> {
    let page = docs().join("benchmarks.md");
    let mut text = std::fs::read_to_string(&page).with_context(|| format!("read {}", page.display()))?;
    for (name, body) in parts {
        text = replaced(&text, name, body)?;
    }
    std::fs::write(&page, text).with_context(|| format!("write {}", page.display()))?;
    println!("{} rewritten", page.display());
    Ok(())
}

pub fn write_plot(file: &str, chart: &Chart) -> anyhow::Result<()> {
    std::fs::write(docs().join(file), chart.to_svg()).with_context(|| format!("write docs/{file}"))
}

fn replaced(text: &str, name: &str, body: &str) -> anyhow::Result<String> {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let from = text.find(&begin).map(|at| at + begin.len());
    let (from, to) =
        from.zip(text.find(&end)).with_context(|| format!("docs/benchmarks.md has no {begin} .. {end}"))?;
    ensure!(from <= to, "{begin} comes after {end}");
    Ok(format!("{}\n{}{}", &text[..from], body, &text[to..]))
}

/// `Measured on ..`: cores, their kind, and the profile.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches([':', '\t', ' ']);
    let model = if model.is_empty() { "unknown CPU" } else { model };
    format!("Measured on {cores} cores ({model}), profile {}.\n", gates::PROFILE)
}
