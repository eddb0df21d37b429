//! `container prune`: remove all stopped containers.

use super::{confirm, prune_filters};
use crate::cli::context::Cx;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, Kind, Matches, command};
use crate::cli::format::units;
use crate::cli::link::Query;

/// Flags of every `prune`.
pub static FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Only those for which this is true (until=…, label=…)"),
    Flag::switch("force", "Don't ask").short('f'),
];

command! {
    /// Remove all stopped containers.
    pub static PRUNE = {
        usage: "[OPTIONS]",
        flags: &[FLAGS],
        run: |cx, m| Box::pin(async move {
            let question = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
            if !agreed(m, question)? {
                return Ok(Exit::SUCCESS);
            }
            let filters = prune_filters(cx, m.map("filter"))?;
            let report = remove(cx, &filters).await?;
            report.print()?;
            outln!("Total reclaimed space: {}", units::human_size(report.reclaimed))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Whether the user agrees, by `--force` or by answer.
///
/// # Errors
/// If standard input can't be read; the refusal of a `prune` is a failure.
pub fn agreed(m: &Matches, question: &str) -> Result<bool, CliError> {
    if m.on("force") || confirm(question)? {
        return Ok(true);
    }
    Err(CliError::Silent(Exit::FAILURE))
}

/// What a `prune` removed.
#[derive(Debug, Default)]
pub struct Report {
    /// Title of the list.
    pub title: &'static str,
    /// Names or IDs.
    pub removed: Vec<String>,
    /// Bytes.
    pub reclaimed: f64,
}

impl Report {
    /// Reads the engine's answer.
    pub fn read(title: &'static str, key: &str, answer: &serde_json::Value) -> Self {
        let names = answer[key].as_array().into_iter().flatten();
        Report {
            title,
            removed: names.filter_map(|n| n.as_str().map(str::to_owned)).collect(),
            reclaimed: answer["SpaceReclaimed"].as_f64().unwrap_or(0.0),
        }
    }

    /// Prints the list, if there is one.
    ///
    /// # Errors
    /// If standard output can't be written.
    pub fn print(&self) -> Result<(), CliError> {
        if !self.removed.is_empty() {
            outln!("{}\n{}\n", self.title, self.removed.join("\n"))?;
        }
        Ok(())
    }
}

/// Removes stopped containers.
///
/// # Errors
/// The engine's refusal.
pub async fn remove(cx: &Cx, filters: &[(String, String)]) -> Result<Report, CliError> {
    let query = Query::new().filters(filters);
    let answer = cx.link()?.post("/containers/prune", &query, None).await?;
    Ok(Report::read("Deleted Containers:", "ContainersDeleted", &answer))
}
