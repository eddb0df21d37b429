//! Options as given: from the command line and from the file, not yet understood.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::options::{self, Opt, Shape};

/// Texts by option name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    texts: BTreeMap<&'static str, Vec<String>>,
}

/// A command line or file that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// No such flag.
    #[error("unknown flag: --{0}")]
    UnknownFlag(String),
    /// No such short flag.
    #[error("unknown shorthand flag: '{letter}' in {word}")]
    UnknownLetter {
        /// The letter.
        letter: char,
        /// The word it stands in.
        word: String,
    },
    /// The value is missing.
    #[error("flag needs an argument: --{0}")]
    NeedsValue(&'static str),
    /// A word that is no flag.
    #[error("the daemon takes no arguments: {0:?}")]
    Positional(String),
    /// The value has the wrong form.
    #[error("invalid argument {text:?} for \"--{flag}\" flag: {why}")]
    Value {
        /// Flag or key.
        flag: &'static str,
        /// What was given.
        text: String,
        /// Why.
        why: &'static str,
    },
    /// The file can't be read or parsed.
    #[error("unable to configure the Docker daemon with file {file}: {why}")]
    File {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
}

impl Values {
    /// Whether the option was given.
    pub fn has(&self, name: &str) -> bool {
        self.texts.contains_key(name)
    }

    /// Every text given.
    pub fn all(&self, name: &str) -> &[String] {
        self.texts.get(name).map_or(&[], Vec::as_slice)
    }

    /// The last text given; empty texts count as not given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str).filter(|text| !text.is_empty())
    }

    /// A boolean; `default` when not given.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.all(name).last().map_or(default, |text| text == "true")
    }

    fn add(&mut self, opt: &'static Opt, text: &str) -> Result<(), GivenError> {
        let text = check(opt, text)?;
        let texts = self.texts.entry(opt.name()).or_default();
        match opt.shape {
            Shape::Bool | Shape::Text | Shape::Integer => *texts = vec![text],
            Shape::List
            | Shape::Map
            | Shape::Runtimes
            | Shape::Ulimits
            | Shape::Pools
            | Shape::Free => texts.push(text),
        }
        Ok(())
    }

    /// Reads a command line as pflag does.
    pub fn from_words(words: &[String]) -> Result<Self, GivenError> {
        let mut values = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--") {
                let (name, given) = match long.split_once('=') {
                    Some((name, text)) => (name, Some(text)),
                    None => (long, None),
                };
                let opt = options::by_flag(name)
                    .ok_or_else(|| GivenError::UnknownFlag(name.to_owned()))?;
                match given {
                    Some(text) => values.add(opt, text)?,
                    None if opt.shape == Shape::Bool => values.add(opt, "true")?,
                    None => {
                        let text = words.next().ok_or(GivenError::NeedsValue(opt.flag))?;
                        values.add(opt, text)?;
                    }
                }
            } else if let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                values.add_letters(word, letters, &mut words)?;
            } else {
                return Err(GivenError::Positional(word.clone()));
            }
        }
        Ok(values)
    }

    fn add_letters<'w>(
        &mut self,
        word: &str,
        letters: &str,
        words: &mut impl Iterator<Item = &'w String>,
    ) -> Result<(), GivenError> {
        let mut rest = letters;
        while let Some(letter) = rest.chars().next() {
            rest = &rest[letter.len_utf8()..];
            let opt = options::by_letter(letter)
                .ok_or_else(|| GivenError::UnknownLetter { letter, word: word.to_owned() })?;
            if opt.shape == Shape::Bool && !rest.starts_with('=') {
                self.add(opt, "true")?;
                continue;
            }
            // `-Hunix://x`, `-H=unix://x`, `-H unix://x`
            let text = rest.strip_prefix('=').unwrap_or(rest);
            if text.is_empty() {
                let text = words.next().ok_or(GivenError::NeedsValue(opt.flag))?;
                return self.add(opt, text);
            }
            return self.add(opt, text);
        }
        Ok(())
    }

    /// Reads the configuration file's text.
    pub fn from_file(file: &Path, text: &str) -> Result<Self, GivenError> {
        let fail = |why: String| GivenError::File { file: file.display().to_string(), why };
        // dockerd takes an empty file, and one with a byte order mark not.
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let document: Value = serde_json::from_str(text).map_err(|e| fail(e.to_string()))?;
        let Value::Object(entries) = document else {
            return Err(fail("the file must hold one JSON object".to_owned()));
        };
        let unknown: Vec<&str> = entries
            .keys()
            .filter(|key| options::by_key(key).is_none())
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            return Err(fail(format!(
                "the following directives don't match any configuration option: {}",
                unknown.join(", ")
            )));
        }
        let mut values = Self::default();
        for (key, value) in &entries {
            let Some(opt) = options::by_key(key) else { continue };
            let texts = texts_of(opt.shape, value)
                .ok_or_else(|| fail(format!("wrong type for {key}: {value}")))?;
            for text in texts {
                values.add(opt, &text)?;
            }
        }
        Ok(values)
    }

    /// Puts the file's values under the flags; the same option in both is an error.
    pub fn merge(self, file: &Path, from_file: Self) -> Result<Self, GivenError> {
        let mut conflicts = Vec::new();
        let mut merged = self;
        for (name, texts) in from_file.texts {
            match merged.texts.get(name) {
                Some(flag) => conflicts.push(format!(
                    "{name}: (from flag: {}, from file: {})",
                    flag.join(","),
                    texts.join(",")
                )),
                None => {
                    merged.texts.insert(name, texts);
                }
            }
        }
        if conflicts.is_empty() {
            return Ok(merged);
        }
        Err(GivenError::File {
            file: file.display().to_string(),
            why: format!(
                "the following directives are specified both as a flag and in the configuration \
                 file: {}",
                conflicts.join(", ")
            ),
        })
    }
}

fn check(opt: &'static Opt, text: &str) -> Result<String, GivenError> {
    let fail = |why| GivenError::Value { flag: opt.name(), text: text.to_owned(), why };
    match opt.shape {
        Shape::Bool => match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok("true".to_owned()),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok("false".to_owned()),
            _ => Err(fail("invalid syntax")),
        },
        Shape::Integer if text.parse::<i64>().is_err() => Err(fail("invalid syntax")),
        Shape::Map | Shape::Runtimes | Shape::Ulimits if !text.contains('=') => {
            Err(fail("must be KEY=VALUE"))
        }
        _ => Ok(text.to_owned()),
    }
}

/// A value of the file in the flags' form; `None`: it has the wrong type.
fn texts_of(shape: Shape, value: &Value) -> Option<Vec<String>> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match (shape, value) {
        (_, Value::Null) => Some(Vec::new()),
        (Shape::Bool, Value::Bool(on)) => Some(vec![on.to_string()]),
        (Shape::Text, Value::String(_) | Value::Number(_)) => Some(vec![scalar(value)?]),
        (Shape::Integer, Value::Number(number)) => Some(vec![number.to_string()]),
        (Shape::List, Value::Array(list)) => {
            list.iter().map(|value| value.as_str().map(str::to_owned)).collect()
        }
        // `"dns": "1.1.1.1"` is taken by dockerd too.
        (Shape::List, Value::String(text)) => Some(vec![text.clone()]),
        (Shape::Map, Value::Object(map)) => map
            .iter()
            .map(|(key, value)| scalar(value).map(|value| format!("{key}={value}")))
            .collect(),
        (Shape::Runtimes, Value::Object(map)) => map
            .iter()
            .map(|(name, runtime)| {
                let path = runtime.get("path").or_else(|| runtime.get("runtimeType"))?.as_str()?;
                let args = runtime.get("runtimeArgs").and_then(Value::as_array);
                let words: Option<Vec<&str>> =
                    args.into_iter().flatten().map(Value::as_str).collect();
                Some(format!("{name}={}", [vec![path], words?].concat().join("\u{1f}")))
            })
            .collect(),
        (Shape::Ulimits, Value::Object(map)) => map
            .iter()
            .map(|(name, limit)| {
                let number = |key: &str| limit.get(key).and_then(Value::as_i64);
                let soft = number("Soft").or_else(|| number("Hard"))?;
                Some(format!("{name}={soft}:{}", number("Hard").unwrap_or(soft)))
            })
            .collect(),
        (Shape::Pools, Value::Array(pools)) => pools
            .iter()
            .map(|pool| {
                let base = pool.get("base")?.as_str()?;
                Some(format!("base={base},size={}", pool.get("size")?.as_i64()?))
            })
            .collect(),
        (Shape::Free, value) => Some(vec![value.to_string()]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Values, GivenError> {
        Values::from_words(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    fn file(text: &str) -> Result<Values, String> {
        Values::from_file(Path::new("/d.json"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn flags_read_as_in_pflag() {
        let values =
            words("-H unix:///a -H=tcp://b -Hfd:// --debug --icc=false -Dl warn --mtu=1400")
                .unwrap();
        assert_eq!(values.all("host"), ["unix:///a", "tcp://b", "fd://"]);
        assert!(values.flag("debug", false) && !values.flag("icc", true));
        assert_eq!(values.text("log-level"), Some("warn"));
        assert_eq!(values.text("mtu"), Some("1400"));
        for bad in ["--nope", "-z", "--mtu x", "--mtu", "word", "--debug=maybe", "--log-opt x"] {
            assert!(words(bad).is_err(), "{bad}");
        }
        assert_eq!(words("--nope").unwrap_err().to_string(), "unknown flag: --nope");
    }

    #[test]
    fn files_have_the_same_values() {
        let values = file(
            r#"{"debug":true,"hosts":["unix:///a"],"log-opts":{"max-size":"1m"},"mtu":1400,
            "runtimes":{"x":{"path":"/x","runtimeArgs":["--a"]}},
            "default-ulimits":{"nofile":{"Name":"nofile","Hard":20,"Soft":10}},
            "default-address-pools":[{"base":"10.0.0.0/8","size":24}],"features":{"buildkit":true}}"#,
        )
        .unwrap();
        assert!(values.flag("debug", false));
        assert_eq!(values.all("log-opt"), ["max-size=1m"]);
        assert_eq!(values.all("add-runtime"), ["x=/x\u{1f}--a"]);
        assert_eq!(values.all("default-ulimit"), ["nofile=10:20"]);
        assert_eq!(values.all("default-address-pool"), ["base=10.0.0.0/8,size=24"]);
        assert_eq!(values.all("feature"), ["buildkit=true"]);
        assert_eq!(file(" ").unwrap(), Values::default());
    }

    #[test]
    fn unknown_and_doubled_keys_are_errors_in_dockerds_words() {
        assert_eq!(
            file(r#"{"foo":1,"debug":true}"#).unwrap_err(),
            "unable to configure the Docker daemon with file /d.json: the following directives \
             don't match any configuration option: foo"
        );
        assert!(file(r#"{"debug":"yes"}"#).unwrap_err().contains("wrong type for debug"));
        assert!(file("[]").is_err() && file("{").is_err());
        let merged = words("--debug").unwrap().merge(
            Path::new("/d.json"),
            Values::from_file(Path::new("/d.json"), r#"{"debug":false,"mtu":1}"#).unwrap(),
        );
        assert_eq!(
            merged.unwrap_err().to_string(),
            "unable to configure the Docker daemon with file /d.json: the following directives are \
             specified both as a flag and in the configuration file: debug: (from flag: true, from \
             file: false)"
        );
    }
}
