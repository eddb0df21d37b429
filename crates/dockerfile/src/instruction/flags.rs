//! The `--flags` of an instruction, taken one by one so that what is left over is an error.

use std::collections::BTreeSet;

use crate::error::nearest;

/// Flags as written, and which names were asked for.
pub(super) struct Flags {
    written: Vec<(String, Option<String>)>,
    asked: BTreeSet<&'static str>,
}

impl Flags {
    pub(super) fn read(words: &[String]) -> Result<Self, String> {
        let split = |word: &String| {
            let text = word.trim_start_matches("--");
            match text.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (text.to_owned(), None),
            }
        };
        Ok(Self { written: words.iter().map(split).collect(), asked: BTreeSet::new() })
    }

    /// Every value of a flag that may be repeated.
    pub(super) fn values(&mut self, name: &'static str) -> Vec<String> {
        self.asked.insert(name);
        let (taken, left) =
            std::mem::take(&mut self.written).into_iter().partition(|(n, _)| n == name);
        self.written = left;
        let taken: Vec<(String, Option<String>)> = taken;
        taken.into_iter().map(|(_, value)| value.unwrap_or_default()).collect()
    }

    /// The value of a flag that may be given once.
    pub(super) fn value(&mut self, name: &'static str) -> Result<Option<String>, String> {
        let missing = self.written.iter().any(|(n, value)| n == name && value.is_none());
        let mut values = self.values(name);
        match values.len() {
            _ if missing => Err(format!("missing a value on flag: {name}")),
            0 | 1 => Ok(values.pop()),
            _ => Err(format!("duplicate flag specified: {name}")),
        }
    }

    /// A flag that is on when named.
    pub(super) fn switch(&mut self, name: &'static str) -> Result<Option<bool>, String> {
        let mut values = self.values(name);
        if values.len() > 1 {
            return Err(format!("duplicate flag specified: {name}"));
        }
        match values.pop().as_deref().map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("" | "true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(format!("expecting boolean value for flag {name}, not: {other}")),
        }
    }

    /// Refuses flags that nobody asked for.
    pub(super) fn finish(self) -> Result<(), String> {
        let Some((name, _)) = self.written.first() else { return Ok(()) };
        let hint = match nearest(name, self.asked.iter().copied()) {
            Some(near) => format!(" (did you mean {near}?)"),
            None => String::new(),
        };
        Err(format!("unknown flag: --{name}{hint}"))
    }
}
