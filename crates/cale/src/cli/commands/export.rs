//! `export`: a container's filesystem as a tar archive.

use super::container_path;
use crate::cli::context::Cx;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::link::{Query, Reply};

static FLAGS: &[Flag] = &[Flag::text("output", "Write to this file instead of stdout").short('o')];

command! {
    /// Write a container's filesystem as a tar archive.
    pub static EXPORT = {
        usage: "[OPTIONS] CONTAINER",
        flags: &[FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let path = container_path(&m.args()[0], "/export");
            to_output(cx, m.text("output"), &path, &Query::new()).await
        }),
    }
}

/// Fetches `path` into a file, or to standard output if that is no terminal. A file appears only
/// when it is complete.
///
/// # Errors
/// If the output is a terminal or can't be written, or the engine fails.
pub async fn to_output(cx: &Cx, output: &str, path: &str, query: &Query) -> Result<Exit, CliError> {
    if output.is_empty() && sys::terminal::is_terminal(std::io::stdout()) {
        return Err(CliError::invalid(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    if let Some(parent) =
        std::path::Path::new(output).parent().filter(|p| !p.as_os_str().is_empty())
        && !parent.is_dir()
    {
        return Err(CliError::invalid(format!(
            "invalid output path: directory {:?} does not exist",
            parent.display().to_string()
        )));
    }
    let reply = cx.link()?.open(http::Method::GET, path, query, Default::default()).await?;
    save(reply, output).await?;
    Ok(Exit::SUCCESS)
}

async fn save(mut reply: Reply<'_>, output: &str) -> Result<(), CliError> {
    use std::io::Write;
    if output.is_empty() {
        while let Some(chunk) = reply.chunk().await? {
            std::io::stdout().write_all(&chunk).map_err(CliError::Output)?;
        }
        return std::io::stdout().flush().map_err(CliError::Output);
    }
    let failed = |e| CliError::file(format!("write {output}"), e);
    let special = std::fs::metadata(output).is_ok_and(|m| !m.is_file());
    let name =
        if special { output.to_owned() } else { format!("{output}.tmp{}", std::process::id()) };
    let mut file = std::fs::File::create(&name).map_err(failed)?;
    let result = async {
        while let Some(chunk) = reply.chunk().await? {
            file.write_all(&chunk).map_err(failed)?;
        }
        if special { Ok(()) } else { std::fs::rename(&name, output).map_err(failed) }
    };
    let result = result.await;
    if result.is_err() && !special {
        // Half an archive is of no use; the first error is what counts.
        drop(std::fs::remove_file(&name));
    }
    result
}
