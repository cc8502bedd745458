//! From a kubeconfig to a client that is known to work. Whoever starts an operator by hand meets these errors
//! first, so each names the file, the context, the address, and what to do.

use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::certificate;

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
    let client = Client::try_from(config.clone()).map_err(|e| {
        let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.as_deref());
        let plugin = plugin.map(|command| format!("; its user logs in by `{command}`")).unwrap_or_default();
        unusable(&format!("{description}{plugin}"), &e)
    })?;
    let version = tokio::time::timeout(FIRST_ANSWER_MAX, client.apiserver_version());
    match version.await {
        Ok(Ok(version)) => tracing::info!(server = address, version = version.git_version, "connected"),
        Ok(Err(kube::Error::Api(status))) if status.code == 401 => bail!(
            "the API server does not accept the credentials of {description}: {}{}\n\
             next: check `kubectl --context ... get ns` with the same file; log in again if the token has expired",
            status.message,
            dates(&config)
        ),
        // A server that answers at all is there; what is allowed, the watches will say.
        Ok(Err(kube::Error::Api(status))) => {
            tracing::warn!(server = address, code = status.code, "the server does not tell its version");
        }
        Ok(Err(error)) => bail!("{}", unreachable(&config, &description, &chain(&error))),
        Err(_) => {
            bail!("{}", unreachable(&config, &description, &format!("no answer within {FIRST_ANSWER_MAX:?}")))
        }
    }
    Ok(Connection { client, config, default_namespace, description })
}

fn unusable(description: &str, error: &dyn std::error::Error) -> anyhow::Error {
    anyhow!(
        "could not use {description}: {}\nnext: check the cluster and user entries of that context",
        chain(error)
    )
}

fn unreachable(config: &Config, description: &str, why: &str) -> String {
    let is_of_certificates = why.contains("ertificate") || is_of_another_authority(why);
    let dates = if is_of_certificates { dates(config) } else { String::new() };
    format!("could not reach the Kubernetes API of {description}: {why}{dates}\nnext: {}", next_step(why))
}

/// Until when the kubeconfig's certificates are valid: neither side says which of them it refuses.
fn dates(config: &Config) -> String {
    let user = &config.auth_info;
    let pem = match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => STANDARD.decode(data).ok().and_then(|pem| String::from_utf8(pem).ok()),
        (None, Some(file)) => std::fs::read_to_string(file).ok(),
        (None, None) => None,
    };
    let client = pem.as_deref().and_then(certificate::valid_until_of_pem);
    let authority = config.root_cert.iter().flatten().find_map(|der| certificate::valid_until(der));
    let told = |what: &str, until: Option<Timestamp>| {
        until.map(|until| format!("\nits {what} is valid until {until}")).unwrap_or_default()
    };
    told("client certificate", client) + &told("certificate authority", authority)
}

/// The server's alert to a client certificate that its authority, or one of that name, did not sign.
fn is_of_another_authority(why: &str) -> bool {
    why.contains("alert: UnknownCA") || why.contains("alert: DecryptError")
}

/// A server that is there and cannot be trusted is another matter than one that is away.
fn next_step(why: &str) -> &'static str {
    let said = |part: &str| why.to_lowercase().contains(part);
    if said("certificate") && said("expired") {
        return "a certificate has run out: renew it (kubeadm certs renew, or make the cluster anew), and write the \
                kubeconfig again; a clock that is wrong looks the same";
    }
    if is_of_another_authority(why) {
        return "the server does not know who signed the kubeconfig's client certificate: the cluster was made anew since, \
                or it is another one; write the kubeconfig again";
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
    let config = config.map_err(|e| unusable(&source, &e))?;
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
        check("received fatal alert: DecryptError", "who signed the kubeconfig's client certificate");
        check("received fatal alert: UnknownCA", "who signed the kubeconfig's client certificate");
    }
}
