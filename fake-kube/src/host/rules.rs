//! Which command stands for which image: `flink:*=fake-flink container`.

use crate::pattern;

/// One `--run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    image: String,
    /// For `/bin/sh`, which adds the container's own words behind it.
    pub command: String,
}

impl std::str::FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Rule, String> {
        let example = "such as --run 'flink:*=fake-flink container'";
        let (image, command) =
            text.split_once('=').ok_or_else(|| format!("expected IMAGE=COMMAND, {example}"))?;
        let (image, command) = (image.trim(), command.trim());
        if image.is_empty() {
            return Err(format!("no image stands before the `=`; `*` stands for any text, {example}"));
        }
        if command.is_empty() {
            return Err(format!("no command stands behind the `=`, {example}"));
        }
        Ok(Rule { image: image.to_owned(), command: command.to_owned() })
    }
}

impl Rule {
    /// As the pod names its image.
    pub fn fits(&self, image: &str) -> bool {
        pattern::fits(&self.image, image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images() {
        let check = |pattern: &str, image: &str, expected: bool| {
            let rule: Rule = format!("{pattern}=true").parse().expect("a rule");
            assert_eq!(rule.fits(image), expected, "{pattern} {image}");
        };
        check("flink:*", "flink:1.20", true);
        check("flink:*", "my/flink:1.20", false);
        check("*flink:*", "registry:5000/my/flink:1.20", true);
        check("flink", "flink:1.20", false);
        check("flink", "flink", true);
        check("*", "", true);
        check("a*b*c", "a-c-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("aa*a", "aa", false);
    }

    #[test]
    fn mistakes_are_told() {
        let check = |text: &str, part: &str| {
            let why = text.parse::<Rule>().expect_err(text);
            assert!(why.contains(part) && why.contains("--run 'flink"), "{why}");
        };
        check("flink", "IMAGE=COMMAND");
        check("=true", "no image");
        check("flink:*= ", "no command");
        let rule: Rule = "a=X=1 b".parse().expect("a rule");
        assert_eq!(rule.command, "X=1 b");
    }
}
