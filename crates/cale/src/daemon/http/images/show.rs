//! List, inspect, history, search.

use engine::image::ListRequest;
use http::StatusCode;

use super::super::{call::Call, error::ApiError, reply, routes::Answer, view};

/// `GET /images/json`
pub async fn list(call: Call) -> Answer {
    let mut filters = call.query.filters()?;
    // Before 1.25 the reference filter had a parameter of its own.
    if call.version.before(25)
        && !filters.has("reference")
        && let Some(pattern) = call.query.some("filter")
    {
        filters.add("reference", pattern);
    }
    let shared_size = call.query.flag("shared-size") && !call.version.before(42);
    if call.query.flag("identity") && !call.query.flag("manifests") && !call.version.before(54) {
        return Err(ApiError::invalid("conflicting options: identity requires manifests=1"));
    }
    let request = ListRequest { all: call.query.flag("all"), filters, shared_size };
    let list = call.engine().images().list(request).await?;
    let manifests = call.query.flag("manifests");
    let documents: Vec<_> = list.iter().map(|one| view::image::summary(one, manifests)).collect();
    Ok(reply::shaped(call.version, documents))
}

/// `GET /images/{name}/json`
pub async fn inspect(call: Call, name: &str) -> Answer {
    let manifests = call.query.flag("manifests") && !call.version.before(48);
    let platform =
        if call.version.before(49) { None } else { super::platform(call.query.text("platform"))? };
    if manifests && platform.is_some() {
        return Err(ApiError::invalid(
            "conflicting options: manifests and platform options cannot both be set",
        ));
    }
    let image = call.engine().images().inspect(name, platform).await?;
    Ok(reply::shaped(call.version, view::image::inspect(&image, manifests)))
}

/// `GET /images/{name}/history`
pub async fn history(call: Call, name: &str) -> Answer {
    let platform = super::platform(call.query.text("platform"))?;
    let lines = call.engine().images().history(name, platform).await?;
    Ok(reply::ok(&lines.iter().map(view::image::history).collect::<Vec<_>>()))
}

/// `GET /images/{name}/attestations`
pub async fn attestations(call: Call, name: &str) -> Answer {
    // An unknown image is an error of its own.
    call.engine().images().inspect(name, None).await?;
    Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "attestations are not kept by this engine"))
}

/// `GET /images/search`
pub async fn search(call: Call) -> Answer {
    call.query.filters()?;
    call.query.integer("limit")?;
    if call.query.text("term").is_empty() {
        return Err(ApiError::invalid("search term is required"));
    }
    Err(ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "searching a registry is not supported by this engine",
    ))
}
