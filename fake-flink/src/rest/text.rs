//! Percent decoding of paths and queries, as Netty's `QueryStringDecoder` does it (recorded: texts of its errors).

/// Not a query or path: the message of the exception that decoding throws.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadEscape(pub String);

/// The path of a request target, where `+` is itself.
pub(crate) fn path(target: &str) -> Result<String, BadEscape> {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    decode(target, 0..end, true)
}

/// One segment of a decoded path: the router decodes it once more, and `+` is a space now.
pub(super) fn segment(text: &str) -> Result<String, BadEscape> {
    decode(text, 0..text.len(), false)
}

/// Name and value pairs of a request target in order; `;` separates as `&` does.
pub(super) fn query(target: &str) -> Result<Vec<(String, String)>, BadEscape> {
    let Some(start) = target.find('?') else { return Ok(Vec::new()) };
    let end = target[start..].find('#').map_or(target.len(), |at| start + at);
    let mut pairs = Vec::new();
    let mut at = start + 1;
    for pair in target[at..end].split(['&', ';']) {
        let split = pair.find('=').unwrap_or(pair.len());
        if !pair.is_empty() {
            let value = (at + split + 1).min(at + pair.len());
            let name = decode(target, at..at + split, false)?;
            pairs.push((name, decode(target, value..at + pair.len(), false)?));
        }
        at += pair.len() + 1;
    }
    Ok(pairs)
}

fn decode(text: &str, range: std::ops::Range<usize>, path: bool) -> Result<String, BadEscape> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(range.len());
    let mut at = range.start;
    while at < range.end {
        match bytes[at] {
            b'%' if at + 3 > range.end => {
                return Err(BadEscape(format!("unterminated escape sequence at index {at} of: {text}")));
            }
            b'%' => {
                out.push(hex(text, at + 1)?);
                at += 3;
                continue;
            }
            b'+' if !path => out.push(b' '),
            other => out.push(other),
        }
        at += 1;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn hex(text: &str, at: usize) -> Result<u8, BadEscape> {
    let digits = &text.as_bytes()[at..at + 2];
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    match (digit(digits[0]), digit(digits[1])) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => {
            let shown = String::from_utf8_lossy(digits);
            Err(BadEscape(format!("invalid hex byte '{shown}' at index {at} of '{text}'")))
        }
    }
}

/// `String.split(",")`: empty values at the end do not count, unless there is nothing else.
pub(super) fn split(values: &str) -> Vec<&str> {
    if values.is_empty() {
        return vec![""];
    }
    let mut split: Vec<&str> = values.split(',').collect();
    while split.last().is_some_and(|last| last.is_empty()) {
        split.pop();
    }
    split
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_a_plus_and_segments_do_not() {
        assert_eq!(path("/a%20b+c%2Fd?x=%zz").unwrap(), "/a b+c/d");
        assert_eq!(segment("b+c").unwrap(), "b c");
        assert_eq!(path("/jobs/%zz").unwrap_err().0, "invalid hex byte 'zz' at index 7 of '/jobs/%zz'");
        assert_eq!(path("/jobs/%").unwrap_err().0, "unterminated escape sequence at index 6 of: /jobs/%");
        assert_eq!(
            path("/jobs/%2é").unwrap_err().0,
            "invalid hex byte '2\u{fffd}' at index 7 of '/jobs/%2é'"
        );
    }

    #[test]
    fn queries() {
        let pairs = |target| query(target).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("/x?get=a%2Cb&x;y=1+2#z=3"), [pair("get", "a,b"), pair("x", ""), pair("y", "1 2")]);
        assert_eq!(pairs("/x?a=b=c&&=d"), [pair("a", "b=c"), pair("", "d")]);
        assert_eq!(pairs("/x"), []);
        assert_eq!(query("/x?a=%zz").unwrap_err().0, "invalid hex byte 'zz' at index 6 of '/x?a=%zz'");
    }

    #[test]
    fn splitting_is_javas() {
        assert_eq!(split("a,,b,,"), ["a", "", "b"]);
        assert_eq!(split(""), [""]);
        assert!(split(",").is_empty());
    }
}
