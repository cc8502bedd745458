//! Who may ask. The page listens on this machine only; what else runs there in a browser must neither read the world nor
//! press its buttons. Reading needs a `Host` that is this machine by its number (a name can be led anywhere: DNS
//! rebinding) and no foreign page as sender; changing needs the page's own `Origin` and the token that stands in it.

use http::request::Parts;
use http::{HeaderName, Method, StatusCode, header};

use crate::stage::Refusal;

pub const TOKEN: HeaderName = HeaderName::from_static("x-drey-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What requests are held against.
#[derive(Clone, Debug)]
pub struct Guard {
    pub port: u16,
    pub token: String,
}

impl Guard {
    pub fn check(&self, head: &Parts) -> Result<(), Refusal> {
        let text = |name: &HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(&header::HOST).unwrap_or_default();
        if !self.hosts().iter().any(|own| own == host) {
            return Err(refused(format!(
                "open the page by its address, http://{}, not as {host:?}",
                self.hosts()[0]
            )));
        }
        if text(&FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"))
            && head.uri.path() != "/"
        {
            return Err(refused("another page asked for this".to_owned()));
        }
        let origin = text(&header::ORIGIN);
        if origin.is_some_and(|origin| origin != format!("http://{host}")) {
            return Err(refused(format!(
                "requests of other pages are not taken (Origin: {})",
                origin.unwrap_or_default()
            )));
        }
        if matches!(head.method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        if origin.is_none() {
            return Err(refused(
                "what changes something must come from the page itself (there is no Origin)".to_owned(),
            ));
        }
        match text(&TOKEN).is_some_and(|token| same(token, &self.token)) {
            true => Ok(()),
            false => Err(refused("the token is missing or of another run; reload the page".to_owned())),
        }
    }

    fn hosts(&self) -> [String; 3] {
        ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{}", self.port))
    }
}

fn refused(message: String) -> Refusal {
    Refusal { code: StatusCode::FORBIDDEN.as_u16(), message }
}

/// Takes as long for a wrong first byte as for a wrong last one.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, headers: &[(&str, &str)], is_taken: bool) {
        let guard = Guard { port: 4711, token: "secret".to_owned() };
        let mut request = http::Request::builder().method(method).uri("/v1/steps");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let answer = guard.check(&head);
        assert_eq!(answer.is_ok(), is_taken, "{method} {headers:?}: {answer:?}");
    }

    const HOST: (&str, &str) = ("host", "127.0.0.1:4711");
    const ORIGIN: (&str, &str) = ("origin", "http://127.0.0.1:4711");
    const SECRET: (&str, &str) = ("x-drey-token", "secret");

    #[test]
    fn the_page_itself_may_read_and_write() {
        check("GET", &[HOST], true);
        check("GET", &[("host", "localhost:4711")], true);
        check("GET", &[("host", "[::1]:4711")], true);
        check("GET", &[HOST, ("sec-fetch-site", "same-origin")], true);
        check("POST", &[HOST, ORIGIN, SECRET], true);
    }

    #[test]
    fn names_that_lead_here_are_not_this_machine() {
        check("GET", &[("host", "evil.example:4711")], false);
        check("GET", &[("host", "127.0.0.1:1")], false);
        check("GET", &[("host", "localhost")], false);
        check("GET", &[], false);
    }

    #[test]
    fn other_pages_press_no_buttons() {
        check("POST", &[HOST, SECRET], false);
        check("POST", &[HOST, ORIGIN], false);
        check("POST", &[HOST, ORIGIN, ("x-drey-token", "guess!")], false);
        check("POST", &[HOST, ("origin", "http://127.0.0.1:8080"), SECRET], false);
        check("POST", &[HOST, ("origin", "http://localhost:4711"), SECRET], false);
        check("POST", &[HOST, ("origin", "null"), SECRET], false);
        check("GET", &[HOST, ("origin", "http://evil.example")], false);
        check("GET", &[HOST, ("sec-fetch-site", "cross-site")], false);
        check("GET", &[HOST, ("sec-fetch-site", "same-site")], false);
        check("DELETE", &[HOST], false);
    }
}
