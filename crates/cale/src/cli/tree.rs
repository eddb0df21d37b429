//! The tree of commands: which words lead to which command.

use super::commands as c;
use super::flags::{Entry, Group, Node, help};

/// Words after the program's name.
pub static TOP: &[Entry] = &[
    Entry::command("attach", &c::attach::ATTACH),
    Entry::command("commit", &c::commit::COMMIT),
    Entry::command("create", &c::create::CREATE),
    Entry::command("diff", &c::diff::DIFF),
    Entry::command("exec", &c::exec::EXEC),
    Entry::command("export", &c::export::EXPORT),
    Entry::command("images", &c::images::IMAGES),
    Entry::command("inspect", &c::inspect::INSPECT),
    Entry::command("kill", &c::kill::KILL),
    Entry::command("logs", &c::logs::LOGS),
    Entry::command("pause", &c::pause::PAUSE),
    Entry::command("port", &c::port::PORT),
    Entry::command("ps", &c::ps::PS),
    Entry::command("pull", &c::pull::PULL),
    Entry::command("rename", &c::rename::RENAME),
    Entry::command("restart", &c::restart::RESTART),
    Entry::command("rm", &c::rm::RM),
    Entry::command("run", &c::run::RUN),
    Entry::command("start", &c::start::START),
    Entry::command("stop", &c::stop::STOP),
    Entry::command("top", &c::top::TOP),
    Entry::command("unpause", &c::unpause::UNPAUSE),
    Entry::command("update", &c::update::UPDATE),
    Entry::command("wait", &c::wait::WAIT),
    Entry::group("container", &CONTAINER),
];

static CONTAINER: Group = Group {
    about: "Manage containers",
    entries: &[
        Entry::command("attach", &c::attach::ATTACH),
        Entry::command("commit", &c::commit::COMMIT),
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
        Entry::command("stop", &c::stop::STOP),
        Entry::command("top", &c::top::TOP),
        Entry::command("unpause", &c::unpause::UNPAUSE),
        Entry::command("update", &c::update::UPDATE),
        Entry::command("wait", &c::wait::WAIT),
    ],
};

/// Commands that most people need, listed first.
const COMMON: &[&str] = &[
    "run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version",
    "info",
];

/// Help of the whole program.
pub fn top_help(program: &str) -> String {
    let shown = |entry: &&Entry| !entry.hidden;
    let is_common = |entry: &&Entry| COMMON.contains(&entry.name);
    let common = COMMON.iter().filter_map(|name| TOP.iter().find(|entry| entry.name == *name));
    let groups =
        TOP.iter().filter(shown).filter(|entry| matches!(entry.node, Node::Group(_)));
    let others = TOP
        .iter()
        .filter(shown)
        .filter(|entry| matches!(entry.node, Node::Command(_)) && !is_common(entry));
    format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nRun, build and share containers\n\n\
         Common Commands:\n{}\nManagement Commands:\n{}\nCommands:\n{}\nGlobal Options:\n{}\n\
         Run '{program} COMMAND --help' for more information on a command.\n",
        help::entry_lines(common),
        help::entry_lines(groups),
        help::entry_lines(others),
        help::flag_lines(super::GLOBAL.iter()),
    )
}
