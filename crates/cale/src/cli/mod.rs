//! The client: `cale COMMAND`, a drop-in for the `docker` command.
//!
//! A command line goes through `tree` (which command), `flags::parse` (what was typed), a file of
//! `commands/` (what it means), `link` (the engine's HTTP API) and `format` (what is shown).
//!
//! **Invariant**: nothing here uses `engine`; everything goes through the API, so that every
//! command works on a remote engine too.

mod archive;
mod commands;
mod config;
mod container;
mod context;
mod env_vars;
mod error;
mod exit;
pub mod flags;
mod format;
mod host;
mod link;
mod progress;
mod session;
mod tree;
mod upload;

use context::Cx;
use error::CliError;
use exit::Exit;
use flags::parse::{self, Refusal};
use flags::{Command, Entry, Flag, Group, Matches, Node, help};
use host::Choice;
pub use link::start::DETACHED;

/// How we introduce ourselves to engines; some look for Docker's client by this name.
pub const USER_AGENT: &str =
    concat!("Docker-Client/28.5.0 cale/", env!("CARGO_PKG_VERSION"), " (linux)");
/// Version of the `docker` command that we stand in for.
pub const DOCKER_VERSION: &str = "28.5.0";
/// Our own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Flags in front of the command.
pub static GLOBAL: &[Flag] = &[
    Flag::text("config", "Directory of the client's configuration (default \"~/.docker\")"),
    Flag::text("context", "Name of the context to use; goes before DOCKER_HOST").short('c'),
    Flag::switch("debug", "Say more about what happens").short('D'),
    Flag::list("host", "Address of the engine: unix://, tcp://, ssh://").short('H'),
    Flag::text("log-level", "How much to say: debug, info, warn, error, fatal")
        .short('l')
        .default("info"),
    Flag::switch("tls", "Use TLS; --tlsverify implies it"),
    Flag::text("tlscacert", "Trust only certificates signed by this authority's"),
    Flag::text("tlscert", "Certificate to show to the engine"),
    Flag::text("tlskey", "Key of that certificate"),
    Flag::switch("tlsverify", "Use TLS and check the engine's certificate"),
    Flag::switch("version", "Print the version and quit").short('v'),
];

/// Runs the client; gives its exit code.
pub fn main(program: &str, words: &[String]) -> u8 {
    run(program, words).0
}

/// The command that was asked for, and how.
struct Call<'a> {
    command: &'static Command,
    path: String,
    words: &'a [String],
}

fn run(program: &str, words: &[String]) -> Exit {
    let mut globals = Matches::for_flags(GLOBAL.iter().collect());
    let flags: Vec<&'static Flag> = GLOBAL.iter().collect();
    let rest = match parse::flags_into(&mut globals, &flags, words, false) {
        Ok(rest) => rest,
        Err(Refusal::Help) => return say(&tree::top_help(program)),
        Err(Refusal::Flag(message) | Refusal::Arity(message)) => {
            eprintln!(
                "{message}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' for more information"
            );
            return Exit::ENGINE_FAILED;
        }
    };
    if globals.on("version") {
        return say(&version_line(program));
    }
    let cx = Cx::new(program, globals.text("config"), choice(&globals));
    let rest = aliased(&cx, rest);
    if rest.is_empty() {
        return say(&tree::top_help(program));
    }
    match find(program, tree::TOP, &rest) {
        Ok(Found::Help(text)) => say(&text),
        Ok(Found::Call(call)) => perform(&cx, &call),
        Err(text) => {
            eprintln!("{text}");
            Exit::FAILURE
        }
    }
}

fn choice(globals: &Matches) -> Choice {
    let file = |name: &str| globals.text(name).to_owned();
    Choice {
        host: globals.list("host").pop().unwrap_or_default(),
        context: globals.text("context").to_owned(),
        tls: globals.on("tls") || globals.on("tlsverify"),
        verify: globals.on("tlsverify"),
        files: [file("tlscacert"), file("tlscert"), file("tlskey")],
    }
}

fn version_line(program: &str) -> String {
    match program {
        "docker" => format!("Docker version {DOCKER_VERSION}, build cale-{VERSION}\n"),
        _ => format!("cale version {VERSION}\n"),
    }
}

fn say(text: &str) -> Exit {
    use std::io::Write;
    // A reader that went away is no failure of ours.
    drop(std::io::stdout().write_all(text.as_bytes()));
    Exit::SUCCESS
}

/// Replaces the first word if `config.json` has an alias for it.
fn aliased(cx: &Cx, words: Vec<String>) -> Vec<String> {
    let Some(first) = words.first() else { return words };
    if tree::TOP.iter().any(|entry| entry.answers_to(first)) {
        return words;
    }
    let alias = cx
        .config()
        .ok()
        .and_then(|config| config.object("aliases"))
        .and_then(|aliases| aliases.get(first))
        .and_then(|alias| alias.as_str());
    match alias {
        Some(alias) => {
            let meant = alias.split_whitespace().map(str::to_owned);
            meant.chain(words.iter().skip(1).cloned()).collect()
        }
        None => words,
    }
}

enum Found<'a> {
    Help(String),
    Call(Call<'a>),
}

fn find<'a>(
    program: &str,
    entries: &'static [Entry],
    words: &'a [String],
) -> Result<Found<'a>, String> {
    let mut entries = entries;
    let mut path = String::new();
    let mut group: Option<&'static Group> = None;
    for (index, word) in words.iter().enumerate() {
        if let Some(group) = group {
            if matches!(word.as_str(), "--help" | "-h" | "help") {
                return Ok(Found::Help(help::of_group(program, &path, group)));
            }
            if word.starts_with('-') {
                return Err(format!(
                    "unknown flag: {word}\n\nUsage:  {program} {path} COMMAND\n\nRun '{program} {path} --help' for more information"
                ));
            }
        }
        let Some(entry) = entries.iter().find(|entry| entry.answers_to(word)) else {
            return Err(unknown(program, &path, word));
        };
        if !path.is_empty() {
            path.push(' ');
        }
        path.push_str(word);
        match entry.node {
            Node::Command(command) => {
                return Ok(Found::Call(Call { command, path, words: &words[index + 1..] }));
            }
            Node::Group(found) => {
                entries = found.entries;
                group = Some(found);
            }
        }
    }
    match group {
        Some(group) => Ok(Found::Help(help::of_group(program, &path, group))),
        None => Ok(Found::Help(tree::top_help(program))),
    }
}

fn unknown(program: &str, path: &str, word: &str) -> String {
    if path.is_empty() {
        format!(
            "{program}: unknown command: {program} {word}\n\nRun '{program} --help' for more information"
        )
    } else {
        format!(
            "{program}: unknown command: {program} {path} {word}\n\nUsage:  {program} {path}\n\nRun '{program} {path} --help' for more information"
        )
    }
}

/// Parses the words of a command and runs it.
fn perform(cx: &Cx, call: &Call<'_>) -> Exit {
    let program = cx.program.as_str();
    let Call { command, path, words } = call;
    let matches = match parse::parse(command, program, path, words) {
        Ok(matches) => matches,
        Err(Refusal::Help) => return say(&help_of(program, path, command)),
        Err(refusal) => {
            return finish(Err(refused(program, path, command, refusal)), program, path, command);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => {
            return finish(Err(CliError::file("start the event loop", e)), program, path, command);
        }
    };
    let result = runtime.block_on((command.run)(cx, &matches));
    // A thread may still wait for standard input; it must not keep us.
    runtime.shutdown_background();
    finish(result, program, path, command)
}

/// Help of one command, with every path that leads to it.
pub fn help_of(program: &str, path: &str, command: &'static Command) -> String {
    help::of_command(program, path, command, &help::paths_of(command, tree::TOP, ""))
}

fn refused(program: &str, path: &str, command: &Command, refusal: Refusal) -> CliError {
    let usage = help::usage_line(program, path, command);
    let usage = format!("{usage}\n\nRun '{program} {path} --help' for more information");
    match refusal {
        Refusal::Flag(message) => CliError::Usage { message, usage, exit: Exit::ENGINE_FAILED },
        Refusal::Arity(message) => {
            CliError::Usage { message: format!("{program}: {message}"), usage, exit: Exit::FAILURE }
        }
        Refusal::Help => CliError::Silent(Exit::SUCCESS),
    }
}

fn finish(result: Result<Exit, CliError>, program: &str, path: &str, command: &Command) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) => {
            let text = error.text(program, path, command.launches);
            if !text.is_empty() {
                eprintln!("{text}");
            }
            error.exit(command.launches)
        }
    }
}
