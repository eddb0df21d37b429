//! `builder prune`: remove build cache.

use super::container_prune::{FLAGS, Report, agreed};
use super::prune_filters;
use crate::cli::context::Cx;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, Kind, command};
use crate::cli::format::units;
use crate::cli::link::Query;

static MORE: &[Flag] = &[
    Flag::switch("all", "Remove all unused build cache, not only nameless").short('a'),
    Flag::new("keep-storage", Kind::Bytes, "Keep this much of the cache").default("0"),
];

command! {
    /// Remove build cache.
    pub static PRUNE = {
        usage: "[OPTIONS]",
        flags: &[MORE, FLAGS],
        run: |cx, m| Box::pin(async move {
            let question = if m.on("all") {
                "WARNING! This will remove all build cache. Are you sure you want to continue?"
            } else {
                "WARNING! This will remove all dangling build cache. Are you sure you want to continue?"
            };
            if !agreed(m, question)? {
                return Ok(Exit::SUCCESS);
            }
            let filters = prune_filters(cx, m.map("filter"))?;
            let report = remove(cx, &filters, m.on("all"), m.bytes("keep-storage")).await?;
            report.print()?;
            outln!("Total:\t{}", units::human_size(report.reclaimed))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Removes build cache.
///
/// # Errors
/// The engine's refusal.
pub async fn remove(
    cx: &Cx,
    filters: &[(String, String)],
    all: bool,
    keep: i64,
) -> Result<Report, CliError> {
    let mut query = Query::new().flag("all", all).filters(filters);
    if keep > 0 {
        query = query.set("keep-storage", keep.to_string());
    }
    let answer = cx.link()?.post("/build/prune", &query, None).await?;
    Ok(Report::read("Deleted build cache objects:", "CachesDeleted", &answer))
}
