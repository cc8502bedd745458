//! Reviews of access and identity: answered from the roles that are stored, never stored themselves (cases auth-ssar,
//! auth-sar, auth-rules-review). Without RBAC the answer is that everybody may do everything, as with AlwaysAllow.

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use super::resolve::listed;
use super::{Attributes, MASTERS};
use crate::answer::Answer;
use crate::meta;
use crate::server::{State, User};
use crate::status::{Result, Status};
use crate::write::Call;

const GROUP: &str = "authorization.k8s.io";

impl State {
    pub(crate) fn review(&mut self, call: &mut Call, mut object: Value) -> Result<Answer> {
        let namespace = meta::namespace(&object).to_owned();
        meta::of(&mut object).clear();
        let user = asking(call);
        object["status"] = match call.def.plural.as_str() {
            "selfsubjectreviews" => {
                meta::set(&mut object, "creationTimestamp", json!(meta::time(call.now)));
                json!({"userInfo": info(&user)})
            }
            "tokenreviews" => self.token_review(object["spec"]["token"].as_str().unwrap_or(""), call.now),
            "selfsubjectrulesreviews" => self.rules_review(&user, &object["spec"])?,
            "selfsubjectaccessreviews" => {
                refuse(attribute_causes(&object["spec"]))?;
                self.verdict(&user, &object["spec"])
            }
            "localsubjectaccessreviews" => {
                meta::set(&mut object, "namespace", json!(namespace));
                let mut causes = subject_causes(&object["spec"]);
                causes.extend(local_causes(&object["spec"], &namespace));
                refuse(causes)?;
                self.verdict(&subject(&object["spec"]), &object["spec"])
            }
            _ => {
                refuse(subject_causes(&object["spec"]))?;
                self.verdict(&subject(&object["spec"]), &object["spec"])
            }
        };
        Ok(call.loose(201, object))
    }

    fn verdict(&self, user: &User, spec: &Value) -> Value {
        let found = self.access(user, &asked(spec));
        let mut out = json!({"allowed": found.allowed});
        if !found.reason.is_empty() {
            out["reason"] = json!(found.reason);
        }
        out
    }

    fn rules_review(&self, user: &User, spec: &Value) -> Result<Value> {
        let namespace = spec["namespace"].as_str().unwrap_or("");
        if namespace.is_empty() {
            return Err(Status::bad_request("no namespace on request"));
        }
        if !self.rbac {
            return Ok(json!({"resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": false}));
        }
        Ok(listed(&self.rules_for(user, namespace)))
    }
}

/// Who a request is made by. Code in this process is an administrator under the name it gave.
fn asking(call: &Call) -> User {
    call.user.as_deref().cloned().unwrap_or_else(|| User::new(&call.actor, &[MASTERS]))
}

/// `UserInfo` without what is empty.
pub(super) fn info(user: &User) -> Value {
    let mut out = json!({"username": user.name});
    if !user.uid.is_empty() {
        out["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        out["groups"] = json!(user.groups);
    }
    for (key, values) in &user.extra {
        out["extra"][key] = json!(values);
    }
    out
}

fn subject(spec: &Value) -> User {
    let text = |key: &str| spec[key].as_str().unwrap_or("").to_owned();
    let groups = super::strings(&spec["groups"]).map(str::to_owned).collect();
    User { name: text("user"), uid: text("uid"), groups, extra: Vec::new() }
}

fn asked(spec: &Value) -> Attributes {
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or("").to_owned();
    let other = &spec["nonResourceAttributes"];
    if other.is_object() {
        return Attributes {
            verb: text(other, "verb"),
            path: Some(text(other, "path")),
            ..Attributes::default()
        };
    }
    let r = &spec["resourceAttributes"];
    Attributes {
        verb: text(r, "verb"),
        group: text(r, "group"),
        resource: text(r, "resource"),
        subresource: text(r, "subresource"),
        namespace: text(r, "namespace"),
        name: text(r, "name"),
        path: None,
    }
}

/// The internal type as Go prints it in messages.
fn go_shown(attributes: &Value) -> Value {
    let text = |key: &str| attributes[key].as_str().unwrap_or("").to_owned();
    json!({"Path": text("path"), "Verb": text("verb")})
}

fn attribute_causes(spec: &Value) -> Vec<Cause> {
    match (spec["resourceAttributes"].is_object(), spec["nonResourceAttributes"].is_object()) {
        (true, true) => {
            let why = "cannot be specified in combination with resourceAttributes";
            let shown = go_shown(&spec["nonResourceAttributes"]);
            vec![Cause::invalid("spec.nonResourceAttributes", &shown, why)]
        }
        (false, false) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![Cause::invalid("spec.resourceAttributes", &Value::Null, why)]
        }
        _ => Vec::new(),
    }
}

fn subject_causes(spec: &Value) -> Vec<Cause> {
    let mut causes = attribute_causes(spec);
    let has_groups = spec["groups"].as_array().is_some_and(|g| !g.is_empty());
    if spec["user"].as_str().unwrap_or("").is_empty() && !has_groups {
        causes.push(Cause::invalid(
            "spec.user",
            &json!(""),
            "at least one of user or group must be specified",
        ));
    }
    causes
}

fn local_causes(spec: &Value, namespace: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    let inner = &spec["resourceAttributes"];
    let given = inner["namespace"].as_str().unwrap_or("");
    if inner.is_object() && given != namespace {
        let field = "spec.resourceAttributes.namespace";
        causes.push(Cause::invalid(field, &json!(given), "must match metadata.namespace"));
    }
    if spec["nonResourceAttributes"].is_object() {
        let shown = go_shown(&spec["nonResourceAttributes"]);
        causes.push(Cause::invalid(
            "spec.nonResourceAttributes",
            &shown,
            "disallowed on this kind of request",
        ));
    }
    causes
}

/// These reviews are refused without their kind being named.
fn refuse(causes: Vec<Cause>) -> Result<()> {
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid_as(GROUP, "", "", causes)) }
}
