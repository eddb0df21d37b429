//! `unpause`: let frozen containers go on.

use super::{container_path, each};
use crate::cli::flags::{Arity, command};
use crate::cli::link::Query;

command! {
    /// Let all processes of one or more frozen containers go on.
    pub static UNPAUSE = {
        usage: "CONTAINER [CONTAINER...]",
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let link = cx.link()?;
            each(m.args(), async |name| {
                link.post(&container_path(name, "/unpause"), &Query::new(), None).await?;
                Ok(Some(name.to_owned()))
            }).await
        }),
    }
}
