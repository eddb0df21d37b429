//! `GET /distribution/{name}/json`: what a registry says of a name.

use api::wire::DistributionInspect;
use model::Reference;

use super::{call::Call, error::ApiError, images, reply, routes::Answer, view};

/// Asks the registry.
pub async fn route(call: Call, name: &str) -> Answer {
    if call.method() != "GET" {
        return Err(ApiError::page_not_found());
    }
    let reference: Reference = name.parse()?;
    let auth = images::registry_auth(&call);
    let (descriptor, platforms) =
        call.engine().images().distribution(&reference.or_latest(), auth).await?;
    Ok(reply::ok(&DistributionInspect {
        descriptor: view::image::descriptor(&descriptor),
        platforms: platforms.iter().map(view::image::platform).collect(),
    }))
}
