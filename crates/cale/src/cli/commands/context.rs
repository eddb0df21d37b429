//! `context …`: named engines.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::inspect::{self, FORMAT};
use super::ps::FORMAT_HELP;
use crate::cli::config::ConfigFile;
use crate::cli::config::contexts::{Context, ContextStore, DEFAULT, TLS_FILES, check_name};
use crate::cli::context::Cx;
use crate::cli::env_vars;
use crate::cli::error::{CliError, out, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::value::{boolean, csv};
use crate::cli::flags::{Arity, Flag, Kind, Matches, command};
use crate::cli::format::json_text;
use crate::cli::format::rows::{self, Format, Row};
use crate::cli::{host, session};

fn store(cx: &Cx) -> ContextStore {
    ContextStore::new(&cx.config_dir)
}

static ENDPOINT: &[Flag] = &[
    Flag::text("description", "What the context is for"),
    Flag::new(
        "docker",
        Kind::Fields("stringToString"),
        "The engine: host=…,ca=…,cert=…,key=…,skip-tls-verify=…",
    ),
];

static FROM: &[Flag] = &[Flag::text("from", "Copy this context")];

/// What `--docker` says: address, TLS files, whether certificates are taken unchecked.
struct Docker {
    host: String,
    skip_tls_verify: bool,
    files: Vec<(String, Vec<u8>)>,
}

fn docker(cx: &Cx, m: &Matches) -> Result<Option<Docker>, CliError> {
    if !m.given("docker") {
        return Ok(None);
    }
    let mut docker = Docker { host: String::new(), skip_tls_verify: false, files: Vec::new() };
    for field in m.list("docker").iter().flat_map(|line| csv(line)) {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| CliError::invalid(format!("{field} must be formatted as key=value")))?;
        let mut file = |name: &str| -> Result<(), CliError> {
            let content =
                fs::read(value).map_err(|e| CliError::file(format!("read {value}"), e))?;
            docker.files.push((name.to_owned(), content));
            Ok(())
        };
        match key {
            "host" => value.clone_into(&mut docker.host),
            "ca" => file(TLS_FILES[0])?,
            "cert" => file(TLS_FILES[1])?,
            "key" => file(TLS_FILES[2])?,
            "skip-tls-verify" => {
                docker.skip_tls_verify = boolean(value).map_err(CliError::invalid)?;
            }
            "from" if value == DEFAULT => docker.host = current_host(cx)?,
            "from" => {
                let other = store(cx).load(value)?;
                docker.host = other.host;
                docker.skip_tls_verify = other.skip_tls_verify;
                docker.files = store(cx).load_tls(value);
            }
            other => return Err(CliError::invalid(format!("unrecognized config key: {other}"))),
        }
    }
    if docker.host.is_empty() {
        docker.host = current_host(cx)?;
    }
    host::parse(&docker.host, None, "")?;
    Ok(Some(docker))
}

/// Address of the engine that would be used now without contexts.
fn current_host(cx: &Cx) -> Result<String, CliError> {
    let choice = host::Choice { context: String::new(), ..cx.choice.clone() };
    Ok(host::resolve(&choice, &ConfigFile::default())?.host)
}

command! {
    /// Make a context.
    pub static CREATE = {
        usage: "[OPTIONS] CONTEXT",
        flags: &[ENDPOINT, FROM],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let (store, name) = (store(cx), m.args()[0].as_str());
            check_name(name)?;
            if store.load(name).is_ok() {
                return Err(CliError::invalid(format!("context {name:?} already exists")));
            }
            let mut context = Context { name: name.to_owned(), ..Context::default() };
            let mut files = Vec::new();
            match (m.typed("from"), docker(cx, m)?) {
                (Some(_), Some(_)) => {
                    return Err(CliError::invalid("cannot use --docker flag when --from is set"));
                }
                (Some(DEFAULT), None) => context.host = current_host(cx)?,
                (Some(other), None) => {
                    context = Context { name: name.to_owned(), ..store.load(other)? };
                    files = store.load_tls(other);
                }
                (None, Some(docker)) => {
                    context.host = docker.host;
                    context.skip_tls_verify = docker.skip_tls_verify;
                    files = docker.files;
                }
                (None, None) => return Err(CliError::invalid("docker endpoint configuration is required")),
            }
            if m.given("description") {
                m.text("description").clone_into(&mut context.description);
            }
            store.save(&context)?;
            store.save_tls(name, &files)?;
            outln!("{name}")?;
            eprintln!("Successfully created context {name:?}");
            Ok(Exit::SUCCESS)
        }),
    }
}

command! {
    /// Change a context.
    pub static UPDATE = {
        usage: "[OPTIONS] CONTEXT",
        flags: &[ENDPOINT],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let (store, name) = (store(cx), m.args()[0].as_str());
            check_name(name)?;
            let mut context = store.load(name)?;
            if m.given("description") {
                m.text("description").clone_into(&mut context.description);
            }
            if let Some(docker) = docker(cx, m)? {
                context.host = docker.host;
                context.skip_tls_verify = docker.skip_tls_verify;
                store.save_tls(name, &docker.files)?;
            }
            store.save(&context)?;
            outln!("{name}")?;
            eprintln!("Successfully updated context {name:?}");
            Ok(Exit::SUCCESS)
        }),
    }
}

static LS_FLAGS: &[Flag] =
    &[Flag::text("format", FORMAT_HELP), Flag::switch("quiet", "Show only names").short('q')];

const HEADERS: &[(&str, &str)] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("DockerEndpoint", "DOCKER ENDPOINT"),
    ("Error", "ERROR"),
    ("Current", "CURRENT"),
];

command! {
    /// List contexts.
    pub static LS = {
        usage: "[OPTIONS]",
        flags: &[LS_FLAGS],
        run: |cx, m| Box::pin(async move {
            let current = host::context_name(&cx.choice, cx.config()?);
            let default = Context {
                name: DEFAULT.to_owned(),
                description: "Current DOCKER_HOST based configuration".to_owned(),
                host: current_host(cx).unwrap_or_default(),
                ..Context::default()
            };
            let mut contexts = vec![default];
            contexts.extend(store(cx).list()?);
            contexts.sort_by(|a, b| a.name.cmp(&b.name));
            let format = match m.on("quiet") {
                true => Format::Lines("{{.Name}}".to_owned()),
                false => Format::read(m.text("format"), TABLE, None),
            };
            let is_table = matches!(format, Format::Table(_));
            let rows = contexts.iter().map(|context| row(context, &current, is_table));
            out!("{}", rows::render(&format, HEADERS, rows)?)?;
            if let (false, Some(host)) = (m.on("quiet"), env_vars::value(env_vars::DOCKER_HOST)) {
                debug_assert!(!host.is_empty());
                eprintln!("Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.");
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

const TABLE: &str = "{{.Name}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}";

fn row(context: &Context, current: &str, is_table: bool) -> Row {
    let is_current = context.name == current;
    let mark = if is_current && is_table { " *" } else { "" };
    let description = match is_table {
        true => crate::cli::format::columns::ellipsis(&context.description, 45),
        false => context.description.clone(),
    };
    Row::default()
        .text("Name", format!("{}{mark}", context.name))
        .text("Description", description)
        .text("DockerEndpoint", &context.host)
        .text("Error", "")
        .json("Current", &Json::from(is_current))
}

command! {
    /// Make a context the one that is used.
    pub static USE = {
        usage: "CONTEXT",
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let name = m.args()[0].as_str();
            if name != DEFAULT {
                store(cx).load(name)?;
            }
            let mut config = ConfigFile::load(&cx.config_dir)?;
            config.set_text("currentContext", if name == DEFAULT { "" } else { name });
            config.save()?;
            outln!("{name}")?;
            eprintln!("Current context is now {name:?}");
            if env_vars::value(env_vars::DOCKER_HOST).is_some() && name != DEFAULT {
                eprintln!("Warning: DOCKER_HOST environment variable overrides the active context. To use {name:?}, either set the global --context flag, or unset DOCKER_HOST environment variable.");
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

command! {
    /// Print the name of the context that is used.
    pub static SHOW = {
        usage: "",
        run: |cx, m| Box::pin(async move {
            debug_assert!(m.args().is_empty());
            outln!("{}", host::context_name(&cx.choice, cx.config()?))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

static RM_FLAGS: &[Flag] =
    &[Flag::switch("force", "Remove even the context that is used").short('f')];

command! {
    /// Remove one or more contexts.
    pub static RM = {
        usage: "CONTEXT [CONTEXT...]",
        flags: &[RM_FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let mut failures = Vec::new();
            for name in m.args() {
                match remove(cx, name, m.on("force")) {
                    Ok(()) => outln!("{name}")?,
                    Err(e) => failures.push(e.text("", "", false)),
                }
            }
            if failures.is_empty() { Ok(Exit::SUCCESS) } else { Err(CliError::Many(failures)) }
        }),
    }
}

fn remove(cx: &Cx, name: &str, force: bool) -> Result<(), CliError> {
    if name == DEFAULT {
        return Err(CliError::invalid(r#"context "default" cannot be removed"#));
    }
    let known = store(cx).load(name);
    if let (Err(error), false) = (known, force) {
        return Err(error);
    }
    let mut config = ConfigFile::load(&cx.config_dir)?;
    if config.text("currentContext") == name {
        if !force {
            return Err(CliError::invalid(format!(
                "context {name:?} is in use, set -f flag to force remove"
            )));
        }
        config.set_text("currentContext", "");
        config.save()?;
    }
    store(cx).remove(name)
}

command! {
    /// Show everything about one or more contexts.
    pub static INSPECT = {
        usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
        flags: &[FORMAT],
        arity: Arity::Any,
        run: |cx, m| Box::pin(async move {
            let mut names = m.args().to_vec();
            if names.is_empty() {
                names.push(host::context_name(&cx.choice, cx.config()?));
            }
            let documents: Result<Vec<String>, CliError> =
                names.iter().map(|name| document(cx, name)).collect();
            inspect::print(&documents?, m.text("format"))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

fn document(cx: &Cx, name: &str) -> Result<String, CliError> {
    let store = store(cx);
    let is_default = name == DEFAULT;
    let context = if is_default {
        Context { name: name.to_owned(), host: current_host(cx)?, ..Context::default() }
    } else {
        store.load(name)?
    };
    let files: Vec<String> = store.load_tls(name).into_iter().map(|(name, _)| name).collect();
    let mut document = context.json();
    let mut material = Map::new();
    if !files.is_empty() {
        material.insert("docker".to_owned(), json!(files));
    }
    document["TLSMaterial"] = Json::Object(material);
    let place = |path: std::path::PathBuf| {
        if is_default { "<IN MEMORY>".to_owned() } else { path.display().to_string() }
    };
    document["Storage"] = json!({
        "MetadataPath": place(store.meta_dir(name)),
        "TLSPath": place(store.tls_dir(name)),
    });
    Ok(json_text::escape_html(&document.to_string()))
}

command! {
    /// Write a context to a file (NAME.dockercontext) or, with -, to stdout.
    pub static EXPORT = {
        usage: "CONTEXT [FILE|-]",
        arity: Arity::Between(1, 2),
        run: |cx, m| Box::pin(async move {
            let (store, name) = (store(cx), m.args()[0].as_str());
            if name == DEFAULT {
                return Err(CliError::invalid("invalid operation: the default context cannot be exported"));
            }
            let context = store.load(name)?;
            let archive = packed(&context, &store.load_tls(name))
                .map_err(|e| CliError::file("make the archive", e))?;
            let default = format!("{name}.dockercontext");
            match m.arg(1).unwrap_or(&default) {
                "-" if session::is_terminal(std::io::stdout()) => {
                    return Err(CliError::invalid("cowardly refusing to export to a terminal, specify a file path"));
                }
                "-" => std::io::stdout().write_all(&archive).map_err(CliError::Output)?,
                path => {
                    let mut options = fs::File::options();
                    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                    options
                        .write(true)
                        .create_new(true)
                        .open(path)
                        .and_then(|mut file| file.write_all(&archive))
                        .map_err(|e| CliError::file(format!("write {path}"), e))?;
                    eprintln!("Written file {path:?}");
                }
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

fn packed(context: &Context, files: &[(String, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content)
    };
    add("meta.json", context.json().to_string().as_bytes())?;
    files.iter().try_for_each(|(name, content)| add(&format!("tls/docker/{name}"), content))?;
    builder.into_inner()
}

/// Largest file of an imported context.
const IMPORT_MAX: u64 = 10 << 20;

command! {
    /// Make a context from a file, or from stdin with -.
    pub static IMPORT = {
        usage: "CONTEXT FILE|-",
        arity: Arity::Exactly(2),
        run: |cx, m| Box::pin(async move {
            let (store, name, path) = (store(cx), m.args()[0].as_str(), m.args()[1].as_str());
            check_name(name)?;
            if store.load(name).is_ok() {
                return Err(CliError::invalid(format!("context {name:?} already exists")));
            }
            let source: Box<dyn Read> = match path {
                "-" => Box::new(std::io::stdin()),
                path => Box::new(fs::File::open(path).map_err(|e| CliError::file(format!("open {path}"), e))?),
            };
            let (mut context, files) =
                unpacked(source.take(IMPORT_MAX)).map_err(|e| CliError::file(format!("read {path}"), e))?;
            name.clone_into(&mut context.name);
            host::parse(&context.host, None, name)?;
            store.save(&context)?;
            store.save_tls(name, &files)?;
            outln!("{name}")?;
            eprintln!("Successfully imported context {name:?}");
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Reads the two kinds of entries that an exported context has; others are refused.
#[allow(clippy::type_complexity, reason = "context and TLS files, taken apart at once")]
fn unpacked(source: impl Read) -> std::io::Result<(Context, Vec<(String, Vec<u8>)>)> {
    let wrong = |text: String| std::io::Error::new(std::io::ErrorKind::InvalidData, text);
    let mut archive = tar::Archive::new(source);
    let (mut context, mut files) = (None, Vec::new());
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() == tar::EntryType::Directory {
            continue;
        }
        let path = entry.path()?.into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        let tls = TLS_FILES.iter().find(|name| path == Path::new("tls/docker").join(name));
        match (path == Path::new("meta.json"), tls) {
            (true, _) => {
                let meta: Json =
                    serde_json::from_slice(&content).map_err(|e| wrong(e.to_string()))?;
                context = Some(Context::from_json(&meta));
            }
            (false, Some(name)) => files.push(((*name).to_owned(), content)),
            (false, None) => {
                return Err(wrong(format!("unexpected context file: {}", path.display())));
            }
        }
    }
    let context = context.ok_or_else(|| wrong("no meta.json in the archive".to_owned()))?;
    Ok((context, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_context_can_be_imported() {
        let context = Context { name: "x".into(), host: "tcp://h:1".into(), ..Context::default() };
        let files = vec![("ca.pem".to_owned(), b"pem".to_vec())];
        let archive = packed(&context, &files).expect("packed");
        assert_eq!(unpacked(archive.as_slice()).expect("valid"), (context, files));
    }

    #[test]
    fn strange_entries_are_refused() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        builder.append_data(&mut header, "tls/docker/other", &b"x"[..]).expect("appended");
        assert!(unpacked(builder.into_inner().expect("archive").as_slice()).is_err());
    }
}
