//! `help`: help of any command.

use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Node, command, help};
use crate::cli::{env_vars, help_of, tree};

command! {
    /// Show the help of a command.
    ///
    /// Other topics: environment (the variables that are read), exit-codes.
    pub static HELP = {
        usage: "[COMMAND]",
        arity: Arity::Any,
        run: |cx, m| Box::pin(async move {
            let mut entries = tree::TOP;
            let mut text = tree::top_help(&cx.program);
            let mut path = String::new();
            if let Some(topic) = m.arg(0).and_then(topic) {
                out!("{topic}")?;
                return Ok(Exit::SUCCESS);
            }
            for word in m.args() {
                let Some(entry) = entries.iter().find(|entry| entry.answers_to(word)) else {
                    return Err(CliError::invalid(format!("unknown help topic: {}", m.args().join(" "))));
                };
                if !path.is_empty() {
                    path.push(' ');
                }
                path.push_str(word);
                match entry.node {
                    Node::Command(command) => {
                        text = help_of(&cx.program, &path, command);
                        entries = &[];
                    }
                    Node::Group(group) => {
                        text = help::of_group(&cx.program, &path, group);
                        entries = group.entries;
                    }
                }
            }
            out!("{text}")?;
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Help that belongs to no command, from the tables that define the facts.
fn topic(word: &str) -> Option<String> {
    let lines = |pairs: &mut dyn Iterator<Item = (&str, &str)>| -> String {
        pairs.map(|(name, about)| format!("  {name:<24}{about}\n")).collect()
    };
    match word {
        "environment" => {
            let mut all = env_vars::ALL.iter().map(|var| (var.name, var.help.trim()));
            Some(format!("Environment variables:\n{}", lines(&mut all)))
        }
        "exit-codes" => Some(format!("Exit codes:\n{}", lines(&mut Exit::TABLE.iter().copied()))),
        _ => None,
    }
}
