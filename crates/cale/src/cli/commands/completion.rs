//! `completion`: scripts that let shells complete command lines, made from the command tables.
//!
//! The scripts call back `__complete WORD...`, which answers with one candidate a line.

use crate::cli::context::Cx;
use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Command, Entry, Flag, Kind, Matches, Node, command};
use crate::cli::link::Query;
use crate::cli::{GLOBAL, tree};

command! {
    /// Print a script that lets your shell complete command lines.
    ///
    /// Load it with `source <(cale completion bash)`, or save it where your shell looks.
    pub static COMPLETION = {
        usage: "bash|zsh|fish",
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let program = &cx.program;
            let script = match m.args()[0].as_str() {
                "bash" => BASH,
                "zsh" => ZSH,
                "fish" => FISH,
                other => return Err(CliError::invalid(format!("unknown shell: {other:?}: must be bash, zsh or fish"))),
            };
            out!("{}", script.replace("PROGRAM", program))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

const BASH: &str = r#"# bash completion for PROGRAM
_PROGRAM_complete() {
    local IFS=$'\n'
    local word="${COMP_WORDS[COMP_CWORD]}"
    COMPREPLY=($(compgen -W "$(PROGRAM __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)" -- "$word"))
    [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$word"))
}
complete -F _PROGRAM_complete PROGRAM
"#;

const ZSH: &str = r#"#compdef PROGRAM
_PROGRAM_complete() {
    local -a lines
    lines=("${(@f)$(PROGRAM __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    lines=("${(@)lines//$'\t'/:}")
    if [[ -n "${lines[1]}" ]]; then _describe 'PROGRAM' lines; else _files; fi
}
compdef _PROGRAM_complete PROGRAM
"#;

const FISH: &str = r#"# fish completion for PROGRAM
function __PROGRAM_complete
    set -l words (commandline -opc) (commandline -ct)
    PROGRAM __complete $words[2..-1] 2>/dev/null
end
complete -c PROGRAM -f -a '(__PROGRAM_complete)'
"#;

command! {
    /// Answer a shell's question: candidates for the last of the words.
    pub static ANSWER = {
        usage: "WORD...",
        arity: Arity::Any,
        interspersed: false,
        run: |cx, m| Box::pin(async move {
            for line in candidates(cx, m).await {
                out!("{line}\n")?;
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

async fn candidates(cx: &Cx, m: &Matches) -> Vec<String> {
    let (last, before) = m.args().split_last().map_or(("", &[][..]), |(l, b)| (l.as_str(), b));
    let mut entries: &'static [Entry] = tree::TOP;
    let mut found: Option<(&'static Command, String)> = None;
    let mut words = before.iter().skip_while(|word| word.starts_with('-'));
    while found.is_none() {
        let Some(word) = words.next() else { break };
        let Some(entry) = entries.iter().find(|entry| entry.answers_to(word)) else {
            return Vec::new();
        };
        match entry.node {
            Node::Command(command) => found = Some((command, word.clone())),
            Node::Group(group) => entries = group.entries,
        }
    }
    let line = |name: &str, about: &str| format!("{name}\t{about}");
    let flags = |flags: &mut dyn Iterator<Item = &'static Flag>| -> Vec<String> {
        let shown = flags.filter(|flag| !flag.hidden);
        shown.map(|flag| line(&format!("--{}", flag.long), flag.help)).collect()
    };
    let all = match &found {
        None if last.starts_with('-') => flags(&mut GLOBAL.iter()),
        None => {
            let shown = entries.iter().filter(|entry| !entry.hidden);
            shown.map(|entry| line(entry.name, entry.summary())).collect()
        }
        Some((command, _)) if last.starts_with('-') => flags(&mut command.all_flags()),
        Some((command, _)) => objects(cx, command, before).await,
    };
    all.into_iter().filter(|candidate| candidate.starts_with(last)).collect()
}

/// Names of what a command works on, by its usage line.
async fn objects(cx: &Cx, command: &Command, before: &[String]) -> Vec<String> {
    // A flag that waits for its value: nothing is known about it.
    let waits = before.last().and_then(|word| word.strip_prefix("--")).is_some_and(|name| {
        command.all_flags().any(|flag| flag.long == name && flag.kind != Kind::Bool)
    });
    let (path, list, key) = match command.usage {
        _ if waits => return Vec::new(),
        usage if usage.contains("CONTAINER") => ("/containers/json", "", "Names"),
        usage if usage.contains("IMAGE") => ("/images/json", "", "RepoTags"),
        usage if usage.contains("NETWORK") => ("/networks", "", "Name"),
        usage if usage.contains("VOLUME") => ("/volumes", "Volumes", "Name"),
        _ => return Vec::new(),
    };
    let Ok(link) = cx.link() else { return Vec::new() };
    // A completion must never say or start anything.
    let Ok(answer) = link.get(path, &Query::new().flag("all", true)).await else {
        return Vec::new();
    };
    let items = if list.is_empty() { &answer } else { &answer[list] };
    let mut names = Vec::new();
    for item in items.as_array().into_iter().flatten() {
        match &item[key] {
            serde_json::Value::String(name) => names.push(name.clone()),
            other => names.extend(
                other
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|n| n.as_str())
                    .map(|name| name.trim_start_matches('/').to_owned()),
            ),
        }
    }
    names
}
