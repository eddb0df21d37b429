//! `events`: what happens in the engine.

use serde_json::Value as Json;

use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, Kind, command};
use crate::cli::format::template::{self, Parsed};
use crate::cli::format::{json_text, time};
use crate::cli::link::Query;

static FLAGS: &[Flag] = &[
    Flag::new("filter", Kind::Filter, "Show only those for which this is true (type=container)")
        .short('f'),
    Flag::text("format", "How to print: 'json', or a Go template for each line"),
    Flag::text(
        "since",
        "Show what happened since then (2013-01-02T13:23:37Z, or 42m for relative)",
    ),
    Flag::text("until", "Stop at this time (2013-01-02T13:23:37Z, or 42m for relative)"),
];

command! {
    /// Show what happens in the engine, as it happens.
    pub static EVENTS = {
        usage: "[OPTIONS]",
        flags: &[FLAGS],
        run: |cx, m| Box::pin(async move {
            let now = jiff::Timestamp::now();
            let when = |flag: &str| time::api_timestamp(m.text(flag), now).map_err(CliError::invalid);
            let template = match m.text("format") {
                "" | "json" => None,
                text => Some(Parsed::new(text)?),
            };
            let query = Query::new()
                .filters(&m.map("filter"))
                .set_some("since", &when("since")?)
                .set_some("until", &when("until")?);
            let link = cx.link()?;
            let reply = link.open(http::Method::GET, "/events", &query, Default::default());
            let mut reply = reply.await?;
            while let Some(event) = reply.document().await? {
                match &template {
                    Some(template) => {
                        let value = template::value_of(&event);
                        let missing = gotmpl::MissingKey::Invalid;
                        out!("{}\n", template.render(&value, &event, missing)?)?;
                    }
                    None if m.text("format") == "json" => {
                        out!("{}\n", json_text::escape_html(&event.to_string()))?;
                    }
                    None => out!("{}\n", line(&event))?,
                }
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

fn line(event: &Json) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or("");
    let nanos = event["timeNano"].as_i64().filter(|n| *n != 0);
    let nanos = nanos.unwrap_or_else(|| event["time"].as_i64().unwrap_or(0) * 1_000_000_000);
    let zone = jiff::tz::TimeZone::system();
    let when = jiff::Timestamp::from_nanosecond(i128::from(nanos)).map(|t| {
        let zoned = t.to_zoned(zone);
        let offset = if zoned.offset().seconds() == 0 {
            "Z".to_owned()
        } else {
            zoned.strftime("%:z").to_string()
        };
        format!("{}{offset}", zoned.strftime("%Y-%m-%dT%H:%M:%S.%9f"))
    });
    let actor = &event["Actor"];
    let attributes = actor["Attributes"].as_object().into_iter().flatten();
    let mut pairs: Vec<String> =
        attributes.map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect();
    pairs.sort();
    let tail = if pairs.is_empty() { String::new() } else { format!(" ({})", pairs.join(", ")) };
    let (kind, action) = (text("Type"), text("Action"));
    let id = actor["ID"].as_str().unwrap_or("");
    format!("{} {kind} {action} {id}{tail}", when.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn attributes_are_sorted() {
        let event = json!({
            "Type": "container", "Action": "start", "timeNano": 1_795_424_754_145_818_969_i64,
            "Actor": {"ID": "abc", "Attributes": {"name": "s1", "image": "bb:1"}},
        });
        assert!(line(&event).ends_with(" container start abc (image=bb:1, name=s1)"));
    }
}
