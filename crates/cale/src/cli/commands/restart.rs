//! `restart`: stop and start containers.

use super::stop;
use crate::cli::flags::{Arity, command};

command! {
    /// Stop and start one or more containers.
    pub static RESTART = {
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        flags: &[stop::FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(stop::send(cx, m, "/restart")),
    }
}
