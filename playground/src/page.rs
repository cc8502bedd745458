//! The page: markup, style and script in one answer, without anything from elsewhere. The policy that goes with it lets the
//! browser run this script and talk to this server, and nothing else.

const MARKUP: &str = include_str!("../assets/page.html");
const STYLE: &str = include_str!("../assets/page.css");
const SCRIPT: &str = include_str!("../assets/page.js");

/// With the token that its requests carry.
pub fn html(token: &str, nonce: &str) -> String {
    MARKUP
        .replace("{{token}}", token)
        .replace("{{nonce}}", nonce)
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT)
}

pub fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = html("t0ken", "n0nce");
        for word in ["http://", "https://", "{{", "<link", " src=", "@import", "url("] {
            let found = page
                .replace("http://www.w3.org/2000/svg", "")
                .find(word)
                .map(|at| page[at..].chars().take(60).collect::<String>());
            assert_eq!(found, None, "{word}");
        }
        assert!(page.contains("t0ken") && page.contains("nonce=\"n0nce\""));
        // The policy has no room for style attributes and handlers in the markup.
        assert!(!MARKUP.contains("style=") && !MARKUP.contains("onclick"));
    }

    #[test]
    fn everything_that_can_be_pressed_has_a_name() {
        for tag in MARKUP.split("<button").skip(1) {
            let (attributes, rest) = tag.split_once('>').expect("a whole tag");
            let text = rest.split("</button").next().unwrap_or_default();
            assert!(
                attributes.contains("aria-label") || text.chars().any(char::is_alphanumeric),
                "<button{attributes}>{text}"
            );
        }
        for tag in MARKUP
            .split("<input")
            .skip(1)
            .chain(MARKUP.split("<select").skip(1))
            .chain(MARKUP.split("<textarea").skip(1))
        {
            let attributes = tag.split('>').next().unwrap_or_default();
            assert!(
                attributes.contains("aria-label") || attributes.contains("aria-labelledby"),
                "{attributes}"
            );
        }
    }
}
