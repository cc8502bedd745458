//! Who a request comes from: a bearer token, a client certificate of our own CA, or the default user.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use fake_kube_apiserver::{ApiBody, ApiServer, Status, User};
use http::header::AUTHORIZATION;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Known tokens. Without any, everybody is an administrator, as with `AlwaysAllow`; unless the API server enforces
/// roles, for then everybody is who they can show to be. With tokens and without roles, nobody is let in without one.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    tokens: BTreeMap<String, User>,
    first: Option<String>,
}

impl Identities {
    pub fn add(&mut self, token: &str, user: User) {
        self.first.get_or_insert_with(|| token.to_owned());
        self.tokens.insert(token.to_owned(), user);
    }

    /// An administrator under a token that nobody can guess, for the kubeconfig: a server that enforces roles knows by
    /// it who comes, and by its absence who comes without.
    pub fn add_admin(&mut self) -> anyhow::Result<()> {
        // Half of a key that is never used: the random number at hand.
        let key = rcgen::KeyPair::generate().context("draw an administrator's token")?;
        let token: String =
            key.public_key_raw().iter().skip(1).take(32).map(|b| format!("{b:02x}")).collect();
        self.add(&token, User::new("kubernetes-admin", &["system:masters"]));
        Ok(())
    }

    /// Lines `token,user,uid,"group1,group2"`, as `kube-apiserver --token-auth-file` reads them.
    pub fn read(path: &Path) -> anyhow::Result<Identities> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("read tokens of {}", path.display()))?;
        let mut out = Identities::default();
        for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'))
        {
            let mut parts = line.splitn(4, ',').map(|p| p.trim().trim_matches('"'));
            let (Some(token), Some(name), Some(uid)) = (parts.next(), parts.next(), parts.next()) else {
                bail!("{}:{}: expected token,user,uid,\"group1,group2\"", path.display(), i + 1);
            };
            let groups: Vec<&str> = parts.next().unwrap_or("").split(',').filter(|g| !g.is_empty()).collect();
            let mut user = User::new(name, &groups);
            user.uid = uid.to_owned();
            out.add(token, user);
        }
        Ok(out)
    }

    pub(crate) fn first_token(&self) -> Option<&str> {
        self.first.as_deref()
    }

    pub(crate) fn user(
        &self,
        headers: &http::HeaderMap,
        certified: Option<User>,
        api: &ApiServer,
    ) -> Result<User, Status> {
        let bearer = headers
            .get(AUTHORIZATION)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.strip_prefix("Bearer ").or_else(|| v.strip_prefix("bearer ")));
        match (bearer, certified) {
            _ if self.tokens.is_empty() && !api.enforces_rbac() && bearer.is_none_or(|t| !t.is_empty()) => {
                Ok(User::admin())
            }
            (Some(token), _) => self.tokens.get(token).cloned().map_or_else(|| api.authenticate(token), Ok),
            (None, Some(user)) => Ok(user),
            (None, None) if api.enforces_rbac() => Ok(User::anonymous()),
            // As a kube-apiserver that allows everybody everything: it takes no anonymous requests then
            // (pkg/kubeapiserver/options/authentication.go, ApplyAuthorization).
            (None, None) => Err(Status::new(401, "Unauthorized", "Unauthorized")),
        }
    }
}

/// CN is the user, each O a group. The chain was verified against our CA by TLS.
pub(crate) fn of_certificate(der: &CertificateDer<'_>) -> Option<User> {
    let (name, groups) = super::tls::subject(der.as_ref())?;
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    Some(User::new(&name, &groups))
}

/// An answer given before the API server was asked.
pub(crate) fn refused(status: &Status) -> http::Response<Body> {
    let text = status.to_value().to_string();
    let mut response = http::Response::new(Body::Text(Full::from(text)));
    *response.status_mut() = http::StatusCode::from_u16(status.code).unwrap_or(http::StatusCode::FORBIDDEN);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

/// A text of the listener's own.
pub(crate) fn text(content_type: &'static str, text: String) -> http::Response<Body> {
    let mut response = http::Response::new(Body::Text(Full::from(text)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
    response
}

/// The API server's body, or a refusal before it was asked.
pub(crate) enum Body {
    Api(ApiBody),
    Text(Full<Bytes>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = <ApiBody as http_body::Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Body::Api(body) => Pin::new(body).poll_frame(cx),
            Body::Text(body) => Pin::new(body).poll_frame(cx).map(|f| f.map(|r| r.map_err(|e| match e {}))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Api(body) => body.is_end_stream(),
            Body::Text(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Api(body) => body.size_hint(),
            Body::Text(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fake_kube_apiserver::{ManualClock, Options};

    use super::*;

    #[test]
    fn tokens() {
        let clock = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
        let open = ApiServer::new(Options::new(clock.clone()));
        let strict = ApiServer::new(Options { rbac: true, ..Options::new(clock) });
        let mut known = Identities::default();
        let headers = |token: Option<&str>| {
            let mut h = http::HeaderMap::new();
            if let Some(t) = token {
                h.insert(AUTHORIZATION, format!("Bearer {t}").parse().expect("a header"));
            }
            h
        };
        let by = |i: &Identities, t, api| i.user(&headers(t), None, api).map(|u| u.name).map_err(|s| s.code);
        let name = |i: &Identities, t| by(i, t, &open);
        assert_eq!(name(&known, None), Ok("system:admin".into()));
        assert_eq!(by(&known, None, &strict), Ok("system:anonymous".into()));
        assert_eq!(by(&known, Some("any"), &strict), Err(401));
        known.add("s3cret", User::new("alice", &["dev"]));
        assert_eq!(name(&known, Some("s3cret")), Ok("alice".into()));
        assert_eq!(name(&known, Some("other")), Err(401));
        assert_eq!(name(&known, None), Err(401));
        assert_eq!(by(&known, None, &strict), Ok("system:anonymous".into()));
    }
}
