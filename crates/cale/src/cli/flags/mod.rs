//! What a command is, as data: its flags, its arguments, its help. The parser (`parse`), the help
//! (`help`), the completions and the man pages all read these tables; nothing is built at start-up.
//!
//! It doesn't own the meaning of a value: commands turn text into requests.

pub mod help;
pub mod matches;
pub mod parse;
pub mod value;

use std::future::Future;
use std::pin::Pin;

use super::context::Cx;
use super::error::CliError;
use super::exit::Exit;
pub use matches::Matches;

/// How a flag's value is read, and the word that help prints for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No value needed; `--flag=false` is possible.
    Bool,
    /// Any text; the last one counts.
    Text,
    /// Signed integer.
    Int,
    /// Unsigned integer.
    Uint,
    /// 16-bit unsigned integer.
    Uint16,
    /// Size in bytes with an optional unit: `64m`, `1.5GiB`.
    Bytes,
    /// Like `Bytes`, but -1 means "no limit".
    SignedBytes,
    /// Go's duration text: `1m30s`.
    Duration,
    /// Number with at most nine decimals (processors).
    Decimal,
    /// May be repeated, each occurrence is one element.
    List,
    /// May be repeated, each occurrence is a comma-separated line of elements.
    Strings,
    /// `key=value`, may be repeated.
    Map,
    /// `key=value` filters, may be repeated.
    Filter,
    /// `name=soft[:hard]`, may be repeated.
    Ulimit,
    /// A line of `key=value` fields, may be repeated; the word is what help prints.
    Fields(&'static str),
}

impl Kind {
    /// The word for the value in help; empty when there is none.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Bool => "",
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Uint16 => "uint16",
            Kind::Bytes | Kind::SignedBytes => "bytes",
            Kind::Duration => "duration",
            Kind::Decimal => "decimal",
            Kind::List => "list",
            Kind::Strings => "strings",
            Kind::Map => "map",
            Kind::Filter => "filter",
            Kind::Ulimit => "ulimit",
            Kind::Fields(word) => word,
        }
    }

    /// Whether several occurrences add up instead of replacing each other.
    pub fn repeats(self) -> bool {
        matches!(
            self,
            Kind::List | Kind::Strings | Kind::Map | Kind::Filter | Kind::Ulimit | Kind::Fields(_)
        )
    }
}

/// One flag of one command.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Long name without dashes.
    pub long: &'static str,
    /// One-letter name.
    pub short: Option<char>,
    /// How its value is read.
    pub kind: Kind,
    /// Text of the value when the flag is not given.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Accepted, but not listed (old names, other platforms).
    pub hidden: bool,
    /// Another flag that this one is only another name for.
    pub alias_of: &'static str,
}

impl Flag {
    /// A flag with a value of `kind`.
    pub const fn new(long: &'static str, kind: Kind, help: &'static str) -> Self {
        Flag { long, short: None, kind, default: "", help, hidden: false, alias_of: "" }
    }

    /// A switch.
    pub const fn switch(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Bool, help)
    }

    /// A flag with a text value.
    pub const fn text(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Text, help)
    }

    /// A flag that may be repeated.
    pub const fn list(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::List, help)
    }

    /// Gives it a one-letter name.
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// Gives it a default value, in the form a user would type.
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// Leaves it out of help and completions.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Makes it a hidden second name of `long`.
    pub const fn alias(mut self, long: &'static str) -> Self {
        self.alias_of = long;
        self.hidden = true;
        self
    }
}

/// How many positional arguments a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// None.
    None,
    /// Exactly this many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
    /// Up to this many.
    AtMost(usize),
    /// Between the two, both included.
    Between(usize, usize),
    /// Any number.
    Any,
}

/// Future of a running command; commands run on one thread.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Exit, CliError>> + 'a>>;

/// One command.
pub struct Command {
    /// Lines of its doc comment; the first is the summary.
    pub about: &'static [&'static str],
    /// Arguments as help prints them, without the command's path.
    pub usage: &'static str,
    /// Its flags, in groups that commands may share.
    pub flags: &'static [&'static [Flag]],
    /// Positional arguments it accepts.
    pub arity: Arity,
    /// Whether flags may come after the first positional argument.
    pub interspersed: bool,
    /// Whether its failures exit with 125 and point to `--help` (run, create).
    pub launches: bool,
    /// What it does.
    pub run: for<'a> fn(&'a Cx, &'a Matches) -> Running<'a>,
}

impl Command {
    /// The start value of every table entry.
    pub const BASE: Command = Command {
        about: &[],
        usage: "",
        flags: &[],
        arity: Arity::None,
        interspersed: true,
        launches: false,
        run: |_, _| Box::pin(async { Ok(Exit::SUCCESS) }),
    };

    /// All flags of the command.
    pub fn all_flags(&self) -> impl Iterator<Item = &'static Flag> + use<> {
        self.flags.iter().flat_map(|group| group.iter())
    }

    /// First line of the doc comment, without the full stop.
    pub fn summary(&self) -> &'static str {
        self.about.first().map_or("", |line| line.trim().trim_end_matches('.'))
    }
}

/// A command's table entry; its doc comment is the help text.
macro_rules! command {
    ($(#[doc = $doc:literal])* $vis:vis static $name:ident = { $($field:ident : $value:expr),* $(,)? }) => {
        $(#[doc = $doc])*
        #[allow(clippy::needless_update, reason = "a command may happen to set every field")]
        $vis static $name: $crate::cli::flags::Command = $crate::cli::flags::Command {
            about: &[$($doc),*],
            $($field: $value,)*
            ..$crate::cli::flags::Command::BASE
        };
    };
}
pub(crate) use command;

/// A named place in the tree of commands.
pub struct Entry {
    /// The word that the user types.
    pub name: &'static str,
    /// Other words for the same.
    pub aliases: &'static [&'static str],
    /// What it leads to.
    pub node: Node,
    /// Not listed in help.
    pub hidden: bool,
}

/// What a word leads to.
#[derive(Clone, Copy)]
pub enum Node {
    /// A command to run.
    Command(&'static Command),
    /// More words.
    Group(&'static Group),
}

/// A group of commands (`container`, `image`, …).
pub struct Group {
    /// What the group is about.
    pub about: &'static str,
    /// Its members, sorted by name.
    pub entries: &'static [Entry],
}

impl Entry {
    /// A command under `name`.
    pub const fn command(name: &'static str, command: &'static Command) -> Self {
        Entry { name, aliases: &[], node: Node::Command(command), hidden: false }
    }

    /// A group under `name`.
    pub const fn group(name: &'static str, group: &'static Group) -> Self {
        Entry { name, aliases: &[], node: Node::Group(group), hidden: false }
    }

    /// Adds other words for the same.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Leaves it out of help.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Whether `word` means this entry.
    pub fn answers_to(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }

    /// One line about it.
    pub fn summary(&self) -> &'static str {
        match self.node {
            Node::Command(command) => command.summary(),
            Node::Group(group) => group.about,
        }
    }
}
