//! `search`: look for images on the hub.

use serde_json::Value as Json;

use super::ps::FORMAT_HELP;
use crate::cli::config::credentials;
use crate::cli::error::out;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Kind, command};
use crate::cli::format::columns::ellipsis;
use crate::cli::format::rows::{self, Format, Row};
use crate::cli::link::{Extra, Query};

static FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Show only those for which this is true (stars=3)")
        .short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::new("limit", Kind::Int, "Show at most this many").default("0"),
    Flag::switch("no-trunc", "Don't shorten anything"),
];

const TABLE: &str = "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}";

const HEADERS: &[(&str, &str)] = &[
    ("Name", "NAME"),
    ("Description", "DESCRIPTION"),
    ("StarCount", "STARS"),
    ("IsOfficial", "OFFICIAL"),
    ("IsAutomated", "AUTOMATED"),
];

command! {
    /// Look for images on Docker's hub.
    pub static SEARCH = {
        usage: "[OPTIONS] TERM",
        flags: &[FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let mut query = Query::new().set("term", &m.args()[0]).filters(&m.map("filter"));
            if m.int("limit") > 0 {
                query = query.set("limit", m.int("limit").to_string());
            }
            let known = credentials::lookup(cx.config()?, credentials::DEFAULT_REGISTRY)?;
            let auth = if known.is_empty() { String::new() } else { known.header() };
            let extra = Extra::default().header("x-registry-auth", auth);
            let reply = cx.link()?.open(http::Method::GET, "/images/search", &query, extra).await?;
            let mut list = match reply.json().await? {
                Json::Array(list) => list,
                _ => Vec::new(),
            };
            list.sort_by_key(|image| std::cmp::Reverse(image["star_count"].as_i64()));
            let trunc = !m.on("no-trunc");
            let rows = list.iter().map(|image| {
                let text = |key: &str| image[key].as_str().unwrap_or("").replace(['\n', '\r'], " ");
                let mark = |key: &str| if image[key] == true { "[OK]" } else { "" };
                let description = text("description");
                let description = if trunc { ellipsis(&description, 45) } else { description };
                Row::default()
                    .text("Name", text("name"))
                    .text("Description", description)
                    .text("StarCount", image["star_count"].as_i64().unwrap_or(0).to_string())
                    .text("IsOfficial", mark("is_official"))
                    .text("IsAutomated", mark("is_automated"))
            });
            let format = Format::read(m.text("format"), TABLE, None);
            out!("{}", rows::render(&format, HEADERS, rows)?)?;
            Ok(Exit::SUCCESS)
        }),
    }
}
