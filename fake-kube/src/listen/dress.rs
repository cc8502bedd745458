//! What every answer of a kube-apiserver carries beside its own headers: the id of its audit event, and no leave to
//! cache it unless the answer gives one (seen on the real CRD server; apiserver/pkg/endpoints/filters: `WithAuditInit`,
//! `WithCacheControl`). Leaves out the ids of flow schemas: nobody waits in a queue here.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Of an id that a client brings along; a longer one is cut.
const AUDIT_ID_MAX: usize = 64;

/// The client's id for its request, or one that nobody has.
pub(super) fn audit_id(headers: &HeaderMap) -> String {
    let brought = headers.get(AUDIT_ID).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    match brought {
        Some(id) => id.chars().take(AUDIT_ID_MAX).collect(),
        None => random(),
    }
}

/// A random UUID: version 4, its variant.
fn random() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

pub(super) fn dress<B>(response: &mut http::Response<B>, audit_id: &str) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(audit_id) {
        headers.insert(AUDIT_ID, id);
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let brought = |id: &str| audit_id(&HeaderMap::from_iter([(AUDIT_ID, id.parse().expect("a header"))]));
        assert_eq!(brought("mine"), "mine");
        assert_eq!(brought(&"x".repeat(65)), "x".repeat(64));
        let drawn = audit_id(&HeaderMap::new());
        let shape: Vec<usize> = drawn.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12], "{drawn}");
        assert_eq!(drawn.as_bytes()[14], b'4', "{drawn}");
        assert!(b"89ab".contains(&drawn.as_bytes()[19]), "{drawn}");
        assert_ne!(drawn, brought(""));
    }

    #[test]
    fn an_answer_keeps_the_leave_it_gives() {
        let mut response =
            http::Response::builder().header(CACHE_CONTROL, "public").body(()).expect("a response");
        dress(&mut response, "mine");
        assert_eq!(response.headers()[CACHE_CONTROL], "public");
        assert_eq!(response.headers()["audit-id"], "mine");
    }
}
