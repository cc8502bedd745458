//! Kubernetes quantities as whole numbers of milli-units, enough to add and compare requests.

/// `1`, `250m`, `1.5`, `2Gi`, `1e3` in thousandths; `None` for anything else.
pub fn milli(text: &str) -> Option<i128> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let negative = whole.starts_with('-');
    let whole: i128 = whole
        .trim_start_matches(['+', '-'])
        .parse()
        .or_else(|e| if whole.is_empty() { Ok(0) } else { Err(e) })
        .ok()?;
    if fraction.len() > 12 || !fraction.chars().all(|c| c.is_ascii_digit()) || number.is_empty() {
        return None;
    }
    // Work in 10^-15 units so that `0.1Gi` and `1n` keep their meaning, then round up as Kubernetes does.
    let mut scaled = whole.checked_mul(10_i128.pow(15))?;
    if !fraction.is_empty() {
        scaled += fraction.parse::<i128>().ok()? * 10_i128.pow(15 - u32::try_from(fraction.len()).ok()?);
    }
    let per_unit = 10_i128.pow(12);
    let value = match suffix {
        "n" => scaled / 1_000_000_000,
        "u" => scaled / 1_000_000,
        "m" => scaled / 1000,
        _ => scaled.checked_mul(multiplier(suffix)?)?,
    };
    let value = (value + per_unit - 1).div_euclid(per_unit);
    Some(if negative { -value } else { value })
}

fn multiplier(suffix: &str) -> Option<i128> {
    let decimal = ["", "k", "M", "G", "T", "P", "E"].iter().position(|s| *s == suffix);
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|s| *s == suffix);
    match (decimal, binary) {
        (Some(n), _) => 1000_i128.checked_pow(u32::try_from(n).ok()?),
        (_, Some(n)) => 1024_i128.checked_pow(u32::try_from(n + 1).ok()?),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<u32>().ok()?;
            10_i128.checked_pow(exponent.min(18))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::milli;

    #[test]
    fn quantities() {
        let check = |s: &str, expected: Option<i128>| assert_eq!(milli(s), expected, "{s}");
        check("1", Some(1000));
        check("250m", Some(250));
        check("1.0", Some(1000));
        check("0.5", Some(500));
        check("2Gi", Some(2 * 1024 * 1024 * 1024 * 1000));
        check("1e3", Some(1_000_000));
        check("2048Mi", Some(2048 * 1024 * 1024 * 1000));
        check("100n", Some(1));
        check("", None);
        check("abc", None);
        check("1Qi", None);
    }
}
