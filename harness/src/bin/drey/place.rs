//! The options that say where scenarios are played: time scale, cluster, operator. Shared by `run` and `replay`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use drey_harness::library::{Mode, Options, missing};
use drey_harness::modes::cluster::{OperatorUnderTest, RemoteCluster, RemoteOptions};
use drey_harness::modes::{OperatorRights, check_scale};
use drey_harness::world::{CommandLine, TimeOfDay};
use drey_language::diagnostics::nearest;
use http::Method;
use kube::config::Kubeconfig;
use serde_json::Value;

use crate::endpoint::{call, text};
use crate::fault::control_of;

#[derive(clap::Args)]
pub struct Place {
    /// Where to run: virtual (a clock that jumps), loopback (real HTTP on 127.0.0.1) or cluster (a kubeconfig).
    #[arg(long, value_name = "MODE", default_value_t = Mode::Virtual)]
    pub mode: Mode,
    /// Mode loopback: at most so many scenario seconds per real second. Default: as many as the machine can.
    #[arg(long, value_name = "X")]
    time_scale: Option<f64>,
    /// Mode cluster: the kubeconfig to use. Default: $KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Mode cluster: the context to use, instead of the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Mode cluster: work in this namespace, which must exist. Default: a new one per case, removed after it.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Mode cluster: Flink in the pods is fake-flink with its control endpoint at this port (FAKE_FLINK_CONTROL). What its jobs
    /// really did is asked there, and faults of Flink are sent there; otherwise such steps are skipped.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    flink_control: Option<u16>,
    /// Mode cluster: the operator gets an account of its own with the rules of this manifest, such as the rendered chart,
    /// instead of the rights of the kubeconfig.
    #[arg(long, value_name = "FILE")]
    operator_rights: Option<PathBuf>,
    /// Whose operator is under test: `in-process` (ours), `command "python3 op.py"` (any program; it finds KUBECONFIG and
    /// DREY_NAMESPACE in its environment; modes loopback, then in real time, and cluster), or `deployed` (mode cluster: the
    /// one that runs there).
    #[arg(long, value_names = ["WHICH", "COMMAND"], num_args = 1..=2)]
    operator: Vec<String>,
}

impl Place {
    /// The options with the place filled in. A cluster is asked for a first answer here, before anything is played.
    pub fn fill(&self, options: Options) -> anyhow::Result<Options> {
        if let Some(scale) = self.time_scale {
            check_scale(self.mode, scale).map_err(anyhow::Error::msg)?;
        }
        let of_cluster = [
            ("--kubeconfig", self.kubeconfig.is_some()),
            ("--context", self.context.is_some()),
            ("--namespace", self.namespace.is_some()),
            ("--flink-control", self.flink_control.is_some()),
            ("--operator-rights", self.operator_rights.is_some()),
        ];
        let given = of_cluster.iter().find(|(_, is_given)| *is_given).filter(|_| self.mode != Mode::Cluster);
        if let Some((option, _)) = given {
            anyhow::bail!("use {option} in mode {}: it belongs to --mode cluster", self.mode);
        }
        let time = TimeOfDay::starting(crate::play::time_of_day());
        let operator = self.operator_under_test()?;
        let options = Options { mode: self.mode, speed_max: self.time_scale, ..options };
        match (self.mode, operator) {
            (Mode::Cluster, operator) => {
                let cluster = self.connect(operator, time)?;
                Ok(Options { cluster: Some(Arc::new(cluster)), ..options })
            }
            (_, OperatorUnderTest::InProcess) => Ok(options),
            (Mode::Loopback, OperatorUnderTest::Command(_)) if self.time_scale.is_some() => {
                bail!(
                    "use --time-scale: an operator that is a program of its own lives in real time; leave it out"
                )
            }
            (Mode::Loopback, OperatorUnderTest::Command(line)) => {
                Ok(Options { command: Some((line, time)), ..options })
            }
            (Mode::Virtual, OperatorUnderTest::Command(_)) => {
                bail!(
                    "use --operator command in mode virtual: a program of its own knows nothing of virtual time\nnext: add --mode loopback"
                )
            }
            (_, OperatorUnderTest::Deployed) => {
                bail!("use --operator deployed: it belongs to --mode cluster, where something is deployed")
            }
        }
    }

    fn operator_under_test(&self) -> anyhow::Result<OperatorUnderTest> {
        let words: Vec<&str> = self.operator.iter().map(String::as_str).collect();
        match words.as_slice() {
            [] | ["in-process"] => Ok(OperatorUnderTest::InProcess),
            ["deployed"] => Ok(OperatorUnderTest::Deployed),
            ["command", text] => {
                let line = CommandLine::new(text).map_err(anyhow::Error::msg)?;
                Ok(OperatorUnderTest::Command(Arc::new(line)))
            }
            ["command"] => {
                bail!(
                    "use --operator command: add what to run, in quotes: --operator command \"python3 op.py\""
                )
            }
            [which @ ("in-process" | "deployed"), more, ..] => {
                bail!(
                    "use --operator {which}: it takes no `{more}`; only `command` is followed by what to run"
                )
            }
            [other, ..] => {
                let words = ["in-process", "command", "deployed"];
                let hint = nearest(other, &words).map(|near| format!("; did you mean {near}?"));
                bail!(
                    "use --operator {other}: choose in-process, command or deployed{}",
                    hint.unwrap_or_default()
                )
            }
        }
    }

    /// Where a simulated cluster is controlled, as its kubeconfig tells.
    fn control(&self) -> Option<String> {
        let kubeconfig = match self.kubeconfig.as_deref() {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        // A kubeconfig that cannot be read is told by whoever connects.
        let mut kubeconfig = kubeconfig.ok()?;
        if let Some(context) = &self.context {
            kubeconfig.current_context = Some(context.clone());
        }
        control_of(&kubeconfig)
    }

    fn connect(&self, operator: OperatorUnderTest, time: TimeOfDay) -> anyhow::Result<RemoteCluster> {
        if let Some(path) = self.kubeconfig.as_deref().filter(|path| !path.exists()) {
            bail!(
                "{}\nnext: give a kubeconfig after --kubeconfig; `drey cluster up` prints the path of one",
                missing(path)
            );
        }
        let rights = self.operator_rights.as_deref().map(OperatorRights::read).transpose()?;
        // One that does not answer is told by whoever connects to its cluster.
        let told = self.control().and_then(|control| {
            let told = call(&control, Method::GET, "/v1/clock", None).ok()?;
            Some((control, told))
        });
        let (control, time) = match told {
            Some((control, told)) => (Some(control), time_of_the_cluster(time, &told)?),
            None => (None, time),
        };
        let options = RemoteOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            operator,
            time,
            flink_control: self.flink_control,
            rights,
            control,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(RemoteCluster::connect(&options)).context("use the cluster")
    }
}

/// A simulated cluster tells its time at its control endpoint; any other lives by the time of day.
fn time_of_the_cluster(day: TimeOfDay, told: &Value) -> anyhow::Result<TimeOfDay> {
    let now = text(&told["now"]).parse().context("read the time that the cluster tells")?;
    Ok(day.of_cluster(now, told["scale"].as_f64().unwrap_or(1.0)))
}
