//! What was typed, after parsing: the values of a command's flags and its arguments.

use super::{Command, Flag, Kind, value};

/// Values by flag, and positional arguments. Values were checked by the parser, so that the typed
/// getters can't fail.
#[derive(Debug)]
pub struct Matches {
    values: Vec<(&'static Flag, Vec<String>)>,
    flags: Vec<&'static Flag>,
    args: Vec<String>,
}

impl Matches {
    /// Nothing typed yet for `command`.
    pub fn new(command: &Command) -> Self {
        Self::for_flags(command.all_flags().collect())
    }

    /// Nothing typed yet for this set of flags.
    pub fn for_flags(flags: Vec<&'static Flag>) -> Self {
        Matches { values: Vec::new(), flags, args: Vec::new() }
    }

    pub(super) fn push(&mut self, flag: &'static Flag, value: String) {
        let flag = if flag.alias_of.is_empty() { flag } else { self.find(flag.alias_of) };
        match self.values.iter_mut().find(|(known, _)| known.long == flag.long) {
            Some((_, values)) if flag.kind.repeats() => values.push(value),
            Some((_, values)) => *values = vec![value],
            None => self.values.push((flag, vec![value])),
        }
    }

    pub(super) fn push_arg(&mut self, arg: String) {
        self.args.push(arg);
    }

    fn find(&self, long: &str) -> &'static Flag {
        self.flags
            .iter()
            .find(|flag| flag.long == long)
            .expect("a command asks only for flags of its own table")
    }

    fn values(&self, long: &str) -> &[String] {
        debug_assert!(self.find(long).long == long);
        self.values.iter().find(|(flag, _)| flag.long == long).map_or(&[], |(_, values)| values)
    }

    /// Whether the flag was typed at all.
    pub fn given(&self, long: &str) -> bool {
        !self.values(long).is_empty()
    }

    /// Value of a switch.
    pub fn on(&self, long: &str) -> bool {
        let typed = self.values(long).last().map_or(self.find(long).default, String::as_str);
        value::boolean(typed).unwrap_or(false)
    }

    /// Value of a text flag, typed or default; empty if neither.
    pub fn text(&self, long: &str) -> &str {
        self.values(long).last().map_or(self.find(long).default, String::as_str)
    }

    /// Value of a text flag, if typed.
    pub fn typed(&self, long: &str) -> Option<&str> {
        self.values(long).last().map(String::as_str)
    }

    /// Elements of a repeated flag, in the order typed.
    pub fn list(&self, long: &str) -> Vec<String> {
        let split = self.find(long).kind == Kind::Strings;
        let values = self.values(long).iter();
        if split { values.flat_map(|v| value::csv(v)).collect() } else { values.cloned().collect() }
    }

    /// `key=value` elements of a repeated flag; a missing `=` gives an empty value.
    pub fn map(&self, long: &str) -> Vec<(String, String)> {
        self.values(long)
            .iter()
            .map(|v| v.split_once('=').unwrap_or((v, "")))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    /// Value of an integer flag, typed or default; zero if neither.
    pub fn int(&self, long: &str) -> i64 {
        value::integer(self.text(long)).unwrap_or(0)
    }

    /// Value of a size flag in bytes; zero if not typed.
    pub fn bytes(&self, long: &str) -> i64 {
        match self.text(long) {
            "-1" => -1,
            text => crate::cli::format::units::parse_bytes(text).unwrap_or(0),
        }
    }

    /// Value of a duration flag in nanoseconds; zero if not typed.
    pub fn duration_ns(&self, long: &str) -> i64 {
        crate::cli::format::units::parse_duration_ns(self.text(long)).unwrap_or(0)
    }

    /// Positional arguments.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The positional argument at `index`, if typed.
    pub fn arg(&self, index: usize) -> Option<&str> {
        self.args.get(index).map(String::as_str)
    }
}
