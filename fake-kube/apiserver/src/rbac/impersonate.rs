//! `Impersonate-User`, `-Group`, `-Uid` and `-Extra-*`: acting as somebody else (case auth-impersonate).
//!
//! Each part needs the verb `impersonate` on what it names. Groups that every user of a kind has are added as a real
//! server adds them.

use super::Attributes;
use crate::server::{State, User};
use crate::status::{Result, Status};
use http::HeaderMap;

const AUTHENTICATION: &str = "authentication.k8s.io";
const ANONYMOUS: &str = "system:anonymous";

/// What the headers ask for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    user: String,
    groups: Vec<String>,
    uid: String,
    extra: Vec<(String, Vec<String>)>,
}

impl Asked {
    /// None without any such header, which is the common case.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Asked> {
        if !headers.keys().any(|k| k.as_str().starts_with("impersonate-")) {
            return None;
        }
        let mut asked = Asked::default();
        for (name, value) in headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            match name.as_str().strip_prefix("impersonate-") {
                Some("user") => asked.user = value,
                Some("group") => asked.groups.push(value),
                Some("uid") => asked.uid = value,
                Some(other) => {
                    let Some(key) = other.strip_prefix("extra-") else { continue };
                    let key = decoded(key);
                    match asked.extra.iter_mut().find(|(k, _)| *k == key) {
                        Some((_, values)) => values.push(value),
                        None => asked.extra.push((key, vec![value])),
                    }
                }
                None => {}
            }
        }
        Some(asked)
    }

    /// Everything named as Go prints the references it made of the headers.
    fn listed(&self) -> String {
        let groups = self.groups.iter().map(|g| format!("{{Group  {g}    }}"));
        let extra = self.extra.iter().flat_map(|(key, values)| {
            values.iter().map(move |v| format!("{{UserExtra  {v}  {AUTHENTICATION}/v1  {key}}}"))
        });
        let uid = (!self.uid.is_empty()).then(|| format!("{{UID  {}  {AUTHENTICATION}/v1  }}", self.uid));
        groups.chain(extra).chain(uid).collect::<Vec<_>>().join(" ")
    }

    /// The user the request is to be made as, rights not looked at.
    fn user(&self) -> User {
        let mut groups = self.groups.clone();
        let account = self.user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        if let Some((namespace, _)) = account.filter(|_| groups.is_empty()) {
            groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        let everybody =
            if self.user == ANONYMOUS { "system:unauthenticated" } else { "system:authenticated" };
        if !groups.iter().any(|g| g == "system:authenticated" || g == "system:unauthenticated") {
            groups.push(everybody.to_owned());
        }
        User { name: self.user.clone(), uid: self.uid.clone(), groups, extra: self.extra.clone() }
    }

    /// What the caller needs the right to impersonate.
    fn needed(&self) -> Vec<Attributes> {
        let of = |group: &str, resource: &str, name: &str| Attributes {
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        let account = self.user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let mut out = vec![match account {
            Some((namespace, name)) => {
                Attributes { namespace: namespace.to_owned(), ..of("", "serviceaccounts", name) }
            }
            None => of("", "users", &self.user),
        }];
        out.extend(self.groups.iter().map(|g| of("", "groups", g)));
        for (key, values) in &self.extra {
            let each = values
                .iter()
                .map(|v| Attributes { subresource: key.clone(), ..of(AUTHENTICATION, "userextras", v) });
            out.extend(each);
        }
        if !self.uid.is_empty() {
            out.push(of(AUTHENTICATION, "uids", &self.uid));
        }
        out
    }
}

/// Header names cannot hold everything a key can: `%2f` and the like stand for it.
fn decoded(key: &str) -> String {
    let kept = key.replace('+', "%2B");
    form_urlencoded::parse(kept.as_bytes()).next().map_or_else(String::new, |(k, _)| k.into_owned())
}

impl State {
    /// The user to go on as.
    pub(crate) fn impersonate(&self, caller: &User, asked: &Asked) -> Result<User> {
        if asked.user.is_empty() {
            let what = asked.listed();
            return Err(Status::bad_request(format!("requested [{what}] without impersonating a user")));
        }
        for needed in asked.needed() {
            self.authorize(caller, &needed)?;
        }
        Ok(asked.user())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(headers: &[(&'static str, &str)]) -> Option<Asked> {
        let pairs = headers.iter().map(|(k, v)| {
            (http::HeaderName::from_static(k), v.parse::<http::HeaderValue>().expect("a header value"))
        });
        Asked::of(&pairs.collect())
    }

    #[test]
    fn groups_are_completed() {
        let groups = |headers: &[(&'static str, &str)]| asked(headers).map(|a| a.user().groups);
        let account = groups(&[("impersonate-user", "system:serviceaccount:a:b")]);
        let expected = ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"];
        assert_eq!(json!(account), json!(expected));
        let anonymous = groups(&[("impersonate-user", ANONYMOUS)]);
        assert_eq!(json!(anonymous), json!(["system:unauthenticated"]));
        assert_eq!(asked(&[("accept", "x")]), None);
    }

    #[test]
    fn extras_need_rights_by_key() {
        let one = asked(&[("impersonate-user", "u"), ("impersonate-extra-acme.com%2fwhy", "b")]);
        let needed = one.expect("headers").needed();
        assert_eq!(needed[1].subresource, "acme.com/why");
        assert_eq!((needed[1].resource.as_str(), needed[1].name.as_str()), ("userextras", "b"));
    }
}
