//! `/networks`

use api::{
    convert,
    wire::{
        NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse,
        NetworkDisconnectRequest, NetworksPruned,
    },
};
use engine::network::{ConnectRequest, CreateRequest, DisconnectRequest, ListRequest, Subnet};
use http::StatusCode;

use super::{call::Call, error::ApiError, reply, routes::Answer, view};

/// The table of `/networks/…`.
pub async fn route(call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("GET", [] | [""]) => list(call).await,
        ("POST", ["create"]) => create(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("GET", [name]) => inspect(call, name).await,
        ("DELETE", [name]) => remove(call, name).await,
        ("POST", [name, "connect"]) => connect(call, name).await,
        ("POST", [name, "disconnect"]) => disconnect(call, name).await,
        _ => Err(ApiError::page_not_found()),
    }
}

async fn list(call: Call) -> Answer {
    let request = ListRequest { filters: call.query.filters()? };
    let networks = call.engine().networks().list(request).await?;
    let documents: Vec<_> = networks.iter().map(view::network::summary).collect();
    Ok(reply::shaped(call.version, documents))
}

async fn inspect(call: Call, name: &str) -> Answer {
    call.query.strict_flag("verbose")?;
    if !matches!(call.query.text("scope"), "" | "local") {
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("network {name} not found")));
    }
    let network = call.engine().networks().inspect(name).await?;
    Ok(reply::shaped(call.version, view::network::inspect(&network)))
}

async fn create(mut call: Call) -> Answer {
    let body: NetworkCreateRequest = call.json().await?;
    if body.config_only || body.config_from.as_ref().is_some_and(|c| !c.network.is_empty()) {
        return Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "configuration-only networks are not supported by this engine",
        ));
    }
    if body.ingress || body.scope == "swarm" {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" \
             to connect this node to swarm and try again.",
        ));
    }
    let ipam = body.ipam.unwrap_or_default();
    let subnets = ipam.config.iter().flatten().map(subnet).collect::<Result<Vec<_>, ApiError>>()?;
    let request = CreateRequest {
        name: body.name,
        driver: body.driver,
        internal: body.internal,
        attachable: body.attachable,
        // Before 1.48 IPv4 couldn't be switched off.
        ipv4: body.enable_ipv4.filter(|_| !call.version.before(48)),
        ipv6: body.enable_ipv6,
        subnets,
        ipam_driver: ipam.driver,
        ipam_options: ipam.options.unwrap_or_default().into_iter().collect(),
        options: body.options.unwrap_or_default().into_iter().collect(),
        labels: body.labels.unwrap_or_default().into_iter().collect(),
    };
    let (id, warnings) = call.engine().networks().create(request).await?;
    let answer = NetworkCreateResponse { id: id.to_string(), warning: warnings.join("\n") };
    Ok(reply::json(StatusCode::CREATED, &answer))
}

fn subnet(config: &api::wire::IpamConfig) -> Result<Subnet, ApiError> {
    let address = |what: &str, text: &str| {
        text.parse().map_err(|_| {
            ApiError::invalid(format!(
                "invalid network config:\ninvalid {what} address {text}: invalid address"
            ))
        })
    };
    let reserved = config.auxiliary_addresses.iter().flatten();
    Ok(Subnet {
        subnet: config.subnet.clone(),
        range: config.ip_range.clone(),
        gateway: match config.gateway.as_str() {
            "" => None,
            text => Some(address("gateway", text)?),
        },
        reserved: reserved
            .map(|(name, text)| Ok((name.clone(), address("auxiliary", text)?)))
            .collect::<Result<_, ApiError>>()?,
    })
}

async fn remove(call: Call, name: &str) -> Answer {
    call.engine().networks().remove(name).await?;
    Ok(reply::no_content())
}

async fn prune(call: Call) -> Answer {
    let removed = call.engine().networks().prune(call.query.filters()?).await?;
    let networks_deleted = (!removed.is_empty()).then_some(removed);
    Ok(reply::ok(&NetworksPruned { networks_deleted }))
}

async fn connect(mut call: Call, network: &str) -> Answer {
    let body: NetworkConnectRequest = call.json().await?;
    let settings = body.endpoint_config.unwrap_or_default();
    let endpoint = convert::endpoint_spec(network, &settings)?;
    let request = ConnectRequest { container: body.container, endpoint };
    call.engine().networks().connect(network, request).await?;
    Ok(reply::status(StatusCode::OK))
}

async fn disconnect(mut call: Call, network: &str) -> Answer {
    let body: NetworkDisconnectRequest = call.json().await?;
    let request = DisconnectRequest { container: body.container, force: body.force };
    call.engine().networks().disconnect(network, request).await?;
    Ok(reply::status(StatusCode::OK))
}
