//! `network …`: networks that containers connect to.

use serde_json::{Map, Value as Json, json};

use super::container_prune::{FLAGS as PRUNE_FLAGS, Report, agreed};
use super::inspect::{self, FORMAT};
use super::ps::{FORMAT_HELP, labels_of};
use super::{each, prune_filters};
use crate::cli::container::body::{Object, pairs};
use crate::cli::container::environment;
use crate::cli::context::Cx;
use crate::cli::error::{CliError, out, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Kind, Matches, command};
use crate::cli::format::rows::{self, Format, Row};
use crate::cli::format::time;
use crate::cli::link::{Query, query};

fn path(name: &str) -> String {
    format!("/networks/{}", query::segment(name))
}

static LS_FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Show only those for which this is true (driver=bridge)")
        .short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::switch("no-trunc", "Don't shorten anything"),
    Flag::switch("quiet", "Show only IDs").short('q'),
];

const HEADERS: &[(&str, &str)] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

command! {
    /// List networks.
    pub static LS = {
        usage: "[OPTIONS]",
        flags: &[LS_FLAGS],
        run: |cx, m| Box::pin(async move {
            let typed = match m.text("format") {
                "" => cx.config()?.text("networksFormat").to_owned(),
                typed => typed.to_owned(),
            };
            let query = Query::new().filters(&m.map("filter"));
            let mut list = array(cx.link()?.get("/networks", &query).await?);
            list.sort_by(|a, b| a["Name"].as_str().cmp(&b["Name"].as_str()));
            let table = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
            let format = Format::read(&typed, table, m.on("quiet").then_some("ID"));
            let trunc = !m.on("no-trunc");
            out!("{}", rows::render(&format, HEADERS, list.iter().map(|n| row(n, trunc)))?)?;
            Ok(Exit::SUCCESS)
        }),
    }
}

fn array(list: Json) -> Vec<Json> {
    match list {
        Json::Array(list) => list,
        _ => Vec::new(),
    }
}

fn row(network: &Json, trunc: bool) -> Row {
    let text = |key: &str| network[key].as_str().unwrap_or("");
    let on = |key: &str| network[key].as_bool().unwrap_or(false).to_string();
    let id = text("Id");
    let created = time::instant(text("Created"));
    let created = created.map_or_else(
        || "0001-01-01 00:00:00 +0000 UTC".to_owned(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S.%f %z UTC").to_string(),
    );
    Row::default()
        .text("ID", if trunc { &id[..id.len().min(12)] } else { id })
        .text("Name", text("Name"))
        .text("Driver", text("Driver"))
        .text("Scope", text("Scope"))
        .text("IPv4", on("EnableIPv4"))
        .text("IPv6", on("EnableIPv6"))
        .text("Internal", on("Internal"))
        .text("CreatedAt", created)
        .labels(&labels_of(&network["Labels"]))
}

static CREATE_FLAGS: &[Flag] = &[
    Flag::switch("attachable", "Let containers be attached by hand (swarm)"),
    Flag::new("aux-address", Kind::Map, "Address that is in use already (name=address)"),
    Flag::text("config-from", "Network to take the configuration from"),
    Flag::switch("config-only", "Make a configuration, not a network"),
    Flag::text("driver", "Driver of the network").short('d').default("bridge"),
    Flag::new("gateway", Kind::Strings, "Gateway of a subnet"),
    Flag::switch("ingress", "Make the routing mesh's network (swarm)"),
    Flag::switch("internal", "No way out of the network"),
    Flag::new("ip-range", Kind::Strings, "Range of a subnet to take addresses from"),
    Flag::text("ipam-driver", "Driver of address management").default("default"),
    Flag::new("ipam-opt", Kind::Map, "Option of that driver (name=value)"),
    Flag::switch("ipv4", "Give IPv4 addresses").default("true"),
    Flag::switch("ipv6", "Give IPv6 addresses"),
    Flag::list("label", "Set a label (name=value)"),
    Flag::new("opt", Kind::Map, "Option of the driver (name=value)").short('o'),
    Flag::text("scope", "Scope of the network"),
    Flag::new("subnet", Kind::Strings, "Subnet, such as 172.30.0.0/16"),
];

command! {
    /// Make a network.
    pub static CREATE = {
        usage: "[OPTIONS] NETWORK",
        flags: &[CREATE_FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let body = create_body(m)?;
            let created = cx.link()?.post("/networks/create", &Query::new(), Some(&body)).await?;
            if let Some(warning) = created["Warning"].as_str().filter(|w| !w.is_empty()) {
                eprintln!("WARNING: {warning}");
            }
            outln!("{}", created["Id"].as_str().unwrap_or(""))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

fn create_body(m: &Matches) -> Result<Json, CliError> {
    let mut body = Object::default();
    body.set("Name", m.args()[0].as_str());
    body.set("Driver", m.text("driver"));
    body.text("Scope", m.text("scope"));
    body.set("Internal", m.on("internal"));
    body.set("Ingress", m.on("ingress"));
    body.set("Attachable", m.on("attachable"));
    body.set("ConfigOnly", m.on("config-only"));
    if m.given("ipv4") {
        body.set("EnableIPv4", m.on("ipv4"));
    }
    if m.given("ipv6") {
        body.set("EnableIPv6", m.on("ipv6"));
    }
    if let Some(source) = m.typed("config-from") {
        body.set("ConfigFrom", json!({"Network": source}));
    }
    body.set("Options", pairs(m.map("opt")));
    body.set("Labels", pairs(environment::labels(&[], &m.list("label"))?));
    body.set(
        "IPAM",
        json!({
            "Driver": m.text("ipam-driver"),
            "Options": pairs(m.map("ipam-opt")),
            "Config": ipam(m)?,
        }),
    );
    Ok(Json::Object(body.0))
}

/// Whether `address` (or the first address of a range) lies in `subnet`.
fn contains(subnet: &str, address: &str) -> Result<bool, CliError> {
    let wrong = |text: &str| CliError::invalid(format!("invalid CIDR address: {text}"));
    let bits = |text: &str| -> Result<(u128, u32), CliError> {
        match text.parse::<std::net::IpAddr>().map_err(|_| wrong(text))? {
            std::net::IpAddr::V4(v4) => Ok((u128::from(v4.to_bits()), 32)),
            std::net::IpAddr::V6(v6) => Ok((v6.to_bits(), 128)),
        }
    };
    let (base, length) = subnet.split_once('/').ok_or_else(|| wrong(subnet))?;
    let length: u32 = length.parse().map_err(|_| wrong(subnet))?;
    let (base, width) = bits(base)?;
    let (address, other) = bits(address.split('/').next().unwrap_or(address))?;
    let shift = width.saturating_sub(length);
    let cut = |n: u128| if shift >= 128 { 0 } else { n >> shift };
    Ok(width == other && cut(base) == cut(address))
}

/// Subnets with the range, gateway and known addresses that lie in each.
fn ipam(m: &Matches) -> Result<Vec<Json>, CliError> {
    let subnets = m.list("subnet");
    let mut configs: Vec<Map<String, Json>> = Vec::new();
    for (index, subnet) in subnets.iter().enumerate() {
        contains(subnet, subnet)?;
        for other in &subnets[..index] {
            if contains(other, subnet)? || contains(subnet, other)? {
                return Err(CliError::invalid(
                    "multiple overlapping subnet configuration is not supported",
                ));
            }
        }
        configs.push([("Subnet".to_owned(), json!(subnet))].into_iter().collect());
    }
    let mut place = |address: &str, key: &str, what: &str| -> Result<(), CliError> {
        for (subnet, config) in subnets.iter().zip(&mut configs) {
            if contains(subnet, address)? {
                if config.contains_key(key) {
                    return Err(CliError::invalid(format!(
                        "cannot configure multiple {what} ({address}) on the same subnet ({subnet})"
                    )));
                }
                config.insert(key.to_owned(), json!(address));
                return Ok(());
            }
        }
        Err(CliError::invalid(format!("no matching subnet for {what} {address}")))
    };
    for range in m.list("ip-range") {
        place(&range, "IPRange", "range")?;
    }
    for gateway in m.list("gateway") {
        place(&gateway, "Gateway", "gateway")?;
    }
    for (name, address) in m.map("aux-address") {
        let mut found = false;
        for (subnet, config) in subnets.iter().zip(&mut configs) {
            if contains(subnet, &address)? {
                let slot = config.entry("AuxiliaryAddresses").or_insert_with(|| json!({}));
                slot[name.as_str()] = json!(address);
                found = true;
                break;
            }
        }
        if !found {
            return Err(CliError::invalid(format!("no matching subnet for aux-address {address}")));
        }
    }
    Ok(configs.into_iter().map(Json::Object).collect())
}

static RM_FLAGS: &[Flag] =
    &[Flag::switch("force", "Don't fail if the network doesn't exist").short('f')];

command! {
    /// Remove one or more networks.
    pub static RM = {
        usage: "NETWORK [NETWORK...]",
        flags: &[RM_FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let link = cx.link()?;
            let force = m.on("force");
            each(m.args(), async |name| match link.delete(&path(name), &Query::new()).await {
                Ok(_) => Ok(Some(name.to_owned())),
                Err(e) if force && e.is_not_found() => Ok(None),
                Err(e) => Err(e),
            }).await
        }),
    }
}

static INSPECT_FLAGS: &[Flag] = &[Flag::switch("verbose", "Show diagnostics too").short('v')];

command! {
    /// Show everything about one or more networks.
    pub static INSPECT = {
        usage: "[OPTIONS] NETWORK [NETWORK...]",
        flags: &[FORMAT, INSPECT_FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(inspect::inspect(cx, m, &inspect::ALL[2..3], false)),
    }
}

static CONNECT_FLAGS: &[Flag] = &[
    Flag::new("alias", Kind::Strings, "Add a name for the container in this network"),
    Flag::new("driver-opt", Kind::Strings, "Option of the driver (name=value)"),
    Flag::new(
        "gw-priority",
        Kind::Int,
        "The network with the highest one gives the default gateway",
    )
    .default("0"),
    Flag::text("ip", "IPv4 address, such as 172.30.100.104"),
    Flag::text("ip6", "IPv6 address, such as 2001:db8::33"),
    Flag::list("link", "Link to another container (name[:alias])"),
    Flag::new("link-local-ip", Kind::Strings, "Add a link-local address"),
];

command! {
    /// Connect a container to a network.
    pub static CONNECT = {
        usage: "[OPTIONS] NETWORK CONTAINER",
        flags: &[CONNECT_FLAGS],
        arity: Arity::Exactly(2),
        run: |cx, m| Box::pin(connect(cx, m)),
    }
}

async fn connect(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    let mut ipam = Object::default();
    ipam.text("IPv4Address", m.text("ip"));
    ipam.text("IPv6Address", m.text("ip6"));
    ipam.list("LinkLocalIPs", m.list("link-local-ip"));
    let mut endpoint = Object::default();
    endpoint.map("IPAMConfig", ipam.0);
    endpoint.list("Links", m.list("link"));
    endpoint.list("Aliases", m.list("alias"));
    endpoint.number("GwPriority", m.int("gw-priority"));
    let mut options = Map::new();
    for option in m.list("driver-opt") {
        let (key, value) = option
            .split_once('=')
            .ok_or_else(|| CliError::invalid("invalid key/value pair format in driver options"))?;
        options.insert(key.to_owned(), Json::from(value));
    }
    endpoint.map("DriverOpts", options);
    let body = json!({"Container": m.args()[1], "EndpointConfig": endpoint.0});
    let path = format!("{}/connect", path(&m.args()[0]));
    cx.link()?.post(&path, &Query::new(), Some(&body)).await?;
    Ok(Exit::SUCCESS)
}

static DISCONNECT_FLAGS: &[Flag] =
    &[Flag::switch("force", "Disconnect even if the container is gone").short('f')];

command! {
    /// Disconnect a container from a network.
    pub static DISCONNECT = {
        usage: "[OPTIONS] NETWORK CONTAINER",
        flags: &[DISCONNECT_FLAGS],
        arity: Arity::Exactly(2),
        run: |cx, m| Box::pin(async move {
            let body = json!({"Container": m.args()[1], "Force": m.on("force")});
            let path = format!("{}/disconnect", path(&m.args()[0]));
            cx.link()?.post(&path, &Query::new(), Some(&body)).await?;
            Ok(Exit::SUCCESS)
        }),
    }
}

command! {
    /// Remove all unused networks.
    pub static PRUNE = {
        usage: "[OPTIONS]",
        flags: &[PRUNE_FLAGS],
        run: |cx, m| Box::pin(async move {
            let question = "WARNING! This will remove all custom networks not used by at least one container.\nAre you sure you want to continue?";
            if !agreed(m, question)? {
                return Ok(Exit::SUCCESS);
            }
            remove(cx, &prune_filters(cx, m.map("filter"))?).await?.print()?;
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Removes networks without containers.
///
/// # Errors
/// The engine's refusal.
pub async fn remove(cx: &Cx, filters: &[(String, String)]) -> Result<Report, CliError> {
    let query = Query::new().filters(filters);
    let answer = cx.link()?.post("/networks/prune", &query, None).await?;
    Ok(Report::read("Deleted Networks:", "NetworksDeleted", &answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lie_in_subnets() {
        assert!(contains("10.0.0.0/8", "10.1.2.3").expect("valid"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1").expect("valid"));
        assert!(contains("fd00::/64", "fd00::1/80").expect("valid"));
        assert!(!contains("0.0.0.0/0", "::1").expect("valid"));
        assert!(contains("x", "y").is_err());
    }
}
