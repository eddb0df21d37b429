//! The Engine API's specification as a judge of documents.
//!
//! `specs/engine-api-1.56.json` is Docker's OpenAPI document without prose, converted once; types,
//! enumerations, required fields and references are left. Like Go, it takes `null` for lists, maps
//! and references; fields that it doesn't name are reported, because a client can't know them.

use std::sync::LazyLock;

use serde_json::Value;

static SPEC: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../specs/engine-api-1.56.json"))
        .expect("the committed specification is JSON")
});

/// What is wrong with `document` as the definition `name`; empty: nothing.
///
/// # Panics
/// If there is no such definition.
pub fn check_definition(name: &str, document: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(definition(name), document, name, &mut faults);
    faults
}

/// What is wrong with the answer of `GET /containers/{id}/json` and the like (method and path
/// template in one text); `None`: the specification has no document for it.
pub fn check_answer(operation: &str, status: u16, document: &Value) -> Option<Vec<String>> {
    let schema = SPEC["answers"].get(operation)?.get(status.to_string())?;
    let mut faults = Vec::new();
    check(schema, document, operation, &mut faults);
    Some(faults)
}

/// A document of the definition `name` with every field set to something.
///
/// # Panics
/// If there is no such definition.
pub fn sample(name: &str) -> Value {
    sample_of(definition(name), 0)
}

fn definition(name: &str) -> &'static Value {
    let found = SPEC["definitions"].get(name);
    found.unwrap_or_else(|| panic!("the specification defines no {name}"))
}

/// Every property of a schema, those of its `allOf` parts and references included.
fn properties(schema: &'static Value) -> Vec<(&'static String, &'static Value)> {
    let mut out = Vec::new();
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        out.extend(properties(definition(name)));
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        out.extend(properties(part));
    }
    out.extend(schema.get("properties").and_then(Value::as_object).into_iter().flatten());
    out
}

fn check(schema: &'static Value, document: &Value, place: &str, faults: &mut Vec<String>) {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return check(definition(name), document, place, faults);
    }
    let known = properties(schema);
    let kind = match schema.get("type").and_then(Value::as_str) {
        Some(kind) => kind,
        None if !known.is_empty() => "object",
        None => return,
    };
    let mut fault = |text: String| faults.push(format!("{place}: {text}"));
    match (kind, document) {
        ("object" | "array", Value::Null) => {}
        (_, Value::Null) if schema.get("nullable").is_some() => {}
        ("boolean", Value::Bool(_)) | ("number", Value::Number(_)) => {}
        ("integer", Value::Number(number)) if !number.is_f64() => {}
        ("string", Value::String(text)) => {
            let allowed = schema.get("enum").and_then(Value::as_array);
            let known = allowed.is_none_or(|list| {
                list.iter().any(|value| value.as_str() == Some(text)) || text.is_empty()
            });
            if !known {
                fault(format!("{text:?} is none of {allowed:?}"));
            }
        }
        ("array", Value::Array(items)) => {
            if let Some(schema) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    check(schema, item, &format!("{place}[{index}]"), faults);
                }
            }
        }
        ("object", Value::Object(fields)) => {
            let free = schema.get("additionalProperties");
            for (key, value) in fields {
                let place = format!("{place}.{key}");
                match known.iter().find(|(name, _)| *name == key) {
                    Some((_, schema)) => check(schema, value, &place, faults),
                    None => match free {
                        Some(schema) if schema.is_object() => check(schema, value, &place, faults),
                        Some(_) => {}
                        None if known.is_empty() => {}
                        None => faults.push(format!("{place}: not in the specification")),
                    },
                }
            }
            let required = schema.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                // The specification also requires names that it doesn't define.
                let defined = known.iter().any(|(defined, _)| *defined == name);
                if defined && !fields.contains_key(name) {
                    faults.push(format!("{place}: {name} is missing"));
                }
            }
        }
        (kind, other) => fault(format!("{other} is no {kind}")),
    }
}

/// Deeper than any definition that matters; some refer to each other.
const DEPTH_MAX: usize = 20;

fn sample_of(schema: &'static Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return sample_of(definition(name), depth + 1);
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().rev().find(|v| *v != "").cloned().unwrap_or(Value::Null);
    }
    let known = properties(schema);
    // A reference with a description beside it.
    if let (true, Some([part])) =
        (known.is_empty(), schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice))
    {
        return sample_of(part, depth + 1);
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => Value::Bool(true),
        Some("integer" | "number") => Value::from(7),
        Some("string") => Value::from("text"),
        Some("array") => match schema.get("items") {
            // Two: pairs are lists of two.
            Some(items) => Value::Array(vec![sample_of(items, depth + 1); 2]),
            None => Value::Array(Vec::new()),
        },
        Some("object") | None => {
            let mut map: serde_json::Map<String, Value> = known
                .into_iter()
                .map(|(name, schema)| (name.clone(), sample_of(schema, depth + 1)))
                .collect();
            if let Some(schema) = schema.get("additionalProperties").filter(|s| s.is_object()) {
                map.insert("key".to_owned(), sample_of(schema, depth + 1));
            }
            Value::Object(map)
        }
        Some(other) => panic!("the specification has a type {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn right_documents_pass() {
        let document = json!({"Id": "x", "Warnings": []});
        assert_eq!(check_definition("ContainerCreateResponse", &document), [""; 0]);
        let list = json!([{"Id": "x", "State": "running", "Labels": null}]);
        assert_eq!(check_answer("GET /containers/json", 200, &list), Some(Vec::new()));
        assert_eq!(check_answer("GET /events", 404, &list), None);
    }

    #[test]
    fn wrong_documents_are_told() {
        let faults = check_definition("ContainerCreateResponse", &json!({"Id": 5, "Other": 1}));
        assert_eq!(
            faults,
            [
                "ContainerCreateResponse.Id: 5 is no string",
                "ContainerCreateResponse.Other: not in the specification",
                "ContainerCreateResponse: Warnings is missing",
            ]
        );
        let state = check_definition("ContainerState", &json!({"Status": "sleeping"}));
        assert!(state[0].contains("is none of"), "{state:?}");
    }

    #[test]
    fn samples_are_right_themselves() {
        for name in ["ContainerInspectResponse", "SystemInfo", "HostConfig", "ImageInspect"] {
            assert_eq!(check_definition(name, &sample(name)), [""; 0], "{name}");
        }
    }
}
