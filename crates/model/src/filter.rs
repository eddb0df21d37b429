//! The `filters` of list and prune requests: key → accepted values.

use indexmap::{IndexMap, IndexSet};

/// Filters as asked for; which keys are allowed is the receiving verb's business.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    entries: IndexMap<String, IndexSet<String>>,
}

/// A key that a verb doesn't know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid filter '{0}'")]
pub struct UnknownFilter(pub String);

impl Filters {
    /// Adds an accepted value.
    pub fn add(&mut self, key: &str, value: &str) {
        self.entries.entry(key.to_owned()).or_default().insert(value.to_owned());
    }

    /// The accepted values of `key`; empty when it isn't filtered.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.entries.get(key).into_iter().flatten().map(String::as_str)
    }

    /// Whether `key` is filtered at all.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// True when `key` isn't filtered, or `test` accepts one of its values.
    pub fn any(&self, key: &str, test: impl FnMut(&str) -> bool) -> bool {
        !self.has(key) || self.values(key).any(test)
    }

    /// No filters at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &IndexSet<String>)> {
        self.entries.iter().map(|(key, values)| (key.as_str(), values))
    }

    /// Refuses keys outside `known`.
    pub fn check_keys(&self, known: &[&str]) -> Result<(), UnknownFilter> {
        match self.entries.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(UnknownFilter(key.clone())),
            None => Ok(()),
        }
    }

    /// Whether `labels` satisfy every `key` or `key=value` of the filter `name` (all must hold).
    pub fn labels_match(&self, name: &str, labels: &IndexMap<String, String>) -> bool {
        self.values(name).all(|wanted| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|have| have == value),
            None => labels.contains_key(wanted),
        })
    }
}
