//! Kubernetes quantities (`500m`, `2Gi`, `1e3`), exact to a thousandth.

/// An amount in thousandths, the finest grain Kubernetes schedules by. Finer amounts round up, as Kubernetes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    pub milli: i128,
}

impl Quantity {
    /// The amount as a whole number, rounded up; `None` when negative or beyond 64 bits.
    pub fn whole(self) -> Option<u64> {
        u64::try_from(self.milli.checked_add(999)?.div_euclid(1000)).ok().filter(|_| self.milli >= 0)
    }

    pub fn as_f64(self) -> f64 {
        self.milli as f64 / 1000.0
    }
}

/// Suffix, and its factor as (numerator in thousandths).
const SUFFIXES: [(&str, i128); 14] = [
    ("", 1_000),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
    ("Ki", 1_000 << 10),
    ("Mi", 1_000 << 20),
    ("Gi", 1_000 << 30),
    ("Ti", 1_000 << 40),
    ("Pi", 1_000 << 50),
    ("Ei", 1_000 << 60),
];

/// Parses a quantity; the error is a fragment that says what to write instead.
pub fn parse_quantity(text: &str) -> Result<Quantity, String> {
    let wrong = || {
        format!(
            "'{text}' is not a quantity; write a number with an optional unit such as m, k, M, G, Ki, Mi, Gi, for example '500m' or '2Gi'"
        )
    };
    let body = text.trim();
    let (negative, body) = match body.strip_prefix(['-', '+']) {
        Some(rest) => (body.starts_with('-'), rest),
        None => (false, body),
    };
    let end = body.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(body.len());
    let (number, suffix) = body.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || number.len() > 30 {
        return Err(wrong());
    }
    // K is not a Kubernetes suffix, but Fabric8 and people use it.
    let suffix = if suffix == "K" { "k" } else { suffix };
    let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
    let (factor, exponent) = match SUFFIXES.iter().find(|(label, _)| *label == suffix) {
        Some((_, factor)) => (*factor, 0i32),
        None => (1_000, exponent(suffix).ok_or_else(wrong)?),
    };
    let scaled = digits.checked_mul(factor).ok_or_else(wrong)?;
    let milli = shift(scaled, exponent - fraction.len() as i32).ok_or_else(wrong)?;
    Ok(Quantity { milli: if negative { -milli } else { milli } })
}

fn exponent(suffix: &str) -> Option<i32> {
    suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok().filter(|e| (-18..=18).contains(e))
}

/// `value` times ten to `power`, rounded up.
fn shift(value: i128, power: i32) -> Option<i128> {
    let factor = 10i128.checked_pow(power.unsigned_abs())?;
    match power >= 0 {
        true => value.checked_mul(factor),
        false => Some(value / factor + i128::from(value % factor != 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, milli) in [
            ("1", 1_000),
            ("0.5", 500),
            ("500m", 500),
            ("1.5", 1_500),
            (".5", 500),
            ("2k", 2_000_000),
            ("2Ki", 2_048_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("5e-1", 500),
            ("-1", -1_000),
            ("0.0001", 1),
            ("1E", 1_000_000_000_000_000_000_000),
        ] {
            assert_eq!(parse_quantity(text), Ok(Quantity { milli }), "{text}");
        }
        for text in ["", "x", "1x", "1.2.3", "1 Gi", "e3", "1e99", "--1", "1GiB"] {
            assert!(parse_quantity(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_amounts_round_up() {
        assert_eq!(parse_quantity("1500m").unwrap().whole(), Some(2));
        assert_eq!(parse_quantity("2").unwrap().whole(), Some(2));
        assert_eq!(parse_quantity("-1").unwrap().whole(), None);
    }
}
