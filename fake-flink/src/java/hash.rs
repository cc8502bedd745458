//! The order in which Java's `HashSet<String>` gives its elements: texts that REST reads into one come out so.

/// The distinct texts in the order of a set made of the list: by bucket, in a bucket as they came.
pub fn hash_order(texts: Vec<&str>) -> Vec<&str> {
    let wanted = (texts.len() as f64 / 0.75) as usize + 1;
    let buckets = wanted.max(16).next_power_of_two() as u32;
    let mut set: Vec<(u32, &str)> = Vec::new();
    for text in texts {
        if !set.iter().any(|(_, known)| *known == text) {
            set.push((spread(hash(text)) & (buckets - 1), text));
        }
    }
    set.sort_by_key(|(bucket, _)| *bucket);
    set.into_iter().map(|(_, text)| text).collect()
}

/// `String.hashCode()`.
fn hash(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// `HashMap.hash()`.
fn spread(hash: u32) -> u32 {
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_java_gives_them() {
        // Recorded answers of 1.20.3.
        assert_eq!(hash_order(vec!["uptime", "downtime", "uptime"]), ["downtime", "uptime"]);
        assert_eq!(
            hash_order(vec!["createdTime", "initializingTime", "deployingTime"]),
            ["initializingTime", "deployingTime", "createdTime"]
        );
    }
}
