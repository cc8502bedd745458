//! `resource.Quantity`: amounts as Kubernetes stores them (`0.5` -> `500m`, `1024Ki` -> `1Mi`; case def-quantities).
//!
//! Exact integer arithmetic on nanos; an amount finer than a nano or beyond 128 bits is left as it was written.

/// The canonical form of an amount, or `None` if it is not one.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.is_empty() || number == "." || fraction.contains('.') {
        return None;
    }
    let form = Form::of(suffix)?;
    let unchanged = || Some(text.to_string());
    let Some(nanos) = nanos(whole, fraction, form) else { return unchanged() };
    let sign = if negative && nanos != 0 { "-" } else { "" };
    Some(match form {
        Form::Exponent(_) => {
            let (amount, steps) =
                reduce(nanos, 1000, &["e-9", "e-6", "e-3", "", "e3", "e6", "e9", "e12", "e15", "e18"]);
            format!("{sign}{amount}{steps}")
        }
        Form::Binary(_) => format!("{sign}{}", quantity_text(nanos, true)),
        Form::Decimal(_) => format!("{sign}{}", quantity_text(nanos, false)),
    })
}

/// The canonical form of an amount in units of 1e-9, in powers of 1024 where it was written so.
pub fn quantity_text(nanos: i128, is_binary: bool) -> String {
    if nanos < 0 {
        return format!("-{}", quantity_text(nanos.checked_neg().unwrap_or(i128::MAX), is_binary));
    }
    let (amount, suffix) = if is_binary && nanos >= 1024 * GIGA && nanos % GIGA == 0 {
        reduce(nanos / GIGA, 1024, &["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"])
    } else {
        reduce(nanos, 1000, &["n", "u", "m", "", "k", "M", "G", "T", "P", "E"])
    };
    format!("{amount}{suffix}")
}

/// The amount in units of 1e-9, or `None` if it is no amount, or none that fits.
pub fn quantity_nanos(text: &str) -> Option<i128> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    nanos(whole, fraction, Form::of(suffix)?).map(|n| sign * n)
}

const GIGA: i128 = 1_000_000_000;

/// How an amount was written; it is printed the same way.
#[derive(Clone, Copy)]
enum Form {
    /// Power of 1024.
    Binary(u32),
    /// Power of 10.
    Decimal(i32),
    /// Power of 10, written as exponent.
    Exponent(i32),
}

impl Form {
    fn of(suffix: &str) -> Option<Form> {
        Some(match suffix {
            "n" => Form::Decimal(-9),
            "u" => Form::Decimal(-6),
            "m" => Form::Decimal(-3),
            "" => Form::Decimal(0),
            "k" => Form::Decimal(3),
            "M" => Form::Decimal(6),
            "G" => Form::Decimal(9),
            "T" => Form::Decimal(12),
            "P" => Form::Decimal(15),
            "E" => Form::Decimal(18),
            "Ki" => Form::Binary(1),
            "Mi" => Form::Binary(2),
            "Gi" => Form::Binary(3),
            "Ti" => Form::Binary(4),
            "Pi" => Form::Binary(5),
            "Ei" => Form::Binary(6),
            exponent => Form::Exponent(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
        })
    }
}

fn nanos(whole: &str, fraction: &str, form: Form) -> Option<i128> {
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let number: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let scale = |power: i32| 10i128.checked_pow(u32::try_from(power).ok()?);
    let exponent = match form {
        Form::Decimal(power) | Form::Exponent(power) => power,
        Form::Binary(_) => 0,
    };
    let power = exponent.checked_add(9)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    match form {
        Form::Binary(steps) => {
            let scaled = number.checked_mul(1024i128.checked_pow(steps)?)?.checked_mul(GIGA)?;
            let divisor = scale(i32::try_from(fraction.len()).ok()?)?;
            (scaled % divisor == 0).then_some(scaled / divisor)
        }
        _ if power >= 0 => number.checked_mul(scale(power)?),
        _ => {
            let divisor = scale(-power)?;
            (number % divisor == 0).then_some(number / divisor)
        }
    }
}

/// Divides by `base` as long as nothing is lost, counting up through `suffixes`.
fn reduce<'a>(mut amount: i128, base: i128, suffixes: &[&'a str]) -> (i128, &'a str) {
    if amount == 0 {
        return (0, "");
    }
    let mut step = 0;
    while amount % base == 0 && step + 1 < suffixes.len() {
        amount /= base;
        step += 1;
    }
    (amount, suffixes[step])
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn amounts_are_stored_canonically() {
        let rows = [
            ("0.5", Some("500m")),
            ("1024Ki", Some("1Mi")),
            ("1500m", Some("1500m")),
            ("1000000", Some("1M")),
            ("1000m", Some("1")),
            ("1024Mi", Some("1Gi")),
            ("2048Mi", Some("2Gi")),
            ("1e3", Some("1e3")),
            ("1", Some("1")),
            ("0", Some("0")),
            ("1.5Gi", Some("1536Mi")),
            ("512", Some("512")),
            ("-1000m", Some("-1")),
            ("x", None),
            ("1.2.3", None),
            ("1Xi", None),
        ];
        for (text, expected) in rows {
            assert_eq!(canonical(text).as_deref(), expected, "{text}");
        }
    }
}
