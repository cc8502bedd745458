//! Field paths: `status.phase`, `spec.containers[0].image`, `metadata.labels["a/b"]`. Parsing, reading, writing out.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Key(String),
    Index(usize),
}

pub fn parse(text: &str) -> Result<Vec<Segment>, String> {
    let mut segments = Vec::new();
    let mut rest = text;
    let mut want_key = true;
    while !rest.is_empty() || want_key {
        if let Some(inner) = rest.strip_prefix('[') {
            let (segment, after) = bracket(inner)?;
            segments.push(segment);
            rest = after;
        } else {
            let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
            let (key, after) = rest.split_at(end);
            if key.is_empty() {
                return Err("a name is missing between two dots or at an end".to_owned());
            }
            if key.contains(char::is_whitespace) {
                return Err("names contain no blanks".to_owned());
            }
            segments.push(Segment::Key(key.to_owned()));
            rest = after;
        }
        want_key = match rest.strip_prefix('.') {
            Some(after) => {
                rest = after;
                true
            }
            None if rest.is_empty() || rest.starts_with('[') => false,
            None => return Err("`]` without `[`, or a dot is missing".to_owned()),
        };
    }
    Ok(segments)
}

fn bracket(inner: &str) -> Result<(Segment, &str), String> {
    if let Some(quoted) = inner.strip_prefix('"') {
        let end = quoted.find("\"]").ok_or("`\"]` is missing")?;
        return Ok((Segment::Key(quoted[..end].to_owned()), &quoted[end + 2..]));
    }
    let end = inner.find(']').ok_or("`]` is missing")?;
    let index =
        inner[..end].parse().map_err(|_| "an index is a whole number; quote other keys: `[\"a/b\"]`")?;
    Ok((Segment::Index(index), &inner[end + 1..]))
}

/// The value at a path, if it is there.
pub fn get<'v>(value: &'v Value, path: &[Segment]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Key(key) => value.get(key),
        Segment::Index(index) => value.get(index),
    })
}

/// `base` with one more key, quoted where a dot would be misread.
pub fn join(base: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '$'));
    match (base.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{base}.{key}"),
        (_, false) => format!("{base}[\"{key}\"]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reading_through_paths() {
        let value = json!({"a": {"b": [{"c": 1}], "x/y.z": 2}});
        let check = |path: &str, expected: Option<Value>| {
            assert_eq!(get(&value, &parse(path).expect(path)), expected.as_ref(), "{path}");
        };
        check("a.b[0].c", Some(json!(1)));
        check("a[\"x/y.z\"]", Some(json!(2)));
        check("a.b[1]", None);
        check("a.q.c", None);
    }

    #[test]
    fn bad_paths_are_refused() {
        for bad in ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[0", "a]b", "a b", "a[\"x\"", "a[0]b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn joined_paths_parse_back() {
        let path = join(&join("metadata", "annotations"), "example.com/x");
        assert_eq!(parse(&path).map(|p| p.len()), Ok(3), "{path}");
    }
}
