//! What a CRD says about places in its objects: printer columns, selectable fields, scale paths; and its conversion
//! (case crl-columns-invalid).
//!
//! Members that all versions share are reported once, at the place the first API version of CRDs had them.

use fake_kube_schema::Cause;
use serde_json::{Value, json};

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const SELECTABLE_MAX: u64 = 8;

pub(crate) fn check(crd: &Value, out: &mut Vec<Cause>) {
    let versions = crd["spec"]["versions"].as_array().map_or(&[][..], Vec::as_slice);
    of_each(versions, "additionalPrinterColumns", out, |columns, _, at, out| {
        for (i, column) in columns.as_array().into_iter().flatten().enumerate() {
            check_column(column, &format!("{at}[{i}]"), out);
        }
    });
    of_each(versions, "selectableFields", out, check_selectable);
    of_each(versions, "subresources", out, |subresources, _, at, out| {
        if subresources["scale"].is_object() {
            check_scale(&subresources["scale"], &format!("{at}.scale"), out);
        }
    });
    check_conversion(&crd["spec"]["conversion"], out);
}

/// Calls `f` with the member, its version's schema and its place: for each version, or once if all say the same.
fn of_each(
    versions: &[Value],
    member: &str,
    out: &mut Vec<Cause>,
    f: impl Fn(&Value, &Value, &str, &mut Vec<Cause>),
) {
    let schema = |v: &Value| v["schema"]["openAPIV3Schema"].clone();
    let is_shared = versions.iter().all(|v| v[member] == versions[0][member]);
    for (i, version) in versions.iter().enumerate().take(if is_shared { 1 } else { versions.len() }) {
        let at = if is_shared { format!("spec.{member}") } else { format!("spec.versions[{i}].{member}") };
        f(&version[member], &schema(version), &at, out);
    }
}

fn check_column(column: &Value, at: &str, out: &mut Vec<Cause>) {
    let text = |key: &str| column[key].as_str().unwrap_or("");
    let one_of = |list: &[&str]| format!("must be one of {}", list.join(","));
    if text("name").is_empty() {
        out.push(Cause::required(format!("{at}.name"), ""));
    }
    match text("type") {
        "" => out.push(Cause::required(format!("{at}.type"), &one_of(&TYPES))),
        known if TYPES.contains(&known) => {}
        other => out.push(Cause::invalid(format!("{at}.type"), &json!(other), &one_of(&TYPES))),
    }
    let format = text("format");
    if !format.is_empty() && !FORMATS.contains(&format) {
        out.push(Cause::invalid(format!("{at}.format"), &json!(format), &one_of(&FORMATS)));
    }
    match text("jsonPath") {
        "" => out.push(Cause::required(format!("{at}.JSONPath"), "")),
        path => out.extend(simple_path(path, &format!("{at}.JSONPath"))),
    }
}

fn simple_path(path: &str, at: &str) -> Option<Cause> {
    (!path.starts_with('.'))
        .then(|| Cause::invalid(at, &json!(path), "must be a simple json path starting with ."))
}

fn check_scale(scale: &Value, at: &str, out: &mut Vec<Cause>) {
    let rows: [(&str, &[&str], &str, bool); 3] = [
        ("specReplicasPath", &[".spec."], "should be a json path under .spec", true),
        ("statusReplicasPath", &[".status."], "should be a json path under .status", true),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "should be a json path under either .spec or .status",
            false,
        ),
    ];
    for (key, under, why, is_required) in rows {
        let (path, field) = (scale[key].as_str().unwrap_or(""), format!("{at}.{key}"));
        if path.is_empty() {
            if is_required {
                out.push(Cause::required(field, ""));
            }
        } else if let Some(cause) = simple_path(path, &field) {
            out.push(cause);
        } else if !under.iter().any(|u| path.starts_with(u)) {
            out.push(Cause::invalid(field, &json!(path), why));
        }
    }
}

fn check_selectable(fields: &Value, schema: &Value, at: &str, out: &mut Vec<Cause>) {
    let list = fields.as_array().map_or(&[][..], Vec::as_slice);
    if list.len() as u64 > SELECTABLE_MAX {
        out.push(Cause::too_many(at, list.len(), SELECTABLE_MAX));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, field) in list.iter().enumerate() {
        let (path, at) = (field["jsonPath"].as_str().unwrap_or(""), format!("{at}[{i}].jsonPath"));
        let mut invalid = |why: &str| out.push(Cause::invalid(at.clone(), &json!(path), why));
        if path.is_empty() {
            out.push(Cause::required(at, ""));
            continue;
        }
        let Some(found) = field_of(schema, path) else {
            invalid("is an invalid path: does not refer to a valid field");
            continue;
        };
        if path.starts_with(".metadata") {
            invalid("must not point to fields in metadata");
        }
        if !matches!(found["type"].as_str(), Some("string" | "boolean" | "integer")) {
            invalid(
                "must point to a field of type string, boolean or integer. Enum string fields and strings with \
                 formats are allowed.",
            );
        }
        if seen.contains(&path) {
            out.push(Cause::duplicate(at, &json!(path)));
        }
        seen.push(path);
    }
}

/// The schema of a field, by its dotted path.
fn field_of<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.strip_prefix('.')?.split('.').try_fold(schema, |s, key| s["properties"].get(key))
}

fn check_conversion(conversion: &Value, out: &mut Vec<Cause>) {
    let at = "spec.conversion";
    let (client, reviews) =
        (&conversion["webhook"]["clientConfig"], &conversion["webhook"]["conversionReviewVersions"]);
    let listed = reviews.as_array().map_or(&[][..], Vec::as_slice);
    match conversion["strategy"].as_str().unwrap_or("") {
        "Webhook" => {
            if client.is_null() {
                let why = "required when strategy is set to Webhook";
                out.push(Cause::required(format!("{at}.webhookClientConfig"), why));
            }
            let field = format!("{at}.conversionReviewVersions");
            if listed.is_empty() {
                out.push(Cause::required(field, ""));
            } else if !listed.iter().any(|v| v == "v1" || v == "v1beta1") {
                out.push(Cause::invalid(field, reviews, "must include at least one of v1, v1beta1"));
            }
        }
        "None" => {
            let why = "should not be set when strategy is not set to Webhook";
            if !client.is_null() {
                out.push(Cause::forbidden(format!("{at}.webhookClientConfig"), why));
            }
            if !listed.is_empty() {
                out.push(Cause::forbidden(format!("{at}.conversionReviewVersions"), why));
            }
        }
        "" => out.push(Cause::required(format!("{at}.strategy"), "")),
        other => {
            out.push(Cause::not_supported(format!("{at}.strategy"), &json!(other), &["None", "Webhook"]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(crd: Value) -> Vec<String> {
        let mut out = Vec::new();
        check(&crd, &mut out);
        out.iter().map(Cause::to_string).collect()
    }

    #[test]
    fn versions_that_differ_are_named() {
        let column = |kind: &str| json!([{"name": "A", "type": kind, "jsonPath": ".spec.a"}]);
        let crd = |second: &str| {
            json!({"spec": {"conversion": {"strategy": "None"}, "versions": [
                {"additionalPrinterColumns": column("nope")}, {"additionalPrinterColumns": column(second)}]}})
        };
        let why = "Invalid value: \"nope\": must be one of boolean,date,integer,number,string";
        assert_eq!(complaints(crd("nope")), [format!("spec.additionalPrinterColumns[0].type: {why}")]);
        assert_eq!(
            complaints(crd("string")),
            [format!("spec.versions[0].additionalPrinterColumns[0].type: {why}")]
        );
    }

    #[test]
    fn selectable_fields_are_scalars_of_the_schema() {
        let crd = |path: &str| {
            json!({"spec": {"conversion": {"strategy": "None"}, "versions": [{"selectableFields": [{"jsonPath": path}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object",
                    "properties": {"a": {"type": "string"}, "o": {"type": "object"}}}}}}}]}})
        };
        assert_eq!(complaints(crd(".spec.a")).len(), 0);
        assert_eq!(complaints(crd(".spec.o")).len(), 1);
        assert_eq!(complaints(crd("spec.a")).len(), 1);
    }
}
