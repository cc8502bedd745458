//! Faults of pods that stand until they are lifted: nodes that take none, images that cannot be pulled, containers that
//! crash, pods that are not ready. Leaves out what anybody can do through the API: deleting and evicting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::reading::{Complaint, Fields};
use crate::cluster::PodControl;
use crate::faults::{FaultId, PodSelector};

/// At a time.
const FAULTS_MAX: usize = 256;
/// The parts of a pod's name that are matched: labels.
const LABELS_MAX: usize = 16;
/// What befalls pods until it is lifted.
pub const DEEDS: [&str; 4] = ["imagePullBackOff", "crashLoop", "neverScheduled", "notReady"];

/// Those that were set from outside, by number.
#[derive(Clone)]
pub struct PodFaults {
    pods: PodControl,
    standing: Arc<Mutex<Standing>>,
}

#[derive(Default)]
struct Standing {
    added: u64,
    faults: BTreeMap<u64, (FaultId, Value)>,
}

impl PodFaults {
    pub fn new(pods: PodControl) -> PodFaults {
        PodFaults { pods, standing: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn list(&self) -> Vec<Value> {
        self.lock().faults.values().map(|(_, told)| told.clone()).collect()
    }

    pub(super) fn add(&self, value: &Value) -> Result<Value, Complaint> {
        let fields = Fields::of(value, "", &["select", "do"])?;
        let selector = selector(&fields)?;
        let deed = fields.text("do")?.ok_or_else(|| Complaint {
            allowed: DEEDS.map(str::to_owned).to_vec(),
            ..Complaint::new("do", "say what befalls them")
        })?;
        let mut standing = self.lock();
        if standing.faults.len() >= FAULTS_MAX {
            let text =
                format!("{FAULTS_MAX} faults of pods stand already; lift some with DELETE /v1/pods/ID");
            return Err(Complaint::new("", text));
        }
        let id = match deed {
            "imagePullBackOff" => self.pods.image_pull_backoff(&selector, ""),
            "crashLoop" => self.pods.crash_loop(&selector, 1, Duration::from_secs(1)),
            "neverScheduled" => self.pods.never_schedule(&selector, ""),
            "notReady" => self.pods.not_ready(&selector),
            other => return Err(Complaint::word("do", "fault of pods", other, DEEDS)),
        };
        standing.added += 1;
        let number = standing.added;
        let told = json!({"id": format!("p{number}"), "do": deed, "select": value["select"]});
        standing.faults.insert(number, (id, told.clone()));
        Ok(told)
    }

    pub(super) fn remove(&self, which: &str) -> Result<Value, Complaint> {
        let number = which.strip_prefix('p').and_then(|number| number.parse::<u64>().ok());
        let found = number.and_then(|number| self.lock().faults.remove(&number));
        let (id, told) =
            found.ok_or_else(|| Complaint::new("id", format!("no fault of pods is {which:?}")))?;
        self.pods.lift(id);
        Ok(told)
    }
}

/// A selector that selects everything would be a slip.
fn selector(fields: &Fields<'_>) -> Result<PodSelector, Complaint> {
    let known = ["namespace", "name", "labels"];
    let select = fields.child("select", &known)?;
    let select =
        select.ok_or_else(|| Complaint::new("select", "say which pods: namespace, name or labels"))?;
    let mut selector = PodSelector {
        namespace: select.text("namespace")?.map(str::to_owned),
        name: select.text("name")?.map(str::to_owned),
        ..PodSelector::default()
    };
    let labels = select.get("labels").and_then(Value::as_object);
    for (key, value) in labels.into_iter().flatten().take(LABELS_MAX) {
        let text = value.as_str();
        let text = text.ok_or_else(|| Complaint::new(&format!("select.labels.{key}"), "expected a text"))?;
        selector.labels.insert(key.clone(), text.to_owned());
    }
    match selector == PodSelector::default() {
        true => Err(Complaint::new("select", "say which pods: namespace, name or labels")),
        false => Ok(selector),
    }
}
