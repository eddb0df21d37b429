//! Where and why a Dockerfile can't be read.

use std::fmt;

/// Lines of a Dockerfile, counted from 1, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First line.
    pub start: u32,
    /// Last line.
    pub end: u32,
}

/// A refusal with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// Where; `None` when it concerns the whole file.
    pub span: Option<Span>,
    /// Why.
    pub kind: ParseErrorKind,
    /// What might have been meant.
    pub hint: Option<String>,
}

/// Why a Dockerfile is refused. The texts are those that people search the web for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ParseErrorKind {
    #[error("file with no instructions")]
    Empty,
    #[error("unknown instruction: {0}")]
    UnknownInstruction(String),
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStringArray,
    #[error("{0} must have two arguments")]
    TwoArguments(&'static str),
    #[error("Syntax error - can't find = in {0:?}. Must be of the form: name=value")]
    NoEquals(String),
    #[error("unterminated heredoc")]
    UnterminatedHeredoc,
    #[error("invalid heredoc word: {0}")]
    HeredocWord(String),
    #[error("only one {0} parser directive can be used")]
    RepeatedDirective(String),
    #[error("invalid ESCAPE '{0}'. Must be ` or \\")]
    EscapeDirective(String),
    #[error("dockerfile line greater than maximum allowed size of {0}")]
    LineTooLong(usize),
    #[error("{0}")]
    Instruction(String),
}

impl ParseError {
    /// An error about `span`.
    pub fn at(span: Span, kind: ParseErrorKind) -> Self {
        Self { span: Some(span), kind, hint: None }
    }

    /// The message with line numbers, the lines themselves and the hint:
    ///
    /// ```text
    /// Dockerfile:3
    /// --------------------
    ///    1 |     FROM busybox
    ///    3 | >>> RNU true
    /// --------------------
    /// unknown instruction: RNU (did you mean RUN?)
    /// ```
    pub fn with_excerpt(&self, file_name: &str, text: &str) -> String {
        const CONTEXT_LINES: u32 = 2;
        let mut shown = String::new();
        if let Some(span) = self.span {
            shown.push_str(&format!("{file_name}:{}\n--------------------\n", span.start));
            let first = span.start.saturating_sub(CONTEXT_LINES).max(1);
            let last = span.end.saturating_add(CONTEXT_LINES);
            for (line, number) in text.lines().zip(1u32..) {
                if number >= first && number <= last {
                    let inside = (span.start..=span.end).contains(&number);
                    let mark = if inside { ">>>" } else { "   " };
                    shown.push_str(&format!("{number:4} | {mark} {line}\n"));
                }
            }
            shown.push_str("--------------------\n");
        }
        shown.push_str(&self.kind.to_string());
        if let Some(hint) = &self.hint {
            shown.push_str(&format!(" ({hint})"));
        }
        shown
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end {
            write!(f, "line {}", self.start)
        } else {
            write!(f, "lines {}-{}", self.start, self.end)
        }
    }
}

/// The word of `known` that `typed` most likely meant, if one is near.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    known
        .into_iter()
        .map(|word| (distance(&typed, &word.to_ascii_lowercase()), word))
        .filter(|(distance, word)| {
            *distance <= (word.len() / 3).max(1) + usize::from(word.len() > 2)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edits in bytes from one word to the other; two neighbours that changed places are one edit.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let known = ["RUN", "FROM", "ENTRYPOINT"];
        assert_eq!(nearest("RNU", known), Some("RUN"));
        assert_eq!(nearest("RNU", ["ENV", "RUN"]), Some("RUN"));
        assert_eq!(nearest("entripoint", known), Some("ENTRYPOINT"));
        assert_eq!(nearest("SOMETHING", known), None);
    }
}
