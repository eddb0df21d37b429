//! `help`: help of any command.

use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Node, command, help};
use crate::cli::{help_of, tree};

command! {
    /// Show the help of a command.
    pub static HELP = {
        usage: "[COMMAND]",
        arity: Arity::Any,
        run: |cx, m| Box::pin(async move {
            let mut entries = tree::TOP;
            let mut text = tree::top_help(&cx.program);
            let mut path = String::new();
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
