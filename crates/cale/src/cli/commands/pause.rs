//! `pause`: freeze containers.

use super::{container_path, each};
use crate::cli::flags::{Arity, command};
use crate::cli::link::Query;

command! {
    /// Freeze all processes of one or more containers.
    pub static PAUSE = {
        usage: "CONTAINER [CONTAINER...]",
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let link = cx.link()?;
            each(m.args(), async |name| {
                link.post(&container_path(name, "/pause"), &Query::new(), None).await?;
                Ok(Some(name.to_owned()))
            }).await
        }),
    }
}
