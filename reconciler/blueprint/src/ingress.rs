//! The address an Ingress template stands for (kubernetes-objects.md 3).

/// Host and path of `template` for a resource; the error is the text users know.
///
/// `{{name}}` and `{{namespace}}` are replaced whatever their case. Port and query are ignored.
pub fn ingress_host_and_path(
    template: &str,
    name: &str,
    namespace: &str,
) -> Result<(Option<String>, Option<String>), String> {
    let filled =
        replace_ignoring_case(&replace_ignoring_case(template, "{{name}}", name), "{{namespace}}", namespace);
    let address =
        filled.strip_prefix("http://").or_else(|| filled.strip_prefix("https://")).unwrap_or(&filled);
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (authority, rest) = address.split_at(end);
    let path = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.is_empty() || port.chars().all(|c| c.is_ascii_digit()) => host,
        Some((_, port)) => {
            return Err(format!(
                "Unable to process the Ingress template({template}). Error: For input string: \"{port}\""
            ));
        }
        None => authority,
    };
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.trim().is_empty());
    Ok((given(host), given(path)))
}

fn replace_ignoring_case(text: &str, pattern: &str, with: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut result = String::new();
    let mut from = 0;
    while let Some(at) = lower[from..].find(pattern) {
        result.push_str(&text[from..from + at]);
        result.push_str(with);
        from += at + pattern.len();
    }
    result.push_str(&text[from..]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        for (template, host, path) in [
            ("{{name}}.{{namespace}}.flink.k8s.io", Some("app.ns.flink.k8s.io"), None),
            ("{{name}}.{{namespace}}.flink.k8s.io/", Some("app.ns.flink.k8s.io"), Some("/")),
            ("/{{namespace}}/{{name}}(/|$)(.*)", None, Some("/ns/app(/|$)(.*)")),
            ("flink.k8s.io/{{NameSpace}}/{{NAME}}(/|$)(.*)", Some("flink.k8s.io"), Some("/ns/app(/|$)(.*)")),
            ("https://host:8443/x?y=z", Some("host"), Some("/x")),
        ] {
            let expected = (host.map(str::to_owned), path.map(str::to_owned));
            assert_eq!(ingress_host_and_path(template, "app", "ns"), Ok(expected), "{template}");
        }
        let error = ingress_host_and_path("example.com:port", "app", "ns").unwrap_err();
        assert_eq!(
            error,
            "Unable to process the Ingress template(example.com:port). Error: For input string: \"port\""
        );
    }
}
