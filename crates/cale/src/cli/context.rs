//! What every command gets: the global options, the configuration, the link to the engine. All of
//! it is made when first asked for, so that a command pays only for what it uses.

use std::cell::OnceCell;
use std::path::PathBuf;

use super::config::{self, ConfigFile};
use super::error::CliError;
use super::host::{self, Choice};
use super::link::Link;

/// Surroundings of a command.
pub struct Cx {
    /// Name that we were called by: `cale` or `docker`.
    pub program: String,
    /// Directory of the configuration.
    pub config_dir: PathBuf,
    /// What chooses the engine.
    pub choice: Choice,
    config: OnceCell<ConfigFile>,
    link: OnceCell<Link>,
}

impl Cx {
    /// Surroundings from the global options.
    pub fn new(program: &str, config_flag: &str, choice: Choice) -> Self {
        Cx {
            program: program.to_owned(),
            config_dir: config::directory(config_flag),
            choice,
            config: OnceCell::new(),
            link: OnceCell::new(),
        }
    }

    /// The configuration file.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn config(&self) -> Result<&ConfigFile, CliError> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = ConfigFile::load(&self.config_dir)?;
        Ok(self.config.get_or_init(|| config))
    }

    /// The link to the engine; connects when first used.
    ///
    /// # Errors
    /// If the address of the engine is wrong.
    pub fn link(&self) -> Result<&Link, CliError> {
        if let Some(link) = self.link.get() {
            return Ok(link);
        }
        let endpoint = host::resolve(&self.choice, self.config()?)?;
        let headers = self.config()?.http_headers();
        Ok(self.link.get_or_init(|| Link::new(endpoint, headers)))
    }
}
