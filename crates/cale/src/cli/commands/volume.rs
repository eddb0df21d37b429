//! `volume …`: storage that outlives containers.

use serde_json::{Value as Json, json};

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
use crate::cli::link::{Query, query};

static LS_FLAGS: &[Flag] = &[
    Flag::switch("cluster", "Show only volumes of the cluster"),
    Flag::new("filter", Kind::Filter, "Show only those for which this is true (dangling=true)")
        .short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::switch("quiet", "Show only names").short('q'),
];

/// Column titles by field.
pub const HEADERS: &[(&str, &str)] = &[
    ("Name", "VOLUME NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Availability", "AVAILABILITY"),
    ("Status", "STATUS"),
    ("Group", "GROUP"),
];

command! {
    /// List volumes.
    pub static LS = {
        usage: "[OPTIONS]",
        flags: &[LS_FLAGS],
        run: |cx, m| Box::pin(async move {
            let typed = match m.text("format") {
                "" => cx.config()?.text("volumesFormat").to_owned(),
                typed => typed.to_owned(),
            };
            let query = Query::new().filters(&m.map("filter"));
            let answer = cx.link()?.get("/volumes", &query).await?;
            let mut list: Vec<&Json> = answer["Volumes"].as_array().into_iter().flatten().collect();
            if m.on("cluster") {
                list.retain(|volume| !volume["ClusterVolume"].is_null());
            }
            list.sort_by_key(|volume| volume["Name"].as_str());
            let table = "{{.Driver}}\t{{.Name}}";
            let format = Format::read(&typed, table, m.on("quiet").then_some("Name"));
            out!("{}", rows::render(&format, HEADERS, list.into_iter().map(row))?)?;
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Template fields of one volume.
pub fn row(volume: &Json) -> Row {
    let text = |key: &str| volume[key].as_str().unwrap_or("");
    let usage = &volume["UsageData"];
    let number = |key: &str| usage[key].as_f64().filter(|n| *n >= 0.0);
    let size = number("Size").map(crate::cli::format::units::human_size);
    Row::default()
        .text("Name", text("Name"))
        .text("Driver", text("Driver"))
        .text("Scope", text("Scope"))
        .text("Mountpoint", text("Mountpoint"))
        .text("Links", number("RefCount").map_or_else(|| "N/A".to_owned(), |n| format!("{n}")))
        .text("Size", size.unwrap_or_else(|| "N/A".to_owned()))
        .text("Availability", "N/A")
        .text("Status", "N/A")
        .text("Group", "N/A")
        .labels(&labels_of(&volume["Labels"]))
}

static CREATE_FLAGS: &[Flag] = &[
    Flag::text("driver", "Driver of the volume").short('d').default("local"),
    Flag::list("label", "Set a label (name=value)"),
    Flag::text("name", "Name of the volume").hidden(),
    Flag::new("opt", Kind::Map, "Option of the driver (name=value)").short('o'),
];

command! {
    /// Make a volume.
    pub static CREATE = {
        usage: "[OPTIONS] [VOLUME]",
        flags: &[CREATE_FLAGS],
        arity: Arity::AtMost(1),
        run: |cx, m| Box::pin(async move {
            let body = create_body(m)?;
            let created = cx.link()?.post("/volumes/create", &Query::new(), Some(&body)).await?;
            outln!("{}", created["Name"].as_str().unwrap_or(""))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

fn create_body(m: &Matches) -> Result<Json, CliError> {
    let name = match (m.arg(0), m.typed("name")) {
        (Some(_), Some(_)) => {
            return Err(CliError::invalid(
                "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
            ));
        }
        (Some(name), None) | (None, Some(name)) => name,
        (None, None) => "",
    };
    let mut body = Object::default();
    body.text("Name", name);
    body.set("Driver", m.text("driver"));
    body.set("DriverOpts", pairs(m.map("opt")));
    body.set("Labels", pairs(environment::labels(&[], &m.list("label"))?));
    Ok(Json::Object(body.0))
}

static RM_FLAGS: &[Flag] =
    &[Flag::switch("force", "Don't fail if the volume doesn't exist").short('f')];

command! {
    /// Remove one or more volumes.
    pub static RM = {
        usage: "[OPTIONS] VOLUME [VOLUME...]",
        flags: &[RM_FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let link = cx.link()?;
            let query = &Query::new().flag("force", m.on("force"));
            each(m.args(), async |name| {
                link.delete(&format!("/volumes/{}", query::segment(name)), query).await?;
                Ok(Some(name.to_owned()))
            }).await
        }),
    }
}

command! {
    /// Show everything about one or more volumes.
    pub static INSPECT = {
        usage: "[OPTIONS] VOLUME [VOLUME...]",
        flags: &[FORMAT],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(inspect::inspect(cx, m, &inspect::ALL[3..4], false)),
    }
}

static PRUNE_ALL: &[Flag] =
    &[Flag::switch("all", "Remove named volumes too, not only anonymous ones").short('a')];

command! {
    /// Remove unused volumes.
    pub static PRUNE = {
        usage: "[OPTIONS]",
        flags: &[PRUNE_ALL, PRUNE_FLAGS],
        run: |cx, m| Box::pin(async move {
            let question = if m.on("all") {
                "WARNING! This will remove all local volumes not used by at least one container.\nAre you sure you want to continue?"
            } else {
                "WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you sure you want to continue?"
            };
            if !agreed(m, question)? {
                return Ok(Exit::SUCCESS);
            }
            let filters = prune_filters(cx, m.map("filter"))?;
            let report = remove(cx, filters, m.on("all")).await?;
            report.print()?;
            outln!("Total reclaimed space: {}", crate::cli::format::units::human_size(report.reclaimed))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Removes volumes that no container uses: anonymous ones, or all.
///
/// # Errors
/// The engine's refusal.
pub async fn remove(
    cx: &Cx,
    mut filters: Vec<(String, String)>,
    all: bool,
) -> Result<Report, CliError> {
    let link = cx.link()?;
    if all {
        filters.push(("all".to_owned(), "true".to_owned()));
    }
    let query = Query::new().filters(&filters);
    let answer = link.post("/volumes/prune", &query, None).await?;
    Ok(Report::read("Deleted Volumes:", "VolumesDeleted", &answer))
}

static UPDATE_FLAGS: &[Flag] =
    &[Flag::text("availability", "Availability: active, pause or drain").default("active")];

command! {
    /// Change a volume of the cluster.
    pub static UPDATE = {
        usage: "[OPTIONS] VOLUME",
        flags: &[UPDATE_FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let path = format!("/volumes/{}", query::segment(&m.args()[0]));
            let volume = cx.link()?.get(&path, &Query::new()).await?;
            let cluster = &volume["ClusterVolume"];
            if cluster.is_null() {
                return Err(CliError::invalid("Can only update cluster volumes"));
            }
            let mut spec = cluster["Spec"].clone();
            spec["Availability"] = json!(m.text("availability"));
            let version = cluster["Version"]["Index"].as_i64().unwrap_or(0).to_string();
            let query = Query::new().set("version", version);
            let extra = crate::cli::link::Extra::json(&json!({"Spec": spec}));
            cx.link()?.open(http::Method::PUT, &path, &query, extra).await?.bytes().await?;
            Ok(Exit::SUCCESS)
        }),
    }
}
