//! `system prune`: remove everything that is not in use.

use super::container_prune::{FLAGS, agreed};
use super::{builder, container_prune, image_prune, network, prune_filters, volume};
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, Matches, command};
use crate::cli::format::units;

static MORE: &[Flag] = &[
    Flag::switch("all", "Remove all unused images, not only nameless ones").short('a'),
    Flag::switch("volumes", "Remove anonymous volumes too"),
];

command! {
    /// Remove containers, networks, images and build cache that are not in use.
    pub static PRUNE = {
        usage: "[OPTIONS]",
        flags: &[MORE, FLAGS],
        run: |cx, m| Box::pin(async move {
            let filters = prune_filters(cx, m.map("filter"))?;
            if m.on("volumes") && filters.iter().any(|(name, _)| name == "until") {
                return Err(CliError::invalid("ERROR: The \"until\" filter is not supported with \"--volumes\""));
            }
            if !agreed(m, &question(m, &filters))? {
                return Ok(Exit::SUCCESS);
            }
            let mut reclaimed = 0.0;
            let report = container_prune::remove(cx, &filters).await?;
            report.print()?;
            reclaimed += report.reclaimed;
            network::remove(cx, &filters).await?.print()?;
            if m.on("volumes") {
                let report = volume::remove(cx, filters.clone(), false).await?;
                report.print()?;
                reclaimed += report.reclaimed;
            }
            let report = image_prune::remove(cx, filters.clone(), m.on("all")).await?;
            report.print()?;
            reclaimed += report.reclaimed;
            // Labels mean nothing to the build cache.
            let filters: Vec<_> = filters.into_iter().filter(|(name, _)| !name.starts_with("label")).collect();
            match builder::remove(cx, &filters, m.on("all"), 0).await {
                Ok(report) => {
                    report.print()?;
                    reclaimed += report.reclaimed;
                }
                // An engine without a builder has no build cache either.
                Err(CliError::Daemon { status: 501, .. }) => {}
                Err(error) => return Err(error),
            }
            outln!("Total reclaimed space: {}", units::human_size(reclaimed))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

fn question(m: &Matches, filters: &[(String, String)]) -> String {
    let mut items =
        vec!["all stopped containers", "all networks not used by at least one container"];
    if m.on("volumes") {
        items.push("all anonymous volumes not used by at least one container");
    }
    if m.on("all") {
        items.extend([
            "all images without at least one container associated to them",
            "all build cache",
        ]);
    } else {
        items.extend(["all dangling images", "unused build cache"]);
    }
    let list: String = items.iter().map(|item| format!("  - {item}\n")).collect();
    let mut question = format!("WARNING! This will remove:\n{list}");
    if !filters.is_empty() {
        let list: String = filters.iter().map(|(k, v)| format!("  - {k}={v}\n")).collect();
        question.push_str(&format!("\n  Items to be pruned will be filtered with:\n{list}"));
    }
    question.push_str("\nAre you sure you want to continue?");
    question
}
