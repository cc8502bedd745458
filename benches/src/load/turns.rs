//! Two servers asked in turn: what `drey gate --ratios` judges. Each pair of samples is the server's CPU time for the same
//! work, one right after the other, and who begins changes from pair to pair, so that whatever the machine does meanwhile
//! falls on both. Leaves out what is measured once per process: starts, and memory.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::figures::Work;

/// As few as the gate takes.
const PAIRS_MIN: usize = 5;

/// Whether the gate will take so many.
pub fn check_pairs(pairs: usize) -> anyhow::Result<()> {
    ensure!(pairs >= PAIRS_MIN, "--pairs {pairs}: the gate needs {PAIRS_MIN} at least");
    Ok(())
}

/// Name to CPU microseconds of one operation, ours and the reference's, pair by pair.
#[derive(Clone, Debug, Default)]
pub struct Turns(BTreeMap<String, (Vec<f64>, Vec<f64>)>);

impl Turns {
    /// One pair: both are asked, ours first where `pair` is even.
    pub async fn take(
        &mut self,
        name: &str,
        pair: usize,
        ours: impl Future<Output = anyhow::Result<Work>>,
        reference: impl Future<Output = anyhow::Result<Work>>,
    ) -> anyhow::Result<()> {
        let (ours, reference) = match pair % 2 {
            0 => {
                let ours = ours.await?;
                (ours, reference.await?)
            }
            _ => {
                let reference = reference.await?;
                (ours.await?, reference)
            }
        };
        let micros = |work: Work| {
            let micros = work
                .cpu_micros()
                .context("read the servers' CPU time; give --pid of one that runs already")?;
            ensure!(micros > 0.0, "{name}: too little work to see in CPU time; raise --requests");
            Ok(micros)
        };
        let (own, others) = self.0.entry(name.to_owned()).or_default();
        own.push(micros(ours)?);
        others.push(micros(reference)?);
        Ok(())
    }

    /// A `GateRatios` file.
    pub fn to_json(&self) -> Value {
        let ratio = |(ours, reference): &(Vec<f64>, Vec<f64>)| json!({"unit": "us CPU", "ours": ours, "reference": reference});
        let ratios: serde_json::Map<String, Value> =
            self.0.iter().map(|(name, samples)| (name.clone(), ratio(samples))).collect();
        json!({"apiVersion": drey_gate::API_VERSION, "kind": "GateRatios", "ratios": ratios})
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = format!("{:#}\n", self.to_json());
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use drey_gate::{Limits, Request};

    use super::*;

    async fn works(micros: u64) -> anyhow::Result<Work> {
        let time = Duration::from_micros(micros * 10);
        Ok(Work { count: 10, real: time, cpu: Some(time) })
    }

    /// The gate reads what is written here, and judges it.
    #[tokio::test]
    async fn the_gate_reads_them() {
        let mut turns = Turns::default();
        for pair in 0..PAIRS_MIN {
            turns.take("GET /jobs", pair, works(50), works(100)).await.expect("a pair");
        }
        assert_eq!(turns.to_json()["ratios"]["GET /jobs"]["ours"][0], 50.0);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ratios.json");
        turns.write(&file).expect("written");
        let code = |ratio_max: f64| {
            let limits = Limits { ratio_max, ..Limits::default() };
            let request = Request { ratios: Some(file.clone()), limits, ..Request::default() };
            let mut out = Vec::new();
            drey_gate::run(&request, &|_| None, drey_gate::Paint::Plain, &mut out).expect("a verdict")
        };
        assert_eq!((code(0.6), code(0.4)), (0, 1));
    }

    #[tokio::test]
    async fn work_that_cannot_be_seen_is_told() {
        let mut turns = Turns::default();
        let error = turns.take("x", 0, works(0), works(1)).await.expect_err("nothing was seen");
        assert!(error.to_string().contains("--requests"), "{error}");
    }
}
