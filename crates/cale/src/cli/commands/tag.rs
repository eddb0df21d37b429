//! `tag`: give an image another name.

use super::images::split_reference;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, command};
use crate::cli::link::{Query, query};

command! {
    /// Give an image another name.
    pub static TAG = {
        usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        arity: Arity::Exactly(2),
        run: |cx, m| Box::pin(async move {
            super::pull::parse(&m.args()[1]).map_err(|e| {
                CliError::invalid(format!(
                    "Error parsing reference: {:?} is not a valid repository/tag: {e}",
                    m.args()[1]
                ))
            })?;
            let (repo, tag) = split_reference(&m.args()[1]);
            let query = Query::new().set("repo", repo).set_some("tag", tag);
            let path = format!("/images/{}/tag", query::segment(&m.args()[0]));
            cx.link()?.post(&path, &query, None).await?;
            Ok(Exit::SUCCESS)
        }),
    }
}
