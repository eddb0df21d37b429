//! The command line's grammar, the one of Go's pflag that Docker's users type: `-it`, `-eX`,
//! `-e=X`, `--flag=false`, `--`, flags before or after arguments unless the command says otherwise.

use super::{Arity, Command, Flag, Kind, Matches, value};

/// Why a command line was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A flag is unknown, lacks its value, or its value is wrong.
    Flag(String),
    /// Too many or too few arguments.
    Arity(String),
    /// Not a refusal: the user asks for help.
    Help,
}

/// Parses `words` for `command`, which the user called by `path` of the program `program`.
///
/// # Errors
/// A [`Refusal`]: the text has no usage lines yet, the caller adds them.
pub fn parse(
    command: &'static Command,
    program: &str,
    path: &str,
    words: &[String],
) -> Result<Matches, Refusal> {
    let mut matches = Matches::new(command);
    let flags: Vec<&'static Flag> = command.all_flags().collect();
    let rest = flags_into(&mut matches, &flags, words, command.interspersed)?;
    for word in rest {
        matches.push_arg(word);
    }
    check_arity(command.arity, matches.args().len(), &format!("{program} {path}"))
        .map_err(Refusal::Arity)?;
    Ok(matches)
}

/// Reads flags from `words` into `matches` and returns the positional words. With `interspersed`
/// off, everything from the first positional word on is positional.
pub fn flags_into(
    matches: &mut Matches,
    flags: &[&'static Flag],
    words: &[String],
    interspersed: bool,
) -> Result<Vec<String>, Refusal> {
    let mut positional = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            positional.extend(words.cloned());
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            long_flag(matches, flags, long, &mut words)?;
        } else if word.len() > 1 && word.starts_with('-') {
            short_flags(matches, flags, word, &mut words)?;
        } else if interspersed {
            positional.push(word.clone());
        } else {
            positional.push(word.clone());
            positional.extend(words.cloned());
            break;
        }
    }
    Ok(positional)
}

type Words<'a> = std::slice::Iter<'a, String>;

fn long_flag(
    matches: &mut Matches,
    flags: &[&'static Flag],
    text: &str,
    words: &mut Words<'_>,
) -> Result<(), Refusal> {
    let (name, inline) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    if name.is_empty() || name.starts_with('-') {
        return Err(Refusal::Flag(format!("bad flag syntax: --{text}")));
    }
    let Some(flag) = flags.iter().find(|flag| flag.long == name) else {
        return Err(match name {
            "help" => Refusal::Help,
            _ => Refusal::Flag(format!("unknown flag: --{name}")),
        });
    };
    let value = match inline {
        Some(value) => value.to_owned(),
        None if flag.kind == Kind::Bool => "true".to_owned(),
        None => match words.next() {
            Some(next) => next.clone(),
            None => return Err(Refusal::Flag(format!("flag needs an argument: --{name}"))),
        },
    };
    accept(matches, flag, value)
}

fn short_flags(
    matches: &mut Matches,
    flags: &[&'static Flag],
    word: &str,
    words: &mut Words<'_>,
) -> Result<(), Refusal> {
    let mut rest = &word[1..];
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let Some(flag) = flags.iter().find(|flag| flag.short == Some(letter)) else {
            return Err(match letter {
                'h' => Refusal::Help,
                _ => Refusal::Flag(format!("unknown shorthand flag: '{letter}' in {word}")),
            });
        };
        // `-e=X` and `-eX` are the same; a switch takes a value only after `=`.
        if let Some(value) = rest.strip_prefix('=') {
            return accept(matches, flag, value.to_owned());
        }
        if flag.kind == Kind::Bool {
            accept(matches, flag, "true".to_owned())?;
            continue;
        }
        if !rest.is_empty() {
            return accept(matches, flag, rest.to_owned());
        }
        return match words.next() {
            Some(next) => accept(matches, flag, next.clone()),
            None => Err(Refusal::Flag(format!("flag needs an argument: '{letter}' in {word}"))),
        };
    }
    Ok(())
}

fn accept(matches: &mut Matches, flag: &'static Flag, value: String) -> Result<(), Refusal> {
    if let Err(reason) = value::check(flag.kind, &value) {
        return Err(Refusal::Flag(invalid(flag, &value, &reason)));
    }
    matches.push(flag, value);
    Ok(())
}

/// The sentence for a value that a flag can't take.
pub fn invalid(flag: &Flag, value: &str, reason: &str) -> String {
    let name = match flag.short {
        Some(short) => format!("-{short}, --{}", flag.long),
        None => format!("--{}", flag.long),
    };
    format!("invalid argument {value:?} for \"{name}\" flag: {reason}")
}

fn check_arity(arity: Arity, count: usize, called: &str) -> Result<(), String> {
    let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
    match arity {
        Arity::None if count > 0 => Err(format!("'{called}' accepts no arguments")),
        Arity::Exactly(n) if count != n => Err(format!("'{called}' requires {n} {}", plural(n))),
        Arity::AtLeast(n) if count < n => {
            Err(format!("'{called}' requires at least {n} {}", plural(n)))
        }
        Arity::AtMost(n) if count > n => {
            Err(format!("'{called}' requires at most {n} {}", plural(n)))
        }
        Arity::Between(low, high) if count < low || count > high => {
            Err(format!("'{called}' requires at least {low} and at most {high} {}", plural(high)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FLAGS: &[Flag] = &[
        Flag::switch("interactive", "").short('i'),
        Flag::switch("tty", "").short('t'),
        Flag::switch("rm", ""),
        Flag::list("env", "").short('e'),
        Flag::text("name", "").default("none"),
        Flag::new("memory", Kind::Bytes, "").short('m'),
        Flag::text("net", "").alias("network"),
        Flag::text("network", ""),
    ];
    static RUN: Command =
        Command { flags: &[FLAGS], arity: Arity::AtLeast(1), interspersed: false, ..Command::BASE };
    static RM: Command = Command { flags: &[FLAGS], arity: Arity::AtLeast(1), ..Command::BASE };

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn run(line: &str) -> Result<Matches, Refusal> {
        parse(&RUN, "cale", "run", &words(line))
    }

    #[test]
    fn bundles_and_inline_values() {
        let m = run("-it -eA=1 -e=B=2 -e C=3 --rm=false --name=x img -e not --rm").expect("valid");
        assert!(m.on("interactive") && m.on("tty") && !m.on("rm"));
        assert_eq!(m.list("env"), ["A=1", "B=2", "C=3"]);
        assert_eq!(m.text("name"), "x");
        assert_eq!(m.args(), ["img", "-e", "not", "--rm"]);
    }

    #[test]
    fn flags_may_follow_arguments_unless_the_command_forbids() {
        let m = parse(&RM, "cale", "rm", &words("a -i b -- -t")).expect("valid");
        assert!(m.on("interactive") && !m.on("tty"));
        assert_eq!(m.args(), ["a", "b", "-t"]);
    }

    #[test]
    fn aliases_set_the_real_flag() {
        assert_eq!(run("--net host x").expect("valid").text("network"), "host");
    }

    #[test]
    fn defaults_apply() {
        let m = run("x").expect("valid");
        assert_eq!(m.text("name"), "none");
        assert!(!m.given("name"));
    }

    #[test]
    fn refusals_have_dockers_words() {
        let text = |line| match run(line) {
            Err(Refusal::Flag(text) | Refusal::Arity(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(text("--foo x"), "unknown flag: --foo");
        assert_eq!(text("-zq x"), "unknown shorthand flag: 'z' in -zq");
        assert_eq!(text("--name"), "flag needs an argument: --name");
        assert_eq!(text("-m"), "flag needs an argument: 'm' in -m");
        assert_eq!(text(""), "'cale run' requires at least 1 argument");
        assert_eq!(
            text("-m foo x"),
            "invalid argument \"foo\" for \"-m, --memory\" flag: invalid size: 'foo'"
        );
        assert!(matches!(run("--help"), Err(Refusal::Help)));
    }
}
