//! `stats`: what containers use, as a table that renews itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::Value as Json;

use super::container_path;
use super::ps::FORMAT_HELP;
use crate::cli::context::Cx;
use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Matches, command};
use crate::cli::format::rows::{self, Format, Row};
use crate::cli::format::units;
use crate::cli::link::{Extra, Link, Query};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show stopped containers too").short('a'),
    Flag::text("format", FORMAT_HELP),
    Flag::switch("no-stream", "Show one measurement and quit"),
    Flag::switch("no-trunc", "Don't shorten anything"),
];

const TABLE: &str = "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";

const HEADERS: &[(&str, &str)] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

/// Time between two drawings.
const INTERVAL: Duration = Duration::from_millis(500);
/// Time between two looks for new containers.
const LOOK: Duration = Duration::from_secs(1);

command! {
    /// Show what containers use: processor, memory, network, disk.
    pub static STATS = {
        usage: "[OPTIONS] [CONTAINER...]",
        flags: &[FLAGS],
        arity: Arity::Any,
        run: |cx, m| Box::pin(stats(cx, m)),
    }
}

/// Newest measurement of each container, by ID or typed name, in the order of the table.
type Board = RefCell<BTreeMap<(usize, String), Json>>;

async fn stats(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    let link = cx.link()?;
    let typed = match m.text("format") {
        "" => cx.config()?.text("statsFormat").to_owned(),
        typed => typed.to_owned(),
    };
    let format = Format::read(&typed, TABLE, None);
    let trunc = !m.on("no-trunc");
    let names =
        if m.args().is_empty() { running(link, m.on("all")).await? } else { m.args().to_vec() };
    if m.on("no-stream") {
        let jobs = names.iter().map(|name| one(link, name));
        let found: Vec<Result<Json, CliError>> =
            futures_util::stream::iter(jobs).buffered(16).collect().await;
        let mut failures = Vec::new();
        let mut list = Vec::new();
        for result in found {
            match result {
                Ok(sample) => list.push(sample),
                // A container that went away meanwhile is no failure unless it was named.
                Err(e) if m.args().is_empty() && e.is_not_found() => {}
                Err(e) => failures.push(e.text("", "", false)),
            }
        }
        if failures.is_empty() || !list.is_empty() {
            out!("{}", draw(&format, list.iter().zip(&names), trunc)?)?;
        }
        return if failures.is_empty() { Ok(Exit::SUCCESS) } else { Err(CliError::Many(failures)) };
    }
    watch(link, m, &format, names).await
}

async fn running(link: &Link, all: bool) -> Result<Vec<String>, CliError> {
    let list = link.get("/containers/json", &Query::new().flag("all", all)).await?;
    let ids = list.as_array().into_iter().flatten().filter_map(|c| c["Id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

async fn one(link: &Link, name: &str) -> Result<Json, CliError> {
    let query = Query::new().set("stream", "0");
    link.get(&container_path(name, "/stats"), &query).await
}

/// Follows one container into its place on the board until it goes away.
async fn follow(link: &Link, board: &Board, index: usize, name: String) -> Result<(), CliError> {
    let path = container_path(&name, "/stats");
    let query = Query::new().set("stream", "1");
    let mut reply = link.open(http::Method::GET, &path, &query, Extra::default()).await?;
    while let Some(sample) = reply.document().await? {
        board.borrow_mut().insert((index, name.clone()), sample);
    }
    board.borrow_mut().remove(&(index, name));
    Ok(())
}

async fn watch(
    link: &Link,
    m: &Matches,
    format: &Format,
    names: Vec<String>,
) -> Result<Exit, CliError> {
    let board: Board = RefCell::new(BTreeMap::new());
    let mut known = names.clone();
    let mut jobs: FuturesUnordered<_> = names
        .into_iter()
        .enumerate()
        .map(|(index, name)| follow(link, &board, index, name))
        .collect();
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut looks = tokio::time::interval(LOOK);
    let on_terminal = crate::cli::session::is_terminal(std::io::stdout());
    loop {
        tokio::select! {
            Some(ended) = jobs.next(), if !jobs.is_empty() => match ended {
                Err(e) if !m.args().is_empty() => return Err(e),
                Ok(()) | Err(_) => {
                    if !m.args().is_empty() && jobs.is_empty() {
                        return Ok(Exit::SUCCESS);
                    }
                }
            },
            _ = looks.tick(), if m.args().is_empty() => {
                for id in running(link, m.on("all")).await? {
                    if !known.contains(&id) {
                        known.push(id.clone());
                        jobs.push(follow(link, &board, known.len(), id));
                    }
                }
            }
            _ = ticks.tick() => {
                let board = board.borrow();
                // The engine needs a second for the first measurement.
                if board.is_empty() && !jobs.is_empty() {
                    continue;
                }
                let list = board.iter().map(|((_, name), sample)| (sample, name));
                let text = draw(format, list, !m.on("no-trunc"))?;
                let mut stdout = std::io::stdout().lock();
                let shown = if on_terminal {
                    // Home, each line cleared to its end, the rest of the screen cleared.
                    format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
                } else {
                    text
                };
                stdout
                    .write_all(shown.as_bytes())
                    .and_then(|()| stdout.flush())
                    .map_err(CliError::Output)?;
            }
        }
    }
}

fn draw<'a>(
    format: &Format,
    samples: impl Iterator<Item = (&'a Json, &'a String)>,
    trunc: bool,
) -> Result<String, CliError> {
    rows::render(format, HEADERS, samples.map(|(sample, name)| row(sample, name, trunc)))
}

/// Template fields of one measurement.
fn row(sample: &Json, name: &str, trunc: bool) -> Row {
    let id = sample["id"].as_str().unwrap_or("");
    let short = |id: &str| if trunc { id[..id.len().min(12)].to_owned() } else { id.to_owned() };
    let memory = &sample["memory_stats"];
    let used = memory_used(memory);
    let limit = memory["limit"].as_f64().unwrap_or(0.0);
    let percent = if limit > 0.0 { used / limit * 100.0 } else { 0.0 };
    let pair =
        |a: f64, b: f64| format!("{} / {}", units::human_size_short(a), units::human_size_short(b));
    let (received, sent) = network(&sample["networks"]);
    let (read, written) = blocks(&sample["blkio_stats"]["io_service_bytes_recursive"]);
    let shown = sample["name"].as_str().unwrap_or("").trim_start_matches('/');
    let container = if name.len() == 64 { short(name) } else { name.to_owned() };
    Row::default()
        .text("Container", container)
        .text("ID", short(id))
        .text("Name", if shown.is_empty() { "--" } else { shown })
        .text("CPUPerc", format!("{:.2}%", processor(sample)))
        .text("MemUsage", format!("{} / {}", units::binary_size(used), units::binary_size(limit)))
        .text("MemPerc", format!("{percent:.2}%"))
        .text("NetIO", pair(received, sent))
        .text("BlockIO", pair(read, written))
        .text("PIDs", sample["pids_stats"]["current"].as_u64().unwrap_or(0).to_string())
}

/// Memory without the file cache that can be dropped at any time.
fn memory_used(memory: &Json) -> f64 {
    let usage = memory["usage"].as_f64().unwrap_or(0.0);
    let stats = &memory["stats"];
    let cache = stats["total_inactive_file"].as_f64().or(stats["inactive_file"].as_f64());
    match cache {
        Some(cache) if cache < usage => usage - cache,
        _ => usage,
    }
}

/// Share of one processor in percent, since the measurement before.
fn processor(sample: &Json) -> f64 {
    let number = |part: &str, path: &[&str]| {
        path.iter().fold(&sample[part], |value, key| &value[key]).as_f64().unwrap_or(0.0)
    };
    let total = ["cpu_usage", "total_usage"];
    let used = number("cpu_stats", &total) - number("precpu_stats", &total);
    let system =
        number("cpu_stats", &["system_cpu_usage"]) - number("precpu_stats", &["system_cpu_usage"]);
    let counted = number("cpu_stats", &["online_cpus"]);
    let listed = sample["cpu_stats"]["cpu_usage"]["percpu_usage"].as_array().map_or(0, Vec::len);
    let processors = if counted > 0.0 { counted } else { listed as f64 };
    if system > 0.0 && used > 0.0 { used / system * processors * 100.0 } else { 0.0 }
}

fn network(networks: &Json) -> (f64, f64) {
    let sum = |key: &str| {
        let all = networks.as_object().into_iter().flatten();
        all.filter_map(|(_, network)| network[key].as_f64()).sum()
    };
    (sum("rx_bytes"), sum("tx_bytes"))
}

fn blocks(entries: &Json) -> (f64, f64) {
    let sum = |op: &str| {
        let all = entries.as_array().into_iter().flatten();
        let of_op = all.filter(|e| e["op"].as_str().is_some_and(|o| o.eq_ignore_ascii_case(op)));
        of_op.filter_map(|e| e["value"].as_f64()).sum()
    };
    (sum("read"), sum("write"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shares_of_processors() {
        let sample = json!({
            "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
            "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
        });
        assert!((processor(&sample) - 40.0).abs() < 1e-9);
        assert!(processor(&json!({})).abs() < 1e-9);
    }

    #[test]
    fn cache_is_not_counted() {
        let memory = json!({"usage": 100, "stats": {"inactive_file": 30}});
        assert!((memory_used(&memory) - 70.0).abs() < 1e-9);
    }
}
