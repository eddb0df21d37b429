//! `images`: list images.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::ps::FORMAT_HELP;
use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Kind, Matches, command};
use crate::cli::format::rows::{self, Format, Row};
use crate::cli::format::{columns, time, units};
use crate::cli::link::Query;

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show intermediate images too").short('a'),
    Flag::switch("digests", "Show digests"),
    Flag::new(
        "filter",
        Kind::Filter,
        "Show only those for which this is true (dangling=…, label=…)",
    )
    .short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::switch("no-trunc", "Don't shorten anything"),
    Flag::switch("quiet", "Show only IDs").short('q'),
    Flag::switch("tree", "Show images with their platforms below each other"),
];

command! {
    /// List images.
    pub static IMAGES = {
        usage: "[OPTIONS] [REPOSITORY[:TAG]]",
        flags: &[FLAGS],
        arity: Arity::AtMost(1),
        run: |cx, m| Box::pin(async move {
            let mut filters = m.map("filter");
            if let Some(name) = m.arg(0) {
                filters.push(("reference".to_owned(), name.to_owned()));
            }
            let mut query = Query::new().flag("all", m.on("all")).filters(&filters);
            if m.on("tree") {
                check_tree(m)?;
                query = query.flag("manifests", true);
            }
            let typed = match m.text("format") {
                "" => cx.config()?.text("imagesFormat").to_owned(),
                typed => typed.to_owned(),
            };
            let list = cx.link()?.get("/images/json", &query).await?;
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            if m.on("tree") {
                out!("{}", tree(list))?;
                return Ok(Exit::SUCCESS);
            }
            let default = if m.on("digests") { TABLE_WITH_DIGEST } else { TABLE };
            let format = Format::read(&typed, default, m.on("quiet").then_some("ID"));
            let digests = m.on("digests") || typed.contains(".Digest");
            let now = Timestamp::now();
            let mut rows: Vec<Row> = Vec::new();
            for image in list {
                rows.extend(lines(image, digests, m.arg(0), !m.on("no-trunc"), now));
            }
            if m.on("quiet") && typed.is_empty() {
                rows = one_per_image(list, m, now);
            }
            out!("{}", rows::render(&format, HEADERS, rows)?)?;
            Ok(Exit::SUCCESS)
        }),
    }
}

const TABLE: &str = "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const TABLE_WITH_DIGEST: &str =
    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

/// Column titles by field.
pub const HEADERS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

/// Repository and tag of a name; the tag is empty if there is none.
pub fn split_reference(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        // A colon before a slash belongs to a port.
        Some((repo, tag)) if !tag.contains('/') => (repo, tag),
        _ => (name, ""),
    }
}

fn one_per_image(list: &[Json], m: &Matches, now: Timestamp) -> Vec<Row> {
    let mut seen: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for image in list {
        let id = image["Id"].as_str().unwrap_or("");
        if !seen.contains(&id) {
            seen.push(id);
            rows.push(row(image, ("<none>", "<none>", "<none>"), !m.on("no-trunc"), now));
        }
    }
    rows
}

/// One row for each tag of an image, and for each digest without one.
pub fn lines(
    image: &Json,
    digests: bool,
    pattern: Option<&str>,
    trunc: bool,
    now: Timestamp,
) -> Vec<Row> {
    let texts = |key: &str| -> Vec<&str> {
        let list = image[key].as_array().into_iter().flatten().filter_map(Json::as_str);
        list.filter(|name| !name.starts_with("<none>")).collect()
    };
    let tags = texts("RepoTags");
    let mut by_repo: Vec<(&str, &str)> = Vec::new();
    for digest in texts("RepoDigests") {
        if let Some((repo, digest)) = digest.split_once('@') {
            by_repo.push((repo, digest));
        }
    }
    let mut rows = Vec::new();
    for tag in &tags {
        let (repo, tag) = split_reference(tag);
        let known: Vec<&str> =
            by_repo.iter().filter(|(r, _)| *r == repo).map(|(_, d)| *d).collect();
        match (digests, known.as_slice()) {
            (true, known @ [_, ..]) => {
                rows.extend(known.iter().map(|digest| row(image, (repo, tag, digest), trunc, now)));
            }
            _ => rows.push(row(image, (repo, tag, "<none>"), trunc, now)),
        }
    }
    // Digests of repositories without a tag here.
    for (repo, digest) in &by_repo {
        let tagged = tags.iter().any(|tag| split_reference(tag).0 == *repo);
        let wanted = pattern.is_none_or(|p| split_reference(p).0 == *repo || p.contains('*'));
        if !tagged && wanted {
            rows.push(row(image, (repo, "<none>", digest), trunc, now));
        }
    }
    if rows.is_empty() {
        rows.push(row(image, ("<none>", "<none>", "<none>"), trunc, now));
    }
    rows
}

fn row(
    image: &Json,
    (repository, tag, digest): (&str, &str, &str),
    trunc: bool,
    now: Timestamp,
) -> Row {
    let id = image["Id"].as_str().unwrap_or("");
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    let created = image["Created"].as_i64().unwrap_or(0);
    let size = image["Size"].as_f64().unwrap_or(0.0);
    let shared = image["SharedSize"].as_f64().unwrap_or(-1.0);
    let known = |size: f64| if size < 0.0 { "N/A".to_owned() } else { units::human_size(size) };
    let unique = if size < 0.0 || shared < 0.0 { -1.0 } else { size - shared };
    let containers = image["Containers"].as_i64().unwrap_or(-1);
    Row::default()
        .text("ID", if trunc { &hex[..hex.len().min(12)] } else { id })
        .text("Repository", repository)
        .text("Tag", tag)
        .text("Digest", digest)
        .text("CreatedSince", since(created, now))
        .text("CreatedAt", time::local_go(created))
        .text("Size", units::human_size_short(size))
        .text("VirtualSize", units::human_size(size))
        .text("SharedSize", known(shared))
        .text("UniqueSize", known(unique))
        .text("Containers", if containers < 0 { "N/A".to_owned() } else { containers.to_string() })
}

/// Age in words; images without a date have none.
pub fn since(created: i64, now: Timestamp) -> String {
    if created <= 0 { "N/A".to_owned() } else { format!("{} ago", time::age(created, now)) }
}

fn check_tree(m: &Matches) -> Result<(), CliError> {
    for (flag, name) in
        [("quiet", "--quiet"), ("no-trunc", "--no-trunc"), ("digests", "--show-digest")]
    {
        if m.on(flag) {
            return Err(CliError::invalid(format!("{name} is not yet supported with --tree")));
        }
    }
    if m.given("format") {
        return Err(CliError::invalid("--format is not yet supported with --tree"));
    }
    Ok(())
}

/// Images with their platforms below each other, and whether a container uses them.
fn tree(list: &[Json]) -> String {
    let short = |id: &str| {
        let hex = id.strip_prefix("sha256:").unwrap_or(id);
        hex[..hex.len().min(12)].to_owned()
    };
    let size = |value: &Json| units::human_size_short(value.as_f64().unwrap_or(0.0));
    let mut text = "IMAGE\tID\tDISK USAGE\tCONTENT SIZE\tIN USE\n".to_owned();
    for image in list {
        let tags = image["RepoTags"].as_array().into_iter().flatten().filter_map(Json::as_str);
        let mut names: Vec<&str> = tags.collect();
        if names.is_empty() {
            names.push("<untagged>");
        }
        let manifests = image["Manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let images: Vec<&Json> = manifests.iter().filter(|m| m["Kind"] == "image").collect();
        let content: f64 = images.iter().filter_map(|m| m["Size"]["Content"].as_f64()).sum();
        let used = image["Containers"].as_i64().unwrap_or(0) > 0
            || images
                .iter()
                .any(|m| m["ImageData"]["Containers"].as_array().is_some_and(|c| !c.is_empty()));
        let (last, others) = names.split_last().map_or(("", &[][..]), |(l, o)| (*l, o));
        others.iter().for_each(|name| text.push_str(&format!("{name}\t\t\t\t\n")));
        text.push_str(&format!(
            "{last}\t{}\t{}\t{}\t{}\n",
            short(image["Id"].as_str().unwrap_or("")),
            size(&image["Size"]),
            units::human_size_short(content),
            if used { "✔" } else { "" }
        ));
        for (index, manifest) in images.iter().enumerate() {
            let branch = if index + 1 == images.len() { "└─" } else { "├─" };
            let platform = &manifest["ImageData"]["Platform"];
            let part = |key: &str| platform[key].as_str().unwrap_or("");
            let variant = if part("variant").is_empty() {
                String::new()
            } else {
                format!("/{}", part("variant"))
            };
            let used =
                manifest["ImageData"]["Containers"].as_array().is_some_and(|c| !c.is_empty());
            text.push_str(&format!(
                "{branch} {}/{}{variant}\t{}\t{}\t{}\t{}\n",
                part("os"),
                part("architecture"),
                short(manifest["ID"].as_str().unwrap_or("")),
                size(&manifest["Size"]["Total"]),
                size(&manifest["Size"]["Content"]),
                if used { "✔" } else { "" }
            ));
        }
    }
    columns::align(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_of_ports_are_no_tags() {
        assert_eq!(split_reference("a:1"), ("a", "1"));
        assert_eq!(split_reference("h:5000/a"), ("h:5000/a", ""));
        assert_eq!(split_reference("h:5000/a:2"), ("h:5000/a", "2"));
    }
}
