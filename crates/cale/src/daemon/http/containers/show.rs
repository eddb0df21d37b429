//! List, inspect, top, changes.

use api::wire::{FilesystemChange, TopResponse};
use engine::container::{ChangeKind, ListRequest};

use super::super::{call::Call, error::ApiError, reply, routes::Answer, view};

/// `GET /containers/json`
pub async fn list(call: Call) -> Answer {
    let limit = match call.query.integer("limit")? {
        None => None,
        // As dockerd: zero and less mean all.
        Some(limit) => usize::try_from(limit).ok().filter(|limit| *limit > 0),
    };
    let mut filters = call.query.filters()?;
    // The old spelling of two filters.
    for key in ["since", "before"] {
        if let Some(value) = call.query.some(key) {
            filters.add(key, value);
        }
    }
    let size = call.query.flag("size");
    let request = ListRequest { all: call.query.flag("all"), limit, size, filters };
    let list = call.engine().containers().list(request).await?;
    let now_ns = view::now_ns();
    let documents: Vec<_> = list.iter().map(|one| view::container::summary(one, now_ns)).collect();
    Ok(reply::shaped(call.version, documents))
}

/// `GET /containers/{id}/json`
pub async fn inspect(call: Call, name: &str) -> Answer {
    let inspection = call.engine().containers().inspect(name, call.query.flag("size")).await?;
    Ok(reply::shaped(call.version, view::container::inspect(&inspection)))
}

/// `GET /containers/{id}/top`
pub async fn top(call: Call, name: &str) -> Answer {
    let arguments = match call.query.text("ps_args") {
        "" => "-ef",
        text => text,
    };
    let top = call.engine().containers().top(name, arguments).await?;
    Ok(reply::ok(&TopResponse { processes: top.processes, titles: top.titles }))
}

/// `GET /containers/{id}/changes`
pub async fn changes(call: Call, name: &str) -> Answer {
    let changes = call.engine().containers().changes(name).await?;
    let documents: Vec<_> = changes
        .into_iter()
        .map(|change| FilesystemChange {
            kind: match change.kind {
                ChangeKind::Modified => 0,
                ChangeKind::Added => 1,
                ChangeKind::Deleted => 2,
            },
            path: change.path,
        })
        .collect();
    // dockerd writes null where nothing changed.
    Ok::<_, ApiError>(reply::ok(&(!documents.is_empty()).then_some(documents)))
}
