//! Typed instructions: what each node means, with arguments checked but not yet expanded.
//!
//! Variables are expanded when the build reaches the instruction, since they depend on the stage's
//! environment. So every text here still holds its quotes and `$`.

mod flags;
mod mount;

pub use mount::{RunMount, RunMountKind, Sharing};

use crate::{
    error::{ParseError, ParseErrorKind, Span},
    heredoc::{self, Heredoc},
    syntax::{Arguments, Node},
};
use flags::Flags;

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
    /// Itself, on one line.
    pub text: String,
    /// The comment block right above.
    pub comments: Vec<String>,
}

/// What an instruction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Begins a stage.
    From(From),
    /// Declares build arguments: name and default.
    Arg(Vec<(String, Option<String>)>),
    /// Sets environment variables.
    Env(Vec<(String, String)>),
    /// Sets labels.
    Label(Vec<(String, String)>),
    /// Runs a command.
    Run(Run),
    /// Copies from the context, a stage or an image.
    Copy(Copy),
    /// Copies, fetches and unpacks.
    Add(Add),
    /// Default arguments.
    Cmd(Command),
    /// Prefix of the command line.
    Entrypoint(Command),
    /// The shell of shell-form commands.
    Shell(Vec<String>),
    /// Working directory.
    Workdir(String),
    /// User and group.
    User(String),
    /// Anonymous volumes.
    Volume(Vec<String>),
    /// Offered ports.
    Expose(Vec<String>),
    /// Signal that ends the container.
    StopSignal(String),
    /// Health check.
    Healthcheck(Healthcheck),
    /// An instruction for images built on this one.
    Onbuild(Onbuild),
    /// The author, deprecated.
    Maintainer(String),
}

/// `FROM image AS name`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// Image or stage.
    pub image: String,
    /// `--platform`
    pub platform: Option<String>,
    /// The stage's name, lower case.
    pub name: Option<String>,
    /// The name as written, for the linter.
    pub name_written: Option<String>,
}

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// For the stage's shell.
    Shell(String),
    /// Run as it is.
    Exec(Vec<String>),
}

/// `RUN`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What runs.
    pub command: Command,
    /// `--mount` values as written.
    pub mounts: Vec<String>,
    /// `--network`: default, none, host.
    pub network: Option<String>,
    /// `--security`: sandbox, insecure.
    pub security: Option<String>,
    /// `--device`
    pub devices: Vec<String>,
    /// Here-documents that the command reads.
    pub heredocs: Vec<Heredoc>,
}

/// One source of a `COPY` or `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path, pattern or URL.
    Path(String),
    /// A file with this content.
    Inline(Heredoc),
}

/// `COPY`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: String,
    /// `--from`: stage, image or named context.
    pub from: Option<String>,
    /// Options that `ADD` has too.
    pub options: CopyOptions,
    /// `--parents`
    pub parents: bool,
}

/// Options of both `COPY` and `ADD`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// `--chown`
    pub chown: Option<String>,
    /// `--chmod`
    pub chmod: Option<String>,
    /// `--link`
    pub link: bool,
    /// `--exclude`
    pub exclude: Vec<String>,
}

/// `ADD`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// What.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: String,
    /// Options that `COPY` has too.
    pub options: CopyOptions,
    /// `--checksum`
    pub checksum: Option<String>,
    /// `--keep-git-dir`
    pub keep_git_dir: bool,
    /// `--unpack`: `None` unpacks local archives and leaves remote ones.
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// Switched off.
    None,
    /// A command with its times as written (Go durations).
    Command {
        /// What runs in the container.
        command: Command,
        /// `--interval`
        interval: Option<String>,
        /// `--timeout`
        timeout: Option<String>,
        /// `--start-period`
        start_period: Option<String>,
        /// `--start-interval`
        start_interval: Option<String>,
        /// `--retries`
        retries: Option<u32>,
    },
}

/// `ONBUILD`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction's text, as it is stored in the image.
    pub text: String,
}

/// Gives a node its meaning.
pub fn read(node: &Node) -> Result<Instruction, ParseError> {
    let kind = kind(node)
        .map_err(|message| ParseError::at(node.span, ParseErrorKind::Instruction(message)))?;
    Ok(Instruction {
        kind,
        span: node.span,
        text: node.original.trim().to_owned(),
        comments: node.comments.clone(),
    })
}

fn kind(node: &Node) -> Result<Kind, String> {
    let keyword = node.instruction();
    let mut flags = Flags::read(&node.flags)?;
    let kind = match keyword.as_str() {
        "FROM" => Kind::From(from(node, &mut flags)?),
        "ARG" => Kind::Arg(args(node)?),
        "ENV" => Kind::Env(pairs(node, "ENV")?),
        "LABEL" => Kind::Label(pairs(node, "LABEL")?),
        "RUN" => Kind::Run(run(node, &mut flags)?),
        "COPY" => Kind::Copy(copy(node, &mut flags)?),
        "ADD" => Kind::Add(add(node, &mut flags)?),
        "CMD" => Kind::Cmd(command(&node.arguments).unwrap_or(Command::Exec(Vec::new()))),
        "ENTRYPOINT" => {
            Kind::Entrypoint(command(&node.arguments).unwrap_or(Command::Exec(Vec::new())))
        }
        "SHELL" => match &node.arguments {
            Arguments::Words { words, json: true } if !words.is_empty() => {
                Kind::Shell(words.clone())
            }
            _ => return Err("SHELL requires the arguments to be in JSON form".to_owned()),
        },
        "WORKDIR" => Kind::Workdir(one(node)?),
        "USER" => Kind::User(one(node)?),
        "STOPSIGNAL" => Kind::StopSignal(one(node)?),
        "MAINTAINER" => Kind::Maintainer(one(node)?),
        "VOLUME" => Kind::Volume(volume(node)?),
        "EXPOSE" => Kind::Expose(some_words(node)?),
        "HEALTHCHECK" => Kind::Healthcheck(healthcheck(node, &mut flags)?),
        "ONBUILD" => Kind::Onbuild(onbuild(node)?),
        other => return Err(format!("unknown instruction: {other}")),
    };
    flags.finish()?;
    Ok(kind)
}

fn from(node: &Node, flags: &mut Flags) -> Result<From, String> {
    let platform = flags.value("platform")?;
    let (image, name) = match words(node) {
        [image] => (image.clone(), None),
        [image, keyword, name] if keyword.eq_ignore_ascii_case("as") => (image.clone(), Some(name)),
        _ => return Err("FROM requires either one or three arguments".to_owned()),
    };
    if let Some(name) = name {
        let lower = name.to_ascii_lowercase();
        let valid = lower.starts_with(|c: char| c.is_ascii_lowercase())
            && lower.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !valid {
            return Err(format!(
                "invalid name for build stage: {name:?}, name can't start with a number or contain symbols"
            ));
        }
    }
    let lower = name.map(|name| name.to_ascii_lowercase());
    Ok(From { image, platform, name: lower, name_written: name.cloned() })
}

fn args(node: &Node) -> Result<Vec<(String, Option<String>)>, String> {
    let read = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err("ARG names can not be blank".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word.clone(), None)),
    };
    some_words(node)?.iter().map(read).collect()
}

fn pairs(node: &Node, what: &str) -> Result<Vec<(String, String)>, String> {
    match &node.arguments {
        Arguments::Pairs { pairs, .. } => match pairs.iter().find(|(name, _)| name.is_empty()) {
            Some(_) => Err(format!("{what} names can not be blank")),
            None => Ok(pairs.clone()),
        },
        _ => Err(at_least_one(what)),
    }
}

fn run(node: &Node, flags: &mut Flags) -> Result<Run, String> {
    let run = Run {
        command: command(&node.arguments).ok_or_else(|| at_least_one("RUN"))?,
        mounts: flags.values("mount"),
        network: flags.value("network")?,
        security: flags.value("security")?,
        devices: flags.values("device"),
        heredocs: node.heredocs.clone(),
    };
    let known = |value: &Option<String>, names: &[&str]| {
        value.as_ref().is_none_or(|v| names.contains(&v.as_str()) || v.contains('$'))
    };
    if !known(&run.network, &["default", "none", "host"]) {
        return Err(format!("invalid network mode {:?}", run.network.unwrap_or_default()));
    }
    if !known(&run.security, &["sandbox", "insecure"]) {
        return Err(format!("security {:?} is not valid", run.security.unwrap_or_default()));
    }
    Ok(run)
}

fn copy(node: &Node, flags: &mut Flags) -> Result<Copy, String> {
    let from = flags.value("from")?;
    let parents = flags.switch("parents")?.unwrap_or(false);
    let options = copy_options(flags)?;
    let (sources, destination) = sources(node, "COPY")?;
    Ok(Copy { sources, destination, from, options, parents })
}

fn add(node: &Node, flags: &mut Flags) -> Result<Add, String> {
    let checksum = flags.value("checksum")?;
    let keep_git_dir = flags.switch("keep-git-dir")?.unwrap_or(false);
    let unpack = flags.switch("unpack")?;
    let options = copy_options(flags)?;
    let (sources, destination) = sources(node, "ADD")?;
    Ok(Add { sources, destination, options, checksum, keep_git_dir, unpack })
}

fn copy_options(flags: &mut Flags) -> Result<CopyOptions, String> {
    Ok(CopyOptions {
        chown: flags.value("chown")?,
        chmod: flags.value("chmod")?,
        link: flags.switch("link")?.unwrap_or(false),
        exclude: flags.values("exclude"),
    })
}

fn sources(node: &Node, what: &str) -> Result<(Vec<Source>, String), String> {
    let [sources @ .., destination] = words(node) else {
        return Err(at_least_two(what));
    };
    if sources.is_empty() {
        return Err(at_least_two(what));
    }
    if node.heredocs.iter().any(|h| h.name == *destination) && destination.starts_with("<<") {
        return Err(format!("{what} cannot accept a heredoc as a destination"));
    }
    let mut heredocs = node.heredocs.iter();
    let read = |word: &String| match heredoc::of_word(word, '\\') {
        Ok(Some(_)) if !node.heredocs.is_empty() => match heredocs.next() {
            Some(heredoc) => Ok(Source::Inline(heredoc.clone())),
            None => Ok(Source::Path(word.clone())),
        },
        Ok(_) => Ok(Source::Path(word.clone())),
        Err(kind) => Err(kind.to_string()),
    };
    Ok((sources.iter().map(read).collect::<Result<_, _>>()?, destination.clone()))
}

fn volume(node: &Node) -> Result<Vec<String>, String> {
    let paths = some_words(node)?;
    if paths.iter().any(|path| path.trim().is_empty()) {
        return Err("VOLUME specified can not be an empty string".to_owned());
    }
    Ok(paths)
}

fn healthcheck(node: &Node, flags: &mut Flags) -> Result<Healthcheck, String> {
    let Arguments::Health { kind, command: arguments } = &node.arguments else {
        return Err(at_least_one("HEALTHCHECK"));
    };
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if **arguments != Arguments::None => {
            Err("HEALTHCHECK NONE takes no arguments".to_owned())
        }
        "NONE" => Ok(Healthcheck::None),
        "CMD" => Ok(Healthcheck::Command {
            command: command(arguments)
                .filter(|command| *command != Command::Exec(Vec::new()))
                .ok_or("Missing command after HEALTHCHECK CMD")?,
            interval: flags.value("interval")?,
            timeout: flags.value("timeout")?,
            start_period: flags.value("start-period")?,
            start_interval: flags.value("start-interval")?,
            retries: match flags.value("retries")? {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| {
                    format!("--retries must be a non-negative number, not {text:?}")
                })?),
            },
        }),
        other => Err(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)")),
    }
}

fn onbuild(node: &Node) -> Result<Onbuild, String> {
    let Arguments::Nested(inner) = &node.arguments else {
        return Err(at_least_one("ONBUILD"));
    };
    match inner.instruction().as_str() {
        "ONBUILD" => {
            return Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned());
        }
        name @ ("MAINTAINER" | "FROM") => {
            return Err(format!("{name} isn't allowed as an ONBUILD trigger"));
        }
        _ => {}
    }
    kind(inner)?;
    let text = node.original.trim();
    let trigger = text.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
    let mut text = trigger.to_owned();
    for heredoc in &inner.heredocs {
        text.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
    }
    Ok(Onbuild { text })
}

fn command(arguments: &Arguments) -> Option<Command> {
    match arguments {
        Arguments::Words { words, .. } => Some(Command::Exec(words.clone())),
        Arguments::Text(text) => Some(Command::Shell(text.clone())),
        _ => None,
    }
}

fn words(node: &Node) -> &[String] {
    match &node.arguments {
        Arguments::Words { words, .. } => words,
        _ => &[],
    }
}

fn some_words(node: &Node) -> Result<Vec<String>, String> {
    match words(node) {
        [] => Err(at_least_one(&node.instruction())),
        words => Ok(words.to_vec()),
    }
}

fn one(node: &Node) -> Result<String, String> {
    match &node.arguments {
        Arguments::Text(text) => Ok(text.clone()),
        _ => Err(format!("{} requires exactly one argument", node.instruction())),
    }
}

fn at_least_one(what: &str) -> String {
    format!("{what} requires at least one argument")
}

fn at_least_two(what: &str) -> String {
    format!(
        "{what} requires at least two arguments, but only one was provided. Destination could not be determined."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn first(text: &str) -> Result<Kind, String> {
        let file = parse(text).map_err(|error| error.to_string())?;
        read(&file.nodes[0]).map(|i| i.kind).map_err(|error| error.to_string())
    }

    #[test]
    fn copies_carry_their_options() {
        let Kind::Copy(copy) =
            first("COPY --from=a --chown=1:2 --link --exclude=*.x --exclude=y a b /c/").unwrap()
        else {
            panic!()
        };
        assert_eq!(copy.from.as_deref(), Some("a"));
        assert_eq!(copy.options.exclude, ["*.x", "y"]);
        assert!(copy.options.link);
        assert_eq!(copy.sources.len(), 2);
    }

    #[test]
    fn heredocs_are_files() {
        let Kind::Copy(copy) = first("COPY <<A <<\"B\" x /c/\none\nA\ntwo\nB\n").unwrap() else {
            panic!()
        };
        let Source::Inline(a) = &copy.sources[0] else { panic!() };
        let Source::Inline(b) = &copy.sources[1] else { panic!() };
        assert_eq!(
            (a.content.as_str(), a.expand, b.content.as_str(), b.expand),
            ("one\n", true, "two\n", false)
        );
        assert_eq!(copy.sources[2], Source::Path("x".into()));
    }

    #[test]
    fn faults_are_named() {
        for (text, part) in [
            ("COPY --frm=x a b", "unknown flag: --frm (did you mean from?)"),
            ("COPY a", "at least two arguments"),
            ("FROM a AS", "either one or three"),
            ("FROM a AS 1x", "invalid name for build stage"),
            ("SHELL sh", "JSON form"),
            ("HEALTHCHECK MAYBE x", "Unknown type"),
            ("ONBUILD FROM x", "isn't allowed"),
            ("RUN --network=moon x", "invalid network mode"),
            ("COPY --link=maybe a b", "expecting boolean value for flag link"),
            ("RUN", "at least one argument"),
        ] {
            let error = first(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
