//! `build`: an image from a Dockerfile, by the engine's `POST /build`.
//!
//! The context is sent as a tar archive while it is read; `.dockerignore` is applied here.

use std::fs;
use std::path::{Path, PathBuf};

use dockerfile::ignore::Patterns;
use serde_json::{Map, Value as Json, json};

use crate::cli::archive::{self, Keep};
use crate::cli::config::credentials;
use crate::cli::container::body::{extra_hosts, pairs};
use crate::cli::container::environment;
use crate::cli::context::Cx;
use crate::cli::env_vars;
use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Kind, Matches, command, value};
use crate::cli::link::{Body, Extra, Query};
use crate::cli::{progress, upload};

static FLAGS: &[Flag] = &[
    Flag::list("add-host", "Add a line to /etc/hosts of the steps (name:address)"),
    Flag::list("build-arg", "Set a variable of the build (NAME=value)"),
    Flag::new("cache-from", Kind::Strings, "Use this image's layers as cache"),
    Flag::text("cgroup-parent", "Control group to put the steps' ones below"),
    Flag::switch("compress", "Accepted for compatibility; the context is sent as it is").hidden(),
    Flag::new("cpu-period", Kind::Int, "Period of the processor quota, in microseconds")
        .default("0"),
    Flag::new("cpu-quota", Kind::Int, "Processor time per period, in microseconds").default("0"),
    Flag::new("cpu-shares", Kind::Int, "Relative weight of processor time").short('c').default("0"),
    Flag::text("cpuset-cpus", "Processors that may be used (0-3 or 0,1)"),
    Flag::text("cpuset-mems", "Memory nodes that may be used (0-3 or 0,1)"),
    Flag::switch("disable-content-trust", "Accepted for compatibility").default("true").hidden(),
    Flag::text("file", "Name of the Dockerfile (default PATH/Dockerfile)").short('f'),
    Flag::switch("force-rm", "Always remove what steps leave behind"),
    Flag::text("iidfile", "Write the image's ID to this file"),
    Flag::text("isolation", "Isolation technology").hidden(),
    Flag::list("label", "Set a label of the image (name=value)"),
    Flag::new("memory", Kind::Bytes, "Limit of memory").short('m').default("0"),
    Flag::new("memory-swap", Kind::SignedBytes, "Limit of memory and swap together, -1 for none")
        .default("0"),
    Flag::text("network", "Network of the steps").default("default"),
    Flag::switch("no-cache", "Don't use what earlier builds left"),
    Flag::text("platform", "Platform of the image, such as linux/amd64"),
    Flag::switch("pull", "Look for newer versions of the base images"),
    Flag::switch("quiet", "Say only the image's ID").short('q'),
    Flag::switch("rm", "Remove what successful steps leave behind").default("true"),
    Flag::new("security-opt", Kind::Strings, "Set a security option"),
    Flag::new("shm-size", Kind::Bytes, "Size of /dev/shm").default("0"),
    Flag::switch("squash", "Make one layer of all new ones"),
    Flag::list("tag", "Name of the image (name:tag)").short('t'),
    Flag::text("target", "Stage to build"),
    Flag::new("ulimit", Kind::Ulimit, "Set a limit of resources (name=soft[:hard])"),
];

command! {
    /// Make an image from a Dockerfile.
    pub static BUILD = {
        usage: "[OPTIONS] PATH | URL | -",
        flags: &[FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(build(cx, m)),
    }
}

/// Where the engine gets the context from.
struct Source {
    remote: String,
    dockerfile: String,
    body: Option<Body>,
}

async fn build(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    for tag in m.list("tag") {
        super::pull::parse(&tag).map_err(|e| {
            CliError::invalid(format!("invalid argument {tag:?} for \"-t, --tag\" flag: {e}"))
        })?;
    }
    let source = source(m)?;
    let mut query = query(cx, m)?.set_some("remote", &source.remote);
    query = query.set_some("dockerfile", &source.dockerfile);
    let auths: Map<String, Json> = credentials::all(cx.config()?)?
        .into_iter()
        .map(|known| (known.server.clone(), known.json()))
        .collect();
    let header = data_encoding::BASE64URL.encode(Json::Object(auths).to_string().as_bytes());
    let extra =
        Extra { body: source.body.map(|body| ("application/x-tar", body)), ..Extra::default() };
    let extra = extra.header("x-registry-config", header);
    let reply = cx.link()?.open(http::Method::POST, "/build", &query, extra).await?;
    let mut id = String::new();
    let aux = |data: &Json| {
        if let Some(found) = data["ID"].as_str() {
            found.clone_into(&mut id);
        }
    };
    if m.on("quiet") {
        // The quiet stream's only text is the ID.
        let text = progress::swallow(reply, aux).await?;
        if id.is_empty() {
            text.trim().clone_into(&mut id);
        }
        out!("{id}\n")?;
    } else {
        progress::show(reply, &mut std::io::stdout(), aux).await?;
    }
    if let Some(path) = m.typed("iidfile") {
        if id.is_empty() {
            return Err(CliError::invalid(format!(
                "server did not provide an image ID. Cannot write {path}"
            )));
        }
        fs::write(path, &id).map_err(|e| CliError::file(format!("write {path}"), e))?;
    }
    Ok(Exit::SUCCESS)
}

fn query(cx: &Cx, m: &Matches) -> Result<Query, CliError> {
    let mut query = Query::new();
    for tag in m.list("tag") {
        query = query.set("t", tag);
    }
    for host in extra_hosts(&m.list("add-host"))? {
        query = query.set("extrahosts", host);
    }
    let platform = m.typed("platform").map(str::to_owned);
    let platform = platform.or_else(|| env_vars::value(env_vars::DOCKER_DEFAULT_PLATFORM));
    query = query
        .flag("q", m.on("quiet"))
        .flag("nocache", m.on("no-cache"))
        .flag("pull", m.on("pull"))
        .flag("forcerm", m.on("force-rm"))
        .flag("squash", m.on("squash"))
        .set("rm", if m.on("rm") { "1" } else { "0" })
        .set("networkmode", m.text("network"))
        .set_some("platform", &platform.unwrap_or_default())
        .set_some("target", m.text("target"))
        .set_some("isolation", m.text("isolation"))
        .set_some("cgroupparent", m.text("cgroup-parent"))
        .set_some("cpusetcpus", m.text("cpuset-cpus"))
        .set_some("cpusetmems", m.text("cpuset-mems"))
        .set("version", "1");
    for (flag, name) in
        [("cpu-period", "cpuperiod"), ("cpu-quota", "cpuquota"), ("cpu-shares", "cpushares")]
    {
        if m.int(flag) != 0 {
            query = query.set(name, m.int(flag).to_string());
        }
    }
    for (flag, name) in [("memory", "memory"), ("memory-swap", "memswap"), ("shm-size", "shmsize")]
    {
        if m.bytes(flag) != 0 {
            query = query.set(name, m.bytes(flag).to_string());
        }
    }
    for option in m.list("security-opt") {
        query = query.set("securityopt", option);
    }
    let limits: Vec<Json> = m
        .list("ulimit")
        .iter()
        .filter_map(|text| value::ulimit(text).ok())
        .map(|l| json!({"Name": l.name, "Soft": l.soft, "Hard": l.hard}))
        .collect();
    query = query.set("buildargs", build_args(cx, m)?.to_string());
    query = query.set(
        "labels",
        Json::Object(pairs(environment::labels(&[], &m.list("label"))?)).to_string(),
    );
    query = query.set("cachefrom", json!(m.list("cache-from")).to_string());
    Ok(query.set("ulimits", Json::from(limits).to_string()))
}

/// Variables; a name without a value takes ours, or says that it has none (`null`).
fn build_args(cx: &Cx, m: &Matches) -> Result<Json, CliError> {
    let mut args = Map::new();
    for (name, value) in cx.config()?.proxies(&cx.link()?.endpoint().host) {
        args.insert(name, Json::from(value));
    }
    for typed in m.list("build-arg") {
        let (name, value) = match typed.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (typed.as_str(), std::env::var(&typed).ok()),
        };
        args.insert(name.to_owned(), value.map_or(Json::Null, Json::from));
    }
    Ok(Json::Object(args))
}

fn source(m: &Matches) -> Result<Source, CliError> {
    let place = m.args()[0].as_str();
    let file = m.text("file");
    let is_url = ["http://", "https://", "git://", "git@", "github.com/"]
        .iter()
        .any(|start| place.starts_with(start));
    if is_url && !Path::new(place).exists() {
        return Ok(Source { remote: place.to_owned(), dockerfile: file.to_owned(), body: None });
    }
    if place == "-" {
        if file == "-" {
            return Err(CliError::invalid(
                "invalid argument: can't use stdin for both build context and dockerfile",
            ));
        }
        return Ok(from_stdin(file));
    }
    let root = PathBuf::from(place);
    if !root.is_dir() {
        let e = fs::metadata(&root).err();
        let reason = if e.is_some() { "not found" } else { "is not a directory" };
        return Err(CliError::invalid(format!(
            "unable to prepare context: path {place:?} {reason}"
        )));
    }
    from_directory(&root, file)
}

/// Standard input is an archive, or else a Dockerfile without a context.
fn from_stdin(file: &str) -> Source {
    use std::io::Read;
    let mut start = Vec::new();
    // What can't be read shows up when the body is read.
    drop(std::io::stdin().take(512).read_to_end(&mut start));
    let is_archive = start.get(257..262) == Some(b"ustar")
        || start.starts_with(&[0x1f, 0x8b])
        || start.starts_with(b"BZh")
        || start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z'])
        || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let rest = std::io::Cursor::new(start).chain(std::io::stdin());
    if is_archive {
        return Source {
            remote: String::new(),
            dockerfile: file.to_owned(),
            body: Some(upload::reader(rest)),
        };
    }
    let body = upload::writer(move |out| {
        let mut text = Vec::new();
        let mut rest = rest;
        rest.read_to_end(&mut text)?;
        let mut builder = tar::Builder::new(out);
        append(&mut builder, "Dockerfile", &text)?;
        builder.finish()
    });
    Source { remote: String::new(), dockerfile: "Dockerfile".to_owned(), body: Some(body) }
}

fn append<W: std::io::Write>(
    builder: &mut tar::Builder<W>,
    name: &str,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, name, content)
}

fn from_directory(root: &Path, file: &str) -> Result<Source, CliError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |e| CliError::file(format!("read {path}"), e)
    };
    // A Dockerfile from standard input or from outside is sent under a name of its own.
    let mut added: Option<Vec<u8>> = None;
    let mut name = "Dockerfile".to_owned();
    if file == "-" {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut text)
            .map_err(|e| CliError::file("read the Dockerfile from standard input", e))?;
        added = Some(text);
    } else if !file.is_empty() {
        let path = if Path::new(file).exists() { PathBuf::from(file) } else { root.join(file) };
        let real = fs::canonicalize(&path).map_err(|_| {
            CliError::invalid(format!("unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {}: no such file or directory", path.display()))
        })?;
        let base = fs::canonicalize(root).map_err(failed(root))?;
        match real.strip_prefix(&base) {
            Ok(inside) => name = inside.display().to_string(),
            Err(_) => added = Some(fs::read(&real).map_err(failed(&real))?),
        }
    } else if !root.join("Dockerfile").exists() && root.join("dockerfile").exists() {
        "dockerfile".clone_into(&mut name);
    }
    let own_ignore = root.join(format!("{name}.dockerignore"));
    let ignore_path = if own_ignore.exists() { own_ignore } else { root.join(".dockerignore") };
    let ignored = match fs::read_to_string(&ignore_path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(failed(&ignore_path)(e)),
    };
    let patterns = Patterns::from_file(&ignored)
        .map_err(|e| CliError::invalid(format!("error checking context: {e}")))?;
    if added.is_some() {
        name = format!(".dockerfile.{:020x}", std::process::id());
    }
    let (root, sent) = (root.to_owned(), name.clone());
    let body = upload::writer(move |out| {
        let mut keep = |path: &str, is_dir: bool| keep(&patterns, &sent, path, is_dir);
        match added {
            None => archive::pack(&root, "", false, &mut keep, out).map(drop),
            Some(text) => archive::pack_with(&root, &[(&sent, &text)], &mut keep, out),
        }
    });
    Ok(Source { remote: String::new(), dockerfile: name, body: Some(body) })
}

/// Whether a path of the context is sent. The Dockerfile and the ignore file always are: the
/// engine needs the first, and leaves both out of `COPY` itself.
fn keep(patterns: &Patterns, dockerfile: &str, path: &str, is_dir: bool) -> Keep {
    if path == dockerfile || path == ".dockerignore" || !patterns.ignores(path) {
        return Keep::Yes;
    }
    let leads_to_dockerfile = dockerfile.starts_with(&format!("{path}/"));
    if is_dir && (patterns.may_return_below(path) || leads_to_dockerfile) {
        Keep::OnlyBelow
    } else {
        Keep::No
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_paths_stay_behind() {
        let patterns =
            Patterns::from_file("target\n!target/keep\n*.log\nsub/Dockerfile").expect("valid");
        let of = |path: &str, is_dir| keep(&patterns, "sub/Dockerfile", path, is_dir);
        assert_eq!(of("a.log", false), Keep::No);
        assert_eq!(of("src", true), Keep::Yes);
        assert_eq!(of("target", true), Keep::OnlyBelow);
        assert_eq!(of("sub/Dockerfile", false), Keep::Yes);
    }
}
