//! `logout`: forget the credentials of a registry.

use super::login::server_of;
use crate::cli::config::ConfigFile;
use crate::cli::config::credentials;
use crate::cli::error::outln;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, command};

command! {
    /// Forget the credentials of a registry.
    pub static LOGOUT = {
        usage: "[SERVER]",
        arity: Arity::AtMost(1),
        run: |cx, m| Box::pin(async move {
            let server = server_of(m.arg(0).unwrap_or(""));
            let mut config = ConfigFile::load(&cx.config_dir)?;
            if credentials::erase(&mut config, &server)? {
                outln!("Removing login credentials for {server}")?;
            } else {
                outln!("Not logged in to {server}")?;
            }
            Ok(Exit::SUCCESS)
        }),
    }
}
