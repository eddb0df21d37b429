//! Help texts, made from the command tables.

use super::{Command, Entry, Flag, Group, Node};

/// Column at which help lines are folded.
const WIDTH: usize = 80;

/// The usage line of a command that was called by `path`.
pub fn usage_line(program: &str, path: &str, command: &Command) -> String {
    let usage = command.usage;
    if usage.is_empty() {
        format!("Usage:  {program} {path}")
    } else {
        format!("Usage:  {program} {path} {usage}")
    }
}

/// The whole help text of a command.
pub fn of_command(program: &str, path: &str, command: &'static Command, also: &[String]) -> String {
    let mut text = usage_line(program, path, command);
    text.push_str("\n\n");
    for line in command.about {
        text.push_str(line.strip_prefix(' ').unwrap_or(line));
        text.push('\n');
    }
    if also.len() > 1 {
        text.push_str("\nAliases:\n  ");
        let names: Vec<_> = also.iter().map(|path| format!("{program} {path}")).collect();
        text.push_str(&names.join(", "));
        text.push('\n');
    }
    let flags = flag_lines(command.all_flags());
    if !flags.is_empty() {
        text.push_str("\nOptions:\n");
        text.push_str(&flags);
    }
    text
}

/// The help text of a group that was called by `path`.
pub fn of_group(program: &str, path: &str, group: &Group) -> String {
    let mut text = format!("Usage:  {program} {path} COMMAND\n\n{}\n\nCommands:\n", group.about);
    text.push_str(&entry_lines(group.entries.iter().filter(|entry| !entry.hidden)));
    text.push_str(&format!(
        "\nRun '{program} {path} COMMAND --help' for more information on a command.\n"
    ));
    text
}

/// One line for each entry: name and summary.
pub fn entry_lines<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> String {
    let width = entries.clone().map(|entry| entry.name.len()).max().unwrap_or(0).max(11);
    entries.map(|entry| format!("  {:width$} {}\n", entry.name, entry.summary())).collect()
}

/// The list of options, sorted by name, folded to the terminal's usual width.
pub fn flag_lines(flags: impl Iterator<Item = &'static Flag>) -> String {
    let mut flags: Vec<_> = flags.filter(|flag| !flag.hidden).collect();
    flags.sort_by_key(|flag| flag.long);
    let heads: Vec<String> = flags.iter().map(|flag| head(flag)).collect();
    let width = heads.iter().map(String::len).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (flag, head) in flags.iter().zip(heads) {
        let mut lines = fold(&described(flag), WIDTH.saturating_sub(width).max(24));
        text.push_str(&format!("{head:width$}{}\n", lines.remove(0)));
        for line in lines {
            text.push_str(&format!("{:width$}{line}\n", ""));
        }
    }
    text
}

fn head(flag: &Flag) -> String {
    let mut head = match flag.short {
        Some(short) => format!("  -{short}, --{}", flag.long),
        None => format!("      --{}", flag.long),
    };
    if !flag.kind.word().is_empty() {
        head.push(' ');
        head.push_str(flag.kind.word());
    }
    head
}

fn described(flag: &Flag) -> String {
    match flag.default {
        "" => flag.help.to_owned(),
        default if flag.kind.word() == "string" => format!("{} (default {default:?})", flag.help),
        default => format!("{} (default {default})", flag.help),
    }
}

fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("starts with one line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + 1 + word.len() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Every path by which `command` can be called, starting at `entries`.
pub fn paths_of(command: &'static Command, entries: &'static [Entry], prefix: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.hidden) {
        let path = |name: &str| {
            if prefix.is_empty() { name.to_owned() } else { format!("{prefix} {name}") }
        };
        match entry.node {
            Node::Command(found) if std::ptr::eq(found, command) => {
                paths.push(path(entry.name));
                paths.extend(entry.aliases.iter().map(|alias| path(alias)));
            }
            Node::Command(_) => {}
            Node::Group(group) => {
                paths.extend(paths_of(command, group.entries, &path(entry.name)));
            }
        }
    }
    paths
}
