//! Names of clusters. One rule for all tools, the narrowest of theirs: k3d takes 32 characters, kind's hostnames leave 49
//! and its own check is looser, Colima's profile becomes a file name.

use crate::problem::{Problem, Trouble};

pub const LENGTH_MAX: usize = 32;

/// `Err` says what is wrong with it.
pub fn check(name: &str) -> Result<(), Problem> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let why = if name.is_empty() {
        "a cluster needs a name".to_owned()
    } else if name.len() > LENGTH_MAX {
        format!("`{name}` has {} characters, more than the {LENGTH_MAX} that every tool takes", name.len())
    } else if !name.chars().all(|c| is_word(c) || c == '-') {
        format!("`{name}` has other characters than a-z, 0-9 and `-`")
    } else if !name.starts_with(is_word) || !name.ends_with(is_word) {
        format!("`{name}` starts or ends with `-`")
    } else {
        return Ok(());
    };
    let next = format!("choose a name such as `{}`", suggestion(name));
    Err(Problem::new(Trouble::BadName, "name the cluster", why, next))
}

fn suggestion(name: &str) -> String {
    let folded: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let cut: String = folded.trim_matches('-').chars().take(LENGTH_MAX).collect();
    if cut.is_empty() { "drey".to_owned() } else { cut.trim_matches('-').to_owned() }
}

/// A name of its own for each run beside others: `drey` as `drey-3f2a9c`.
pub fn unique(base: &str, salt: u64) -> String {
    let suffix = format!("-{:06x}", salt & 0xff_ffff);
    let room = LENGTH_MAX - suffix.len();
    let base: String = base.chars().take(room).collect();
    format!("{}{suffix}", base.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let good = ["drey", "a", "0", "ci-42", &"a".repeat(32)];
        for name in good {
            assert!(check(name).is_ok(), "{name}");
        }
        let bad = |name: &str, why: &str, suggested: &str| {
            let problem = check(name).expect_err(name);
            assert!(problem.why.contains(why), "{problem}");
            assert!(problem.next.contains(&format!("`{suggested}`")), "{problem}");
            assert!(check(suggested).is_ok());
        };
        bad("", "needs a name", "drey");
        bad("Bad_Name!", "other characters", "bad-name");
        bad("-x-", "starts or ends", "x");
        bad("a.b", "other characters", "a-b");
        bad(&"a".repeat(33), "33 characters", &"a".repeat(32));
    }

    #[test]
    fn unique_names_differ_and_are_valid() {
        assert_eq!(unique("drey", 0x3f2a9c), "drey-3f2a9c");
        let long = unique(&"a-".repeat(16), 7);
        assert!(check(&long).is_ok(), "{long}");
        assert_ne!(unique("drey", 1), unique("drey", 2));
    }
}
