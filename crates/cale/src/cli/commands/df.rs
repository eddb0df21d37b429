//! `system df`: what takes up the disk.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::ps::FORMAT_HELP;
use super::{images, ps, volume};
use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, command};
use crate::cli::format::rows::{self, Format, Row};
use crate::cli::format::{time, units};
use crate::cli::link::Query;

static FLAGS: &[Flag] =
    &[Flag::text("format", FORMAT_HELP), Flag::switch("verbose", "Show each object").short('v')];

const TABLE: &str = "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";

const HEADERS: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

command! {
    /// Show what takes up the engine's disk.
    pub static DF = {
        usage: "[OPTIONS]",
        flags: &[FLAGS],
        run: |cx, m| Box::pin(async move {
            let usage = cx.link()?.get("/system/df", &Query::new()).await?;
            if m.on("verbose") {
                out!("{}", verbose(&usage)?)?;
                return Ok(Exit::SUCCESS);
            }
            let format = Format::read(m.text("format"), TABLE, None);
            out!("{}", rows::render(&format, HEADERS, summary(&usage))?)?;
            Ok(Exit::SUCCESS)
        }),
    }
}

fn list<'a>(usage: &'a Json, key: &str) -> Vec<&'a Json> {
    usage[key].as_array().into_iter().flatten().collect()
}

fn number(value: &Json, key: &str) -> f64 {
    value[key].as_f64().filter(|n| *n > 0.0).unwrap_or(0.0)
}

fn line(kind: &str, total: usize, active: usize, size: f64, free: f64, share: bool) -> Row {
    let reclaimable = units::human_size(free);
    let reclaimable = if share && size > 0.0 {
        format!("{reclaimable} ({}%)", (free * 100.0 / size) as i64)
    } else {
        reclaimable
    };
    Row::default()
        .text("Type", kind)
        .text("TotalCount", total.to_string())
        .text("Active", active.to_string())
        .text("Size", units::human_size(size))
        .text("Reclaimable", reclaimable)
}

fn summary(usage: &Json) -> Vec<Row> {
    let images = list(usage, "Images");
    let used = |image: &&&Json| image["Containers"].as_i64().unwrap_or(0) > 0;
    let layers = number(usage, "LayersSize");
    let in_use: f64 = images
        .iter()
        .filter(used)
        // Shared layers may be needed by others, but nothing says by whom: Docker counts them as
        // reclaimable.
        .map(|image| number(image, "Size") - number(image, "SharedSize"))
        .sum();
    let containers = list(usage, "Containers");
    let running =
        |c: &&&Json| matches!(c["State"].as_str(), Some("running" | "paused" | "restarting"));
    let own = |c: &&Json| number(c, "SizeRw");
    let volumes = list(usage, "Volumes");
    let busy = |v: &&&Json| v["UsageData"]["RefCount"].as_i64().unwrap_or(0) > 0;
    let size_of = |v: &&Json| number(&v["UsageData"], "Size");
    let cache = list(usage, "BuildCache");
    let private = |c: &&&Json| c["Shared"] != true;
    let cache_size: f64 = cache.iter().filter(private).map(|c| number(c, "Size")).sum();
    let cache_used: f64 = cache
        .iter()
        .filter(private)
        .filter(|c| c["InUse"] == true)
        .map(|c| number(c, "Size"))
        .sum();
    let total = |items: &[&Json], size: &dyn Fn(&&Json) -> f64| items.iter().map(size).sum::<f64>();
    let containers_size = total(&containers, &own);
    let running_size: f64 = containers.iter().filter(running).map(own).sum();
    let volumes_size = total(&volumes, &size_of);
    let busy_size: f64 = volumes.iter().filter(busy).map(size_of).sum();
    vec![
        line(
            "Images",
            images.len(),
            images.iter().filter(used).count(),
            layers,
            (layers - in_use).max(0.0),
            true,
        ),
        line(
            "Containers",
            containers.len(),
            containers.iter().filter(running).count(),
            containers_size,
            containers_size - running_size,
            true,
        ),
        line(
            "Local Volumes",
            volumes.len(),
            volumes.iter().filter(busy).count(),
            volumes_size,
            volumes_size - busy_size,
            true,
        ),
        line(
            "Build Cache",
            cache.len(),
            cache.iter().filter(|c| c["InUse"] == true).count(),
            cache_size,
            cache_size - cache_used,
            false,
        ),
    ]
}

fn table(
    template: &str,
    headers: &[(&'static str, &'static str)],
    rows: Vec<Row>,
) -> Result<String, CliError> {
    rows::render(&Format::Table(template.to_owned()), headers, rows)
}

fn verbose(usage: &Json) -> Result<String, CliError> {
    let now = Timestamp::now();
    let mut text = "Images space usage:\n\n".to_owned();
    let mut images_list = list(usage, "Images");
    images_list.sort_by_key(|i| std::cmp::Reverse(i["Created"].as_i64()));
    let mut rows = Vec::new();
    for image in images_list {
        rows.extend(images::lines(image, false, None, true, now));
    }
    text.push_str(&table(
        "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
        images::HEADERS,
        rows,
    )?);
    text.push_str("\nContainers space usage:\n\n");
    let rows = list(usage, "Containers").into_iter().map(|container| {
        // The root filesystem's size belongs to the image.
        let mut container = container.clone();
        container["SizeRootFs"] = Json::Null;
        ps::row(&container, true, true, now)
    });
    text.push_str(&table(
        "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
        ps::HEADERS,
        rows.collect(),
    )?);
    text.push_str("\nLocal Volumes space usage:\n\n");
    let rows = list(usage, "Volumes").into_iter().map(volume::row);
    text.push_str(&table("{{.Name}}\t{{.Links}}\t{{.Size}}", volume::HEADERS, rows.collect())?);
    let cache = list(usage, "BuildCache");
    let private = cache.iter().filter(|c| c["Shared"] != true);
    let total: f64 = private.map(|c| number(c, "Size")).sum();
    text.push_str(&format!("\nBuild cache usage: {}\n\n", units::human_size(total)));
    text.push_str(&table(
        "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
        &[
            ("ID", "CACHE ID"),
            ("CacheType", "CACHE TYPE"),
            ("Size", "SIZE"),
            ("CreatedSince", "CREATED"),
            ("LastUsedSince", "LAST USED"),
            ("UsageCount", "USAGE"),
            ("Shared", "SHARED"),
        ],
        cache.into_iter().map(|c| cache_row(c, now)).collect(),
    )?);
    Ok(text)
}

fn cache_row(cache: &Json, now: Timestamp) -> Row {
    let id = cache["ID"].as_str().unwrap_or("");
    let age = |key: &str| {
        let when = cache[key].as_str().and_then(time::instant);
        when.map_or_else(String::new, |t| format!("{} ago", time::age(t.as_second(), now)))
    };
    Row::default()
        .text("ID", &id[..id.len().min(12)])
        .text("CacheType", cache["Type"].as_str().unwrap_or(""))
        .text("Size", units::human_size(number(cache, "Size")))
        .text("CreatedSince", age("CreatedAt"))
        .text("LastUsedSince", age("LastUsedAt"))
        .text("UsageCount", cache["UsageCount"].to_string())
        .text("Shared", (cache["Shared"] == true).to_string())
}
