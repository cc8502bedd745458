//! The vocabulary for people: `explain` for one word, a Markdown reference for all. docs/scenario-language.md holds
//! the latter between two markers and a test keeps it equal.

use super::{Rule, Shape, StepKind, StepSchema, Type, Vocabulary};
use crate::diagnostics::nearest;

const ORDER: [StepKind; 6] = [
    StepKind::Action,
    StepKind::Time,
    StepKind::Check,
    StepKind::Monitor,
    StepKind::Fault,
    StepKind::Structure,
];

impl Vocabulary {
    /// What a word does, its keys and an example. The error names the nearest word.
    pub fn explain(&self, name: &str) -> Result<String, String> {
        let Some(step) = self.step(name) else {
            let all: Vec<&str> = self.steps().map(|s| s.name.as_str()).collect();
            let hint = nearest(name, &all).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            return Err(format!("no step `{name}`{hint}\nall steps: {}", all.join(", ")));
        };
        let mut out = format!("{}: {}\n", step.name, step.doc);
        if step.virtual_only {
            out.push_str("Only in virtual time; reported as skipped elsewhere.\n");
        }
        match &step.args {
            Type::Shape(shape) => explain_shape(shape, 1, &mut out),
            other => out.push_str(&format!("  takes {}\n", other.expected())),
        }
        out.push_str(&format!("example:\n  - {}\n", step.example));
        Ok(out)
    }

    /// All words as Markdown tables, by kind.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for kind in ORDER {
            let steps: Vec<&StepSchema> = self.steps().filter(|s| s.kind == kind).collect();
            if steps.is_empty() {
                continue;
            }
            out.push_str(&format!(
                "### {}\n\n| step | what it does | keys | example |\n|---|---|---|---|\n",
                kind.title()
            ));
            for step in steps {
                let keys = cell(&signature(&step.args));
                let doc = cell(&step.doc);
                out.push_str(&format!("| `{}` | {doc} | {keys} | `{}` |\n", step.name, cell(&step.example)));
            }
            out.push('\n');
        }
        out
    }

    /// The names of expressions as Markdown.
    pub fn expressions_markdown(&self) -> String {
        let mut out = "| name | meaning |\n|---|---|\n".to_owned();
        for (name, doc) in self.environment().variables() {
            out.push_str(&format!("| `{name}` | {} |\n", cell(doc)));
        }
        for (name, doc) in self.environment().functions() {
            out.push_str(&format!("| `{name}(..)` | {} |\n", cell(doc)));
        }
        out
    }
}

fn explain_shape(shape: &Shape, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    for key in &shape.keys {
        let need = if key.required { " (required)" } else { "" };
        out.push_str(&format!("{pad}{}: {}{need} - {}\n", key.name, key.ty.expected(), key.doc));
        if let Type::Shape(inner) = &key.ty {
            explain_shape(inner, depth + 1, out);
        }
    }
    for rule in &shape.rules {
        out.push_str(&format!("{pad}{}\n", rule_text(rule)));
    }
    if shape.open {
        out.push_str(&format!("{pad}further keys are taken as they are\n"));
    }
}

fn rule_text(rule: &Rule) -> String {
    let words = match rule {
        Rule::ExactlyOne(_) => "exactly one of",
        Rule::AtMostOne(_) => "at most one of",
        Rule::AtLeastOne(_) => "at least one of",
    };
    format!("{words}: {}", rule.keys().join(", "))
}

/// `of`!, `within`!, `match` / `cel`: required keys carry an exclamation mark.
fn signature(ty: &Type) -> String {
    let Type::Shape(shape) = ty else { return ty.expected() };
    if shape.open && shape.keys.is_empty() {
        return "any".to_owned();
    }
    let mut parts = Vec::new();
    let mut done: Vec<&str> = Vec::new();
    for key in &shape.keys {
        if done.contains(&key.name.as_str()) {
            continue;
        }
        let exclusive = shape.rules.iter().find_map(|rule| match rule {
            Rule::ExactlyOne(keys) if keys.contains(&key.name) => Some((keys, "!")),
            Rule::AtMostOne(keys) if keys.contains(&key.name) => Some((keys, "")),
            _ => None,
        });
        match exclusive {
            Some((keys, mark)) => {
                done.extend(keys.iter().map(String::as_str));
                parts.push(format!(
                    "{}{mark}",
                    keys.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(" / ")
                ));
            }
            None => parts.push(format!("`{}`{}", key.name, if key.required { "!" } else { "" })),
        }
    }
    parts.join(", ")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
