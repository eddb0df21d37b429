//! `--format` templates in Go's language with Docker's functions, over JSON data.
//!
//! The engine (gotmpl) knows no methods with arguments and sorts objects by key. Two things are
//! done here: `.Label "x"` is read as a call of a function found in the data, and `json` prints
//! from the original document, in its order.

use std::sync::Arc;

use gotmpl::parse::{CommandNode, Expr, ListNode, Node, PipeNode};
use gotmpl::{Template, Value};
use serde_json::Value as Json;

use super::json_text;
use crate::cli::error::CliError;

/// A parsed template.
pub struct Parsed {
    source: String,
    tree: ListNode,
    headers: bool,
}

/// Name of the template: a nameless one can't be looked up after parsing. Go's are nameless.
const BODY: &str = "body";

impl Parsed {
    /// Parses `source`, in which `\t` and `\n` may be typed as two characters.
    ///
    /// # Errors
    /// [`CliError::Template`] with the parser's complaint.
    pub fn new(source: &str) -> Result<Self, CliError> {
        Self::build(source, false)
    }

    /// The same template for a table's header line: functions leave the words as they are.
    ///
    /// # Errors
    /// As [`Parsed::new`].
    pub fn for_headers(source: &str) -> Result<Self, CliError> {
        Self::build(source, true)
    }

    fn build(source: &str, headers: bool) -> Result<Self, CliError> {
        let source = source.replace("\\t", "\t").replace("\\n", "\n");
        let wrong = |e: gotmpl::TemplateError| CliError::Template {
            message: format!("failed to parse template: {}", go_words(&e)),
        };
        let template =
            functions(Template::new(BODY), headers, &Json::Null).parse(&source).map_err(wrong)?;
        let mut tree = template
            .lookup(BODY)
            .cloned()
            .unwrap_or_else(|| ListNode { pos: gotmpl::parse::Pos::new(0, 1), nodes: Vec::new() });
        call_methods_in_list(&mut tree);
        Ok(Parsed { source, tree, headers })
    }

    /// Executes it on `value`; `document` is where `json` finds the original order of keys.
    ///
    /// # Errors
    /// [`CliError::Template`] if a field is missing or a function fails.
    pub fn render(
        &self,
        value: &Value,
        document: &Json,
        missing: gotmpl::MissingKey,
    ) -> Result<String, CliError> {
        functions(Template::new(BODY), self.headers, document)
            .missing_key(missing)
            .parse(&self.source)
            .map(|template| template.add_parse_tree(BODY, self.tree.clone()))
            .and_then(|template| template.execute_template_to_string(BODY, value))
            .map_err(|e| CliError::Template {
                message: format!("template parsing error: {}", go_words(&e)),
            })
    }

    /// Names of the fields of the top-level value that the template uses outside of blocks that
    /// change the dot.
    pub fn top_fields(&self) -> Vec<String> {
        let mut names = Vec::new();
        for node in &self.tree.nodes {
            if let Node::Action(action) = node {
                fields_of_pipe(&action.pipe, &mut names);
            }
        }
        names
    }
}

/// Fields of inspected objects that are lists or maps in Docker's types: `null` there is an empty
/// one, over which templates may range.
const LISTS: &[&str] = &[
    "Aliases",
    "Args",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Layers",
    "Links",
    "MaskedPaths",
    "Mounts",
    "OnBuild",
    "ReadonlyPaths",
    "RepoDigests",
    "RepoTags",
    "SecondaryIPAddresses",
    "SecondaryIPv6Addresses",
    "SecurityOpt",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];
const MAPS: &[&str] = &[
    "Annotations",
    "Containers",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Converts an inspected object into template data, `null` as Go's types would have it.
pub fn value_of_object(json: &Json) -> Value {
    match json {
        Json::Array(items) => Value::List(items.iter().map(value_of_object).collect()),
        Json::Object(map) => {
            let field = |(key, value): (&String, &Json)| {
                let value = match (value, key.as_str()) {
                    (Json::Null, key) if LISTS.contains(&key) => Value::List(Arc::from([])),
                    (Json::Null, key) if MAPS.contains(&key) => Value::Map(Arc::default()),
                    (value, _) => value_of_object(value),
                };
                (Arc::from(key.as_str()), value)
            };
            Value::Map(Arc::new(map.iter().map(field).collect()))
        }
        other => value_of(other),
    }
}

/// Converts JSON into template data.
pub fn value_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(u)) => Value::Uint(u),
            (None, None) => Value::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(s) => Value::String(Arc::from(s.as_str())),
        Json::Array(items) => Value::List(items.iter().map(value_of).collect()),
        Json::Object(map) => Value::Map(Arc::new(
            map.iter().map(|(k, v)| (Arc::from(k.as_str()), value_of(v))).collect(),
        )),
    }
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Nil | Value::Function(_) => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(n) => Json::from(*n),
        Value::Uint(n) => Json::from(*n),
        Value::Float(n) => Json::from(*n),
        Value::String(s) => Json::String(s.to_string()),
        Value::List(items) => Json::Array(items.iter().map(json_of).collect()),
        Value::Map(map) => map
            .iter()
            .filter(|(_, v)| !matches!(v, Value::Function(_)))
            .map(|(k, v)| (k.to_string(), json_of(v)))
            .collect(),
    }
}

/// The part of `document` that `value` was made from. Equal parts are interchangeable.
fn original<'a>(document: &'a Json, value: &Value) -> Option<&'a Json> {
    if same(document, value) {
        return Some(document);
    }
    match document {
        Json::Array(items) => items.iter().find_map(|item| original(item, value)),
        Json::Object(map) => map.values().find_map(|item| original(item, value)),
        _ => None,
    }
}

fn same(json: &Json, value: &Value) -> bool {
    match (json, value) {
        (Json::Null, Value::Nil) => true,
        (Json::Null, Value::List(items)) => items.is_empty(),
        (Json::Null, Value::Map(map)) => map.is_empty(),
        (Json::Bool(a), Value::Bool(b)) => a == b,
        (Json::String(a), Value::String(b)) => **a == **b,
        (Json::Number(a), Value::Int(b)) => a.as_i64() == Some(*b),
        (Json::Number(a), Value::Uint(b)) => a.as_u64() == Some(*b),
        (Json::Number(a), Value::Float(b)) => a.as_f64() == Some(*b),
        (Json::Array(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Value::Map(b)) => {
            a.len() == b.len() && b.iter().all(|(k, v)| a.get(&**k).is_some_and(|a| same(a, v)))
        }
        _ => false,
    }
}

type Function = fn(&[Value]) -> Result<Value, String>;

const FUNCTIONS: &[(&str, Function)] = &[
    ("split", |args| {
        let (text, by) = (text(args, 0)?, text(args, 1)?);
        Ok(Value::List(text.split(by.as_str()).map(string).collect()))
    }),
    ("join", |args| match args.first() {
        Some(Value::List(items)) => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            Ok(string(&items.join(&text(args, 1)?)))
        }
        Some(Value::Nil) | None => Ok(string("")),
        Some(_) => Err("join: not a list".to_owned()),
    }),
    ("title", |args| {
        let text = text(args, 0)?;
        let mut start = true;
        let titled = text.chars().map(|c| {
            let upper = start && c.is_alphanumeric();
            start = !c.is_alphanumeric();
            if upper { c.to_ascii_uppercase() } else { c }
        });
        Ok(string(&titled.collect::<String>()))
    }),
    ("lower", |args| Ok(string(&text(args, 0)?.to_lowercase()))),
    ("upper", |args| Ok(string(&text(args, 0)?.to_uppercase()))),
    ("pad", |args| {
        let text = text(args, 0)?;
        if text.is_empty() {
            return Ok(string(""));
        }
        let (before, after) = (number(args, 1)?, number(args, 2)?);
        Ok(string(&format!("{}{text}{}", " ".repeat(before), " ".repeat(after))))
    }),
    ("truncate", |args| {
        let length = number(args, 1)?;
        Ok(string(&text(args, 0)?.chars().take(length).collect::<String>()))
    }),
];

fn string(text: &str) -> Value {
    Value::String(Arc::from(text))
}

fn text(args: &[Value], index: usize) -> Result<String, String> {
    match args.get(index) {
        Some(Value::String(text)) => Ok(text.to_string()),
        Some(other) => {
            Err(format!("wrong type for value; expected string; got {}", other.type_name()))
        }
        None => Err(format!("wrong number of args: want at least {}", index + 1)),
    }
}

fn number(args: &[Value], index: usize) -> Result<usize, String> {
    let number = args.get(index).and_then(Value::as_int);
    number.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| "expected integer".to_owned())
}

fn functions(mut template: Template, headers: bool, document: &Json) -> Template {
    if headers {
        for (name, _) in FUNCTIONS.iter().chain(&[("json", JSON_OF_HEADER)]) {
            template = template.func(name, |args| Ok(args.first().cloned().unwrap_or(Value::Nil)));
        }
        return template;
    }
    for (name, function) in FUNCTIONS {
        template =
            template.func(name, move |args| function(args).map_err(gotmpl::TemplateError::Exec));
    }
    let document = document.clone();
    template.func("json", move |args| {
        let value = args.first().cloned().unwrap_or(Value::Nil);
        let made;
        let json = match &value {
            Value::Map(_) | Value::List(_) => match original(&document, &value) {
                Some(found) => found,
                None => {
                    made = json_of(&value);
                    &made
                }
            },
            _ => {
                made = json_of(&value);
                &made
            }
        };
        let text = json.to_string();
        // Docker's table rows encode themselves, with HTML escapes; documents come without.
        let is_row = document.is_null() && matches!(value, Value::Map(_));
        Ok(string(&if is_row { json_text::escape_html(&text) } else { text }))
    })
}

const JSON_OF_HEADER: Function = |args| Ok(args.first().cloned().unwrap_or(Value::Nil));

/// Engine errors in the shape of Go's.
fn go_words(error: &gotmpl::TemplateError) -> String {
    let text = error.to_string().replace("template: body:", "template: :");
    if text.starts_with("template:") { text } else { format!("template: :1: {text}") }
}

fn call_methods_in_list(list: &mut ListNode) {
    for node in &mut list.nodes {
        match node {
            Node::List(inner) => call_methods_in_list(inner),
            Node::Action(action) => call_methods(&mut action.pipe),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                call_methods(&mut branch.pipe);
                call_methods_in_list(&mut branch.body);
                if let Some(other) = &mut branch.else_body {
                    call_methods_in_list(other);
                }
            }
            Node::Define(define) => call_methods_in_list(&mut define.body),
            Node::Template(_) | Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }
}

/// `.Label "x"` becomes `call .Label "x"`.
fn call_methods(pipe: &mut PipeNode) {
    for command in &mut pipe.commands {
        let CommandNode { pos, args } = command;
        for arg in args.iter_mut() {
            if let Expr::Pipe(_, inner) = arg {
                call_methods(inner);
            }
        }
        if args.len() > 1 && matches!(args[0], Expr::Field(..) | Expr::Variable(..)) {
            args.insert(0, Expr::Identifier(*pos, "call".into()));
        }
    }
}

fn fields_of_pipe(pipe: &PipeNode, names: &mut Vec<String>) {
    for arg in pipe.commands.iter().flat_map(|command| &command.args) {
        match arg {
            Expr::Field(_, path) => names.extend(path.first().map(ToString::to_string)),
            Expr::Pipe(_, inner) => fields_of_pipe(inner, names),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gotmpl::MissingKey;

    fn render(template: &str, document: &str) -> String {
        let document: Json = serde_json::from_str(document).expect("test data");
        Parsed::new(template)
            .and_then(|t| t.render(&value_of(&document), &document, MissingKey::Invalid))
            .unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn json_keeps_the_documents_order() {
        let doc = r#"{"Z":1,"A":{"y":2,"b":[{"q":1,"c":2}]}}"#;
        assert_eq!(render("{{json .}}", doc), doc);
        assert_eq!(render("{{json .A}}", doc), r#"{"y":2,"b":[{"q":1,"c":2}]}"#);
        assert_eq!(render("{{range .A.b}}{{json .}}{{end}}", doc), r#"{"q":1,"c":2}"#);
    }

    #[test]
    fn dockers_functions() {
        let doc = r#"{"L":["a","b"],"S":"some text"}"#;
        assert_eq!(render(r#"{{join .L ","}}"#, doc), "a,b");
        assert_eq!(render(r#"{{index (split .S " ") 1}}"#, doc), "text");
        assert_eq!(
            render("{{title .S}} {{upper .S}} {{truncate .S 4}}|{{pad .S 1 2}}|", doc),
            "Some Text SOME TEXT some| some text  |"
        );
        assert_eq!(render(r"{{.S}}\t{{len .L}}", doc), "some text\t2");
    }

    #[test]
    fn methods_with_arguments_are_calls() {
        let label: gotmpl::ValueFunc = Arc::new(|args| Ok(string(&format!("<{}>", args[0]))));
        let row = Value::Map(Arc::new([(Arc::from("Label"), Value::Function(label))].into()));
        let template = Parsed::new(r#"{{.Label "x"}} {{if eq (.Label "y") "<y>"}}yes{{end}}"#);
        let text = template.and_then(|t| t.render(&row, &Json::Null, MissingKey::Error));
        assert_eq!(text.expect("valid"), "<x> yes");
    }

    #[test]
    fn errors_name_the_template() {
        assert!(render("{{.Foo", "{}").starts_with("failed to parse template: template: "));
    }
}
