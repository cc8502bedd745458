//! ServiceAccount tokens: made by `serviceaccounts/NAME/token`, taken back as credentials and by TokenReview.
//!
//! They have the form of JWTs and a signature under a key drawn from the server's seed: nobody becomes another account
//! by editing claims, and a run can be replayed. No public key verifies them, so the issuer serves no OIDC discovery.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::reviews::info;
use super::strings;
use crate::meta;
use crate::server::{ApiServer, State, User};
use crate::status::{Result, Status};

pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";

/// Signs tokens and knows its own.
#[derive(Clone)]
pub(crate) struct TokenKey([u8; 32]);

impl TokenKey {
    pub(crate) fn new(seed: u64) -> TokenKey {
        TokenKey(Sha256::digest(format!("service account tokens of seed {seed}")).into())
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode("{\"alg\":\"none\",\"typ\":\"JWT\"}"),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self.signature(&text);
        format!("{text}.{signature}")
    }

    /// The claims of a token this key signed.
    fn claims(&self, token: &str) -> Option<Value> {
        let (text, signature) = token.rsplit_once('.')?;
        if self.signature(text) != signature {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text.split_once('.')?.1).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Hashed twice under the key, which keeps a signature from being continued.
    fn signature(&self, text: &str) -> String {
        let inner = Sha256::new().chain_update(self.0).chain_update(text).finalize();
        URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(self.0).chain_update(inner).finalize())
    }
}

impl State {
    /// The account a token speaks for, and its audiences: it is ours, has not run out, and the account exists.
    fn account_of(&self, token: &str, now: Timestamp) -> Option<(User, Value)> {
        let claims = self.token_key.claims(token)?;
        if claims["exp"].as_i64().is_none_or(|end| end <= now.as_second()) {
            return None;
        }
        let name = claims["sub"].as_str()?;
        let (namespace, account) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        let table = self.registry.get("", "v1", "serviceaccounts")?.table;
        let stored = self.store.get(table, &crate::store::key(namespace, account))?;
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let mut user = User::new(name, &[&groups[0], &groups[1]]);
        meta::uid(&stored.value()).clone_into(&mut user.uid);
        Some((user, claims["aud"].clone()))
    }

    pub(super) fn token_review(&self, token: &str, now: Timestamp) -> Value {
        match self.account_of(token, now) {
            Some((user, audiences)) => {
                json!({"authenticated": true, "user": info(&user), "audiences": audiences})
            }
            None => json!({"user": {}, "error": "invalid bearer token"}),
        }
    }
}

impl ApiServer {
    /// A token that speaks for a ServiceAccount, as a kubelet puts it into the account's pods. None: there is no such account.
    pub fn account_token(&self, namespace: &str, account: &str, lasts: SignedDuration) -> Option<String> {
        let now = self.now();
        let end = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        self.with(|s| {
            let table = s.registry.get("", "v1", "serviceaccounts")?.table;
            s.store.get(table, &crate::store::key(namespace, account))?;
            let subject = format!("system:serviceaccount:{namespace}:{account}");
            let claims = json!({"aud": [ISSUER], "exp": end.as_second(), "iat": now.as_second(), "iss": ISSUER,
                "sub": subject});
            Some(s.token_key.sign(&claims))
        })
    }

    /// The user behind a ServiceAccount token for this server; 401 for every other token.
    pub fn authenticate(&self, token: &str) -> Result<User> {
        let now = self.now();
        let found = self.with(|s| s.account_of(token, now));
        let user =
            found.filter(|(_, audiences)| strings(audiences).any(|a| a == ISSUER)).map(|(user, _)| user);
        user.ok_or_else(|| Status::new(401, "Unauthorized", "Unauthorized"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edited_and_foreign_tokens_are_not_ours() {
        let key = TokenKey::new(7);
        let token = key.sign(&json!({"sub": "system:serviceaccount:a:b"}));
        assert_eq!(key.claims(&token), Some(json!({"sub": "system:serviceaccount:a:b"})));
        assert_eq!(TokenKey::new(8).claims(&token), None);
        let mut parts: Vec<&str> = token.split('.').collect();
        let other = URL_SAFE_NO_PAD.encode("{\"sub\":\"system:serviceaccount:a:c\"}");
        parts[1] = &other;
        assert_eq!(key.claims(&parts.join(".")), None);
        assert_eq!(key.claims("nope"), None);
    }
}
