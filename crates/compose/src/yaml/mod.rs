//! YAML as a tree that still knows where each value stands.
//!
//! Compose needs the tree before any type: interpolation, merging of files, `!reset` and `!override`
//! all work on it. Scalars get the types of YAML 1.2's core schema with the leading-zero octals of 1.1,
//! as Go's library reads them.

mod read;
mod scalar;

pub use read::read;

/// Where a value stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index into the list of files that were read.
    pub file: u16,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// `!reset` or `!override`.
    pub mark: Option<Mark>,
    /// Where it is.
    pub place: Place,
}

/// Compose's own tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Take away what earlier files said.
    Reset,
    /// Replace instead of merging.
    Override,
}

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// A mapping in the order written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    entries: Vec<(Key, Node)>,
}

/// A mapping's key with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The text; other scalars are keys by their text, as in Go.
    pub text: String,
    /// Where it is.
    pub place: Place,
}

impl Node {
    /// A node that stands nowhere in a file.
    pub fn made(value: Value, place: Place) -> Self {
        Self { value, mark: None, place }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub fn map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub fn map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// What it is, in the words of error messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "number",
            Value::Text(_) => "string",
            Value::List(_) => "array",
            Value::Map(_) => "object",
        }
    }

    /// A scalar as text, as Go prints it; `None` for null, lists and mappings.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(scalar::float_text(*value)),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }
}

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|(found, _)| found.text == key).map(|(_, node)| node)
    }

    /// The value of a key.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries.iter_mut().find(|(found, _)| found.text == key).map(|(_, node)| node)
    }

    /// Sets a key, keeping its position when it is there.
    pub fn insert(&mut self, key: Key, node: Node) {
        match self.get_mut(&key.text) {
            Some(old) => *old = node,
            None => self.entries.push((key, node)),
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        let at = self.entries.iter().position(|(found, _)| found.text == key)?;
        Some(self.entries.remove(at).1)
    }

    /// Keys and values, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Key, &Node)> {
        self.entries.iter().map(|(key, node)| (key, node))
    }

    /// Keys and values, in order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Node)> {
        self.entries.iter_mut().map(|(key, node)| (&*key, node))
    }

    /// Keeps what `test` wants.
    pub fn retain(&mut self, mut test: impl FnMut(&Key, &Node) -> bool) {
        self.entries.retain(|(key, node)| test(key, node));
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl IntoIterator for Map {
    type Item = (Key, Node);
    type IntoIter = std::vec::IntoIter<(Key, Node)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl FromIterator<(Key, Node)> for Map {
    fn from_iter<I: IntoIterator<Item = (Key, Node)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}
