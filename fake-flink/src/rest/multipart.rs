//! A small reader of multipart forms, as the upload endpoint needs it: bounded, no streaming.

pub(super) struct Part {
    pub name: String,
    /// Present for files; directories in it are dropped.
    pub filename: Option<String>,
    pub content: Vec<u8>,
}

const PARTS_MAX: usize = 100;

/// `None`: the body is not a form with this boundary.
pub(super) fn read(content_type: &str, body: &[u8]) -> Option<Vec<Part>> {
    let boundary =
        content_type.split(';').find_map(|p| p.trim().strip_prefix("boundary="))?.trim_matches('"');
    let delimiter = format!("--{boundary}").into_bytes();
    let mut parts = Vec::new();
    let mut at = find(body, &delimiter, 0)? + delimiter.len();
    while parts.len() < PARTS_MAX && !body[at..].starts_with(b"--") {
        let start = at + if body[at..].starts_with(b"\r\n") { 2 } else { return None };
        let end = find(body, &delimiter, start)?;
        let part = &body[start..end.checked_sub(2).filter(|e| *e >= start)?];
        let split = find(part, b"\r\n\r\n", 0)?;
        let (headers, content) =
            (String::from_utf8_lossy(&part[..split]).into_owned(), part[split + 4..].to_vec());
        let disposition =
            headers.lines().find(|l| l.to_ascii_lowercase().starts_with("content-disposition:"))?;
        let filename =
            attribute(disposition, "filename").map(|f| f.rsplit(['/', '\\']).next().unwrap_or("").to_owned());
        parts.push(Part { name: attribute(disposition, "name")?, filename, content });
        at = end + delimiter.len();
    }
    Some(parts)
}

fn attribute(header: &str, name: &str) -> Option<String> {
    let mark = format!("{name}=");
    let field = header.split(';').map(str::trim).find_map(|f| f.strip_prefix(&mark))?;
    Some(field.trim_matches('"').to_owned())
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack.get(from..)?.windows(needle.len()).position(|w| w == needle).map(|i| i + from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_with_a_file_and_a_field() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"jarfile\"; filename=\"a/b.jar\"\r\n\r\nPK\r\n--x\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nv\r\n--x--\r\n";
        let parts = read("multipart/form-data; boundary=x", body).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].filename.as_deref(), Some("b.jar"));
        assert_eq!(parts[0].content, b"PK");
        assert!(parts[1].filename.is_none());
        assert!(read("multipart/form-data; boundary=y", body).is_none());
        assert!(read("multipart/form-data; boundary=x", b"--x").is_none_or(|p| p.is_empty()));
    }
}
