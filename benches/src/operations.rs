//! What one action of a user costs: requests and scenario time from the action until the status says it is done.
//!
//! Kubelet and Flink need no time here, so the scenario time left is what the operator and its polling add.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;

use crate::fleet::{Fleet, UPGRADE_MODES, Until, instant, manifest, names, simulate};
use crate::tally::Requests;

/// The seed of every count. Another one gives the same counts: nothing that is counted is drawn.
pub const SEED: u64 = 1;

/// Any of these that takes longer hangs.
const WITHIN: Duration = Duration::from_secs(120);

/// Lets checkpoints complete and what follows an action end before the next one is counted.
const CALM: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub name: String,
    pub requests: Requests,
    pub passes: u64,
    pub took: Duration,
}

/// A stretch in which nothing happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converged {
    pub passes: u64,
    pub requests: Requests,
}

/// Each action once, for an application in each upgrade mode.
pub fn operations(seed: u64) -> anyhow::Result<Vec<Operation>> {
    let mut all = Vec::new();
    for mode in UPGRADE_MODES {
        let done = simulate(seed, async move || life(seed, mode).await);
        all.extend(done.with_context(|| format!("count an application with upgradeMode {mode}"))?);
    }
    Ok(all)
}

async fn life(seed: u64, mode: &str) -> anyhow::Result<Vec<Operation>> {
    let mut fleet = Fleet::boot(instant(seed), seed).await?;
    let names = names(1);
    let app = names[0].clone();
    let mut done = Vec::new();
    let mut book = Book { mode, names: &names, done: &mut done };

    fleet.apply(&manifest(&app, mode)).await?;
    book.close("create", &mut fleet, Until::Stable).await?;
    fleet.patch(&app, &json!({"spec": {"job": {"savepointTriggerNonce": 1}}})).await?;
    book.close("savepoint", &mut fleet, Until::Savepoint).await?;
    fleet.patch(&app, &json!({"spec": {"job": {"parallelism": 4}}})).await?;
    book.close("upgrade", &mut fleet, Until::Stable).await?;
    fleet.patch(&app, &json!({"spec": {"job": {"state": "suspended"}}})).await?;
    book.close("suspend", &mut fleet, Until::Suspended).await?;
    fleet.patch(&app, &json!({"spec": {"job": {"state": "running"}}})).await?;
    book.close("resume", &mut fleet, Until::Stable).await?;
    fleet.delete(&app).await?;
    book.close("delete", &mut fleet, Until::Gone).await?;
    Ok(done)
}

struct Book<'a> {
    mode: &'a str,
    names: &'a [String],
    done: &'a mut Vec<Operation>,
}

impl Book<'_> {
    /// Waits for the end of what was just begun and books what it cost.
    async fn close(&mut self, name: &str, fleet: &mut Fleet, until: Until) -> anyhow::Result<()> {
        let name = format!("{name} {}", self.mode);
        let before = fleet.passes.count();
        let took = fleet.wait(self.names, until, WITHIN).await.with_context(|| name.clone())?;
        let passes = fleet.passes.count() - before;
        self.done.push(Operation { name, requests: fleet.take_requests(), passes, took });
        fleet.run(CALM).await?;
        fleet.take_requests();
        Ok(())
    }
}

/// Ten minutes of a running application whose spec does not change.
pub fn converged(seed: u64) -> anyhow::Result<Converged> {
    simulate(seed, async move || {
        let mut fleet = Fleet::boot(instant(seed), seed).await?;
        let names = names(1);
        fleet.apply(&manifest(&names[0], "savepoint")).await?;
        fleet.wait(&names, Until::Stable, WITHIN).await?;
        fleet.run(CALM).await?;
        fleet.take_requests();
        let before = fleet.passes.all().len();
        fleet.run(Duration::from_secs(600)).await?;
        let passes = fleet.passes.all().split_off(before);
        if let Some(pass) = passes.iter().find(|pass| !pass.is_converged) {
            anyhow::bail!("a pass was not converged: {}", pass.trace.join("; "));
        }
        ensure!(!passes.is_empty(), "no pass within ten minutes");
        Ok(Converged { passes: passes.len() as u64, requests: fleet.take_requests() })
    })
}
