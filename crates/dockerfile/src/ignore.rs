//! `.dockerignore` patterns with their exact semantics.
//!
//! Patterns are anchored at the context's root, `*` and `?` stay within a path component, `**`
//! crosses them, `!` takes back what an earlier line left out, and the last line that matches a path
//! or one of its parents decides. (moby/patternmatcher; Go's filepath.Match for the classes.)

/// A pattern file that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {pattern:?}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    kind: &'static str,
}

/// An ordered list of patterns.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

/// For one path: which patterns have matched it or a parent. Hand it on to the children, so that a
/// walk over a tree matches every component once.
#[derive(Clone, Debug, Default)]
pub struct Matched(Vec<bool>);

#[derive(Clone, Debug)]
struct Pattern {
    excluded: bool,
    pieces: Vec<Piece>,
    /// The leading components that hold no wildcard, to know whether a folder may hold a match.
    literal_prefix: Vec<String>,
    only_literal: bool,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `**/`: nothing, or anything up to a slash.
    Folders,
    /// `**` elsewhere: anything.
    Everything,
    /// `[a-z]`, `[^a]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Patterns {
    /// Reads a `.dockerignore` file: a pattern a line, `#` comments, blank lines passed over.
    pub fn from_file(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self::new(lines.map(str::trim).filter(|line| !line.is_empty()))
    }

    /// Reads patterns from a list, as `--exclude` gives them.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        let patterns = patterns.into_iter().map(Pattern::read).collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// True when nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether `path` (relative, slashes) is left out.
    pub fn ignores(&self, path: &str) -> bool {
        let mut matched = Matched::default();
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let mut ignored = false;
        for end in ends {
            (ignored, matched) = self.ignores_below(&path[..end], &matched);
        }
        ignored
    }

    /// Whether `path` is left out, given what its parent matched.
    pub fn ignores_below(&self, path: &str, parent: &Matched) -> (bool, Matched) {
        let text: Vec<char> = path.chars().collect();
        let mut ignored = false;
        let matched = self.patterns.iter().enumerate().map(|(i, pattern)| {
            let matched = parent.0.get(i).copied().unwrap_or(false) || pattern.matches(path, &text);
            if matched {
                ignored = !pattern.excluded;
            }
            matched
        });
        let matched = Matched(matched.collect());
        (ignored, matched)
    }

    /// Whether an ignored folder must be walked all the same, because a later `!` pattern may take
    /// something in it back.
    pub fn may_return_below(&self, folder: &str) -> bool {
        self.patterns.iter().filter(|pattern| pattern.excluded).any(|pattern| {
            let mut parts = folder.split('/');
            let prefix = pattern.literal_prefix.iter();
            prefix.zip(&mut parts).all(|(wanted, part)| wanted == part)
        })
    }
}

impl Pattern {
    fn read(written: &str) -> Result<Self, PatternError> {
        let fault = |kind| PatternError { pattern: written.to_owned(), kind };
        let (excluded, rest) = match written.strip_prefix('!') {
            Some("") => return Err(fault("illegal exclusion pattern")),
            Some(rest) => (true, rest.trim()),
            None => (false, written),
        };
        let clean = clean(rest);
        let pieces = pieces(&clean).ok_or_else(|| fault("syntax error in pattern"))?;
        let wild = |part: &&str| !part.contains(['*', '?', '[', '\\']);
        let literal_prefix: Vec<String> =
            clean.split('/').take_while(wild).map(str::to_owned).collect();
        let only_literal = clean.split('/').count() == literal_prefix.len();
        Ok(Self { excluded, pieces, literal_prefix, only_literal })
    }

    fn matches(&self, path: &str, text: &[char]) -> bool {
        if self.only_literal {
            return path.split('/').eq(self.literal_prefix.iter().map(String::as_str));
        }
        matches(&self.pieces, text)
    }
}

/// Removes `.`, doubled slashes, resolvable `..` and the leading slash.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if pattern.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn pieces(pattern: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                while chars.next_if_eq(&'*').is_some() {}
                match chars.next_if_eq(&'/') {
                    Some(_) => Piece::Folders,
                    None => Piece::Everything,
                }
            }
            '*' => Piece::Many,
            '?' => Piece::One,
            '[' => class(&mut chars)?,
            '\\' => Piece::Literal(chars.next()?),
            c => Piece::Literal(c),
        });
    }
    Some(pieces)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Piece> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next()? {
            ']' if !ranges.is_empty() => return Some(Piece::Class { negated, ranges }),
            ']' | '-' => return None,
            '\\' => chars.next()?,
            c => c,
        };
        let high = match chars.next_if_eq(&'-') {
            None => low,
            Some(_) => match chars.next()? {
                ']' | '-' => return None,
                '\\' => chars.next()?,
                c => c,
            },
        };
        ranges.push((low, high));
    }
}

/// Matches the whole of `text`, in time proportional to text × pattern.
fn matches(pieces: &[Piece], text: &[char]) -> bool {
    let mut reach = vec![false; text.len() + 1];
    reach[0] = true;
    for piece in pieces {
        let mut next = vec![false; text.len() + 1];
        let mut open = false;
        for at in 0..=text.len() {
            let before = at.checked_sub(1).map(|before| (reach[before], text[before]));
            next[at] = match piece {
                Piece::Everything => {
                    open |= reach[at];
                    open
                }
                Piece::Many => {
                    open = reach[at] || open && before.is_some_and(|(_, c)| c != '/');
                    open
                }
                Piece::Folders => {
                    let landed = open && before.is_some_and(|(_, c)| c == '/');
                    open |= reach[at];
                    reach[at] || landed
                }
                Piece::One => before.is_some_and(|(reached, c)| reached && c != '/'),
                Piece::Literal(wanted) => {
                    before.is_some_and(|(reached, c)| reached && c == *wanted)
                }
                Piece::Class { negated, ranges } => before.is_some_and(|(reached, c)| {
                    let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    reached && c != '/' && inside != *negated
                }),
            };
        }
        reach = next;
    }
    reach[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_documented() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["*/temp*"], "somedir/temporary.txt", true),
            (&["*/temp*"], "somedir/temp", true),
            (&["*/temp*"], "a/b/temp", false),
            (&["*/*/temp*"], "a/b/temporary.txt", true),
            (&["temp?"], "tempa", true),
            (&["temp?"], "temp", false),
            (&["**/*.go"], "a/b/c.go", true),
            (&["**/*.go"], "c.go", true),
            (&["**"], "anything/at/all", true),
            (&["dir"], "dir/below/file", true),
            (&["dir/"], "dir/file", true),
            (&["/dir"], "dir/file", true),
            (&["./dir/../other"], "other", true),
            (&["*.md", "!README.md"], "README.md", false),
            (&["*.md", "!README.md"], "x.md", true),
            (&["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true),
            (&["dir", "!dir/keep"], "dir/keep", false),
            (&["dir", "!dir/keep"], "dir/other", true),
            (&["a/**/b"], "a/b", true),
            (&["a/**/b"], "a/x/y/b", true),
            (&["a/**"], "a/x/y", true),
            (&["a/**"], "a", false),
            (&["[a-c]x"], "bx", true),
            (&["[^a-c]x"], "bx", false),
            (&["\\*"], "*", true),
            (&["\\*"], "a", false),
            (&["a.b"], "axb", false),
        ];
        for (patterns, path, ignored) in cases {
            let list = Patterns::new(patterns.iter().copied()).unwrap();
            assert_eq!(list.ignores(path), *ignored, "{patterns:?} {path}");
        }
    }

    #[test]
    fn broken_patterns_are_refused() {
        for bad in ["!", "[", "[]", "[a-", "a\\"] {
            assert!(Patterns::new([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn folders_with_exceptions_are_walked() {
        let list = Patterns::from_file("# c\n\nnode_modules\n!node_modules/keep/x\n").unwrap();
        assert!(list.may_return_below("node_modules"));
        assert!(!list.may_return_below("node_modules/other"));
        assert!(!list.may_return_below("src"));
    }
}
