//! The `filters` query parameter.

use model::filter::Filters;
use serde_json::Value;

use super::{Refusal, Result};

/// Reads `{"key":["value"]}` and, as clients before 1.22 wrote it, `{"key":{"value":true}}`.
/// An empty text is no filter.
pub fn parse_filters(text: &str) -> Result<Filters> {
    let invalid = || Refusal::new("invalid filter");
    let mut filters = Filters::default();
    if text.is_empty() {
        return Ok(filters);
    }
    let Value::Object(entries) = serde_json::from_str(text).map_err(|_| invalid())? else {
        return Err(invalid());
    };
    for (key, values) in entries {
        match values {
            Value::Array(values) => {
                for value in values {
                    filters.add(&key, value.as_str().ok_or_else(invalid)?);
                }
            }
            Value::Object(values) => {
                for (value, on) in values {
                    if on.as_bool().ok_or_else(invalid)? {
                        filters.add(&key, &value);
                    }
                }
            }
            _ => return Err(invalid()),
        }
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for text in [r#"{"label":["a=b","c"]}"#, r#"{"label":{"a=b":true,"c":true,"d":false}}"#] {
            let filters = parse_filters(text).unwrap();
            assert_eq!(filters.values("label").collect::<Vec<_>>(), ["a=b", "c"]);
        }
        assert!(parse_filters("").unwrap().is_empty());
        assert!(parse_filters("{}").unwrap().is_empty());
        for bad in ["x", "[]", r#"{"a":1}"#, r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#] {
            assert_eq!(parse_filters(bad).unwrap_err().message, "invalid filter");
        }
    }
}
