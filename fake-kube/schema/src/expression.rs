//! CEL over plain values: match conditions of webhooks and the like, where no schema types the variables.
//!
//! The same interpreter and functions as the rules of CRDs (`schema/rules.rs`).

use cel::Value as Cel;
use serde_json::Value;

use crate::schema::rules;

/// A parsed expression.
#[derive(Debug)]
pub struct Expression(cel::parser::Expression);

impl Expression {
    pub fn parse(source: &str) -> Result<Expression, String> {
        rules::parse(source).map(Expression)
    }

    /// Whether it holds under these variables; an error where it gives no answer, or one that is no bool.
    pub fn holds(&self, variables: &[(&str, &Value)]) -> Result<bool, String> {
        match self.resolve(variables)? {
            Cel::Bool(holds) => Ok(holds),
            _ => Err("expression did not return a bool".to_owned()),
        }
    }

    /// Its value as text, for expressions that word messages.
    pub fn text(&self, variables: &[(&str, &Value)]) -> Result<String, String> {
        match self.resolve(variables)? {
            Cel::String(text) => Ok(text.to_string()),
            _ => Err("expression did not return a string".to_owned()),
        }
    }

    /// Its value as JSON.
    pub fn value(&self, variables: &[(&str, &Value)]) -> Result<Value, String> {
        self.resolve(variables)?.json().map_err(|e| e.to_string())
    }

    fn resolve(&self, variables: &[(&str, &Value)]) -> Result<Cel, String> {
        rules::with_library(|library| {
            let mut context = library.new_inner_scope();
            for (name, value) in variables {
                context.add_variable_from_value(*name, rules::untyped(value));
            }
            context.resolve(&self.0).map_err(|e| e.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_hold_or_say_why_they_cannot_be_told() {
        let object = json!({"metadata": {"name": "a", "labels": {"a-b": "x"}}, "spec": {"n": 2}});
        let check = |source: &str| {
            let parsed = Expression::parse(source)?;
            parsed.holds(&[("object", &object), ("oldObject", &Value::Null)])
        };
        assert_eq!(check("object.spec.n > 1 && oldObject == null"), Ok(true));
        assert_eq!(check("object.metadata.labels['a-b'] == 'y'"), Ok(false));
        assert_eq!(check("has(object.spec.m)"), Ok(false));
        assert!(check("object.spec.m == 1").is_err());
        assert!(check("object.spec.n").is_err());
        assert!(check("object.").is_err());
    }
}
