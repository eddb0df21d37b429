//! `inspect`: everything about an object.

use gotmpl::MissingKey;
use serde_json::Value as Json;

use super::container_path;
use crate::cli::context::Cx;
use crate::cli::error::{CliError, out};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Matches, command};
use crate::cli::format::json_text;
use crate::cli::format::template::{self, Parsed};
use crate::cli::link::{Link, Query, query};

/// `--format` of every `inspect`.
pub static FORMAT: &[Flag] =
    &[Flag::text("format", "How to print: 'json', or a Go template for each object").short('f')];

/// `--size`.
pub static SIZE: &[Flag] = &[Flag::switch("size", "Show sizes of a container").short('s')];

static TYPE: &[Flag] = &[Flag::text(
    "type",
    "Look only for objects of this type: container, image, network, volume, plugin, …",
)];

command! {
    /// Show everything about containers, images, networks or volumes.
    ///
    /// The type is found by trying: container, image, network, volume.
    pub static INSPECT = {
        usage: "[OPTIONS] NAME|ID [NAME|ID...]",
        flags: &[FORMAT, SIZE, TYPE],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let kinds = match m.typed("type") {
                None => ALL.to_vec(),
                Some("") => return Err(CliError::invalid("type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", or \"volume\"")),
                Some(typed) => match SPECIAL.iter().chain(ALL).find(|kind| kind.word == typed) {
                    Some(kind) => vec![*kind],
                    None => return Err(CliError::invalid(format!("unknown type: {typed:?}: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", or \"volume\""))),
                },
            };
            let size = m.on("size");
            inspect(cx, m, &kinds, size).await
        }),
    }
}

command! {
    /// Show everything about one or more containers.
    pub static CONTAINER = {
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        flags: &[FORMAT, SIZE],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move { inspect(cx, m, &ALL[..1], m.on("size")).await }),
    }
}

/// A type of object that can be inspected.
#[derive(Clone, Copy)]
pub struct Kind {
    word: &'static str,
    path: fn(&str) -> String,
}

/// Types that are tried without `--type`, in this order.
pub const ALL: &[Kind] = &[
    Kind { word: "container", path: |name| container_path(name, "/json") },
    Kind { word: "image", path: |name| format!("/images/{}/json", query::segment(name)) },
    Kind { word: "network", path: |name| format!("/networks/{}", query::segment(name)) },
    Kind { word: "volume", path: |name| format!("/volumes/{}", query::segment(name)) },
];

const SPECIAL: &[Kind] = &[
    Kind { word: "plugin", path: |name| format!("/plugins/{}/json", query::segment(name)) },
    Kind { word: "node", path: |name| format!("/nodes/{}", query::segment(name)) },
    Kind { word: "service", path: |name| format!("/services/{}", query::segment(name)) },
    Kind { word: "secret", path: |name| format!("/secrets/{}", query::segment(name)) },
    Kind { word: "config", path: |name| format!("/configs/{}", query::segment(name)) },
    Kind { word: "task", path: |name| format!("/tasks/{}", query::segment(name)) },
];

/// Inspects all arguments, trying `kinds` for each, and prints what was found.
///
/// # Errors
/// What was not found, after printing the rest.
pub async fn inspect(cx: &Cx, m: &Matches, kinds: &[Kind], size: bool) -> Result<Exit, CliError> {
    let link = cx.link()?;
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for name in m.args() {
        match one(link, kinds, name, size).await {
            Ok(text) => found.push(text),
            Err(error @ CliError::Unreachable { .. }) => return Err(error),
            Err(error) => failures.push(error.text("", "", false)),
        }
    }
    print(&found, m.text("format"))?;
    if failures.is_empty() { Ok(Exit::SUCCESS) } else { Err(CliError::Many(failures)) }
}

async fn one(link: &Link, kinds: &[Kind], name: &str, size: bool) -> Result<String, CliError> {
    for kind in kinds {
        let query = Query::new().flag("size", size && kind.word == "container");
        match link.get_text(&(kind.path)(name), &query).await {
            Ok(text) => return Ok(text),
            Err(error) if kinds.len() > 1 && is_elsewhere(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(CliError::invalid(format!("Error: No such object: {name}")))
}

/// Whether the object may be of another type.
fn is_elsewhere(error: &CliError) -> bool {
    error.is_not_found()
        || matches!(error, CliError::Daemon { status: 400, message } if message.contains("invalid reference"))
}

/// Prints documents: as an indented list, as lines of JSON, or by template.
///
/// # Errors
/// A wrong template, or standard output can't be written.
pub fn print(documents: &[String], format: &str) -> Result<(), CliError> {
    match format {
        "" => {
            let list =
                format!("[{}]", documents.iter().map(|d| d.trim()).collect::<Vec<_>>().join(","));
            out!("{}\n", json_text::indent(&list, "", "    "))
        }
        "json" => {
            let list = documents.iter().map(|d| d.trim()).collect::<Vec<_>>().join(",");
            out!("[{list}]\n")
        }
        template => {
            let parsed = Parsed::new(template)?;
            documents.iter().try_for_each(|document| {
                let document: Json = serde_json::from_str(document)
                    .map_err(|e| CliError::talk("understand the engine's reply", e))?;
                out!("{}\n", by_template(&parsed, &document)?)
            })
        }
    }
}

/// Keys that the engine leaves out when they are empty; templates may ask for them all the same.
const OPTIONAL: &[&str] = &[
    "SizeRw",
    "SizeRootFs",
    "Health",
    "Size",
    "VirtualSize",
    "Parent",
    "Comment",
    "DockerVersion",
    "Author",
    "Container",
    "GraphDriver",
    "ImageManifestDescriptor",
    "Healthcheck",
    "Status",
    "UsageData",
    "Config",
    "Peers",
    "Services",
    "RepoDigests",
    "RepoTags",
    "Variant",
    "OsVersion",
    "Descriptor",
    "Manifests",
    "Storage",
    "Node",
    "Identity",
];

fn by_template(parsed: &Parsed, document: &Json) -> Result<String, CliError> {
    if let Some(unknown) = parsed
        .top_fields()
        .iter()
        .find(|field| document.get(field.as_str()).is_none() && !OPTIONAL.contains(&field.as_str()))
    {
        return Err(CliError::Template {
            message: format!(
                "template parsing error: template: :1:2: executing \"\" at <.{unknown}>: map has no entry for key {unknown:?}"
            ),
        });
    }
    parsed.render(&template::value_of_object(document), document, MissingKey::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn missing_top_fields_are_errors_and_optional_ones_not() {
        let document = json!({"State": {"Running": true}, "Config": {"Labels": {}}});
        let shown = |text: &str| {
            by_template(&Parsed::new(text).expect("valid"), &document).map_err(|e| e.to_string())
        };
        assert_eq!(shown("{{.State.Running}}").as_deref(), Ok("true"));
        assert_eq!(shown("{{if .State.Health}}x{{end}}").as_deref(), Ok(""));
        assert_eq!(shown("{{.Config.Labels.foo}}").as_deref(), Ok("<no value>"));
        assert!(shown("{{.Nope}}").expect_err("unknown").contains("map has no entry"));
    }
}
