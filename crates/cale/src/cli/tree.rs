//! The tree of commands: which words lead to which command.

use super::commands as c;
use super::flags::{Entry, Group, Node, help};

/// Words after the program's name.
pub static TOP: &[Entry] = &[
    Entry::command("attach", &c::attach::ATTACH),
    Entry::command("build", &c::build::BUILD),
    Entry::command("commit", &c::commit::COMMIT),
    Entry::command("cp", &c::cp::CP),
    Entry::command("create", &c::create::CREATE),
    Entry::command("diff", &c::diff::DIFF),
    Entry::command("events", &c::events::EVENTS),
    Entry::command("exec", &c::exec::EXEC),
    Entry::command("export", &c::export::EXPORT),
    Entry::command("history", &c::history::HISTORY),
    Entry::command("images", &c::images::IMAGES),
    Entry::command("import", &c::import::IMPORT),
    Entry::command("info", &c::info::INFO),
    Entry::command("inspect", &c::inspect::INSPECT),
    Entry::command("kill", &c::kill::KILL),
    Entry::command("load", &c::load::LOAD),
    Entry::command("login", &c::login::LOGIN),
    Entry::command("logout", &c::logout::LOGOUT),
    Entry::command("logs", &c::logs::LOGS),
    Entry::command("pause", &c::pause::PAUSE),
    Entry::command("port", &c::port::PORT),
    Entry::command("ps", &c::ps::PS),
    Entry::command("pull", &c::pull::PULL),
    Entry::command("push", &c::push::PUSH),
    Entry::command("rename", &c::rename::RENAME),
    Entry::command("restart", &c::restart::RESTART),
    Entry::command("rm", &c::rm::RM),
    Entry::command("rmi", &c::rmi::RMI),
    Entry::command("run", &c::run::RUN),
    Entry::command("save", &c::save::SAVE),
    Entry::command("search", &c::search::SEARCH),
    Entry::command("start", &c::start::START),
    Entry::command("stats", &c::stats::STATS),
    Entry::command("stop", &c::stop::STOP),
    Entry::command("tag", &c::tag::TAG),
    Entry::command("top", &c::top::TOP),
    Entry::command("unpause", &c::unpause::UNPAUSE),
    Entry::command("update", &c::update::UPDATE),
    Entry::command("version", &c::version::VERSION_COMMAND),
    Entry::command("wait", &c::wait::WAIT),
    Entry::command("completion", &c::completion::COMPLETION),
    Entry::command("help", &c::help::HELP),
    Entry::command("__complete", &c::completion::ANSWER).hidden(),
    Entry::group("builder", &BUILDER),
    Entry::group("container", &CONTAINER),
    Entry::group("context", &CONTEXT),
    Entry::group("image", &IMAGE),
    Entry::group("network", &NETWORK),
    Entry::group("system", &SYSTEM),
    Entry::group("volume", &VOLUME),
];

static CONTAINER: Group = Group {
    about: "Manage containers",
    entries: &[
        Entry::command("attach", &c::attach::ATTACH),
        Entry::command("commit", &c::commit::COMMIT),
        Entry::command("cp", &c::cp::CP),
        Entry::command("create", &c::create::CREATE),
        Entry::command("diff", &c::diff::DIFF),
        Entry::command("exec", &c::exec::EXEC),
        Entry::command("export", &c::export::EXPORT),
        Entry::command("inspect", &c::inspect::CONTAINER),
        Entry::command("kill", &c::kill::KILL),
        Entry::command("logs", &c::logs::LOGS),
        Entry::command("ls", &c::ps::PS).aliases(&["list", "ps"]),
        Entry::command("pause", &c::pause::PAUSE),
        Entry::command("port", &c::port::PORT),
        Entry::command("prune", &c::container_prune::PRUNE),
        Entry::command("rename", &c::rename::RENAME),
        Entry::command("restart", &c::restart::RESTART),
        Entry::command("rm", &c::rm::RM).aliases(&["remove"]),
        Entry::command("run", &c::run::RUN),
        Entry::command("start", &c::start::START),
        Entry::command("stats", &c::stats::STATS),
        Entry::command("stop", &c::stop::STOP),
        Entry::command("top", &c::top::TOP),
        Entry::command("unpause", &c::unpause::UNPAUSE),
        Entry::command("update", &c::update::UPDATE),
        Entry::command("wait", &c::wait::WAIT),
    ],
};

static BUILDER: Group = Group {
    about: "Manage builds",
    entries: &[
        Entry::command("build", &c::build::BUILD),
        Entry::command("prune", &c::builder::PRUNE),
    ],
};

static CONTEXT: Group = Group {
    about: "Manage contexts: named engines",
    entries: &[
        Entry::command("create", &c::context::CREATE),
        Entry::command("export", &c::context::EXPORT),
        Entry::command("import", &c::context::IMPORT),
        Entry::command("inspect", &c::context::INSPECT),
        Entry::command("ls", &c::context::LS).aliases(&["list"]),
        Entry::command("rm", &c::context::RM).aliases(&["remove"]),
        Entry::command("show", &c::context::SHOW),
        Entry::command("update", &c::context::UPDATE),
        Entry::command("use", &c::context::USE),
    ],
};

static IMAGE: Group = Group {
    about: "Manage images",
    entries: &[
        Entry::command("build", &c::build::BUILD),
        Entry::command("history", &c::history::HISTORY),
        Entry::command("import", &c::import::IMPORT),
        Entry::command("inspect", &c::image_inspect::INSPECT),
        Entry::command("load", &c::load::LOAD),
        Entry::command("ls", &c::images::IMAGES).aliases(&["list"]),
        Entry::command("prune", &c::image_prune::PRUNE),
        Entry::command("pull", &c::pull::PULL),
        Entry::command("push", &c::push::PUSH),
        Entry::command("rm", &c::rmi::RMI).aliases(&["remove"]),
        Entry::command("save", &c::save::SAVE),
        Entry::command("tag", &c::tag::TAG),
    ],
};

static NETWORK: Group = Group {
    about: "Manage networks",
    entries: &[
        Entry::command("connect", &c::network::CONNECT),
        Entry::command("create", &c::network::CREATE),
        Entry::command("disconnect", &c::network::DISCONNECT),
        Entry::command("inspect", &c::network::INSPECT),
        Entry::command("ls", &c::network::LS).aliases(&["list"]),
        Entry::command("prune", &c::network::PRUNE),
        Entry::command("rm", &c::network::RM).aliases(&["remove"]),
    ],
};

static SYSTEM: Group = Group {
    about: "Manage the engine",
    entries: &[
        Entry::command("df", &c::df::DF),
        Entry::command("dial-stdio", &c::dial_stdio::DIAL_STDIO),
        Entry::command("events", &c::events::EVENTS),
        Entry::command("info", &c::info::INFO),
        Entry::command("prune", &c::system_prune::PRUNE),
    ],
};

static VOLUME: Group = Group {
    about: "Manage volumes",
    entries: &[
        Entry::command("create", &c::volume::CREATE),
        Entry::command("inspect", &c::volume::INSPECT),
        Entry::command("ls", &c::volume::LS).aliases(&["list"]),
        Entry::command("prune", &c::volume::PRUNE),
        Entry::command("rm", &c::volume::RM).aliases(&["remove"]),
        Entry::command("update", &c::volume::UPDATE),
    ],
};

/// Commands that most people need, listed first.
const COMMON: &[&str] = &[
    "run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version",
    "info",
];

/// What else the binary is; each has a help of its own.
const PROGRAMS: &str = "  daemon      Run the engine (takes dockerd's flags)\n  runtime     Run as a low-level runtime (runc's command line)\n";

/// Help of the whole program.
pub fn top_help(program: &str) -> String {
    let shown = |entry: &&Entry| !entry.hidden;
    let is_common = |entry: &&Entry| COMMON.contains(&entry.name);
    let common = COMMON.iter().filter_map(|name| TOP.iter().find(|entry| entry.name == *name));
    let groups = TOP.iter().filter(shown).filter(|entry| matches!(entry.node, Node::Group(_)));
    let others = TOP
        .iter()
        .filter(shown)
        .filter(|entry| matches!(entry.node, Node::Command(_)) && !is_common(entry));
    format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nRun, build and share containers\n\n\
         Common Commands:\n{}\nManagement Commands:\n{}\nCommands:\n{}\nOther Programs:\n{PROGRAMS}\nGlobal Options:\n{}\n\
         Run '{program} COMMAND --help' for more information on a command.\n",
        help::entry_lines(common),
        help::entry_lines(groups),
        help::entry_lines(others),
        help::flag_lines(super::GLOBAL.iter()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::Flag;
    use crate::cli::help_of;

    /// Every entry with the path that leads to it.
    fn walk(entries: &'static [Entry], prefix: &str, visit: &mut dyn FnMut(&str, &'static Entry)) {
        for entry in entries {
            let path = format!("{prefix} {}", entry.name).trim().to_owned();
            visit(&path, entry);
            if let Node::Group(group) = entry.node {
                walk(group.entries, &path, visit);
            }
        }
    }

    #[test]
    fn help_of_all() {
        let mut text = top_help("cale");
        walk(TOP, "", &mut |path, entry| {
            let help = match entry.node {
                Node::Command(command) => help_of("cale", path, command),
                Node::Group(group) => help::of_group("cale", path, group),
            };
            text.push_str(&format!("\n$ cale {path} --help\n{help}"));
        });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn tables_are_consistent() {
        walk(TOP, "", &mut |path, entry| {
            let Node::Command(command) = entry.node else { return };
            assert!(!command.summary().is_empty(), "{path} has no doc comment");
            let flags: Vec<&Flag> = command.all_flags().collect();
            for (index, flag) in flags.iter().enumerate() {
                let twin = flags[..index].iter().any(|other| {
                    other.long == flag.long || (flag.short.is_some() && other.short == flag.short)
                });
                assert!(!twin, "{path}: --{} twice", flag.long);
                let real = flag.alias_of;
                assert!(
                    real.is_empty() || flags.iter().any(|other| other.long == real),
                    "{path}: --{} is another name of nothing",
                    flag.long
                );
                let default = flag.default;
                assert!(
                    default.is_empty()
                        || crate::cli::flags::value::check(flag.kind, default).is_ok(),
                    "{path}: default of --{} can't be typed",
                    flag.long
                );
            }
        });
    }

    #[test]
    fn names_are_sorted_in_groups() {
        walk(TOP, "", &mut |path, entry| {
            if let Node::Group(group) = entry.node {
                let names: Vec<&str> = group.entries.iter().map(|entry| entry.name).collect();
                assert!(names.is_sorted(), "{path}: {names:?}");
            }
        });
    }
}
