//! `image prune`: remove unused images.

use serde_json::Value as Json;

use super::container_prune::{FLAGS, Report, agreed};
use super::prune_filters;
use crate::cli::context::Cx;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, command};
use crate::cli::format::units;
use crate::cli::link::Query;

static ALL: &[Flag] =
    &[Flag::switch("all", "Remove all images that no container uses, not only nameless ones")
        .short('a')];

command! {
    /// Remove unused images.
    pub static PRUNE = {
        usage: "[OPTIONS]",
        flags: &[ALL, FLAGS],
        run: |cx, m| Box::pin(async move {
            let question = if m.on("all") {
                "WARNING! This will remove all images without at least one container associated to them.\nAre you sure you want to continue?"
            } else {
                "WARNING! This will remove all dangling images.\nAre you sure you want to continue?"
            };
            if !agreed(m, question)? {
                return Ok(Exit::SUCCESS);
            }
            let filters = prune_filters(cx, m.map("filter"))?;
            let report = remove(cx, filters, m.on("all")).await?;
            report.print()?;
            outln!("Total reclaimed space: {}", units::human_size(report.reclaimed))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Removes images: those without a name, or all that no container uses.
///
/// # Errors
/// The engine's refusal.
pub async fn remove(
    cx: &Cx,
    mut filters: Vec<(String, String)>,
    all: bool,
) -> Result<Report, CliError> {
    filters.push(("dangling".to_owned(), (!all).to_string()));
    let query = Query::new().filters(&filters);
    let answer = cx.link()?.post("/images/prune", &query, None).await?;
    let line = |entry: &Json| match (entry["Untagged"].as_str(), entry["Deleted"].as_str()) {
        (Some(name), _) => format!("untagged: {name}"),
        (None, Some(id)) => format!("deleted: {id}"),
        (None, None) => String::new(),
    };
    let removed = answer["ImagesDeleted"].as_array().into_iter().flatten().map(line).collect();
    let reclaimed = answer["SpaceReclaimed"].as_f64().unwrap_or(0.0);
    Ok(Report { title: "Deleted Images:", removed, reclaimed })
}
