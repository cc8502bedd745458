//! Reading what people write: JSON members one by one, so that an error names the member, what is allowed there and what
//! was probably meant.

use std::fmt;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

/// What is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// `verdict.status.code`; empty when the whole is meant.
    pub field: String,
    pub message: String,
    pub nearest: Option<String>,
    pub allowed: Vec<String>,
}

impl Complaint {
    pub fn new(field: &str, message: impl Into<String>) -> Complaint {
        Complaint { field: field.to_owned(), message: message.into(), nearest: None, allowed: Vec::new() }
    }

    /// `word` is none of those.
    pub fn word<'a>(
        field: &str,
        what: &str,
        word: &str,
        allowed: impl IntoIterator<Item = &'a str>,
    ) -> Complaint {
        let allowed: Vec<String> = allowed.into_iter().map(str::to_owned).collect();
        Complaint {
            field: field.to_owned(),
            message: format!("no {what} is called {word:?}"),
            nearest: nearest(word, allowed.iter().map(String::as_str)),
            allowed,
        }
    }

    pub fn to_json(&self) -> Value {
        let mut out = json!({"field": self.field, "message": self.message});
        if let Some(nearest) = &self.nearest {
            out["nearest"] = json!(nearest);
        }
        if !self.allowed.is_empty() {
            out["allowed"] = json!(self.allowed);
        }
        out
    }
}

/// As a person reads it.
impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest:?}?"),
            None if self.allowed.is_empty() => Ok(()),
            None => write!(f, "; there are {}", self.allowed.join(", ")),
        }
    }
}

impl std::error::Error for Complaint {}

/// The word most like this one, if any is like it.
pub fn nearest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let word = word.to_lowercase();
    let scored = among.into_iter().map(|w| (strsim::jaro_winkler(&word, &w.to_lowercase()), w));
    let best = scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(best.1.to_owned())
}

/// The members of an object, all of them known.
pub struct Fields<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

type Read<T> = Result<T, Complaint>;

impl<'a> Fields<'a> {
    pub fn of(value: &'a Value, path: &str, known: &[&str]) -> Read<Fields<'a>> {
        let Some(members) = value.as_object() else {
            let wanted = format!("expected an object with {}", known.join(", "));
            return Err(Complaint::new(path, wanted));
        };
        let fields = Fields { path: path.to_owned(), members };
        match members.keys().find(|k| !known.contains(&k.as_str())) {
            None => Ok(fields),
            Some(key) => Err(Complaint::word(&fields.at(key), "field", key, known.iter().copied())),
        }
    }

    pub fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// None: absent or null.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.members.get(key).filter(|v| !v.is_null())
    }

    pub fn child(&self, key: &str, known: &[&str]) -> Read<Option<Fields<'a>>> {
        self.get(key).map(|v| Fields::of(v, &self.at(key), known)).transpose()
    }

    pub fn text(&self, key: &str) -> Read<Option<&'a str>> {
        let read = |v: &'a Value| {
            v.as_str().filter(|t| t.len() <= TEXT_MAX).ok_or_else(|| {
                Complaint::new(&self.at(key), format!("expected a text of at most {TEXT_MAX} bytes"))
            })
        };
        self.get(key).map(read).transpose()
    }

    /// A text or a list of texts.
    pub fn texts(&self, key: &str) -> Read<Vec<&'a str>> {
        let wrong = || Complaint::new(&self.at(key), "expected a text or a list of texts");
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(many)) if many.len() <= TEXTS_MAX => {
                many.iter().map(|v| v.as_str().ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    pub fn int(&self, key: &str, min: u64, max: u64) -> Read<Option<u64>> {
        let read = |v: &Value| {
            v.as_u64().filter(|n| (min..=max).contains(n)).ok_or_else(|| {
                let text = format!("expected a whole number from {min} to {max}, not {v}");
                Complaint::new(&self.at(key), text)
            })
        };
        self.get(key).map(read).transpose()
    }

    pub fn number(&self, key: &str, min: f64, max: f64) -> Read<Option<f64>> {
        let read = |v: &Value| {
            v.as_f64().filter(|n| *n >= min && *n <= max).ok_or_else(|| {
                Complaint::new(&self.at(key), format!("expected a number from {min} to {max}, not {v}"))
            })
        };
        self.get(key).map(read).transpose()
    }

    /// `3s`, `1m30s`, `250ms`; not negative.
    pub fn duration(&self, key: &str, max: SignedDuration) -> Read<Option<SignedDuration>> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match duration(text) {
            Some(d) if !d.is_negative() && d <= max => Ok(Some(d)),
            Some(d) if d.is_negative() => Err(Complaint::new(&self.at(key), "time runs forwards here")),
            Some(_) => Err(Complaint::new(&self.at(key), format!("{text:?} is longer than {max:#}"))),
            None => Err(Complaint::new(
                &self.at(key),
                format!("{text:?} is no duration such as 3s, 1m30s or 250ms"),
            )),
        }
    }

    pub fn word(&self, key: &str, what: &str, allowed: &[&str]) -> Read<Option<&'a str>> {
        let Some(word) = self.text(key)? else { return Ok(None) };
        match allowed.contains(&word) {
            true => Ok(Some(word)),
            false => Err(Complaint::word(&self.at(key), what, word, allowed.iter().copied())),
        }
    }
}

const TEXT_MAX: usize = 4096;
const TEXTS_MAX: usize = 64;

/// `-` in front goes back.
pub fn duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) => rest.parse::<SignedDuration>().ok().filter(|d| !d.is_negative()).map(|d| -d),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_field_and_what_was_meant() {
        let value = json!({"vebs": []});
        let known = ["verbs", "resource"];
        let why = Fields::of(&value, "match", &known).err().expect("refused");
        assert_eq!(why.to_string(), "match.vebs: no field is called \"vebs\"; did you mean \"verbs\"?");
        let value = json!({"a": "soon", "b": 7, "c": "-3s", "d": "2h", "e": "1m30s"});
        let fields = Fields::of(&value, "", &["a", "b", "c", "d", "e"]).expect("known fields");
        let hour = SignedDuration::from_hours(1);
        let said = |key: &str| fields.duration(key, hour).expect_err("refused").to_string();
        assert_eq!(said("a"), "a: \"soon\" is no duration such as 3s, 1m30s or 250ms");
        assert_eq!(said("c"), "c: time runs forwards here");
        assert_eq!(said("d"), "d: \"2h\" is longer than 1h");
        assert_eq!(fields.duration("e", hour), Ok(Some(SignedDuration::from_secs(90))));
        assert_eq!(
            fields.int("b", 1, 5).expect_err("refused").to_string(),
            "b: expected a whole number from 1 to 5, not 7"
        );
        assert_eq!(
            fields.word("a", "word", &["now"]).expect_err("refused").to_string(),
            "a: no word is called \"soon\"; there are now"
        );
    }
}
