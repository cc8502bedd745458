//! `--filter`: which runs of a library are meant. Terms are separated by spaces and all must hold.

use drey_language::diagnostics::nearest;

use super::runs::Run;

/// A parsed expression.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<Term>);

#[derive(Clone, Debug)]
struct Term {
    is_negated: bool,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// In the name, the case or the path, whatever its case.
    Text(String),
    Tag(String),
    Name(String),
    Case(String),
}

const PREFIXES: [&str; 3] = ["tag", "name", "case"];

/// Why an expression cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    #[error("`{term}` in the filter: there is no `{prefix}:`, only tag:, name: and case:{}", hint(prefix))]
    Prefix { term: String, prefix: String },
    #[error("`{term}` in the filter says nothing: write a word, tag:WORD, name:NAME or case:TEXT after it")]
    Empty { term: String },
}

fn hint(prefix: &str) -> String {
    nearest(prefix, &PREFIXES).map(|near| format!("; did you mean `{near}:`?")).unwrap_or_default()
}

impl std::str::FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        text.split_whitespace().map(term).collect::<Result<_, _>>().map(Filter)
    }
}

fn term(text: &str) -> Result<Term, FilterError> {
    let (is_negated, rest) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (prefix, value) = rest.split_once(':').map_or((None, rest), |(prefix, value)| (Some(prefix), value));
    if value.is_empty() {
        return Err(FilterError::Empty { term: text.to_owned() });
    }
    let value = value.to_owned();
    let what = match prefix {
        None => What::Text(value.to_lowercase()),
        Some("tag") => What::Tag(value),
        Some("name") => What::Name(value),
        Some("case") => What::Case(value),
        Some(prefix) => return Err(FilterError::Prefix { term: text.to_owned(), prefix: prefix.to_owned() }),
    };
    Ok(Term { is_negated, what })
}

impl Filter {
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub fn fits(&self, run: &Run<'_>) -> bool {
        self.0.iter().all(|term| term.what.fits(run) != term.is_negated)
    }
}

impl What {
    fn fits(&self, run: &Run<'_>) -> bool {
        let metadata = &run.scenario.metadata;
        match self {
            What::Text(text) => {
                let places = [metadata.name.clone(), run.name(), run.scenario.path.display().to_string()];
                places.iter().any(|place| place.to_lowercase().contains(text))
            }
            What::Tag(tag) => metadata.tags.iter().any(|one| fits_pattern(one, tag)),
            What::Name(name) => fits_pattern(&metadata.name, name),
            What::Case(text) => run.name().contains(text.as_str()),
        }
    }
}

/// `*` stands for any text.
fn fits_pattern(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| fits_pattern(&rest[at..], tail))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (text, pattern, fits) in [
            ("upgrade", "upgrade", true),
            ("upgrade", "up*", true),
            ("upgrade", "*grad*", true),
            ("upgrade", "up", false),
        ] {
            assert_eq!(fits_pattern(text, pattern), fits, "{text} {pattern}");
        }
    }

    #[test]
    fn misspelt_prefixes_are_told() {
        let error = "tags:upgrade".parse::<Filter>().unwrap_err().to_string();
        assert!(error.contains("did you mean `tag:`?"), "{error}");
        assert!(matches!("tag:".parse::<Filter>(), Err(FilterError::Empty { .. })));
        assert!(matches!("!".parse::<Filter>(), Err(FilterError::Empty { .. })));
        assert!("  ".parse::<Filter>().unwrap().is_everything());
    }
}
