//! Create and update: the two that read a configuration.

use api::{
    convert::{self, HostFacts},
    version,
    wire::{CreateRequest, CreateResponse, HostConfig, UpdateResponse},
};
use engine::container;
use http::StatusCode;

use super::super::{
    call::{Call, invalid_json},
    error::ApiError,
    reply,
    routes::Answer,
};

/// `POST /containers/create`
pub async fn create(mut call: Call) -> Answer {
    let text = call.json_text().await?;
    if text.is_empty() {
        return Err(ApiError::invalid("invalid JSON: got EOF while reading request body"));
    }
    if text.trim_ascii() == b"null" {
        return Err(ApiError::invalid("config cannot be empty in order to create a container"));
    }
    let mut request = CreateRequest::from_slice(&text).map_err(invalid_json)?;
    let (defaults, mut warnings) = version::create_request(&mut request, call.version)?;
    let facts = HostFacts { cpus: call.app.facts.cpus };
    let platform = call.query.some("platform");
    let (spec, more) = convert::container_spec(&request, defaults, platform, facts)?;
    let name = call.query.some("name").map(str::to_owned);
    let created =
        call.engine().containers().create(container::CreateRequest { name, spec }).await?;
    let mut all = created.warnings;
    all.append(&mut warnings);
    all.extend(more);
    let answer = CreateResponse { id: created.id.to_string(), warnings: all };
    Ok(reply::json(StatusCode::CREATED, &answer))
}

/// `POST /containers/{id}/update`
pub async fn update(mut call: Call, name: &str) -> Answer {
    let mut config: HostConfig = call.json().await?;
    // 0 and every negative number mean "no limit" here.
    config.pids_limit = config.pids_limit.map(|limit| if limit <= 0 { -1 } else { limit });
    let facts = HostFacts { cpus: call.app.facts.cpus };
    let named = !config.restart_policy.name.is_empty();
    let restart_policy =
        named.then(|| convert::restart_policy(&config.restart_policy)).transpose()?;
    let resources = convert::resources(&config, facts)?;
    let request = container::UpdateRequest { resources, restart_policy };
    let warnings = call.engine().containers().update(name, request).await?;
    Ok(reply::ok(&UpdateResponse { warnings: (!warnings.is_empty()).then_some(warnings) }))
}
