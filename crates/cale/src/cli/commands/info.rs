//! `info`: the engine and its machine.

use gotmpl::MissingKey;
use serde_json::{Value as Json, json};

use crate::cli::context::Cx;
use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, command};
use crate::cli::format::template::{self, Parsed};
use crate::cli::format::units;
use crate::cli::link::Query;
use crate::cli::{DOCKER_VERSION, host};

static FLAGS: &[Flag] =
    &[Flag::text("format", "How to print: 'json', or a Go template").short('f')];

command! {
    /// Show facts about the engine and its machine.
    pub static INFO = {
        usage: "[OPTIONS]",
        flags: &[FLAGS],
        run: |cx, m| Box::pin(async move {
            let answer = cx.link()?.get("/info", &Query::new()).await;
            let format = m.text("format");
            if format.is_empty() {
                out!("{}", client_text(cx))?;
                let info = match answer {
                    Ok(info) => info,
                    Err(error) => {
                        eprintln!("{}", error.text("", "", false));
                        return Err(CliError::Silent(Exit::FAILURE));
                    }
                };
                out!("\nServer:\n{}\n", server_text(&info))?;
                warnings(&info);
                return Ok(Exit::SUCCESS);
            }
            let mut document = answer?;
            document["ClientInfo"] = client(cx);
            if format == "json" {
                out!("{document}\n")?;
            } else {
                let parsed = Parsed::new(format)?;
                let value = template::value_of(&document);
                out!("{}\n", parsed.render(&value, &document, MissingKey::Error)?)?;
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

fn client(cx: &Cx) -> Json {
    let context = cx.config().map(|config| host::context_name(&cx.choice, config));
    json!({
        "Debug": false, "Version": DOCKER_VERSION, "Context": context.unwrap_or_default(),
        "Plugins": [], "Warnings": null,
    })
}

fn client_text(cx: &Cx) -> String {
    let context = cx.config().map(|config| host::context_name(&cx.choice, config));
    format!(
        "Client:\n Version:    {DOCKER_VERSION}\n Context:    {}\n Debug Mode: false\n",
        context.unwrap_or_default()
    )
}

/// Value of a line that only heads others.
const HEAD: &str = "\0";

fn warnings(info: &Json) {
    for warning in info["Warnings"].as_array().into_iter().flatten() {
        eprintln!("{}", warning.as_str().unwrap_or(""));
    }
}

/// Fields whose line appears only when they say something.
fn server_text(info: &Json) -> String {
    let mut text = String::new();
    let word = |value: &Json| match value {
        Json::String(text) => text.clone(),
        Json::Null => String::new(),
        other => other.to_string(),
    };
    let mut line = |title: &str, value: String| {
        let gap = if value == HEAD { "" } else { " " };
        text.push_str(&format!(" {title}:{gap}{}\n", value.trim_start_matches(HEAD)));
    };
    line("Containers", word(&info["Containers"]));
    for (title, key) in [
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
    ] {
        line(title, word(&info[key]));
    }
    line("Images", word(&info["Images"]));
    line("Server Version", word(&info["ServerVersion"]));
    line("Storage Driver", word(&info["Driver"]));
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        line(&format!(" {}", word(&pair[0])), word(&pair[1]));
    }
    line("Logging Driver", word(&info["LoggingDriver"]));
    line("Cgroup Driver", word(&info["CgroupDriver"]));
    line("Cgroup Version", word(&info["CgroupVersion"]));
    plugins(info, &mut line);
    line("Swarm", word(&info["Swarm"]["LocalNodeState"]));
    let runtimes = info["Runtimes"].as_object().into_iter().flatten();
    let mut runtimes: Vec<&str> = runtimes.map(|(name, _)| name.as_str()).collect();
    runtimes.sort_unstable();
    line("Runtimes", runtimes.join(" "));
    line("Default Runtime", word(&info["DefaultRuntime"]));
    line("Init Binary", word(&info["InitBinary"]));
    for (title, key) in [
        ("containerd version", "ContainerdCommit"),
        ("runc version", "RuncCommit"),
        ("init version", "InitCommit"),
    ] {
        line(title, word(&info[key]["ID"]));
    }
    security(info, &mut line);
    for (title, key) in [
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
    ] {
        line(title, word(&info[key]));
    }
    line("Total Memory", units::binary_size(info["MemTotal"].as_f64().unwrap_or(0.0)));
    for (title, key) in [
        ("Name", "Name"),
        ("ID", "ID"),
        ("Docker Root Dir", "DockerRootDir"),
        ("Debug Mode", "Debug"),
    ] {
        line(title, word(&info[key]));
    }
    if info["Debug"] == true {
        for (title, key) in [
            (" File Descriptors", "NFd"),
            (" Goroutines", "NGoroutines"),
            (" System Time", "SystemTime"),
            (" EventsListeners", "NEventsListener"),
        ] {
            line(title, word(&info[key]));
        }
    }
    for (title, key) in
        [("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")]
    {
        if !word(&info[key]).is_empty() {
            line(title, word(&info[key]));
        }
    }
    labels_and_registries(info, &mut line);
    text
}

fn plugins(info: &Json, line: &mut impl FnMut(&str, String)) {
    line("Plugins", HEAD.to_owned());
    for kind in ["Volume", "Network", "Authorization", "Log"] {
        let names = info["Plugins"][kind].as_array().into_iter().flatten();
        let names: Vec<&str> = names.filter_map(Json::as_str).collect();
        if !names.is_empty() {
            line(&format!(" {kind}"), names.join(" "));
        }
    }
}

fn security(info: &Json, line: &mut impl FnMut(&str, String)) {
    let options = info["SecurityOptions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if options.is_empty() {
        return;
    }
    line("Security Options", HEAD.to_owned());
    for option in options.iter().filter_map(Json::as_str) {
        for (index, pair) in option.split(',').enumerate() {
            let (key, value) = pair.split_once('=').unwrap_or(("", pair));
            match (index, key) {
                (0, _) => line(&format!(" {value}"), String::new()),
                (_, "profile") => line("  Profile", value.to_owned()),
                (_, key) => line(&format!("  {key}"), value.to_owned()),
            }
        }
    }
}

fn labels_and_registries(info: &Json, line: &mut impl FnMut(&str, String)) {
    let labels = info["Labels"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !labels.is_empty() {
        line("Labels", HEAD.to_owned());
        labels
            .iter()
            .filter_map(Json::as_str)
            .for_each(|label| line(&format!(" {label}"), String::new()));
    }
    line("Experimental", info["ExperimentalBuild"].to_string());
    let registry = &info["RegistryConfig"];
    line("Insecure Registries", HEAD.to_owned());
    let hosts = registry["IndexConfigs"].as_object().into_iter().flatten();
    for (host, _) in hosts.filter(|(_, config)| config["Secure"] == false) {
        line(&format!(" {host}"), String::new());
    }
    for range in registry["InsecureRegistryCIDRs"].as_array().into_iter().flatten() {
        line(&format!(" {}", range.as_str().unwrap_or("")), String::new());
    }
    let mirrors = registry["Mirrors"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !mirrors.is_empty() {
        line("Registry Mirrors", HEAD.to_owned());
        mirrors.iter().filter_map(Json::as_str).for_each(|m| line(&format!(" {m}"), String::new()));
    }
    line("Live Restore Enabled", info["LiveRestoreEnabled"].to_string());
    for pool in info["DefaultAddressPools"].as_array().into_iter().flatten() {
        line("Default Address Pools", HEAD.to_owned());
        line("  Base", format!("{}, Size: {}", pool["Base"].as_str().unwrap_or(""), pool["Size"]));
    }
}
