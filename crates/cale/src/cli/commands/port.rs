//! `port`: where a container's ports are published.

use serde_json::Value as Json;

use super::container_path;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, command};
use crate::cli::link::Query;

command! {
    /// Show where the ports of a container are published.
    pub static PORT = {
        usage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
        arity: Arity::Between(1, 2),
        run: |cx, m| Box::pin(async move {
            let name = &m.args()[0];
            let container = cx.link()?.get(&container_path(name, "/json"), &Query::new()).await?;
            let ports = &container["NetworkSettings"]["Ports"];
            if let Some(wanted) = m.arg(1) {
                let key = if wanted.contains('/') { wanted.to_owned() } else { format!("{wanted}/tcp") };
                let lines = addresses(&ports[&key]);
                if lines.is_empty() {
                    return Err(CliError::invalid(format!(
                        "Error: No public port '{key}' published for {name}"
                    )));
                }
                for line in lines {
                    outln!("{line}")?;
                }
                return Ok(Exit::SUCCESS);
            }
            let mut all: Vec<_> = ports.as_object().into_iter().flatten().collect();
            all.sort_by_key(|(key, _)| {
                let (port, proto) = key.split_once('/').unwrap_or((key, ""));
                (port.parse::<u16>().unwrap_or(0), proto.to_owned())
            });
            for (key, bindings) in all {
                for line in addresses(bindings) {
                    outln!("{key} -> {line}")?;
                }
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

fn addresses(bindings: &Json) -> Vec<String> {
    let line = |binding: &Json| {
        let ip = binding["HostIp"].as_str().unwrap_or("");
        let port = binding["HostPort"].as_str().unwrap_or("");
        if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
    };
    bindings.as_array().into_iter().flatten().map(line).collect()
}
