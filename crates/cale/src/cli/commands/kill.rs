//! `kill`: send a signal to containers.

use super::{container_path, each};
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::link::Query;

static FLAGS: &[Flag] = &[Flag::text("signal", "Signal to send (default SIGKILL)").short('s')];

command! {
    /// Send a signal to one or more running containers.
    pub static KILL = {
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let link = cx.link()?;
            let query = &Query::new().set_some("signal", m.text("signal"));
            each(m.args(), async |name| {
                link.post(&container_path(name, "/kill"), query, None).await?;
                Ok(Some(name.to_owned()))
            }).await
        }),
    }
}
