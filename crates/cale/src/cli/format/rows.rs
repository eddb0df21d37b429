//! Lists of objects as tables, JSON lines or by template, in Docker's `--format` language.

use std::sync::Arc;

use gotmpl::{MissingKey, Value};
use serde_json::Value as Json;

use super::columns;
use super::template::{self, Parsed};
use crate::cli::error::CliError;

/// One object: its fields by the names that templates use.
#[derive(Default)]
pub struct Row {
    fields: Vec<(&'static str, Value)>,
}

impl Row {
    /// Adds a text field.
    pub fn text(mut self, name: &'static str, text: impl AsRef<str>) -> Self {
        self.fields.push((name, Value::String(Arc::from(text.as_ref()))));
        self
    }

    /// Adds a field of any JSON type.
    pub fn json(mut self, name: &'static str, json: &Json) -> Self {
        self.fields.push((name, template::value_of(json)));
        self
    }

    /// Adds `Labels` as text and `Label "key"` as a method.
    pub fn labels(self, labels: &[(String, String)]) -> Self {
        let joined: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let labels = labels.to_vec();
        self.text("Labels", joined.join(",")).method("Label", move |key| {
            labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone()).unwrap_or_default()
        })
    }

    /// Adds a method with one text argument.
    pub fn method(
        mut self,
        name: &'static str,
        f: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        self.fields.push((name, method(f)));
        self
    }

    fn value(&self) -> Value {
        Value::Map(Arc::new(self.fields.iter().map(|(k, v)| (Arc::from(*k), v.clone())).collect()))
    }
}

fn method(f: impl Fn(&str) -> String + Send + Sync + 'static) -> Value {
    Value::Function(Arc::new(move |args| match args.first() {
        Some(Value::String(key)) => Ok(Value::String(Arc::from(f(key).as_str()))),
        _ => Err(gotmpl::TemplateError::Exec("wrong type of argument: want string".to_owned())),
    }))
}

/// How a list is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table; the template gives its columns.
    Table(String),
    /// One JSON object a line.
    Json,
    /// One execution of the template a line.
    Lines(String),
}

impl Format {
    /// Reads `--format`; `default` is the template of the plain table, `quiet` the field that `-q`
    /// prints alone (if it was given).
    pub fn read(typed: &str, default: &str, quiet: Option<&str>) -> Format {
        match (typed, quiet) {
            ("" | "table", Some(field)) => Format::Lines(format!("{{{{.{field}}}}}")),
            ("" | "table", None) => Format::Table(default.to_owned()),
            ("json", _) => Format::Json,
            (typed, quiet) => match typed.strip_prefix("table") {
                Some(_) if quiet.is_some() => Format::read("", default, quiet),
                Some(columns) => Format::Table(columns.trim().to_owned()),
                None => Format::Lines(typed.to_owned()),
            },
        }
    }
}

/// Prints `rows`. `headers` maps field names to column titles.
///
/// # Errors
/// [`CliError::Template`] if the template is wrong or names an unknown field.
pub fn render(
    format: &Format,
    headers: &[(&'static str, &'static str)],
    rows: impl IntoIterator<Item = Row>,
) -> Result<String, CliError> {
    let source = match format {
        Format::Json => "{{json .}}",
        Format::Table(source) | Format::Lines(source) => source,
    };
    let parsed = Parsed::new(source)?;
    let known = |field: &str| field == "Label" || headers.iter().any(|(name, _)| *name == field);
    if let Some(field) = parsed.top_fields().iter().find(|field| !known(field)) {
        return Err(CliError::Template {
            message: format!(
                "failed to execute template: template: :1:2: executing \"\" at <.{field}>: can't evaluate field {field}"
            ),
        });
    }
    let mut text = String::new();
    if let Format::Table(source) = format {
        text.push_str(&header_line(source, headers)?);
        text.push('\n');
    }
    for row in rows {
        text.push_str(&parsed.render(&row.value(), &Json::Null, MissingKey::Error)?);
        text.push('\n');
    }
    Ok(if matches!(format, Format::Table(_)) { columns::align(&text) } else { text })
}

fn header_line(source: &str, headers: &[(&'static str, &'static str)]) -> Result<String, CliError> {
    let mut row = Row::default().method("Label", |key| {
        let last = key.rsplit('.').next().unwrap_or(key);
        last.replace(['-', '_'], " ")
    });
    for (field, title) in headers {
        row = row.text(field, title);
    }
    Parsed::for_headers(source)?.render(&row.value(), &Json::Null, MissingKey::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let labels = [("a.b-c".to_owned(), "1".to_owned())];
        vec![Row::default().text("Name", "web").labels(&labels)]
    }

    fn shown(typed: &str, quiet: Option<&str>) -> String {
        let format = Format::read(typed, "table {{.Name}}".trim_start_matches("table "), quiet);
        render(&format, &[("Name", "NAME"), ("Labels", "LABELS")], rows()).expect("valid")
    }

    #[test]
    fn the_forms_of_format() {
        assert_eq!(shown("", None), "NAME\nweb\n");
        assert_eq!(shown("", Some("Name")), "web\n");
        assert_eq!(shown("json", None), "{\"Labels\":\"a.b-c=1\",\"Name\":\"web\"}\n");
        assert_eq!(shown("{{.Name}}!", None), "web!\n");
        assert_eq!(
            shown(r#"table {{upper .Name}}\t{{.Label "a.b-c"}}"#, None),
            "NAME      b c\nWEB       1\n"
        );
    }

    #[test]
    fn unknown_fields_are_errors() {
        let format = Format::read("{{.Nope}}", "", None);
        assert!(render(&format, &[], rows()).is_err());
    }
}
