//! From a kubeconfig to a client that is known to work. Whoever starts an operator by hand meets these errors
//! first, so each names the file, the context, the address, and what to do.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A first answer must come within this time.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(10);

/// Where a client came from, for messages.
pub struct Connection {
    pub client: Client,
    /// What the client was made from, for further ones.
    pub config: Config,
    pub default_namespace: String,
    pub description: String,
}

/// Reads the configuration, builds a client, and asks the server for its version.
pub async fn connect(file: Option<&Path>, context: Option<&str>) -> anyhow::Result<Connection> {
    let (mut config, source) = configuration(file, context).await?;
    // The operator decides itself when to try again; a retry below it would hide what happens.
    config.default_retry = false;
    let address = config.cluster_url.to_string();
    let default_namespace = config.default_namespace.clone();
    let description = format!("{source}, server {address}");
    let client = Client::try_from(config.clone()).with_context(|| format!("use {description}"))?;
    let version = tokio::time::timeout(FIRST_ANSWER_MAX, client.apiserver_version());
    match version.await {
        Ok(Ok(version)) => tracing::info!(server = address, version = version.git_version, "connected"),
        Ok(Err(kube::Error::Api(status))) if status.code == 401 => bail!(
            "the API server does not accept the credentials of {description}: {}\n\
             next: check `kubectl --context ... get ns` with the same file; log in again if the token has expired",
            status.message
        ),
        // A server that answers at all is there; what is allowed, the watches will say.
        Ok(Err(kube::Error::Api(status))) => {
            tracing::warn!(server = address, code = status.code, "the server does not tell its version");
        }
        Ok(Err(error)) => bail!("{}", unreachable(&description, &chain(&error))),
        Err(_) => bail!("{}", unreachable(&description, &format!("no answer within {FIRST_ANSWER_MAX:?}"))),
    }
    Ok(Connection { client, config, default_namespace, description })
}

fn unreachable(description: &str, why: &str) -> String {
    format!("could not reach the Kubernetes API of {description}: {why}\nnext: {}", next_step(why))
}

/// A server that is there and cannot be trusted is another matter than one that is away.
fn next_step(why: &str) -> &'static str {
    let said = |part: &str| why.to_lowercase().contains(part);
    if said("certificate") && said("expired") {
        return "a certificate has run out: renew it (kubeadm certs renew, or make the cluster anew), and write the \
                kubeconfig again; a clock that is wrong looks the same";
    }
    if said("certificate") || said("unknownissuer") {
        return "the certificate is not of the kubeconfig's authority: the cluster was made anew since, or another one \
                listens there; write the kubeconfig again";
    }
    "start that cluster, or choose another with --kubeconfig FILE or --context NAME (`kubectl config get-contexts` lists \
     them)"
}

async fn configuration(file: Option<&Path>, context: Option<&str>) -> anyhow::Result<(Config, String)> {
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let kubeconfig = match file {
        Some(path) => {
            let read = Kubeconfig::read_from(path);
            read.map_err(|e| {
                anyhow!(
                    "could not read kubeconfig {}: {}\nnext: check --kubeconfig",
                    path.display(),
                    chain(&e)
                )
            })?
        }
        None => match Kubeconfig::read() {
            Ok(kubeconfig) => kubeconfig,
            Err(missing) => {
                let config = Config::incluster().map_err(|e| {
                    anyhow!(
                        "found no cluster: not inside a pod ({}), and no kubeconfig ({})\n\
                         next: give --kubeconfig FILE, or set KUBECONFIG",
                        chain(&e),
                        chain(&missing)
                    )
                })?;
                return Ok((config, "the pod's service account".to_owned()));
            }
        },
    };
    let place = match file {
        Some(path) => format!("kubeconfig {}", path.display()),
        None => "the default kubeconfig".to_owned(),
    };
    let known: Vec<&str> = kubeconfig.contexts.iter().map(|c| c.name.as_str()).collect();
    let chosen = context.or(kubeconfig.current_context.as_deref()).unwrap_or_default().to_owned();
    if known.is_empty() {
        bail!(
            "{place} names no contexts\nnext: check that it is a kubeconfig (`kubectl config view` shows one)"
        );
    }
    if !known.contains(&chosen.as_str()) {
        let known = known.join(", ");
        let what = if chosen.is_empty() {
            "no current context".to_owned()
        } else {
            format!("no context `{chosen}`")
        };
        bail!("{place} has {what}; its contexts: {known}\nnext: choose one of them with --context NAME");
    }
    let source = format!("{place}, context {chosen}");
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(|e| {
        anyhow!(
            "could not use {source}: {}\nnext: check the cluster and user entries of that context",
            chain(&e)
        )
    })?;
    Ok((config, source))
}

/// The error and its causes, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let more = e.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_about_the_cause() {
        let check = |why: &str, part: &str| assert!(next_step(why).contains(part), "{why}");
        check("tcp connect error: Connection refused", "start that cluster");
        check("invalid peer certificate: certificate expired: verification time 1", "run out");
        check("received fatal alert: CertificateExpired", "run out");
        check("invalid peer certificate: UnknownIssuer", "another one listens there");
    }
}
