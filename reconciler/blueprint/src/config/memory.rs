//! Memory sizes as Flink writes them, and Kubernetes quantities where people use those instead.

/// Label as accepted, and its bytes: all units are binary, `1 kb` is 1024 bytes.
const UNITS: [(&[&str], u64); 5] = [
    (&["b", "bytes"], 1),
    (&["k", "kb", "kibibytes"], 1 << 10),
    (&["m", "mb", "mebibytes"], 1 << 20),
    (&["g", "gb", "gibibytes"], 1 << 30),
    (&["t", "tb", "tebibytes"], 1 << 40),
];

/// Parses a Flink memory size to bytes; a bare number counts bytes.
pub fn parse_memory(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = (&text[..digits], text[digits..].trim());
    if number.is_empty() {
        return Err(format!("a memory size starts with a whole number; {}", advice("1024m")));
    }
    let label = unit.to_lowercase();
    let factor = match UNITS.iter().find(|(labels, _)| label.is_empty() || labels.contains(&label.as_str())) {
        Some((_, factor)) => *factor,
        None => {
            return Err(format!("the unit '{unit}' is not known; {}", advice(&corrected(number, &label))));
        }
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(|| format!("the size is too large; {}", advice("64g")))
}

/// The memory of a process: a Flink size, else a Kubernetes quantity written freely (kubernetes-objects.md 5).
///
/// Flink's reading comes first: `1024m` is 1024 MiB, although Kubernetes would read a thousandth of 1024 bytes.
pub fn parse_process_memory(text: &str) -> Result<u64, String> {
    parse_memory(text).or_else(|problem| {
        let quantity = super::quantity::parse_quantity(&normalized(text)).map_err(|_| problem.clone())?;
        quantity.whole().ok_or(problem)
    })
}

/// Upper case, without spaces and without the B of `GiB`: `2 gib` becomes `2Gi`.
fn normalized(text: &str) -> String {
    let upper: String = text.to_uppercase().chars().filter(|c| !c.is_whitespace()).collect();
    let unit = upper.strip_suffix('B').unwrap_or(&upper);
    match unit.strip_suffix('I') {
        Some(head) => format!("{head}i"),
        None => unit.to_owned(),
    }
}

fn corrected(number: &str, label: &str) -> String {
    let letter = label.chars().next().filter(|c| "kmgt".contains(*c)).unwrap_or('m');
    format!("{number}{letter}")
}

fn advice(example: &str) -> String {
    format!("accepted units are b, k, m, g and t (powers of 1024); write for example '{example}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn flink_sizes() {
        for (text, bytes) in [
            ("1024m", 1024 * MIB),
            ("1 gb", 1024 * MIB),
            ("2048", 2048),
            ("16 kb", 16 << 10),
            ("3 MebiBytes", 3 * MIB),
            ("1t", 1 << 40),
        ] {
            assert_eq!(parse_memory(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn mistakes_are_answered_with_the_correction() {
        for (text, part) in [
            ("2 gigs", "the unit 'gigs' is not known"),
            ("2 gigs", "write for example '2g'"),
            ("1.5g", "the unit '.5g' is not known"),
            ("", "starts with a whole number"),
            ("-1m", "starts with a whole number"),
            ("99999999t", "too large"),
        ] {
            let problem = parse_memory(text).unwrap_err();
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn process_memory_takes_quantities_too() {
        for (text, bytes) in [
            ("1024m", 1024 * MIB),
            ("2Gi", 2048 * MIB),
            ("2gi", 2048 * MIB),
            ("2 GiB", 2048 * MIB),
            ("0.5Gi", 512 * MIB),
            ("1.5G", 1_500_000_000),
            ("2G", 2048 * MIB),
        ] {
            assert_eq!(parse_process_memory(text), Ok(bytes), "{text}");
        }
        assert!(parse_process_memory("two").unwrap_err().contains("write for example '1024m'"));
    }
}
