//! String formats a CRD may name (apiextensions' supported formats). Unknown formats accept everything.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use base64::Engine;
use regex::Regex;
use serde_json::Value;

use crate::DEPTH_MAX;

/// Formats that a CRD's schema may name with effect (apiextensions `formats.go`); others are as if not there.
pub(crate) fn is_known(format: &str) -> bool {
    const KNOWN: [&str; 26] = [
        "bsonobjectid",
        "uri",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "cidr",
        "mac",
        "uuid",
        "uuid3",
        "uuid4",
        "uuid5",
        "isbn",
        "isbn10",
        "isbn13",
        "creditcard",
        "ssn",
        "hexcolor",
        "rgbcolor",
        "byte",
        "password",
        "date",
        "duration",
        "datetime",
        "k8sshortname",
        "k8slongname",
    ];
    KNOWN.contains(&format.replace('-', "").as_str())
}

/// Formats of texts in a CRD's schema that have no effect, each once: the server warns about them.
pub fn unrecognized(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(schema, &mut found, 0);
    found
}

fn collect(schema: &Value, found: &mut Vec<String>, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    if let (Some("string"), Some(format)) = (schema["type"].as_str(), schema["format"].as_str())
        && !format.is_empty()
        && !is_known(format)
        && !found.iter().any(|f| f == format)
    {
        found.push(format.to_owned());
    }
    let below = |key: &str| schema.get(key);
    for child in ["items", "additionalProperties", "not"].into_iter().filter_map(below) {
        collect(child, found, depth + 1);
    }
    for child in
        ["allOf", "anyOf", "oneOf"].into_iter().filter_map(below).filter_map(Value::as_array).flatten()
    {
        collect(child, found, depth + 1);
    }
    for child in schema["properties"].as_object().into_iter().flatten().map(|(_, child)| child) {
        collect(child, found, depth + 1);
    }
}

/// Whether `text` is of `format`.
pub(crate) fn is_valid(format: &str, text: &str) -> bool {
    match format {
        "date-time" | "datetime" => is_date_time(text),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => is_duration(text),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.contains(':') && text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => matches_pattern(Pattern::Mac, text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => is_uuid(format, text),
        "email" => matches_pattern(Pattern::Email, text),
        "hostname" => is_hostname(text),
        "uri" => matches_pattern(Pattern::Uri, text) || text.starts_with('/'),
        "hexcolor" => matches_pattern(Pattern::HexColor, text),
        "rgbcolor" => matches_pattern(Pattern::RgbColor, text),
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "ssn" => matches_pattern(Pattern::Ssn, text),
        "creditcard" => is_credit_card(text),
        "k8s-short-name" => text.len() <= 63 && matches_pattern(Pattern::ShortName, text),
        "k8s-long-name" => text.len() <= 253 && matches_pattern(Pattern::LongName, text),
        _ => true,
    }
}

/// RFC 3339 with a `T` (or a blank) and a zone.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || !matches!(bytes[10], b'T' | b't' | b' ') {
        return false;
    }
    let Some(date) = text.get(..10) else { return false };
    date.parse::<jiff::civil::Date>().is_ok() && text.parse::<jiff::Timestamp>().is_ok()
}

/// Go's `time.ParseDuration`, plus the "3 days" forms of strfmt.
pub(crate) fn is_duration(text: &str) -> bool {
    duration_nanos(text).is_some() || matches_pattern(Pattern::WordDuration, text)
}

/// Nanoseconds of a Go duration (`1h2m`, `-1.5s`, `100ms`).
pub(crate) fn duration_nanos(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|n| *n > 0)?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match rest.get(..unit_end)? {
            "ns" => 1.0,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * scale;
        rest = rest.get(unit_end..)?;
    }
    let nanos = if negative { -total } else { total };
    (nanos.abs() < i64::MAX as f64).then_some(nanos as i64)
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let max = if address.parse::<Ipv4Addr>().is_ok() {
        32
    } else if address.parse::<Ipv6Addr>().is_ok() {
        128
    } else {
        return false;
    };
    bits.parse::<u8>().is_ok_and(|b| b <= max) && (bits == "0" || !bits.starts_with(['0', '+']))
}

fn is_uuid(format: &str, text: &str) -> bool {
    if !matches_pattern(Pattern::Uuid, text) {
        return false;
    }
    let hex: Vec<char> = text.chars().filter(|c| *c != '-').collect();
    match format {
        "uuid3" => hex[12] == '3',
        "uuid4" => hex[12] == '4' && matches!(hex[16], '8' | '9' | 'a' | 'b' | 'A' | 'B'),
        "uuid5" => hex[12] == '5' && matches!(hex[16], '8' | '9' | 'a' | 'b' | 'A' | 'B'),
        _ => true,
    }
}

fn is_hostname(text: &str) -> bool {
    text.len() <= 255
        && matches_pattern(Pattern::Hostname, text)
        && text.split('.').all(|part| part.len() <= 63)
}

fn digits_of(text: &str) -> Vec<u32> {
    text.chars().filter(|c| *c != '-' && *c != ' ').map(|c| c.to_digit(10).unwrap_or(99)).collect()
}

fn is_isbn10(text: &str) -> bool {
    let text = text.replace(['-', ' '], "");
    if text.len() != 10 || !text.is_ascii() {
        return false;
    }
    let mut sum = 0;
    for (i, c) in text.chars().enumerate() {
        let digit = match c.to_digit(10) {
            Some(d) => d,
            None if i == 9 && c == 'X' => 10,
            None => return false,
        };
        sum += digit * (10 - i as u32);
    }
    sum.is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = digits_of(text);
    digits.len() == 13
        && digits.iter().all(|d| *d < 10)
        && digits
            .iter()
            .enumerate()
            .map(|(i, d)| d * if i % 2 == 0 { 1 } else { 3 })
            .sum::<u32>()
            .is_multiple_of(10)
}

fn is_credit_card(text: &str) -> bool {
    let digits = digits_of(text);
    if !(13..=19).contains(&digits.len()) || digits.iter().any(|d| *d > 9) {
        return false;
    }
    let luhn = |(i, d): (usize, &u32)| if i % 2 == 1 { if *d > 4 { d * 2 - 9 } else { d * 2 } } else { *d };
    digits.iter().rev().enumerate().map(luhn).sum::<u32>().is_multiple_of(10)
}

/// Patterns compiled once.
#[derive(Clone, Copy)]
enum Pattern {
    Mac,
    Email,
    Uri,
    HexColor,
    RgbColor,
    Uuid,
    Hostname,
    Ssn,
    ShortName,
    LongName,
    WordDuration,
}

const PATTERNS: [&str; 11] = [
    r"^([0-9A-Fa-f]{2}([:-]))([0-9A-Fa-f]{2}[:-]){4}[0-9A-Fa-f]{2}$|^([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}$",
    r"^[^\s@<>]+@[^\s@<>]+$",
    r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$",
    r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$",
    r"^rgb\(\s*(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])\s*,\s*(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])\s*,\s*(\d|[1-9]\d|1\d\d|2[0-4]\d|25[0-5])\s*\)$",
    r"(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$",
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$",
    r"^\d{3}[- ]?\d{2}[- ]?\d{4}$",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    r"^\d+(\.\d+)?\s*(ns|nanos?|us|micros?|ms|millis?|s|secs?|seconds?|m|mins?|minutes?|h|hr|hours?|d|days?|w|weeks?)$",
];

fn matches_pattern(pattern: Pattern, text: &str) -> bool {
    static COMPILED: [OnceLock<Option<Regex>>; 11] = [const { OnceLock::new() }; 11];
    let i = pattern as usize;
    COMPILED[i].get_or_init(|| Regex::new(PATTERNS[i]).ok()).as_ref().is_some_and(|r| r.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse() {
        let rows = [
            ("date-time", "2024-01-01T00:00:00Z", true),
            ("date-time", "yesterday", false),
            ("duration", "1h30m", true),
            ("duration", "1 fortnight", false),
            ("ipv4", "1.2.3.4", true),
            ("ipv6", "::1", true),
            ("cidr", "10.0.0.0/8", true),
            ("cidr", "10.0.0.0/33", false),
            ("uuid", "11111111-1111-1111-1111-111111111111", true),
            ("uuid4", "11111111-1111-1111-1111-111111111111", false),
            ("email", "a@b.c", true),
            ("hostname", "a.example.com", true),
            ("byte", "Yg==", true),
            ("byte", "%", false),
            ("isbn10", "0-306-40615-2", true),
            ("creditcard", "4111111111111111", true),
            ("made-up", "anything", true),
        ];
        for (format, text, expected) in rows {
            assert_eq!(is_valid(format, text), expected, "{format} {text}");
        }
        assert!(PATTERNS.iter().all(|p| Regex::new(p).is_ok()));
    }
}
