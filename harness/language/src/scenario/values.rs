//! Scalars: how each type of the vocabulary is read from a YAML scalar and what is said when it cannot be.

use super::args::{Arg, ArgValue, Count, ObjectRef};
use super::checker::Checker;
use crate::diagnostics::Diagnostic;
use crate::duration;
use crate::vocabulary::Type;
use crate::yaml::{Kind, Node};

impl Type {
    /// What is expected, in the words of an error message.
    pub fn expected(&self) -> String {
        match self {
            Type::Any => "anything".to_owned(),
            Type::Text => "text".to_owned(),
            Type::Bool => "true or false".to_owned(),
            Type::Int { min, max } => format!("a whole number from {min} to {max}"),
            Type::Number { min, max } => format!("a number from {min} to {max}"),
            Type::Scalar => "text, a number or a boolean".to_owned(),
            Type::Duration => "a duration such as `90s`".to_owned(),
            Type::SignedDuration => "a duration such as `90s` or `-30s`".to_owned(),
            Type::ClockTime => "a scenario time such as `00:30:00`".to_owned(),
            Type::Timestamp => "a timestamp such as `2026-01-01T00:00:00Z`".to_owned(),
            Type::Enum(words) => format!("one of {}", words.join(", ")),
            Type::Ref { pattern: false } => "an object as `Kind/name`".to_owned(),
            Type::Ref { pattern: true } => "an object as `Kind/name`, `*` allowed".to_owned(),
            Type::Kind => "a kind such as `Deployment`".to_owned(),
            Type::Server => "a server such as `api`".to_owned(),
            Type::FieldPath => "a field such as `status.phase`".to_owned(),
            Type::Cel => "an expression".to_owned(),
            Type::Tree => "a partial-match tree".to_owned(),
            Type::Object => "an object (a map)".to_owned(),
            Type::Manifest => "the path of a file with objects".to_owned(),
            Type::File => "the path of a file".to_owned(),
            Type::Count => "a number, or `{min: 1, max: 3}`".to_owned(),
            Type::Map(value) => format!("a map to {}", value.expected()),
            Type::List(item) => format!("a list of {}", item.expected()),
            Type::Shape(shape) => {
                let keys: Vec<&str> = shape.keys.iter().map(|k| k.name.as_str()).take(4).collect();
                let more = if shape.keys.len() > 4 { ", .." } else { "" };
                if keys.is_empty() {
                    "a map".to_owned()
                } else {
                    format!("a map with {}{more}", keys.join(", "))
                }
            }
            Type::OneOf(types) => types.iter().map(Type::expected).collect::<Vec<_>>().join(", or "),
            Type::Steps => "a list of steps".to_owned(),
        }
    }

    /// Whether a value has the form of this type, without looking at its content.
    pub(super) fn fits(&self, node: &Node) -> bool {
        match (self, &node.kind) {
            (Type::Any | Type::Tree, _) => true,
            (Type::OneOf(types), _) => types.iter().any(|ty| ty.fits(node)),
            (Type::Map(_) | Type::Shape(_) | Type::Object, kind) => matches!(kind, Kind::Map(_) | Kind::Null),
            (Type::List(_) | Type::Steps, kind) => matches!(kind, Kind::List(_) | Kind::Null),
            (Type::Count, kind) => matches!(kind, Kind::Map(_) | Kind::Number(..)),
            (Type::Bool, kind) => matches!(kind, Kind::Bool(_)),
            (_, kind) => matches!(kind, Kind::Text(_) | Kind::Number(..) | Kind::Bool(_)),
        }
    }
}

impl Checker<'_, '_> {
    pub(super) fn scalar(&mut self, ty: &Type, node: &Node) -> Option<Arg> {
        let value = match (ty, &node.kind) {
            (Type::Count, _) => self.count(node)?,
            (Type::Bool, Kind::Bool(truth)) => ArgValue::Bool(*truth),
            (Type::Bool, Kind::Text(text)) => return self.boolean_word(text, node),
            (Type::Int { min, max }, Kind::Number(number, _)) => match number.as_i64() {
                Some(n) if (*min..=*max).contains(&n) => ArgValue::Int(n),
                _ => return self.out_of_range(ty, node),
            },
            (Type::Number { min, max }, Kind::Number(number, _)) => match number.as_f64() {
                Some(n) if (*min..=*max).contains(&n) => ArgValue::Number(n),
                _ => return self.out_of_range(ty, node),
            },
            (Type::Scalar, Kind::Text(_) | Kind::Number(..) | Kind::Bool(_)) => ArgValue::Any(node.to_json()),
            (Type::Duration | Type::SignedDuration, Kind::Number(_, spelling)) => {
                return self.duration(ty, &spelling.clone(), node);
            }
            (_, Kind::Text(text)) => return self.word_like(ty, &text.clone(), node),
            (Type::Text | Type::Enum(_) | Type::Timestamp | Type::ClockTime, Kind::Number(_, spelling)) => {
                let message = format!("expected {}, found a number", ty.expected());
                let problem = Diagnostic::error("type", &node.span, message);
                self.report(
                    problem
                        .nearest(format!("\"{spelling}\""))
                        .help("put it in quotes, so that it stays text"),
                );
                return None;
            }
            (Type::Text | Type::Enum(_), Kind::Bool(truth)) => {
                let message = format!("expected {}, found a boolean", ty.expected());
                let problem = Diagnostic::error("type", &node.span, message);
                self.report(
                    problem.nearest(format!("\"{truth}\"")).help("put it in quotes, so that it stays text"),
                );
                return None;
            }
            _ => return self.wrong(ty, node),
        };
        Some(Arg { span: node.span.clone(), value })
    }

    fn word_like(&mut self, ty: &Type, text: &str, node: &Node) -> Option<Arg> {
        let value = match ty {
            Type::Text => ArgValue::Text(text.to_owned()),
            Type::Enum(words) => {
                if !words.iter().any(|w| w == text) {
                    let problem =
                        Diagnostic::error("enum", &node.span, format!("`{text}` is not a valid value"));
                    self.report(problem.allowed(text, words));
                    return None;
                }
                ArgValue::Text(text.to_owned())
            }
            Type::Duration | Type::SignedDuration => return self.duration(ty, text, node),
            Type::ClockTime => match duration::parse_clock(text) {
                Some(time) => ArgValue::ClockTime(time),
                None => return self.bad_clock(text, node),
            },
            Type::Timestamp => match text.parse() {
                Ok(timestamp) => ArgValue::Timestamp(timestamp),
                Err(_) => {
                    let problem = Diagnostic::error("timestamp", &node.span, "not a timestamp");
                    self.report(problem.help("write RFC 3339: `2026-01-01T00:00:00Z`"));
                    return None;
                }
            },
            Type::Ref { pattern } => ArgValue::Ref(self.object_reference(text, *pattern, node)?),
            Type::Kind => ArgValue::Text(self.kind(text, node)?),
            Type::Server => ArgValue::Text(self.server(text, node)?),
            Type::FieldPath => ArgValue::Text(self.field_path(text, node)?),
            Type::Cel => {
                let compiled = self.vocabulary.environment().compile(text, &node.span);
                match compiled {
                    Ok(expression) => ArgValue::Cel(expression),
                    Err(problem) => {
                        self.report(*problem);
                        return None;
                    }
                }
            }
            Type::Int { .. } | Type::Number { .. } if text.parse::<f64>().is_ok() => {
                let message = format!("expected {}, found text", ty.expected());
                let problem = Diagnostic::error("type", &node.span, message);
                self.report(problem.nearest(text).help("remove the quotes"));
                return None;
            }
            Type::Manifest => ArgValue::Manifest(self.manifest(text, node)?),
            Type::File => ArgValue::File(self.relative(text)),
            _ => return self.wrong(ty, node),
        };
        Some(Arg { span: node.span.clone(), value })
    }

    fn out_of_range(&mut self, ty: &Type, node: &Node) -> Option<Arg> {
        let message = format!("expected {}, found {}", ty.expected(), node.to_json());
        self.report(Diagnostic::error("range", &node.span, message));
        None
    }

    fn boolean_word(&mut self, text: &str, node: &Node) -> Option<Arg> {
        let meant = match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("true"),
            "no" | "off" | "n" | "false" => Some("false"),
            _ => None,
        };
        let mut problem = Diagnostic::error("type", &node.span, "expected true or false, found text");
        if let Some(meant) = meant {
            problem = problem.nearest(meant).help("only `true` and `false`, without quotes, are booleans");
        }
        self.report(problem);
        None
    }

    fn duration(&mut self, ty: &Type, text: &str, node: &Node) -> Option<Arg> {
        let (negative, magnitude) = match (ty, text.strip_prefix('-')) {
            (Type::SignedDuration, Some(rest)) => (true, rest),
            _ => (false, text),
        };
        match duration::parse(magnitude) {
            Ok(parsed) => {
                let value = match ty {
                    Type::SignedDuration => {
                        let ms = i64::try_from(parsed.as_millis()).unwrap_or(i64::MAX);
                        ArgValue::SignedDuration(if negative { -ms } else { ms })
                    }
                    _ => ArgValue::Duration(parsed),
                };
                Some(Arg { span: node.span.clone(), value })
            }
            Err(error) => {
                let message = format!("bad duration `{text}`: {}", error.message);
                let mut problem =
                    Diagnostic::error("duration", &node.span, message).help(duration::UNIT_HELP);
                problem.nearest = error.nearest.map(|n| if negative { format!("-{n}") } else { n });
                self.report(problem);
                None
            }
        }
    }

    fn bad_clock(&mut self, text: &str, node: &Node) -> Option<Arg> {
        let mut problem =
            Diagnostic::error("clock-time", &node.span, format!("`{text}` is not a scenario time"));
        problem.nearest = duration::parse(text).ok().map(duration::format_clock);
        self.report(problem.help("write hours, minutes and seconds since the start: `00:30:00`"));
        None
    }

    fn count(&mut self, node: &Node) -> Option<ArgValue> {
        let number = |checker: &mut Self, node: &Node| match &node.kind {
            Kind::Number(n, _) if n.as_u64().is_some() => n.as_u64(),
            _ => {
                let message = format!("expected a count of 0 or more, found {}", node.describe());
                checker.report(Diagnostic::error("type", &node.span, message));
                None
            }
        };
        let Kind::Map(entries) = &node.kind else {
            if !matches!(node.kind, Kind::Number(..)) {
                return self.wrong(&Type::Count, node);
            }
            let exact = number(self, node)?;
            return Some(ArgValue::Count(Count { min: exact, max: Some(exact) }));
        };
        let mut count = Count { min: 0, max: None };
        let before = self.session.problems.len();
        for (key, value) in entries {
            match key.name.as_str() {
                "min" => count.min = self.key("min", |c| number(c, value))?,
                "max" => count.max = Some(self.key("max", |c| number(c, value))?),
                _ => self.unknown_key(key, vec!["min", "max"]),
            }
        }
        if entries.is_empty() || count.max.is_some_and(|max| max < count.min) {
            let problem = Diagnostic::error("range", &node.span, "no number fits this count");
            self.report(problem.help("write a number, or `{min: 1, max: 3}` with min not above max"));
        }
        (self.session.problems.len() == before).then_some(ArgValue::Count(count))
    }

    fn kind(&mut self, text: &str, node: &Node) -> Option<String> {
        let kinds = self.vocabulary.kinds();
        if kinds.iter().any(|k| k == text) {
            return Some(text.to_owned());
        }
        let problem = Diagnostic::error("unknown-kind", &node.span, format!("no kind `{text}`"));
        self.report(problem.allowed(text, kinds).help("kinds are written as in a manifest: `Deployment`"));
        None
    }

    fn server(&mut self, text: &str, node: &Node) -> Option<String> {
        let servers = self.vocabulary.servers();
        if servers.iter().any(|server| server == text) {
            return Some(text.to_owned());
        }
        let problem =
            Diagnostic::error("unknown-server", &node.span, format!("no calls to `{text}` are recorded"));
        self.report(problem.allowed(text, servers));
        None
    }

    fn object_reference(&mut self, text: &str, pattern: bool, node: &Node) -> Option<ObjectRef> {
        let (namespace, rest) = match text.split_once(':') {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, text),
        };
        let Some((kind, name)) = rest.split_once('/') else {
            let mut problem =
                Diagnostic::error("object-ref", &node.span, format!("`{text}` does not name an object"));
            if self.vocabulary.kinds().iter().any(|k| k == rest) {
                problem = problem.nearest(format!("{text}/<name>"));
            }
            self.report(problem.help("write `Kind/name`, in another namespace `namespace:Kind/name`"));
            return None;
        };
        let (kind, group) = match kind.split_once('.') {
            Some((kind, group)) => (kind, Some(group.to_owned())),
            None => (kind, None),
        };
        let kinds = self.vocabulary.kinds();
        // A kind with a group is spelled out deliberately and need not be known.
        if group.is_none() && !kinds.iter().any(|k| k == kind) {
            let mut problem = Diagnostic::error("unknown-kind", &node.span, format!("no kind `{kind}`"));
            problem = problem.allowed(kind, kinds);
            problem.nearest = problem.nearest.map(|kind| format!("{kind}/{name}"));
            self.report(problem.help("write `Kind/name`, or `Kind.group/name` for a kind not listed here"));
            return None;
        }
        let legal =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':' | '*');
        let whole = |part: &str| !part.is_empty() && part.len() <= 253 && part.chars().all(legal);
        if !whole(name) || namespace.is_some_and(|n| !whole(n) || n.contains('*')) {
            let problem =
                Diagnostic::error("object-ref", &node.span, format!("`{text}` is not a valid name"));
            self.report(problem.help("names are lower-case letters, digits, `-` and `.`"));
            return None;
        }
        if name.contains('*') && !pattern {
            let problem =
                Diagnostic::error("object-ref", &node.span, "`*` cannot stand here: one object is needed");
            self.report(problem.help("name the object"));
            return None;
        }
        Some(ObjectRef {
            namespace: namespace.map(str::to_owned),
            kind: kind.to_owned(),
            group,
            name: name.to_owned(),
        })
    }

    fn field_path(&mut self, text: &str, node: &Node) -> Option<String> {
        match crate::matching::path::parse(text) {
            Ok(_) => Some(text.to_owned()),
            Err(why) => {
                let problem =
                    Diagnostic::error("field-path", &node.span, format!("`{text}` is not a field: {why}"));
                self.report(
                    problem.help(
                        "write `status.phase`, `spec.containers[0].image` or `metadata.labels[\"a/b\"]`",
                    ),
                );
                None
            }
        }
    }
}
