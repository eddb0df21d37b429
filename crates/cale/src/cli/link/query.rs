//! Query strings and path segments of requests.

use serde_json::{Map, Value as Json};

/// Parameters of a request.
#[derive(Clone, Debug, Default)]
pub struct Query {
    text: String,
}

impl Query {
    /// No parameters.
    pub fn new() -> Self {
        Query::default()
    }

    /// Adds a parameter.
    pub fn set(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.text.push(if self.text.is_empty() { '?' } else { '&' });
        encode(&mut self.text, name);
        self.text.push('=');
        encode(&mut self.text, value.as_ref());
        self
    }

    /// Adds a parameter unless its value is empty.
    pub fn set_some(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.set(name, value) }
    }

    /// Adds `name=1` if `on`.
    pub fn flag(self, name: &str, on: bool) -> Self {
        if on { self.set(name, "1") } else { self }
    }

    /// Adds `filters` in the engine's form: `{"name": {"value": true}}`.
    pub fn filters(self, filters: &[(String, String)]) -> Self {
        if filters.is_empty() { self } else { self.set("filters", filters_json(filters)) }
    }

    /// The path with these parameters behind it.
    pub fn on(&self, path: &str) -> String {
        format!("{path}{}", self.text)
    }
}

/// Filters in the engine's form.
pub fn filters_json(filters: &[(String, String)]) -> String {
    let mut map: Map<String, Json> = Map::new();
    for (name, value) in filters {
        // Names are caseless, as users type them.
        let values =
            map.entry(name.trim().to_lowercase()).or_insert_with(|| Json::Object(Map::new()));
        if let Some(values) = values.as_object_mut() {
            values.insert(value.trim().to_owned(), Json::Bool(true));
        }
    }
    Json::Object(map).to_string()
}

/// One path segment, escaped: a name typed by a user must not change the path. Slashes stay,
/// because image names have them.
pub fn segment(name: &str) -> String {
    let mut text = String::new();
    for (index, part) in name.split('/').enumerate() {
        if index > 0 {
            text.push('/');
        }
        // A dot segment would be resolved away on the other side.
        match part {
            "." => text.push_str("%2E"),
            ".." => text.push_str("%2E%2E"),
            part => encode(&mut text, part),
        }
    }
    text
}

fn encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_escaped() {
        let query = Query::new().set("a", "x y&z").flag("b", true).flag("c", false);
        assert_eq!(query.on("/p"), "/p?a=x%20y%26z&b=1");
    }

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(segment("a?b#c"), "a%3Fb%23c");
        assert_eq!(segment("../x"), "%2E%2E/x");
        assert_eq!(segment("reg:5000/a/b:t"), "reg%3A5000/a/b%3At");
    }

    #[test]
    fn filters_group_by_name() {
        let filters = [("label".into(), "a=b".into()), ("Label".into(), "c".into())];
        assert_eq!(filters_json(&filters), r#"{"label":{"a=b":true,"c":true}}"#);
    }
}
