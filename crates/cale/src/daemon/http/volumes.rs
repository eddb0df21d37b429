//! `/volumes`

use api::wire::{VolumeCreateRequest, VolumeList, VolumesPruned};
use engine::volume::{CreateRequest, ListRequest};
use http::StatusCode;

use super::{call::Call, error::ApiError, reply, routes::Answer, view};

/// The table of `/volumes/…`.
pub async fn route(call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("GET", [] | [""]) => list(call).await,
        ("POST", ["create"]) => create(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("GET", [name]) => inspect(call, name).await,
        ("DELETE", [name]) => remove(call, name).await,
        // Only cluster volumes can be updated.
        ("PUT", [_]) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" \
             to connect this node to swarm and try again.",
        )),
        _ => Err(ApiError::page_not_found()),
    }
}

async fn list(call: Call) -> Answer {
    let request = ListRequest { filters: call.query.filters()? };
    let (volumes, warnings) = call.engine().volumes().list(request).await?;
    Ok(reply::ok(&VolumeList {
        volumes: volumes.iter().map(view::volume::document).collect(),
        warnings: (!warnings.is_empty()).then_some(warnings),
    }))
}

async fn inspect(call: Call, name: &str) -> Answer {
    let volume = call.engine().volumes().inspect(name).await?;
    Ok(reply::ok(&view::volume::document(&volume)))
}

async fn create(mut call: Call) -> Answer {
    let body: VolumeCreateRequest = call.json_or_default().await?;
    if body.cluster_volume_spec.is_some() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" \
             to connect this node to swarm and try again.",
        ));
    }
    let request = CreateRequest {
        name: body.name,
        driver: body.driver,
        options: body.driver_opts.unwrap_or_default().into_iter().collect(),
        labels: body.labels.unwrap_or_default().into_iter().collect(),
    };
    let volume = call.engine().volumes().create(request).await?;
    Ok(reply::json(StatusCode::CREATED, &view::volume::document(&volume)))
}

async fn remove(call: Call, name: &str) -> Answer {
    call.engine().volumes().remove(name, call.query.flag("force")).await?;
    Ok(reply::no_content())
}

async fn prune(call: Call) -> Answer {
    let mut filters = call.query.filters()?;
    // Before 1.42 named volumes went too.
    if call.version.before(42) && !filters.has("all") {
        filters.add("all", "true");
    }
    let pruned = call.engine().volumes().prune(filters).await?;
    Ok(reply::ok(&VolumesPruned {
        volumes_deleted: (!pruned.removed.is_empty()).then_some(pruned.removed),
        space_reclaimed: pruned.reclaimed,
    }))
}
