//! A cluster that somebody else runs, by its kubeconfig.

use std::path::{Path, PathBuf};

/// Whose operator is under test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OperatorUnderTest {
    /// Ours, in this process, with the kubeconfig's rights.
    #[default]
    InProcess,
    /// The one that runs in the cluster already.
    Deployed,
}

/// A reachable cluster.
#[derive(Clone, Debug)]
pub struct RemoteCluster {
    pub config: kube::Config,
    /// File, context and address, for messages.
    pub description: String,
    pub operator: OperatorUnderTest,
    /// Cases work in this namespace; otherwise each makes one of its own and removes it.
    pub namespace: Option<String>,
}

/// What the command line says about it.
#[derive(Clone, Debug, Default)]
pub struct RemoteOptions {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: Option<String>,
    pub operator: OperatorUnderTest,
}

impl RemoteCluster {
    /// Reads the kubeconfig and waits for a first answer; errors name file, context, address and the next step.
    pub async fn connect(options: &RemoteOptions) -> anyhow::Result<RemoteCluster> {
        let file: Option<&Path> = options.kubeconfig.as_deref();
        let connection = drey_operator::connect(file, options.context.as_deref()).await?;
        Ok(RemoteCluster {
            config: connection.config,
            description: connection.description,
            operator: options.operator,
            namespace: options.namespace.clone(),
        })
    }
}
