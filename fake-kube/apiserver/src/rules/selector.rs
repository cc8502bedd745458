//! Label selectors inside of objects (ValidateLabelSelector in apimachinery/pkg/apis/meta/v1/validation).

use fake_kube_schema::Cause;
use serde_json::{Value, json};

use super::{Rule, Walk, join, text};
use crate::names;

pub(crate) const LABEL_SELECTOR: &[Rule] =
    &[Rule::Labels("matchLabels"), Rule::Each("matchExpressions", &[Rule::Code(requirement)])];

fn requirement(w: &mut Walk<'_>, value: &Value, path: &str) {
    let values = list(value, "values");
    let operator = &value["operator"];
    match operator.as_str().unwrap_or("") {
        "In" | "NotIn" if values.is_empty() => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            w.out.push(Cause::required(join(path, "values"), why));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            w.out.push(Cause::forbidden(join(path, "values"), why));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => w.invalid(join(path, "operator"), &json!(other), "not a valid selector operator"),
    }
    label_name(w, text(value, "key"), &join(path, "key"));
    label_values(w, values, &join(path, "values"));
}

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// ValidateLabelName, with everything that is wrong with it.
pub(crate) fn label_name(w: &mut Walk<'_>, name: &str, path: &str) {
    for why in names::qualified_all(name) {
        w.invalid(path.to_owned(), &json!(name), &why);
    }
}

pub(crate) fn label_values(w: &mut Walk<'_>, values: &[Value], path: &str) {
    for (i, value) in values.iter().enumerate() {
        if let Some(why) = names::label_value(value.as_str().unwrap_or("")) {
            w.invalid(format!("{path}[{i}]"), value, &why);
        }
    }
}
