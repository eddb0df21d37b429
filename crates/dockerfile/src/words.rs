//! Splitting the arguments of an instruction into words, before any expansion.
//!
//! Quotes and escapes are kept in the words (expansion removes them), but spaces inside them don't
//! split.

/// The state of a scan over words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Between,
    Word,
    Quote(char),
}

/// Splits `KEY=value KEY="a b"` style arguments, keeping quotes and escapes.
pub fn split_keeping_quotes(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    let mut phase = Phase::Between;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match phase {
            Phase::Between if c.is_whitespace() => continue,
            Phase::Between | Phase::Word if c.is_whitespace() => {
                phase = Phase::Between;
                if quoted || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                quoted = false;
                continue;
            }
            Phase::Between | Phase::Word => {
                phase = Phase::Word;
                if c == '\'' || c == '"' {
                    quoted = true;
                    phase = Phase::Quote(c);
                }
                if c == escape {
                    // An escape at the very end says nothing.
                    let Some(next) = chars.next() else { continue };
                    word.push(c);
                    word.push(next);
                    continue;
                }
            }
            Phase::Quote(quote) => {
                if c == quote {
                    phase = Phase::Word;
                } else if c == escape && quote != '\'' {
                    let Some(next) = chars.next() else { continue };
                    word.push(c);
                    word.push(next);
                    continue;
                }
            }
        }
        word.push(c);
    }
    if quoted || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Takes the leading `--flag` words off; gives them without quotes, and the rest of the text.
pub fn take_flags(text: &str) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let (word, after) = unquoted_word(rest);
        rest = after;
        if word == "--" {
            return (flags, rest);
        }
        flags.push(word);
        rest = rest.trim_start();
    }
    (flags, rest)
}

/// The first word with quotes and backslashes resolved, and what follows it.
fn unquoted_word(text: &str) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, &text[at..]),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == '\\' => word.extend(chars.next().map(|(_, next)| next)),
            _ => word.push(c),
        }
    }
    (word, "")
}

/// A JSON array of strings; `Err` when it is an array with anything else in it; `None` when the text
/// is no JSON array at all.
pub fn json_strings(text: &str) -> Option<Result<Vec<String>, ()>> {
    let text = text.trim();
    if !text.starts_with('[') {
        return None;
    }
    let mut reader = Json { rest: text.char_indices().peekable() };
    reader.array()
}

/// A reader for the little JSON that instructions use, so that this crate needs no JSON library.
struct Json<'a> {
    rest: std::iter::Peekable<std::str::CharIndices<'a>>,
}

impl Json<'_> {
    fn space(&mut self) {
        while self.rest.next_if(|(_, c)| matches!(c, ' ' | '\t' | '\n' | '\r')).is_some() {}
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.space();
        self.rest.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn array(&mut self) -> Option<Result<Vec<String>, ()>> {
        let mut items = Vec::new();
        let mut strings_only = true;
        if !self.eat('[') {
            return None;
        }
        if !self.eat(']') {
            loop {
                self.space();
                match self.value()? {
                    Some(text) => items.push(text),
                    None => strings_only = false,
                }
                if self.eat(']') {
                    break;
                }
                if !self.eat(',') {
                    return None;
                }
            }
        }
        self.space();
        if self.rest.next().is_some() {
            return None;
        }
        Some(if strings_only { Ok(items) } else { Err(()) })
    }

    /// A string, or `None` inside for any other well-formed value.
    fn value(&mut self) -> Option<Option<String>> {
        match self.rest.peek()?.1 {
            '"' => self.string().map(Some),
            '[' => self.nested('[', ']'),
            '{' => self.nested('{', '}'),
            _ => self.literal(),
        }
    }

    fn nested(&mut self, open: char, close: char) -> Option<Option<String>> {
        let mut depth = 0u32;
        loop {
            match self.rest.peek()?.1 {
                '"' => {
                    self.string()?;
                    continue;
                }
                c if c == open => depth += 1,
                c if c == close => depth -= 1,
                _ => {}
            }
            self.rest.next();
            if depth == 0 {
                return Some(None);
            }
        }
    }

    fn literal(&mut self) -> Option<Option<String>> {
        let mut text = String::new();
        while let Some((_, c)) =
            self.rest.next_if(|(_, c)| c.is_ascii_alphanumeric() || "+-.".contains(*c))
        {
            text.push(c);
        }
        let known = matches!(text.as_str(), "true" | "false" | "null");
        (known || text.parse::<f64>().is_ok()).then_some(None)
    }

    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        self.rest.next();
        loop {
            match self.rest.next()?.1 {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                c if c < ' ' => return None,
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        Some(match self.rest.next()?.1 {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            c @ ('"' | '\\' | '/') => c,
            'u' => {
                let high = self.hex()?;
                if (0xd800..0xdc00).contains(&high) {
                    if self.rest.next()?.1 != '\\' || self.rest.next()?.1 != 'u' {
                        return None;
                    }
                    let low = self.hex()?.checked_sub(0xdc00)?;
                    char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?
                } else {
                    char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
                }
            }
            _ => return None,
        })
    }

    fn hex(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |value, _| Some(value * 16 + self.rest.next()?.1.to_digit(16)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(
            split_keeping_quotes(r#"a="b c" d\ e 'f g'"#, '\\'),
            [r#"a="b c""#, r"d\ e", "'f g'"]
        );
        assert_eq!(split_keeping_quotes(r#"x="" "#, '\\'), [r#"x="""#]);
    }

    #[test]
    fn flags_come_first() {
        let (flags, rest) = take_flags(r#"--from=a --chown="b c" -- x --y"#);
        assert_eq!(
            (flags.as_slice(), rest),
            (["--from=a".to_owned(), "--chown=b c".to_owned()].as_slice(), " x --y")
        );
        assert_eq!(take_flags("plain --no"), (vec![], "plain --no"));
    }

    #[test]
    fn only_arrays_of_strings_are_json() {
        assert_eq!(
            json_strings(r#" ["a", "b\"\u00e9\ud83d\ude00"] "#),
            Some(Ok(vec!["a".into(), "b\"é😀".into()]))
        );
        assert_eq!(json_strings("[]"), Some(Ok(vec![])));
        assert_eq!(json_strings(r#"["a", ["b"]]"#), Some(Err(())));
        assert_eq!(json_strings(r#"["a", 1]"#), Some(Err(())));
        assert_eq!(json_strings("['a']"), None);
        assert_eq!(json_strings(r#"["a" "#), None);
        assert_eq!(json_strings("sh -c x"), None);
    }
}
