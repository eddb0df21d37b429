//! Parser directives: `# key=value` comments before anything else in the file.

use crate::error::{ParseError, ParseErrorKind, Span};

/// One directive with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Lower-case key.
    pub key: String,
    /// Value without surrounding space.
    pub value: String,
    /// Its line.
    pub line: u32,
}

/// The directives of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// In the order written.
    pub all: Vec<Directive>,
    /// The escape character, `\` or `` ` ``.
    pub escape: char,
}

impl Directives {
    /// The value of `key`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.all.iter().find(|d| d.key == key).map(|d| d.value.as_str())
    }
}

const KNOWN: [&str; 3] = ["escape", "syntax", "check"];

/// Reads the directives at the top of `text`. They end at the first line that isn't one: a blank
/// line, an ordinary comment or an instruction.
pub fn read(text: &str) -> Result<Directives, ParseError> {
    let mut directives = Directives { all: Vec::new(), escape: '\\' };
    for (line, number) in text.lines().zip(1u32..) {
        let Some((key, value)) = split(line) else { break };
        if !KNOWN.contains(&key.as_str()) {
            // BuildKit stops here too: an unknown key makes it an ordinary comment.
            break;
        }
        let fault = |kind| ParseError::at(Span { start: number, end: number }, kind);
        if directives.value(&key).is_some() {
            return Err(fault(ParseErrorKind::RepeatedDirective(key)));
        }
        if key == "escape" {
            directives.escape = match value.as_str() {
                "\\" => '\\',
                "`" => '`',
                other => return Err(fault(ParseErrorKind::EscapeDirective(other.to_owned()))),
            };
        }
        directives.all.push(Directive { key, value, line: number });
    }
    Ok(directives)
}

fn split(line: &str) -> Option<(String, String)> {
    let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
    let key = key.trim();
    let word = |b: u8| b.is_ascii_alphanumeric();
    (key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(word)
        && !value.trim().is_empty())
    .then(|| (key.to_ascii_lowercase(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_stand_first() {
        let found =
            read("# syntax=docker/dockerfile:1\n#Escape = `\n\n# check=skip=all\nFROM x").unwrap();
        assert_eq!(found.value("syntax"), Some("docker/dockerfile:1"));
        assert_eq!(found.escape, '`');
        assert_eq!(found.value("check"), None);
    }

    #[test]
    fn repeated_and_wrong_ones_are_refused() {
        assert!(read("# escape=\\\n# escape=`\n").is_err());
        assert!(read("# escape=x\n").is_err());
        assert!(read("# a comment = x\n# escape=x\n").is_ok());
    }
}
