//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Runs FlinkDeployments on a Kubernetes cluster: starts, upgrades, suspends, recovers and removes Flink
/// application clusters, and keeps their status.
#[derive(Debug, Parser)]
#[command(name = "drey-operator", version, max_term_width = 100, after_long_help = EXAMPLES)]
pub struct Args {
    /// Kubeconfig to use; its current context decides the cluster. Default: $KUBECONFIG or ~/.kube/config, inside
    /// a pod the pod's service account.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig, instead of its current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,

    /// Operator configuration, a Flink `config.yaml` (nested or flat keys `kubernetes.operator.*` and defaults for
    /// all Flink clusters). Default: none, every key at its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// One more configuration entry, over the file; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,

    /// Namespaces to watch, separated by commas, over `kubernetes.operator.watched.namespaces`. Default: all, which
    /// needs a ClusterRole.
    #[arg(long, value_name = "A,B", value_delimiter = ',', env = "WATCH_NAMESPACES")]
    pub namespaces: Vec<String>,

    /// How JobManagers are reached.
    #[arg(long, value_enum, default_value_t = Transport::Direct)]
    pub flink_transport: Transport,

    /// Work only while holding the Lease `kubernetes.operator.leader-election.lease-name` (here
    /// `flink-operator-lease` if unset), so that several replicas can run.
    #[arg(long)]
    pub leader_elect: bool,

    /// Namespace of the Lease. Default: $OPERATOR_NAMESPACE, else the namespace of the kubeconfig's context.
    #[arg(long, value_name = "NAMESPACE", env = "OPERATOR_NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Who holds the Lease. Default: $POD_NAME, else $HOSTNAME; two operators must never share it.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,

    /// Where /health (also any other path) and /metrics are served. Default: port
    /// `kubernetes.operator.health.probe.port` (8085) on all addresses; `off` for nowhere.
    #[arg(long, value_name = "ADDR:PORT|off")]
    pub listen: Option<Listen>,

    /// What to log, such as `info`, `drey_operator=debug` or `drey_operator=trace` (every rule applied).
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "info")]
    pub log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// http://<name>-rest.<namespace>:<rest.port>, for an operator inside the cluster.
    Direct,
    /// Through the service proxy of the Kubernetes API, for an operator outside; needs the right to `services/proxy`.
    Proxy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    Off,
    At(SocketAddr),
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        if text == "off" {
            return Ok(Listen::Off);
        }
        text.parse()
            .map(Listen::At)
            .map_err(|_| "not `off` and not an address with port like 0.0.0.0:8085".into())
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        Some(_) | None => {
            Err("not KEY=VALUE, such as kubernetes.operator.reconcile.interval=\"15 s\"".into())
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  From a laptop, against the cluster of the current context, one namespace:
      drey-operator --namespaces default --flink-transport proxy --listen off
  Inside the cluster, two replicas, everything from files:
      drey-operator --config /opt/flink/conf/config.yaml --leader-elect
  One setting changed, and every applied rule in the log:
      drey-operator --set kubernetes.operator.reconcile.interval='15 s' --log drey_operator=trace

Exit codes: 0 asked to stop (SIGTERM, SIGINT) and did; 2 could not start: the message says what to do.";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    /// What the chart makes of its values (`deploy/golden`) must be a command line and a configuration of ours.
    #[test]
    fn the_chart_starts_this_program() {
        for name in ["default", "full"] {
            let file = format!("{}/../deploy/golden/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(&file).unwrap();
            let flags = text.lines().filter_map(|line| line.trim().strip_prefix("- --"));
            let args: Vec<String> = flags.map(|flag| format!("--{flag}")).collect();
            assert!(args.len() >= 3, "{file}: {args:?}");
            let args = std::iter::once("drey-operator".to_owned()).chain(args);
            Args::try_parse_from(args).unwrap_or_else(|error| panic!("{file}: {error}"));

            let (_, config) = text.split_once("  config.yaml: |\n").unwrap();
            let lines = config.lines().take_while(|line| line.starts_with("    "));
            let config: String = lines.map(|line| format!("{}\n", &line[4..])).collect();
            let config = drey_blueprint::config::OperatorConfig::from_yaml(&config);
            let config = config.unwrap_or_else(|error| panic!("{file}: {error}"));
            let config = config.unwrap_or_else(|problems| panic!("{file}: {problems:?}"));
            assert_eq!(config.warnings().len(), 0, "{file}: {:?}", config.warnings());
            let namespaces: Vec<String> = config.watched_namespaces(None).into_iter().collect();
            let expected: &[&str] = if name == "full" { &["team-a", "team-b"] } else { &[] };
            assert_eq!(namespaces, expected, "{file}");
        }
    }

    #[test]
    fn values() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("127.0.0.1:0".parse(), Ok(Listen::At("127.0.0.1:0".parse().unwrap())));
        assert!("8085".parse::<Listen>().unwrap_err().contains("0.0.0.0:8085"));
        assert_eq!(key_value(" a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
        assert!(key_value("=x").is_err() && key_value("x").is_err());
    }
}
