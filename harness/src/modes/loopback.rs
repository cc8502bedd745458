//! The API server of a simulated world behind a socket, and clients that reach it as any client would: through a
//! kubeconfig, over HTTP, with a token that says who they are.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use fake_kube::{Cluster, Identities, ListenOptions, Listening, ServiceProxy, listen};
use fake_kube_apiserver::{ApiServer, User};
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::straight;
use crate::world::gate::OPERATOR_USER;

/// How the listener is opened.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    pub bind: SocketAddr,
    /// kubectl sends no credentials without TLS; runs of scenarios leave out what it costs.
    pub tls: bool,
    /// Where to write the user's kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// Told in the kubeconfig: where the control endpoint is.
    pub control: Option<String>,
}

impl Default for ListenerOptions {
    /// A free port of this machine, plain HTTP, no file.
    fn default() -> ListenerOptions {
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        ListenerOptions { bind, tls: false, kubeconfig: None, control: None }
    }
}

/// An open listener. Dropping it closes all connections.
pub struct Sockets {
    pub listening: Listening,
    proxy: ServiceProxy,
    user: kube::Config,
    operator: kube::Config,
    operator_kubeconfig: String,
}

impl Sockets {
    pub async fn open(api: &ApiServer, options: &ListenerOptions) -> anyhow::Result<Sockets> {
        let (user_token, operator_token) = (token(), token());
        let mut identities = Identities::default();
        // The first one is the one the kubeconfig carries.
        identities.add(&user_token, User::new("user", &["system:masters"]));
        identities.add(&operator_token, User::new(OPERATOR_USER, &["system:serviceaccounts"]));
        let proxy = ServiceProxy::default();
        let listening = listen(
            api.clone(),
            ListenOptions {
                bind: options.bind,
                tls: options.tls,
                kubeconfig: options.kubeconfig.clone(),
                control: options.control.clone(),
                identities,
                proxy: proxy.clone(),
                // The clock of a run jumps over any wait.
                patience: None,
                ..ListenOptions::default()
            },
        )
        .await?;
        let user = configuration(&listening.kubeconfig).await?;
        let operator_kubeconfig = listening.kubeconfig.replace(&user_token, &operator_token);
        let operator = configuration(&operator_kubeconfig).await?;
        Ok(Sockets { listening, proxy, user, operator, operator_kubeconfig })
    }

    /// A client with the rights and the name of the scenario's user.
    pub fn user(&self) -> anyhow::Result<kube::Client> {
        kube::Client::try_from(self.user.clone()).context("make a client for the listener")
    }

    /// From now on the listener leads to what runs in this cluster: its service proxy works.
    pub fn lead_to(&self, cluster: &Cluster) {
        self.proxy.set(cluster.clone());
    }

    /// What the operator's clients are made from.
    pub fn operator(&self) -> kube::Config {
        self.operator.clone()
    }

    /// The same for an operator that is a program of its own.
    pub fn operator_kubeconfig(&self) -> String {
        self.operator_kubeconfig.clone()
    }
}

async fn configuration(kubeconfig: &str) -> anyhow::Result<kube::Config> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).context("read the listener's kubeconfig")?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    Ok(straight(config.context("use the listener's kubeconfig")?))
}

/// 128 bits nobody else on this machine knows: `std` keys its hashers from the system's randomness.
fn token() -> String {
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", word(), word())
}

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_differ() {
        assert_ne!(super::token(), super::token());
        assert_eq!(super::token().len(), 32);
    }
}
