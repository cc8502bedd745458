//! Until when a certificate is valid: servers refuse one that has run out without saying which. Reads what it needs of the
//! DER and checks nothing; what it cannot read has no dates.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`: the version, which old certificates leave out.
const VERSION: u8 = 0xa0;

/// Of the first certificate in a PEM file.
pub(crate) fn valid_until_of_pem(pem: &str) -> Option<Timestamp> {
    let begin = "-----BEGIN CERTIFICATE-----";
    let (_, rest) = pem.split_once(begin)?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    valid_until(&STANDARD.decode(body).ok()?)
}

/// Of a certificate as DER.
pub(crate) fn valid_until(der: &[u8]) -> Option<Timestamp> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut rest, _) = element(certificate, SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest, VERSION)?.1;
    }
    // Serial number, signature algorithm and issuer come before the validity.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        rest = element(rest, tag)?.1;
    }
    let (validity, _) = element(rest, SEQUENCE)?;
    let (_, rest) = time(validity)?;
    time(rest).map(|(until, _)| until)
}

/// A point in time, and what follows it.
fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let tag = *der.first()?;
    let (text, rest) = element(der, tag)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // Two digits of a year mean 1950 to 2049 (RFC 5280, 4.1.2.5.1).
        UTC_TIME => {
            let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
            format!("{century}{text}")
        }
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let civil = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    Some((TimeZone::UTC.to_timestamp(civil).ok()?, rest))
}

/// The content of the first element if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by hand: version, serial number 1, and empty sequences where names and keys would be.
    fn certificate(has_version: bool, times: &[&[u8]]) -> Vec<u8> {
        let sequence =
            |content: &[u8]| [&[SEQUENCE, u8::try_from(content.len()).expect("short")], content].concat();
        let version: &[u8] = if has_version { &[VERSION, 3, INTEGER, 1, 2] } else { &[] };
        let validity = sequence(&times.concat());
        let signed =
            [version, &[INTEGER, 1, 1], &sequence(&[]), &sequence(&[]), &validity, &sequence(&[])].concat();
        sequence(&sequence(&signed))
    }

    fn utc(text: &[u8; 13]) -> Vec<u8> {
        [&[UTC_TIME, 13], &text[..]].concat()
    }

    #[test]
    fn the_end_of_the_validity_is_read() {
        let check = |has_version: bool, end: &[u8], expected: Option<&str>| {
            let der = certificate(has_version, &[&utc(b"200101000000Z"), end]);
            assert_eq!(valid_until(&der).map(|until| until.to_string()).as_deref(), expected);
            for cut in 0..der.len() {
                assert_eq!(valid_until(&der[..cut]), None, "cut at {cut}");
            }
        };
        check(true, &utc(b"210203040506Z"), Some("2021-02-03T04:05:06Z"));
        check(false, &utc(b"210203040506Z"), Some("2021-02-03T04:05:06Z"));
        check(true, &utc(b"991231235959Z"), Some("1999-12-31T23:59:59Z"));
        check(
            true,
            &[&[GENERALIZED_TIME, 15], &b"20510101000000Z"[..]].concat(),
            Some("2051-01-01T00:00:00Z"),
        );
        check(true, &utc(b"211303040506Z"), None);
        check(true, &[INTEGER, 1, 1], None);
    }

    #[test]
    fn a_pem_file_is_unpacked() {
        let der = certificate(true, &[&utc(b"200101000000Z"), &utc(b"210101000000Z")]);
        let pem = |body: &str| {
            format!("about it\n-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        };
        let until = valid_until_of_pem(&pem(&STANDARD.encode(&der)));
        assert_eq!(until.map(|until| until.to_string()).as_deref(), Some("2021-01-01T00:00:00Z"));
        for other in [pem("???"), pem(""), String::new()] {
            assert_eq!(valid_until_of_pem(&other), None, "{other}");
        }
    }
}
