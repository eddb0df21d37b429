//! Flags as Go programs take them: `-name value`, `--name=value`, before the first word that isn't one.

use super::error::CliError;

/// One known flag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    name: &'static str,
    other: Option<&'static str>,
    takes_value: bool,
}

impl Flag {
    /// Takes a value.
    pub(crate) const fn value(name: &'static str) -> Flag {
        Flag { name, other: None, takes_value: true }
    }

    /// Is there or not.
    pub(crate) const fn switch(name: &'static str) -> Flag {
        Flag { name, other: None, takes_value: false }
    }

    /// Has a second name.
    pub(crate) const fn or(self, other: &'static str) -> Flag {
        Flag { other: Some(other), ..self }
    }

    fn is(&self, name: &str) -> bool {
        self.name == name || self.other == Some(name)
    }
}

/// What was given.
#[derive(Debug, Default)]
pub(crate) struct Flags(Vec<(&'static str, String)>);

impl Flags {
    /// The last value of a flag.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a flag.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "false")
    }

    /// A value as a number.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, CliError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = |_| CliError::usage(format!("--{name} {text:?} isn't a number"));
        text.parse().map(Some).map_err(wrong)
    }
}

/// Takes the flags off the front of `args`.
pub(crate) fn parse(known: &[Flag], args: &mut Vec<String>) -> Result<Flags, CliError> {
    let mut flags = Flags::default();
    let mut rest = std::mem::take(args).into_iter().peekable();
    while let Some(word) = rest.next_if(|word| word.len() > 1 && word.starts_with('-')) {
        if word == "--" {
            break;
        }
        let bare = word.trim_start_matches('-');
        let (name, inline) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (bare, None),
        };
        let unknown = || CliError::usage(format!("flag provided but not defined: -{name}"));
        let flag = known.iter().find(|flag| flag.is(name)).ok_or_else(unknown)?;
        let value = match (flag.takes_value, inline) {
            (_, Some(value)) => value,
            (false, None) => "true".to_owned(),
            (true, None) => rest
                .next()
                .ok_or_else(|| CliError::usage(format!("flag needs an argument: -{name}")))?,
        };
        flags.0.push((flag.name, value));
    }
    args.extend(rest);
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn flags_end_at_the_first_word() {
        let known = [Flag::value("bundle").or("b"), Flag::switch("detach").or("d")];
        let mut args = words("-b x --detach --bundle=y id -d");
        let flags = parse(&known, &mut args).expect("parses");
        assert_eq!(flags.get("bundle"), Some("y"));
        assert!(flags.has("detach"));
        assert_eq!(args, ["id", "-d"]);
        assert!(parse(&known, &mut words("--nope")).is_err());
        assert!(parse(&known, &mut words("-b")).is_err());
        let mut args = words("-- -b");
        assert!(!parse(&known, &mut args).expect("parses").has("bundle"));
        assert_eq!(args, ["-b"]);
    }
}
