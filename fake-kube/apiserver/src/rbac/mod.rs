//! Authorization: may this user do this, by the roles and bindings that are stored (kube-api.md 2.14, cases auth-*).
//!
//! Off unless [`crate::Options::rbac`] says so; then every request through the HTTP face is judged before it is looked
//! at, whatever it asks for. Members of `system:masters` pass without a look at any role. [`resolve`] walks bindings,
//! [`rule`] is one policy rule, [`escalation`] keeps users from granting more than they hold, [`impersonate`] reads
//! `Impersonate-*`, [`reviews`] answers access reviews, [`tokens`] knows ServiceAccount tokens, [`bootstrap`] holds the
//! roles every cluster starts with. Left out: the node authorizer, webhooks, field and label selectors of requests.

pub(crate) mod bootstrap;
pub(crate) mod escalation;
pub(crate) mod impersonate;
mod resolve;
mod reviews;
mod rule;
pub(crate) mod tokens;

use serde_json::{Value, json};

use crate::request::{Params, Route};
use crate::selector::FieldSelector;
use crate::server::{State, User};
use crate::status::{Result, Status, qualify};
use crate::write::Call;

pub(crate) const MASTERS: &str = "system:masters";

/// What is asked: a verb on a resource, or on a path that is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Set for what is no resource.
    pub(crate) path: Option<String>,
}

/// The answer, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    pub(crate) reason: String,
}

impl User {
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == MASTERS)
    }
}

impl Attributes {
    /// Of a request, as a real server reads it before it knows which resources exist.
    pub(crate) fn of(
        method: &str,
        path: &str,
        verb: &str,
        route: Option<&Route>,
        params: &Params,
    ) -> Attributes {
        let Some(route) = route else {
            return Attributes {
                verb: method.to_lowercase(),
                path: Some(path.to_owned()),
                ..Attributes::default()
            };
        };
        let verb = match (verb, route.name.is_empty()) {
            ("head", true) => "list",
            ("head", false) => "get",
            ("options", _) => "",
            (other, _) => other,
        };
        let mut name = route.name.clone();
        if name.is_empty() && matches!(verb, "list" | "watch" | "deletecollection") {
            name = selected_name(params).unwrap_or_default();
        }
        // A namespace is in itself: a role in it can allow reading it.
        let is_namespace = route.group.is_empty() && route.resource == "namespaces";
        let namespace = if is_namespace { route.name.clone() } else { route.namespace.clone() };
        Attributes {
            verb: verb.to_owned(),
            group: route.group.clone(),
            resource: route.resource.clone(),
            subresource: route.subresource.split('/').next().unwrap_or("").to_owned(),
            namespace,
            name,
            path: None,
        }
    }

    /// Another verb on what a write is about.
    pub(crate) fn of_call(call: &Call, verb: &str) -> Attributes {
        Attributes {
            verb: verb.to_owned(),
            group: call.def.group.clone(),
            resource: call.def.plural.clone(),
            namespace: call.namespace.clone(),
            name: call.name.clone(),
            ..Attributes::default()
        }
    }

    /// 403 with the text of a real server.
    pub(crate) fn forbidden(&self, user: &User, reason: &str) -> Status {
        let who = format!("User {} cannot {}", json!(user.name), self.verb);
        let what = match &self.path {
            Some(path) => format!("{who} path {}", json!(path)),
            None => {
                let slash = if self.subresource.is_empty() { "" } else { "/" };
                let resource = format!("{}{slash}{}", self.resource, self.subresource);
                let place = match self.namespace.as_str() {
                    "" => "at the cluster scope".to_owned(),
                    ns => format!("in the namespace {}", json!(ns)),
                };
                format!("{who} resource {} in API group {} {place}", json!(resource), json!(self.group))
            }
        };
        let escaped = what.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let subject = match (self.resource.as_str(), self.name.as_str()) {
            ("", _) => "forbidden".to_owned(),
            (resource, "") => format!("{} is forbidden", qualify(resource, &self.group)),
            (resource, name) => format!("{} {} is forbidden", qualify(resource, &self.group), json!(name)),
        };
        let mut details = json!({});
        for (key, value) in [("name", &self.name), ("group", &self.group), ("kind", &self.resource)] {
            if !value.is_empty() && self.path.is_none() {
                details[key] = json!(value);
            }
        }
        Status::new(403, "Forbidden", format!("{subject}: {escaped}{because}")).details(details)
    }
}

/// The one name a field selector allows (`metadata.name=x`), as RequestInfo takes it.
fn selected_name(params: &Params) -> Option<String> {
    let text = params.get("fieldSelector").filter(|t| !t.is_empty())?;
    let clauses = FieldSelector::parse(text).ok()?.0;
    let value = clauses.into_iter().find(|c| c.path == "metadata.name" && c.equal)?.value;
    (!value.is_empty() && !value.contains(['/', '%'])).then_some(value)
}

impl State {
    /// What the authorizer says. Without RBAC everybody may do everything.
    pub(crate) fn access(&self, user: &User, asked: &Attributes) -> Decision {
        if !self.rbac || user.is_master() {
            return Decision { allowed: true, reason: String::new() };
        }
        self.decide(user, asked)
    }

    /// Refuses what the authorizer refuses.
    pub(crate) fn authorize(&self, user: &User, asked: &Attributes) -> Result<()> {
        let found = self.access(user, asked);
        if found.allowed { Ok(()) } else { Err(asked.forbidden(user, &found.reason)) }
    }

    /// An update or apply that turns out to create needs the right to create as well.
    pub(crate) fn authorize_create(&self, call: &Call) -> Result<()> {
        match self.restricted(call) {
            Some(user) => self.authorize(user, &Attributes::of_call(call, "create")),
            None => Ok(()),
        }
    }

    /// The user of a call whose rights are limited; None for administrators, for code in this process, and without RBAC.
    pub(crate) fn restricted<'a>(&self, call: &'a Call) -> Option<&'a User> {
        call.user.as_deref().filter(|u| self.rbac && !u.is_master())
    }
}

/// The strings of a list.
fn strings(v: &Value) -> impl Iterator<Item = &str> {
    v.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str) -> Attributes {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let params = Params::parse(query);
        let route = crate::request::route(path);
        let verb = route
            .as_ref()
            .map_or("", |r| crate::request::verb(&method.parse().expect("a method"), r, &params));
        Attributes::of(method, path, verb, route.as_ref(), &params)
    }

    fn text(method: &str, target: &str) -> String {
        asked(method, target).forbidden(&User::new("jane", &[]), "").message
    }

    #[test]
    fn refusals_name_what_was_asked() {
        let none = "forbidden: User \"jane\" cannot get path \"/metrics\"";
        assert_eq!(text("GET", "/metrics"), none);
        // A namespace lies in itself.
        let own = "namespaces \"a\" is forbidden: User \"jane\" cannot get resource \"namespaces\" in API group \"\" \
                   in the namespace \"a\"";
        assert_eq!(text("GET", "/api/v1/namespaces/a"), own);
        let sub = "pods \"p\" is forbidden: User \"jane\" cannot create resource \"pods/exec\" in API group \"\" \
                   in the namespace \"a\"";
        assert_eq!(text("POST", "/api/v1/namespaces/a/pods/p/exec"), sub);
        assert_eq!(text("HEAD", "/version"), "forbidden: User \"jane\" cannot head path \"/version\"");
    }

    #[test]
    fn a_field_selector_can_name_the_object() {
        let name = |q: &str| asked("GET", &format!("/api/v1/pods?fieldSelector={q}")).name;
        assert_eq!(name("metadata.name=x"), "x");
        assert_eq!(name("spec.nodeName=n,metadata.name==x"), "x");
        assert_eq!(name("metadata.name!=x"), "");
        assert_eq!(name("metadata.namespace=x"), "");
    }
}
