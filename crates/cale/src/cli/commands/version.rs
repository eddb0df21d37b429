//! `version`: versions of client and engine.

use gotmpl::MissingKey;
use serde_json::{Value as Json, json};

use crate::cli::context::Cx;
use crate::cli::error::out;
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, command};
use crate::cli::format::template::{self, Parsed};
use crate::cli::link::{self, Query};
use crate::cli::{DOCKER_VERSION, VERSION, host};

static FLAGS: &[Flag] =
    &[Flag::text("format", "How to print: 'json', or a Go template").short('f')];

command! {
    /// Show the versions of client and engine.
    pub static VERSION_COMMAND = {
        usage: "[OPTIONS]",
        flags: &[FLAGS],
        run: |cx, m| Box::pin(async move {
            let link = cx.link()?;
            let server = link.get("/version", &Query::new()).await;
            let document = document(cx, &link.version(), server.as_ref().ok());
            match m.text("format") {
                "" => out!("{}", text(&document))?,
                "json" => out!("{document}\n")?,
                typed => {
                    // Without an engine a template about it can't be answered.
                    if typed.contains(".Server") && let Err(error) = server {
                        return Err(error);
                    }
                    let parsed = Parsed::new(typed)?;
                    let value = template::value_of(&document);
                    out!("{}\n", parsed.render(&value, &document, MissingKey::Error)?)?;
                }
            }
            server.map(|_| Exit::SUCCESS)
        }),
    }
}

fn document(cx: &Cx, api: &str, server: Option<&Json>) -> Json {
    let context = cx.config().map(|config| host::context_name(&cx.choice, config));
    json!({
        "Client": {
            "Version": DOCKER_VERSION,
            "ApiVersion": api,
            "DefaultAPIVersion": link::API_VERSION,
            "GitCommit": format!("cale-{VERSION}"),
            "GoVersion": "none (Rust)",
            "Os": "linux",
            "Arch": go_architecture(std::env::consts::ARCH),
            "BuildTime": "",
            "Context": context.unwrap_or_default(),
        },
        "Server": server,
    })
}

/// Go's name of an architecture.
pub fn go_architecture(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn text(document: &Json) -> String {
    let client = &document["Client"];
    let field = |value: &Json, key: &str| value[key].as_str().unwrap_or("").to_owned();
    let api = match (field(client, "ApiVersion"), field(client, "DefaultAPIVersion")) {
        (spoken, newest) if spoken != newest => format!("{spoken} (downgraded from {newest})"),
        (spoken, _) => spoken,
    };
    let mut text = format!(
        "Client: Cale {VERSION}\n Version:           {}\n API version:       {api}\n Git commit:        {}\n OS/Arch:           {}/{}\n Context:           {}\n",
        field(client, "Version"),
        field(client, "GitCommit"),
        field(client, "Os"),
        field(client, "Arch"),
        field(client, "Context"),
    );
    let server = &document["Server"];
    if server.is_null() {
        return text;
    }
    let platform = server["Platform"]["Name"].as_str().unwrap_or("");
    text.push_str(&format!("\nServer:{}{platform}\n", if platform.is_empty() { "" } else { " " }));
    for component in server["Components"].as_array().into_iter().flatten() {
        let details = &component["Details"];
        let name = field(component, "Name");
        text.push_str(&format!(" {name}:\n"));
        let mut line = |title: &str, value: String| {
            text.push_str(&format!("  {:<18}{value}\n", format!("{title}:")));
        };
        line("Version", field(component, "Version"));
        if name == "Engine" {
            let minimum = field(details, "MinAPIVersion");
            line(
                "API version",
                format!("{} (minimum version {minimum})", field(details, "ApiVersion")),
            );
            line("Go version", field(details, "GoVersion"));
            line("Git commit", field(details, "GitCommit"));
            line("Built", field(details, "BuildTime"));
            line("OS/Arch", format!("{}/{}", field(details, "Os"), field(details, "Arch")));
            line("Experimental", field(details, "Experimental"));
        } else {
            for (key, value) in details.as_object().into_iter().flatten() {
                line(key, value.as_str().unwrap_or("").to_owned());
            }
        }
    }
    text
}
