//! One file per command: its doc comment is the help text, its table entry says what it takes, one
//! function does it.

pub mod attach;
pub mod build;
pub mod builder;
pub mod commit;
pub mod completion;
pub mod container_prune;
pub mod context;
pub mod cp;
pub mod create;
pub mod df;
pub mod dial_stdio;
pub mod diff;
pub mod events;
pub mod exec;
pub mod export;
pub mod help;
pub mod history;
pub mod image_inspect;
pub mod image_prune;
pub mod images;
pub mod import;
pub mod info;
pub mod inspect;
pub mod kill;
pub mod load;
pub mod login;
pub mod logout;
pub mod logs;
pub mod network;
pub mod pause;
pub mod port;
pub mod ps;
pub mod pull;
pub mod push;
pub mod rename;
pub mod restart;
pub mod rm;
pub mod rmi;
pub mod run;
pub mod save;
pub mod search;
pub mod start;
pub mod stats;
pub mod stop;
pub mod system_prune;
pub mod tag;
pub mod top;
pub mod unpause;
pub mod update;
pub mod version;
pub mod volume;
pub mod wait;

use std::future::Future;

use futures_util::StreamExt;

use super::context::Cx;
use super::error::CliError;
use super::exit::Exit;
use super::link::query;

/// How many objects are worked on at the same time.
const PARALLEL: usize = 50;

/// Does something with every name, several at a time, and prints what each gives. Failures don't
/// keep the others back; they are reported together at the end.
///
/// # Errors
/// [`CliError::Many`] with the failures in the order of the names.
pub async fn each<'a, F>(
    names: &'a [String],
    action: impl Fn(&'a str) -> F,
) -> Result<Exit, CliError>
where
    F: Future<Output = Result<Option<String>, CliError>> + 'a,
{
    let mut results =
        futures_util::stream::iter(names.iter().map(|n| action(n))).buffered(PARALLEL);
    let mut failures = Vec::new();
    while let Some(result) = results.next().await {
        match result {
            Ok(Some(line)) => super::error::outln!("{line}")?,
            Ok(None) => {}
            Err(error @ CliError::Unreachable { .. }) => return Err(error),
            Err(error) => failures.push(error.text("", "", false)),
        }
    }
    if failures.is_empty() { Ok(Exit::SUCCESS) } else { Err(CliError::Many(failures)) }
}

/// Path below `/containers/`, with the name escaped.
pub fn container_path(name: &str, rest: &str) -> String {
    // A slash in a container's name is only allowed in front, where it means nothing.
    format!(
        "/containers/{}{rest}",
        query::segment(name.trim_start_matches('/')).replace('/', "%2F")
    )
}

/// Asks a yes-or-no question on standard error; only `y` is yes.
///
/// # Errors
/// If standard input can't be read.
pub fn confirm(question: &str) -> Result<bool, CliError> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{question} [y/N] ").and_then(|()| stdout.flush()).map_err(CliError::Output)?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|e| CliError::file("read the answer from standard input", e))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Filters typed with `--filter`, and those of `pruneFilters` in the configuration.
///
/// # Errors
/// If the configuration can't be read.
pub fn prune_filters(
    cx: &Cx,
    typed: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, CliError> {
    let mut filters = typed;
    if let Some(serde_json::Value::Array(more)) = cx.config()?.list("pruneFilters") {
        for filter in more.iter().filter_map(serde_json::Value::as_str) {
            let (key, value) = filter.split_once('=').unwrap_or((filter, ""));
            filters.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(filters)
}
