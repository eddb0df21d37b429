//! `/_ping`, `/version`, `/info`, `/auth`, `/system/df`

use api::wire::{AuthConfig, AuthResponse};
use http::{HeaderValue, header};

use super::{call::Call, error::ApiError, images, reply, routes::Answer, view};

/// What `Server:` says.
pub const SERVER: &str = concat!("Cale/", env!("CARGO_PKG_VERSION"), " (linux)");

/// The table of these paths.
pub async fn route(mut call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("GET" | "HEAD", ["_ping"]) => Ok(ping(&call)),
        ("GET", ["version"]) => {
            let info = call.engine().system().info().await?;
            Ok(reply::ok(&view::system::version(&info)))
        }
        ("GET", ["info"]) => {
            let info = call.engine().system().info().await?;
            let experimental = call.app.facts.experimental;
            Ok(reply::shaped(call.version, view::system::info(info, experimental)))
        }
        ("POST", ["auth"]) => auth(&mut call).await,
        ("GET", ["system", "df"]) => disk_usage(call).await,
        _ => Err(ApiError::page_not_found()),
    }
}

fn ping(call: &Call) -> reply::Reply {
    let head = call.method() == "HEAD";
    let mut answer = reply::text(if head { "" } else { "OK" });
    let headers = answer.headers_mut();
    if head {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let never = HeaderValue::from_static("no-cache, no-store, must-revalidate");
    headers.insert(header::CACHE_CONTROL, never);
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert("Builder-Version", HeaderValue::from_static("2"));
    headers.insert("Swarm", HeaderValue::from_static("inactive"));
    answer
}

async fn auth(call: &mut Call) -> Answer {
    let config: AuthConfig = call.json().await?;
    let token = call.engine().images().login(images::auth_of(config)).await?;
    Ok(reply::ok(&AuthResponse {
        identity_token: token.unwrap_or_default(),
        status: "Login Succeeded".to_owned(),
    }))
}

async fn disk_usage(call: Call) -> Answer {
    let mut kinds = view::system::Kinds::default();
    let given: Vec<&str> = call.query.all("type").collect();
    if given.is_empty() || call.version.before(42) {
        kinds = view::system::Kinds::all();
    }
    for kind in given {
        match kind {
            "container" => kinds.containers = true,
            "image" => kinds.images = true,
            "volume" => kinds.volumes = true,
            "build-cache" => kinds.build_cache = true,
            other => return Err(ApiError::invalid(format!("unknown object type: {other}"))),
        }
    }
    // Without `verbose`, 1.52 and newer get both the old lists and the new totals.
    let verbose = call.query.strict_flag("verbose")?.filter(|_| !call.version.before(52));
    let usage = call.engine().system().disk_usage().await?;
    Ok(reply::shaped(call.version, view::system::disk_usage(&usage, kinds, verbose)))
}
