//! Word expansion: quotes, escapes, `$name`, `${name…}` with every modifier that BuildKit has.
//!
//! Like a POSIX shell's, but variables expand once, there is no command substitution, and positional
//! and special parameters are always unset.

use std::{iter::Peekable, str::Chars};

/// Looks a variable up.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Whether quotes and escapes stay in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// Taken off, as for a value.
    Remove,
    /// Kept, as for text that a shell will read again.
    Keep,
}

/// Why a text can't be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExpandError {
    #[error("unexpected end of statement while looking for matching {0}")]
    Unterminated(&'static str),
    #[error("syntax error: missing '}}'")]
    MissingBrace,
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    #[error("invalid pattern ({0}) in substitution")]
    Pattern(String),
}

/// Expands `text` as one value.
pub fn word(text: &str, escape: char, lookup: &Lookup<'_>) -> Result<String, ExpandError> {
    Ok(Expander::new(text, escape, lookup, Quotes::Remove).until(None)?.text)
}

/// Expands `text` and splits the result at unquoted spaces.
pub fn words(
    text: &str,
    escape: char,
    lookup: &Lookup<'_>,
    quotes: Quotes,
) -> Result<Vec<String>, ExpandError> {
    Ok(Expander::new(text, escape, lookup, quotes).until(None)?.into_words())
}

/// Splits at unquoted spaces and changes nothing else: quotes, escapes and variables stay.
pub fn split_raw(text: &str, escape: char) -> Result<Vec<String>, ExpandError> {
    let mut expander = Expander::new(text, escape, &|_| None, Quotes::Keep);
    expander.leave_unset = true;
    expander.raw_escapes = true;
    Ok(expander.until(None)?.into_words())
}

/// Expands variables only; quotes and escapes stay as they are. Unset variables become empty.
pub fn variables(text: &str, escape: char, lookup: &Lookup<'_>) -> Result<String, ExpandError> {
    let mut expander = Expander::new(text, escape, lookup, Quotes::Keep);
    expander.raw_escapes = true;
    Ok(expander.until(None)?.text)
}

/// The names of the variables that `text` speaks of, in order, repeated ones too.
pub fn names(text: &str, escape: char) -> Vec<String> {
    let seen = std::cell::RefCell::new(Vec::new());
    let note = |name: &str| {
        seen.borrow_mut().push(name.to_owned());
        Some("x".to_owned())
    };
    // A text that can't be expanded is reported when it is expanded for good.
    let _ = word(text, escape, &note);
    seen.into_inner()
}

#[derive(Default)]
struct Expanded {
    text: String,
    words: Vec<String>,
    word: String,
}

impl Expanded {
    /// A character that may end a word.
    fn push(&mut self, c: char) {
        self.text.push(c);
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// Characters that never end a word.
    fn push_quoted(&mut self, text: &str) {
        self.text.push_str(text);
        self.word.push_str(text);
    }

    fn into_words(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Expander<'a> {
    chars: Peekable<Chars<'a>>,
    escape: char,
    lookup: &'a Lookup<'a>,
    quotes: Quotes,
    raw_escapes: bool,
    leave_unset: bool,
}

impl<'a> Expander<'a> {
    fn new(text: &'a str, escape: char, lookup: &'a Lookup<'a>, quotes: Quotes) -> Self {
        let chars = text.chars().peekable();
        Self { chars, escape, lookup, quotes, raw_escapes: false, leave_unset: false }
    }

    /// Expands up to `stop`, which is consumed, or to the end when there is none.
    fn until(&mut self, stop: Option<char>) -> Result<Expanded, ExpandError> {
        let mut out = Expanded::default();
        while let Some(&c) = self.chars.peek() {
            if Some(c) == stop {
                self.chars.next();
                return Ok(out);
            }
            match c {
                '\'' => {
                    let text = self.single_quoted()?;
                    out.push_quoted(&text);
                }
                '"' => {
                    let text = self.double_quoted()?;
                    out.push_quoted(&text);
                }
                '$' => self.dollar()?.chars().for_each(|c| out.push(c)),
                _ => {
                    self.chars.next();
                    if c != self.escape {
                        out.push(c);
                        continue;
                    }
                    if self.raw_escapes {
                        out.push_quoted(c.encode_utf8(&mut [0; 4]));
                    }
                    if let Some(next) = self.chars.next() {
                        out.push_quoted(next.encode_utf8(&mut [0; 4]));
                    }
                }
            }
        }
        match stop {
            Some(_) => Err(ExpandError::MissingBrace),
            None => Ok(out),
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let keep = self.quotes == Quotes::Keep;
        let mut text = String::new();
        text.extend(self.chars.next().filter(|_| keep));
        loop {
            match self.chars.next() {
                None => return Err(ExpandError::Unterminated("single-quote")),
                Some('\'') => {
                    text.extend(keep.then_some('\''));
                    return Ok(text);
                }
                Some(c) => text.push(c),
            }
        }
    }

    /// Inside double quotes only `"`, `$` and the escape character itself can be escaped.
    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let keep = self.quotes == Quotes::Keep;
        let mut text = String::new();
        text.extend(self.chars.next().filter(|_| keep));
        while let Some(&c) = self.chars.peek() {
            if c == '$' {
                text.push_str(&self.dollar()?);
                continue;
            }
            self.chars.next();
            if c == '"' {
                text.extend(keep.then_some('"'));
                return Ok(text);
            }
            if c != self.escape {
                text.push(c);
                continue;
            }
            match self.chars.peek().copied() {
                None => {}
                Some(next) if next == '"' || next == '$' || next == self.escape => {
                    text.extend(self.raw_escapes.then_some(c));
                    text.push(next);
                    self.chars.next();
                }
                Some(_) => text.push(c),
            }
        }
        Err(ExpandError::Unterminated("double-quote"))
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        Ok(match (self.lookup)(&name) {
            Some(value) => value,
            None if self.leave_unset => format!("${name}"),
            None => String::new(),
        })
    }

    /// `${name}`, `${name:-word}` and so on, after the opening brace.
    fn braced(&mut self) -> Result<String, ExpandError> {
        match self.chars.peek() {
            None => return Err(ExpandError::MissingBrace),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            Some(_) => {}
        }
        let name = self.name();
        let value = (self.lookup)(&name);
        match self.chars.next() {
            None => Err(ExpandError::MissingBrace),
            Some('}') => Ok(match value {
                Some(value) => value,
                None if self.leave_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some('/') => self.replacement(&name, value),
            Some(':') => {
                let modifier = self.chars.next().ok_or(ExpandError::MissingBrace)?;
                if !"-+?".contains(modifier) {
                    return Err(ExpandError::Modifier(format!(":{modifier}")));
                }
                let word = self.until(Some('}'))?.text;
                let set = value.filter(|value| !value.is_empty());
                self.choose(&name, modifier, ":", set, word, "is not allowed to be empty")
            }
            Some(modifier @ ('-' | '+' | '?')) => {
                let word = self.until(Some('}'))?.text;
                self.choose(&name, modifier, "", value, word, "is not allowed to be unset")
            }
            Some(modifier @ ('#' | '%')) => {
                let pattern = self.raw_until('}')?;
                match value {
                    None if self.leave_unset => Ok(format!("${{{name}{modifier}{pattern}}}")),
                    value => trim(&value.unwrap_or_default(), modifier, &pattern),
                }
            }
            Some(other) => Err(ExpandError::Modifier(other.to_string())),
        }
    }

    fn choose(
        &self,
        name: &str,
        modifier: char,
        colon: &str,
        set: Option<String>,
        word: String,
        complaint: &str,
    ) -> Result<String, ExpandError> {
        match (modifier, set) {
            (_, None) if self.leave_unset => Ok(format!("${{{name}{colon}{modifier}{word}}}")),
            ('-', Some(value)) | ('?', Some(value)) => Ok(value),
            ('-', None) => Ok(word),
            ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, None) => {
                let message = if word.is_empty() { complaint.to_owned() } else { word };
                Err(ExpandError::Required { name: name.to_owned(), message })
            }
            (other, Some(_)) => Err(ExpandError::Modifier(other.to_string())),
        }
    }

    fn replacement(&mut self, name: &str, value: Option<String>) -> Result<String, ExpandError> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let pattern = self.raw_until('/')?;
        let replacement = self.until(Some('}'))?.text;
        match value {
            None if self.leave_unset => {
                let slashes = if all { "//" } else { "/" };
                Ok(format!("${{{name}{slashes}{pattern}/{replacement}}}"))
            }
            value => replace(&value.unwrap_or_default(), &pattern, &replacement, all),
        }
    }

    fn raw_until(&mut self, stop: char) -> Result<String, ExpandError> {
        let before = std::mem::replace(&mut self.raw_escapes, true);
        let text = self.until(Some(stop)).map(|expanded| expanded.text);
        self.raw_escapes = before;
        text
    }

    /// A name, all of a number, or one special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(c) = self.chars.next_if(char::is_ascii_digit) {
                    name.push(c);
                }
            }
            Some(c) if "@*#?-$!".contains(*c) => name.extend(self.chars.next()),
            _ => {
                while let Some(c) = self.chars.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                    name.push(c);
                }
            }
        }
        name
    }
}

/// `${name#pattern}` and its three relatives.
fn trim(value: &str, modifier: char, pattern: &str) -> Result<String, ExpandError> {
    let (greedy, pattern) = match pattern.strip_prefix(modifier) {
        Some(rest) => (true, rest),
        None => (false, pattern),
    };
    let glob = Glob::new(pattern)?;
    let boundaries = || value.char_indices().map(|(at, _)| at).chain([value.len()]);
    let ascending = (modifier == '#') != greedy;
    let cuts: Vec<usize> =
        if ascending { boundaries().collect() } else { boundaries().rev().collect() };
    let hit = cuts
        .into_iter()
        .find(|&at| glob.matches(if modifier == '#' { &value[..at] } else { &value[at..] }));
    Ok(match (hit, modifier) {
        (None, _) => value.to_owned(),
        (Some(at), '#') => value[at..].to_owned(),
        (Some(at), _) => value[..at].to_owned(),
    })
}

/// Replaces the first or every longest match, leftmost first.
fn replace(value: &str, pattern: &str, with: &str, all: bool) -> Result<String, ExpandError> {
    let glob = Glob::new(pattern)?;
    let mut out = String::new();
    let mut at = 0;
    while at < value.len() {
        let ends = value[at..].char_indices().map(|(i, c)| at + i + c.len_utf8());
        match ends.rev().find(|&end| glob.matches(&value[at..end])) {
            Some(end) => {
                out.push_str(with);
                at = end;
                if !all {
                    break;
                }
            }
            None => {
                let c = value[at..].chars().next().unwrap_or_default();
                out.push(c);
                at += c.len_utf8();
            }
        }
    }
    out.push_str(&value[at..]);
    Ok(out)
}

/// A pattern of literal characters, `?` and `*`.
struct Glob(Vec<Piece>);

enum Piece {
    Literal(char),
    One,
    Any,
}

impl Glob {
    fn new(pattern: &str) -> Result<Self, ExpandError> {
        let mut pieces = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => match chars.next() {
                    Some(c) => Piece::Literal(c),
                    None => return Err(ExpandError::Pattern(pattern.to_owned())),
                },
                c => Piece::Literal(c),
            });
        }
        Ok(Self(pieces))
    }

    /// Matches the whole of `text`, in time proportional to text × pattern.
    fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let mut reach = vec![false; text.len() + 1];
        reach[0] = true;
        for piece in &self.0 {
            let mut next = vec![false; text.len() + 1];
            let mut open = false;
            for at in 0..=text.len() {
                open |= reach[at];
                match piece {
                    Piece::Any => next[at] = open,
                    Piece::One => next[at] = at > 0 && reach[at - 1],
                    Piece::Literal(c) => next[at] = at > 0 && reach[at - 1] && text[at - 1] == *c,
                }
            }
            reach = next;
        }
        reach[text.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_x(text: &str) -> String {
        let lookup = |name: &str| (name == "X").then(|| "foo.bar.baz".to_owned());
        word(text, '\\', &lookup).unwrap_or_else(|error| format!("error: {error}"))
    }

    #[test]
    fn patterns_trim_and_replace() {
        for (text, wanted) in [
            ("${X#*.}", "bar.baz"),
            ("${X##*.}", "baz"),
            ("${X%.*}", "foo.bar"),
            ("${X%%.*}", "foo"),
            ("${X/ba?/Q}", "foo.Q.baz"),
            ("${X//ba?/Q}", "foo.Q.Q"),
            ("${X//./-}", "foo-bar-baz"),
            ("${X:#a}", "error: unsupported modifier (:#) in substitution"),
            ("${Y?}", "error: Y: is not allowed to be unset"),
            ("${Y:?gone}", "error: Y: gone"),
        ] {
            assert_eq!(with_x(text), wanted, "{text}");
        }
    }

    #[test]
    fn raw_splitting_changes_nothing() {
        let split = split_raw(r#"a "b c" $d ${e:-f} g\ h"#, '\\').unwrap();
        assert_eq!(split, ["a", "\"b c\"", "$d", "${e:-f}", r"g\ h"]);
    }

    #[test]
    fn names_are_listed() {
        assert_eq!(names("$a-${b:-$c}", '\\'), ["a", "b", "c"]);
    }
}
