//! Label and field selectors of list, watch and deletecollection (kube-api.md 2.4).

use serde_json::Value;

use crate::status::{Result, Status};

/// A parsed label selector; the empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    key: String,
    op: Op,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    In,
    NotIn,
    Exists,
    Absent,
    Greater,
    Less,
}

impl LabelSelector {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.get("metadata").and_then(|m| m.get("labels"));
        self.0.iter().all(|r| r.matches(labels.and_then(|l| l.get(&r.key)).and_then(Value::as_str)))
    }

    /// Labels with the one value they must have.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_one = |r: &&Requirement| r.op == Op::In && r.values.len() == 1;
        self.0.iter().filter(is_one).map(|r| (r.key.as_str(), r.values[0].as_str()))
    }

    pub fn parse(text: &str) -> Result<LabelSelector> {
        Parser::new(text).selector().map(LabelSelector).map_err(Status::bad_request)
    }

    /// `metav1.LabelSelector` as objects hold it (`matchLabels`, `matchExpressions`).
    pub fn from_object(selector: &Value) -> LabelSelector {
        let mut out = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let values = value.as_str().map(str::to_owned).into_iter().collect();
            out.push(Requirement { key: key.clone(), op: Op::In, values });
        }
        for e in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let op = match e.get("operator").and_then(Value::as_str) {
                Some("In") => Op::In,
                Some("NotIn") => Op::NotIn,
                Some("Exists") => Op::Exists,
                _ => Op::Absent,
            };
            let values = e.get("values").and_then(Value::as_array).into_iter().flatten();
            let key = e.get("key").and_then(Value::as_str).unwrap_or("").to_owned();
            out.push(Requirement {
                key,
                op,
                values: values.filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            });
        }
        LabelSelector(out)
    }
}

impl Requirement {
    fn matches(&self, label: Option<&str>) -> bool {
        let number = |s: &str| s.parse::<i64>().ok();
        match (self.op, label) {
            (Op::In, Some(v)) => self.values.iter().any(|x| x == v),
            (Op::In, None) => false,
            (Op::NotIn, Some(v)) => !self.values.iter().any(|x| x == v),
            (Op::NotIn | Op::Absent, None) => true,
            (Op::Absent, Some(_)) => false,
            (Op::Exists, v) => v.is_some(),
            (Op::Greater | Op::Less, v) => {
                let (Some(have), Some(bound)) =
                    (v.and_then(number), self.values.first().and_then(|b| number(b)))
                else {
                    return false;
                };
                if self.op == Op::Greater { have > bound } else { have < bound }
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Comma,
    Open,
    Close,
    Eq,
    DoubleEq,
    NotEq,
    Bang,
    Gt,
    Lt,
    In,
    NotIn,
    End,
    Other(String),
}

/// The grammar of k8s.io/apimachinery/pkg/labels, errors included (cases list-labels-*).
struct Parser<'a> {
    rest: &'a str,
    peeked: Option<(Token, String)>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Parser<'a> {
        Parser { rest: text, peeked: None }
    }

    fn next(&mut self) -> (Token, String) {
        self.peeked.take().unwrap_or_else(|| self.lex())
    }

    fn peek(&mut self) -> (Token, String) {
        if self.peeked.is_none() {
            self.peeked = Some(self.lex());
        }
        self.peeked.clone().expect("filled above")
    }

    fn lex(&mut self) -> (Token, String) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let special = |c: char| "=!(),><".contains(c);
        let Some(first) = self.rest.chars().next() else { return (Token::End, String::new()) };
        let blank = |c: char| " \t\r\n".contains(c);
        let end = if special(first) {
            self.rest.find(|c| !special(c)).unwrap_or(self.rest.len())
        } else {
            self.rest.find(|c| special(c) || blank(c)).unwrap_or(self.rest.len())
        };
        if special(first) {
            // Longest known operator, shrunk from the run of special characters.
            let run = &self.rest[..end];
            for size in (1..=run.len()).rev() {
                let token = match &run[..size] {
                    "," => Token::Comma,
                    "(" => Token::Open,
                    ")" => Token::Close,
                    "=" => Token::Eq,
                    "==" => Token::DoubleEq,
                    "!=" => Token::NotEq,
                    "!" => Token::Bang,
                    ">" => Token::Gt,
                    "<" => Token::Lt,
                    _ => continue,
                };
                let text = run[..size].to_owned();
                self.rest = &self.rest[size..];
                return (token, text);
            }
            let text = run.to_owned();
            self.rest = &self.rest[end..];
            return (Token::Other(text.clone()), text);
        }
        let word = self.rest[..end].to_owned();
        self.rest = &self.rest[end..];
        let token = match word.as_str() {
            "in" => Token::In,
            "notin" => Token::NotIn,
            _ => Token::Word(word.clone()),
        };
        (token, word)
    }

    fn selector(&mut self) -> std::result::Result<Vec<Requirement>, String> {
        let mut out = Vec::new();
        loop {
            let (token, text) = self.peek();
            match token {
                Token::Word(_) | Token::Bang | Token::In | Token::NotIn => {
                    out.push(self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?);
                    let (token, text) = self.next();
                    match token {
                        Token::End => break,
                        Token::Comma => {
                            let (after, text) = self.peek();
                            if !matches!(after, Token::Word(_) | Token::Bang | Token::In | Token::NotIn) {
                                return Err(format!("found '{text}', expected: identifier after ','"));
                            }
                        }
                        _ => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
                    }
                }
                Token::End => break,
                _ => return Err(format!("found '{text}', expected: !, identifier, or 'end of string'")),
            }
        }
        out.sort_by(|a: &Requirement, b| a.key.cmp(&b.key));
        Ok(out)
    }

    fn requirement(&mut self) -> std::result::Result<Requirement, String> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Bang;
        if negated {
            (token, key) = self.next();
        }
        if !matches!(token, Token::Word(_)) {
            // "in" and "notin" are keys too when they stand first.
            if !matches!(token, Token::In | Token::NotIn) {
                return Err(format!("found '{key}', expected: identifier"));
            }
        }
        check_key(&key)?;
        let make = |op, values| Requirement { key: key.clone(), op, values };
        if negated {
            return Ok(make(Op::Absent, vec![]));
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(make(Op::Exists, vec![]));
        }
        let (token, text) = self.next();
        let op = match token {
            Token::In | Token::Eq | Token::DoubleEq => Op::In,
            Token::NotIn | Token::NotEq => Op::NotIn,
            Token::Gt => Op::Greater,
            Token::Lt => Op::Less,
            _ => return Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values =
            if matches!(token, Token::In | Token::NotIn) { self.values()? } else { vec![self.exact()?] };
        if matches!(op, Op::Greater | Op::Less) && values.iter().any(|v| v.parse::<i64>().is_err()) {
            let v = serde_json::Value::String(values[0].clone());
            return Err(format!(
                "values[0]: Invalid value: {v}: for 'Gt', 'Lt' operators, the value must be an integer"
            ));
        }
        for (i, v) in values.iter().enumerate() {
            if let Some(why) = crate::names::label_value(v) {
                return Err(format!("values[{i}][{key}]: Invalid value: {}: {why}", Value::from(v.as_str())));
            }
        }
        Ok(make(op, values))
    }

    fn exact(&mut self) -> std::result::Result<String, String> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        let (token, text) = self.next();
        match token {
            Token::Word(w) => Ok(w),
            Token::In | Token::NotIn => Ok(text),
            _ => Err(format!("found '{text}', expected: identifier")),
        }
    }

    fn values(&mut self) -> std::result::Result<Vec<String>, String> {
        let (token, text) = self.next();
        if token != Token::Open {
            return Err(format!("found '{text}' expected: '('"));
        }
        let mut out = Vec::new();
        loop {
            let (token, text) = self.next();
            match token {
                Token::Word(w) => out.push(w),
                Token::In | Token::NotIn => out.push(text),
                Token::Comma => {
                    if matches!(self.peek().0, Token::Comma | Token::Close) {
                        out.push(String::new());
                    }
                    continue;
                }
                Token::Close => {
                    if out.is_empty() {
                        out.push(String::new());
                    }
                    break;
                }
                _ => return Err(format!("found '{text}', expected: ',', or ')'")),
            }
            let (token, text) = self.peek();
            if !matches!(token, Token::Comma | Token::Close) {
                return Err(format!("found '{text}', expected: ',' or ')'"));
            }
        }
        out.sort();
        out.dedup();
        Ok(out)
    }
}

fn check_key(key: &str) -> std::result::Result<(), String> {
    match crate::names::qualified(key) {
        Some(why) => Err(format!("<nil>: Invalid value: {}: {why}", Value::from(key))),
        None => Ok(()),
    }
}

/// A parsed field selector: every clause must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldSelector(pub(crate) Vec<FieldClause>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldClause {
    pub(crate) path: String,
    pub(crate) equal: bool,
    pub(crate) value: String,
}

impl FieldSelector {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn parse(text: &str) -> Result<FieldSelector> {
        let mut out = Vec::new();
        for term in split_terms(text).into_iter().filter(|t| !t.is_empty()) {
            let Some((path, equal, raw)) = split_operator(&term) else {
                return Err(Status::bad_request(format!(
                    "invalid selector: '{term}'; can't understand '{term}'"
                )));
            };
            let value = unescape(raw)?;
            out.push(FieldClause { path: path.to_owned(), equal, value });
        }
        Ok(FieldSelector(out))
    }

    /// The one name an object must have.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.iter().find(|c| c.equal && c.path == "metadata.name").map(|c| c.value.as_str())
    }

    /// True when each clause holds for the value that `field` reads for its path.
    pub(crate) fn matches(&self, field: impl Fn(&str) -> String) -> bool {
        self.0.iter().all(|c| (field(&c.path) == c.value) == c.equal)
    }
}

fn split_terms(text: &str) -> Vec<String> {
    let (mut out, mut term, mut escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        if c == ',' && !escaped {
            out.push(std::mem::take(&mut term));
            continue;
        }
        escaped = c == '\\' && !escaped;
        term.push(c);
    }
    out.push(term);
    out
}

fn split_operator(term: &str) -> Option<(&str, bool, &str)> {
    for (i, _) in term.char_indices() {
        let rest = &term[i..];
        for (op, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(op) {
                return Some((&term[..i], equal, value));
            }
        }
    }
    None
}

fn unescape(raw: &str) -> Result<String> {
    let (mut out, mut chars) = (String::new(), raw.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(e @ ('\\' | ',' | '=')) => out.push(e),
                other => {
                    let tail = other.map(String::from).unwrap_or_default();
                    return Err(Status::bad_request(format!(
                        "invalid field selector: invalid escape sequence: \\{tail}"
                    )));
                }
            },
            ',' | '=' => {
                return Err(Status::bad_request(format!(
                    "invalid field selector: unescaped character in value: {c}"
                )));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}
