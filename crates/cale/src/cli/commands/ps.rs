//! `ps`: list containers.

use jiff::Timestamp;
use serde_json::Value as Json;

use crate::cli::error::out;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Kind, Matches, command};
use crate::cli::format::columns::ellipsis;
use crate::cli::format::rows::{self, Format, Row};
use crate::cli::format::{time, units};
use crate::cli::link::Query;

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show stopped containers too").short('a'),
    Flag::new("filter", Kind::Filter, "Show only those for which this is true (name=…, status=…)")
        .short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::new("last", Kind::Int, "Show the N newest containers, in any state")
        .short('n')
        .default("-1"),
    Flag::switch("latest", "Show the newest container, in any state").short('l'),
    Flag::switch("no-trunc", "Don't shorten anything"),
    Flag::switch("quiet", "Show only IDs").short('q'),
    Flag::switch("size", "Show sizes").short('s'),
];

/// Help of every `--format` of a list.
pub const FORMAT_HELP: &str =
    "How to print: 'table', 'table TEMPLATE', 'json', or a Go template for each line";

command! {
    /// List containers.
    pub static PS = {
        usage: "[OPTIONS]",
        flags: &[FLAGS],
        arity: Arity::None,
        run: |cx, m| Box::pin(async move {
            let typed = match m.text("format") {
                "" => cx.config()?.text("psFormat").to_owned(),
                typed => typed.to_owned(),
            };
            let size = m.on("size") || typed.contains(".Size");
            let list = cx.link()?.get("/containers/json", &query(m, size)).await?;
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            let default = if m.on("size") { TABLE_WITH_SIZE } else { TABLE };
            let format = Format::read(&typed, default, m.on("quiet").then_some("ID"));
            let now = Timestamp::now();
            let rows = list.iter().map(|container| row(container, !m.on("no-trunc"), size, now));
            out!("{}", rows::render(&format, HEADERS, rows)?)?;
            Ok(Exit::SUCCESS)
        }),
    }
}

const TABLE: &str =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const TABLE_WITH_SIZE: &str = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";

/// Column titles by field.
pub const HEADERS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

fn query(m: &Matches, size: bool) -> Query {
    let last = if m.on("latest") && m.int("last") == -1 { 1 } else { m.int("last") };
    let mut query = Query::new().flag("all", m.on("all")).filters(&m.map("filter"));
    if last > 0 {
        query = query.set("limit", last.to_string());
    }
    query.flag("size", size)
}

/// Template fields of one container.
pub fn row(container: &Json, trunc: bool, size: bool, now: Timestamp) -> Row {
    let text = |key: &str| container[key].as_str().unwrap_or("");
    let created = container["Created"].as_i64().unwrap_or(0);
    let id = text("Id");
    let names = container["Names"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let names: Vec<&str> = names
        .map(|name| name.strip_prefix('/').unwrap_or(name))
        // With -no-trunc, names given by links ("other/alias") are shown too.
        .filter(|name| !trunc || !name.contains('/'))
        .collect();
    let mounts = container["Mounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mount_name = |mount: &Json| {
        let name = mount["Name"].as_str().filter(|n| !n.is_empty());
        let name = name.or(mount["Source"].as_str()).unwrap_or("");
        if trunc { ellipsis(name, 15) } else { name.to_owned() }
    };
    let volumes = mounts.iter().filter(|mount| mount["Driver"] == "local").count();
    let networks = container["NetworkSettings"]["Networks"].as_object();
    let networks: Vec<&str> =
        networks.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let row = Row::default()
        .text("ID", if trunc { &id[..id.len().min(12)] } else { id })
        .text("Names", names.join(","))
        .text("Image", image(container, trunc))
        .text("Command", command(text("Command"), trunc))
        .text("CreatedAt", time::local_go(created))
        .text("RunningFor", format!("{} ago", time::age(created, now)))
        .text("Ports", ports(&container["Ports"]))
        .text("State", text("State"))
        .text("Status", text("Status"))
        .text("Size", if size { sizes(container) } else { "0B".to_owned() })
        .text("Mounts", mounts.iter().map(mount_name).collect::<Vec<_>>().join(","))
        .text("LocalVolumes", volumes.to_string())
        .text("Networks", networks.join(","))
        .json("Platform", &container["ImageManifestDescriptor"]["platform"]);
    row.labels(&labels_of(&container["Labels"]))
}

/// Labels as pairs, sorted by name.
pub fn labels_of(labels: &Json) -> Vec<(String, String)> {
    let pairs = labels.as_object().into_iter().flatten();
    let mut pairs: Vec<_> =
        pairs.map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_owned())).collect();
    pairs.sort();
    pairs
}

fn image(container: &Json, trunc: bool) -> String {
    let image = container["Image"].as_str().unwrap_or("");
    let id = container["ImageID"].as_str().unwrap_or("");
    if image.is_empty() {
        return "<no image>".to_owned();
    }
    if !trunc {
        return image.to_owned();
    }
    let short = |id: &str| {
        let hex = id.strip_prefix("sha256:").unwrap_or(id);
        hex[..hex.len().min(12)].to_owned()
    };
    if short(id) == short(image) {
        return short(image);
    }
    // The digest of a pinned reference is left out, the tag stays.
    match image.split_once('@') {
        Some((name, _)) => name.to_owned(),
        None => image.to_owned(),
    }
}

fn command(command: &str, trunc: bool) -> String {
    let shown = if trunc { ellipsis(command, 20) } else { command.to_owned() };
    serde_json::Value::from(shown).to_string()
}

fn sizes(container: &Json) -> String {
    let size = |key: &str| container[key].as_f64().unwrap_or(0.0);
    let own = units::human_size_short(size("SizeRw"));
    match size("SizeRootFs") {
        root if root > 0.0 => format!("{own} (virtual {})", units::human_size_short(root)),
        _ => own,
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Published {
    private: u16,
    protocol: String,
    address: String,
    public: u16,
}

/// The `PORTS` column: runs of neighbouring ports are joined (`80-81/tcp`).
pub fn ports(list: &Json) -> String {
    let number = |port: &Json, key: &str| {
        port[key].as_u64().and_then(|n| u16::try_from(n).ok()).unwrap_or(0)
    };
    let read = |port: &Json| Published {
        private: number(port, "PrivatePort"),
        protocol: port["Type"].as_str().unwrap_or("tcp").to_owned(),
        address: port["IP"].as_str().unwrap_or("").to_owned(),
        public: number(port, "PublicPort"),
    };
    let mut ports: Vec<Published> = list.as_array().into_iter().flatten().map(read).collect();
    ports.sort();
    // Groups are runs on one address and protocol; a port that is published under another number
    // stands alone.
    let mut groups: Vec<(String, String, u16, u16)> = Vec::new();
    let mut alone = Vec::new();
    for port in ports {
        let at = |p: u16| if port.address.is_empty() { p } else { port.public };
        if port.public != 0 && port.public != port.private {
            alone.push(format!("{}->{}/{}", host(&port), port.private, port.protocol));
            continue;
        }
        let key = |group: &&mut (String, String, u16, u16)| {
            group.0 == port.address && group.1 == port.protocol && group.3 + 1 == at(port.private)
        };
        match groups.iter_mut().rev().find(key) {
            Some(group) => group.3 = port.private,
            None => groups.push((
                port.address.clone(),
                port.protocol.clone(),
                port.private,
                port.private,
            )),
        }
    }
    groups.sort_by(|a, b| (a.2, &a.1, &a.0).cmp(&(b.2, &b.1, &b.0)));
    let shown = groups.into_iter().map(|(address, protocol, first, last)| {
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        match address.as_str() {
            "" => format!("{range}/{protocol}"),
            address => format!("{}:{range}->{range}/{protocol}", bracketed(address)),
        }
    });
    shown.chain(alone).collect::<Vec<_>>().join(", ")
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

fn host(port: &Published) -> String {
    format!("{}:{}", bracketed(&port.address), port.public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn neighbouring_ports_are_joined() {
        let open = |private: u16| json!({"PrivatePort": private, "Type": "tcp"});
        let public = |private: u16, public: u16, ip: &str| json!({"PrivatePort": private, "PublicPort": public, "Type": "tcp", "IP": ip});
        assert_eq!(ports(&json!([open(80), open(82), open(81)])), "80-82/tcp");
        assert_eq!(
            ports(&json!([public(80, 8080, "0.0.0.0"), open(443)])),
            "443/tcp, 0.0.0.0:8080->80/tcp"
        );
        assert_eq!(
            ports(&json!([public(80, 80, "0.0.0.0"), public(81, 81, "0.0.0.0")])),
            "0.0.0.0:80-81->80-81/tcp"
        );
        assert_eq!(ports(&json!([public(80, 80, "::")])), "[::]:80->80/tcp");
        assert_eq!(ports(&json!([])), "");
    }

    #[test]
    fn long_commands_are_cut() {
        assert_eq!(command("sleep infinity and a day", true), "\"sleep infinity and …\"");
        assert_eq!(command("x", true), "\"x\"");
    }
}
