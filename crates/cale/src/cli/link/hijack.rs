//! A connection that became a stream of bytes: attach, exec, build sessions.

use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};

use crate::cli::error::CliError;

/// Both directions of a taken-over connection.
pub struct Hijacked {
    /// What the engine sends.
    pub output: ReadHalf<TokioIo<Upgraded>>,
    /// What we send; shutting it down closes this direction only.
    pub input: WriteHalf<TokioIo<Upgraded>>,
}

impl Hijacked {
    pub(super) async fn new(response: http::Response<Incoming>) -> Result<Self, CliError> {
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|e| CliError::talk("take over the connection", e))?;
        let (output, input) = tokio::io::split(TokioIo::new(upgraded));
        Ok(Hijacked { output, input })
    }
}
