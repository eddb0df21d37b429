//! `history`: how an image was made.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::images::since;
use super::ps::FORMAT_HELP;
use super::push::platform_json;
use crate::cli::error::out;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::format::columns::ellipsis;
use crate::cli::format::rows::{self, Format, Row};
use crate::cli::format::units;
use crate::cli::link::{Query, query};

static FLAGS: &[Flag] = &[
    Flag::text("format", FORMAT_HELP),
    Flag::switch("human", "Show sizes and dates for people").short('H').default("true"),
    Flag::switch("no-trunc", "Don't shorten anything"),
    Flag::text("platform", "Platform of the image, such as linux/amd64"),
    Flag::switch("quiet", "Show only IDs").short('q'),
];

const TABLE: &str = "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const TABLE_PLAIN: &str = "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

const HEADERS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

command! {
    /// Show the layers of an image and how they were made.
    pub static HISTORY = {
        usage: "[OPTIONS] IMAGE",
        flags: &[FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let mut query = Query::new();
            if let Some(platform) = m.typed("platform") {
                query = query.set("platform", platform_json(platform)?);
            }
            let path = format!("/images/{}/history", query::segment(&m.args()[0]));
            let list = cx.link()?.get(&path, &query).await?;
            let (human, trunc, now) = (m.on("human"), !m.on("no-trunc"), Timestamp::now());
            let default = if human { TABLE } else { TABLE_PLAIN };
            let format = Format::read(m.text("format"), default, m.on("quiet").then_some("ID"));
            let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
            let rows = list.iter().map(|layer| row(layer, human, trunc, now));
            out!("{}", rows::render(&format, HEADERS, rows)?)?;
            Ok(Exit::SUCCESS)
        }),
    }
}

fn row(layer: &Json, human: bool, trunc: bool, now: Timestamp) -> Row {
    let text = |key: &str| layer[key].as_str().unwrap_or("");
    let id = text("Id");
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    let created = layer["Created"].as_i64().unwrap_or(0);
    let size = layer["Size"].as_f64().unwrap_or(0.0);
    let by = text("CreatedBy").replace('\t', " ");
    let at = Timestamp::from_second(created).map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    Row::default()
        .text("ID", if trunc { &hex[..hex.len().min(12)] } else { id })
        .text("CreatedSince", since(created, now))
        .text("CreatedAt", at.unwrap_or_default())
        .text("CreatedBy", if trunc { ellipsis(&by, 45) } else { by })
        .text("Size", if human { units::human_size_short(size) } else { format!("{size}") })
        .text("Comment", text("Comment"))
}
