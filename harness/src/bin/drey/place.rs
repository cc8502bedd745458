//! The options that say where scenarios are played: time scale, cluster, operator. Shared by `run` and `replay`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use drey_harness::library::{Mode, Options, missing};
use drey_harness::modes::check_scale;
use drey_harness::modes::cluster::{OperatorUnderTest, RemoteCluster, RemoteOptions};

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
    /// Mode cluster: `in-process` runs ours against the cluster, `deployed` tests the one that runs there.
    #[arg(long, value_name = "WHICH", value_parser = operator)]
    operator: Option<OperatorUnderTest>,
}

fn operator(text: &str) -> Result<OperatorUnderTest, String> {
    match text {
        "in-process" => Ok(OperatorUnderTest::InProcess),
        "deployed" => Ok(OperatorUnderTest::Deployed),
        _ => Err("choose in-process or deployed".to_owned()),
    }
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
            ("--operator", self.operator.is_some()),
        ];
        let given = of_cluster.iter().find(|(_, is_given)| *is_given).filter(|_| self.mode != Mode::Cluster);
        if let Some((option, _)) = given {
            anyhow::bail!("use {option} in mode {}: it belongs to --mode cluster", self.mode);
        }
        let cluster = (self.mode == Mode::Cluster).then(|| self.connect()).transpose()?;
        Ok(Options { mode: self.mode, speed_max: self.time_scale, cluster: cluster.map(Arc::new), ..options })
    }

    fn connect(&self) -> anyhow::Result<RemoteCluster> {
        if let Some(path) = self.kubeconfig.as_deref().filter(|path| !path.exists()) {
            anyhow::bail!("{}", missing(path));
        }
        let options = RemoteOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            operator: self.operator.unwrap_or_default(),
            now: crate::play::time_of_day(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(RemoteCluster::connect(&options)).context("use the cluster")
    }
}
