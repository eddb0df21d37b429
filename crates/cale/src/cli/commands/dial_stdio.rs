//! `system dial-stdio`: our standard streams become a connection to the engine (for `ssh://`).

use api::client::Dial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::command;
use crate::cli::link::transport;

command! {
    /// Connect the standard streams with the engine's socket.
    pub static DIAL_STDIO = {
        usage: "",
        run: |cx, m| Box::pin(async move {
            debug_assert!(m.args().is_empty());
            let endpoint = cx.link()?.endpoint();
            let stream = transport::EngineDial::new(endpoint.clone())
                .dial()
                .await
                .map_err(|e| CliError::Unreachable { host: endpoint.host.clone(), source: Some(e) })?;
            let (mut from_engine, mut to_engine) = tokio::io::split(stream);
            let sending = async {
                let mut stdin = tokio::io::stdin();
                let mut buffer = vec![0; 32 * 1024];
                while let Ok(count) = stdin.read(&mut buffer).await {
                    if count == 0 || to_engine.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                    drop(to_engine.flush().await);
                }
                // Half close: the engine may go on answering.
                drop(to_engine.shutdown().await);
                std::future::pending::<()>().await;
            };
            let mut stdout = tokio::io::stdout();
            let receiving = async {
                let mut buffer = vec![0; 32 * 1024];
                loop {
                    let count = from_engine.read(&mut buffer).await.unwrap_or(0);
                    if count == 0 {
                        return Ok(());
                    }
                    stdout.write_all(&buffer[..count]).await?;
                    stdout.flush().await?;
                }
            };
            tokio::select! {
                () = sending => Ok(Exit::SUCCESS),
                result = receiving => result.map(|()| Exit::SUCCESS).map_err(CliError::Output),
            }
        }),
    }
}
