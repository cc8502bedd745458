//! What the user of a kubeconfig must be allowed before cases are played as it. The server is asked right by right, so that one
//! that is missing is named before anything is made. Leaves out what only some scenarios do (other kinds, leases, control
//! endpoints in pods): they say so when it is their turn.

use anyhow::bail;
use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use serde_json::json;

use super::OperatorRights;
use super::cluster::{OperatorUnderTest, RemoteCluster, WATCHED, rules_of_flink};
use crate::run::rights::Right;
use crate::world::Hands;
use crate::world::kinds;

const RBAC: &str = "rbac.authorization.k8s.io";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
/// Questions under way at a time.
const ASKED_AT_ONCE: usize = 8;
/// Rights that are named; the rest is counted.
const NAMED_MAX: usize = 4;

impl RemoteCluster {
    /// # Errors
    /// The rights that are missing, whose they should be, and the next step.
    pub(super) async fn check_rights(&self, hands: &Hands) -> anyhow::Result<()> {
        if self.namespace.is_none() {
            let next = "work in a namespace that is there, with --namespace NAME";
            self.demand(hands, namespaces(), "which every case needs", next).await?;
        }
        let next = "let an administrator grant it";
        self.demand(hands, of_a_case(), "which every case needs", next).await?;
        let given = OperatorRights { rules: rules_of_flink() };
        self.demand_to_give(hands, &given, "which the account of Flink's pods gets").await?;
        match (&self.operator, &self.rights) {
            (OperatorUnderTest::Deployed, _) | (OperatorUnderTest::Command(_), None) => Ok(()),
            (OperatorUnderTest::InProcess, None) => {
                let next =
                    "let an administrator grant it (the rules are those of deploy/golden/default.yaml)";
                let mut needed = OperatorRights::of_the_chart().rights();
                // Only servers ask for those that enforce who may block an owner's deletion.
                needed.retain(|right| !right.resource.ends_with("/finalizers"));
                self.demand(hands, needed, "which the operator needs", next).await
            }
            (OperatorUnderTest::InProcess | OperatorUnderTest::Command(_), Some(rights)) => {
                self.demand(hands, accounts(), "which the operator's own account takes", next).await?;
                self.demand_to_give(hands, rights, "which --operator-rights gives the operator").await
            }
        }
    }

    async fn demand(
        &self,
        hands: &Hands,
        rights: Vec<Right>,
        what_for: &str,
        next: &str,
    ) -> anyhow::Result<()> {
        let lacking = self.lacking(hands, rights).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        bail!(
            "use {}: its user may not {}{}, {what_for}\nnext: {next}, or use a kubeconfig whose user may",
            self.description,
            named(&lacking),
            self.place(&lacking)
        )
    }

    /// Who gives rights away must hold them, or may escalate.
    async fn demand_to_give(&self, hands: &Hands, given: &OperatorRights, which: &str) -> anyhow::Result<()> {
        let beyond = ["escalate", "bind"].map(|verb| right(RBAC, "roles", verb)).to_vec();
        if self.lacking(hands, beyond).await?.is_empty() {
            return Ok(());
        }
        let lacking = self.lacking(hands, given.rights()).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        bail!(
            "use {}: its user may not {}{}, {which}, and nobody gives away what they do not have\n\
             next: use a kubeconfig whose user may, or who may `escalate` and `bind` roles",
            self.description,
            named(&lacking),
            self.place(&lacking)
        )
    }

    fn place(&self, rights: &[Right]) -> String {
        match &self.namespace {
            Some(namespace) => format!(" in namespace {namespace}"),
            None if rights.iter().all(|right| right.resource == "namespaces") => String::new(),
            None => " in all namespaces".to_owned(),
        }
    }

    /// A server that does not review access (a CRD server alone) will say so when it is asked for something.
    async fn lacking(&self, hands: &Hands, rights: Vec<Right>) -> anyhow::Result<Vec<Right>> {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let ask = |right: Right| async move {
            let (resource, subresource) =
                right.resource.split_once('/').unwrap_or((right.resource.as_str(), ""));
            let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {"verb": right.verb, "group": right.group, "resource": resource,
                    "subresource": subresource, "namespace": namespace}}});
            let body = review.to_string().into_bytes();
            let reply = hands.request(Method::POST, REVIEWS, "application/json", body).await?;
            let is_denied = reply.is_success() && reply.body["status"]["allowed"] == false;
            anyhow::Ok(is_denied.then_some(right))
        };
        let answers = stream::iter(rights).map(ask).buffered(ASKED_AT_ONCE);
        answers.try_filter_map(async |denied| Ok(denied)).try_collect().await
    }
}

fn right(group: &str, resource: &str, verb: &str) -> Right {
    Right { group: group.to_owned(), resource: resource.to_owned(), verb: verb.to_owned() }
}

/// Who can make a namespace and not remove it would leave it behind.
fn namespaces() -> Vec<Right> {
    ["create", "delete"].map(|verb| right("", "namespaces", verb)).to_vec()
}

/// What the scenario's own hands do in every case, and what the judges watch.
fn of_a_case() -> Vec<Right> {
    let own = kinds::find("FlinkDeployment").into_iter();
    let own = own.flat_map(|info| {
        ["get", "list", "watch", "create", "patch", "delete"].map(|verb| right(info.group, info.plural, verb))
    });
    let watched = WATCHED.iter().filter_map(|kind| kinds::find(kind));
    let watched =
        watched.flat_map(|info| ["get", "list", "watch"].map(|verb| right(info.group, info.plural, verb)));
    let made = [("", "serviceaccounts"), (RBAC, "roles"), (RBAC, "rolebindings")];
    own.chain(watched).chain(made.map(|(group, plural)| right(group, plural, "create"))).collect()
}

/// What `--operator-rights` makes, by server-side apply.
fn accounts() -> Vec<Right> {
    let made = [("", "serviceaccounts"), (RBAC, "roles"), (RBAC, "rolebindings")];
    let applied = made.iter().map(|(group, plural)| right(group, plural, "patch"));
    applied.chain([right("", "serviceaccounts/token", "create")]).collect()
}

fn named(rights: &[Right]) -> String {
    let names: Vec<String> = rights.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    match rights.len() - names.len() {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
