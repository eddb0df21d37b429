//! Verbs that change a container's state.

use api::wire::ContainersPruned;
use engine::container::{RemoveRequest, StopRequest, WindowSize};
use http::header::CONTENT_LENGTH;

use super::super::{call::Call, error::ApiError, reply, routes::Answer};

/// `POST /containers/{id}/start`
pub async fn start(call: Call, name: &str) -> Answer {
    // Before 1.24 a host configuration could be given here.
    let length = call.header(CONTENT_LENGTH.as_str()).parse::<u64>();
    if length.is_ok_and(|length| length > 7) || call.headers().contains_key("transfer-encoding") {
        return Err(ApiError::invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and \
             removed in v1.24",
        ));
    }
    if call.query.some("checkpoint").is_some() {
        return Err(ApiError::new(
            http::StatusCode::NOT_IMPLEMENTED,
            "checkpoints are not supported",
        ));
    }
    call.engine().containers().start(name).await?;
    Ok(reply::no_content())
}

fn stop_request(call: &Call) -> Result<StopRequest, ApiError> {
    // Before 1.42 the parameter had no meaning.
    let signal = call.query.some("signal").filter(|_| !call.version.before(42));
    Ok(StopRequest { signal: signal.map(str::to_owned), timeout_s: call.query.integer("t")? })
}

/// `POST /containers/{id}/stop`
pub async fn stop(call: Call, name: &str) -> Answer {
    let request = stop_request(&call)?;
    call.engine().containers().stop(name, request).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/restart`
pub async fn restart(call: Call, name: &str) -> Answer {
    let request = stop_request(&call)?;
    call.engine().containers().restart(name, request).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/kill`
pub async fn kill(call: Call, name: &str) -> Answer {
    let signal = call.query.some("signal");
    call.engine().containers().kill(name, signal).await.map_err(|error| {
        let error = ApiError::from(error);
        let message = format!("cannot kill container: {name}: {}", error.message());
        ApiError::new(error.status(), message)
    })?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/pause`
pub async fn pause(call: Call, name: &str) -> Answer {
    call.engine().containers().pause(name).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/unpause`
pub async fn unpause(call: Call, name: &str) -> Answer {
    call.engine().containers().unpause(name).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/rename`
pub async fn rename(call: Call, name: &str) -> Answer {
    call.engine().containers().rename(name, call.query.text("name")).await?;
    Ok(reply::no_content())
}

/// Terminal size in `h` and `w`.
pub fn window_size(call: &Call) -> Result<WindowSize, ApiError> {
    let side = |key: &str| {
        let text = call.query.text(key);
        text.parse::<u16>()
            .map_err(|_| ApiError::invalid(format!("invalid resize {key:?}: {text:?}")))
    };
    Ok(WindowSize { height: side("h")?, width: side("w")? })
}

/// `POST /containers/{id}/resize`
pub async fn resize(call: Call, name: &str) -> Answer {
    let size = window_size(&call)?;
    call.engine().containers().resize(name, size).await?;
    Ok(reply::status(http::StatusCode::OK))
}

/// `DELETE /containers/{id}`
pub async fn remove(call: Call, name: &str) -> Answer {
    let request = RemoveRequest {
        force: call.query.flag("force"),
        volumes: call.query.flag("v"),
        link: call.query.flag("link"),
    };
    call.engine().containers().remove(name, request).await?;
    Ok(reply::no_content())
}

/// `POST /containers/prune`
pub async fn prune(call: Call) -> Answer {
    let pruned = call.engine().containers().prune(call.query.filters()?).await?;
    Ok(reply::ok(&ContainersPruned {
        containers_deleted: (!pruned.removed.is_empty()).then_some(pruned.removed),
        space_reclaimed: pruned.reclaimed,
    }))
}
