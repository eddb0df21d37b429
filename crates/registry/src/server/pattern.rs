//! Patterns over names: `*` is anything but a slash, `**` is anything. Pure.

use serde::Deserialize;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Pattern(Box<str>);

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Pattern {
    /// A pattern; every text is one.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether all of `text` fits. Takes time in proportion to the product of the lengths.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.as_bytes();
        // reached[i]: the pattern so far can end before text[i].
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        let mut rest = self.0.as_bytes();
        while let Some((&first, after)) = rest.split_first() {
            let any = first == b'*' && after.first() == Some(&b'*');
            rest = if any { &after[1..] } else { after };
            if first == b'*' {
                for at in 0..text.len() {
                    let passes = any || text[at] != b'/';
                    reached[at + 1] |= reached[at] && passes;
                }
            } else {
                for at in (0..text.len()).rev() {
                    reached[at + 1] = reached[at] && text[at] == first;
                }
                reached[0] = false;
            }
        }
        reached[text.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_slashes_or_not() {
        for (pattern, text, fits) in [
            ("**", "a/b", true),
            ("*", "a/b", false),
            ("*", "a", true),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("a/**", "ab", false),
            ("*-rc*", "1.0-rc2", true),
            ("a", "a", true),
            ("a", "aa", false),
            ("", "", true),
            ("", "a", false),
            ("**b", "aab", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), fits, "{pattern} {text}");
        }
    }
}
