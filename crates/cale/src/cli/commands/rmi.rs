//! `rmi`: remove images.

use super::push::platform_json;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Kind, command};
use crate::cli::link::{Query, query};

static FLAGS: &[Flag] = &[
    Flag::switch("force", "Remove the image even if stopped containers use it").short('f'),
    Flag::switch("no-prune", "Keep its parents without a name"),
    Flag::new("platform", Kind::Strings, "Remove only these platforms, such as linux/amd64"),
];

command! {
    /// Remove one or more images.
    pub static RMI = {
        usage: "[OPTIONS] IMAGE [IMAGE...]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let force = m.on("force");
            let mut query = Query::new().flag("force", force);
            if m.on("no-prune") {
                query = query.set("noprune", "1");
            }
            for platform in m.list("platform") {
                query = query.set("platforms", platform_json(&platform)?);
            }
            let link = cx.link()?;
            let (mut failures, mut fatal) = (Vec::new(), false);
            for name in m.args() {
                match link.delete(&format!("/images/{}", query::segment(name)), &query).await {
                    Ok(report) => {
                        for entry in report.as_array().into_iter().flatten() {
                            match (entry["Deleted"].as_str(), entry["Untagged"].as_str()) {
                                (Some(deleted), _) => outln!("Deleted: {deleted}")?,
                                (None, Some(untagged)) => outln!("Untagged: {untagged}")?,
                                (None, None) => {}
                            }
                        }
                    }
                    Err(error @ CliError::Unreachable { .. }) => return Err(error),
                    Err(error) => {
                        fatal |= !error.is_not_found();
                        failures.push(error.text("", "", false));
                    }
                }
            }
            if failures.is_empty() {
                return Ok(Exit::SUCCESS);
            }
            // Forcing means that they are gone afterwards, and what isn't there is.
            if force && !fatal {
                eprintln!("{}", failures.join("\n"));
                return Ok(Exit::SUCCESS);
            }
            Err(CliError::Many(failures))
        }),
    }
}
