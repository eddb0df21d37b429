//! `/containers` and `/commit`.

mod archive;
mod attach;
mod commit;
mod create;
mod life;
mod logs;
mod show;
mod stats;
mod wait;

use super::{call::Call, error::ApiError, exec, routes::Answer};

pub use life::window_size;

/// The table of `/containers/…`.
pub async fn route(call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("GET", ["json"]) => show::list(call).await,
        ("POST", ["create"]) => create::create(call).await,
        ("POST", ["prune"]) => life::prune(call).await,
        ("DELETE", [name]) => life::remove(call, name).await,
        ("GET", [name, "json"]) => show::inspect(call, name).await,
        ("GET", [name, "top"]) => show::top(call, name).await,
        ("GET", [name, "changes"]) => show::changes(call, name).await,
        ("GET", [name, "logs"]) => logs::logs(call, name).await,
        ("GET", [name, "stats"]) => stats::stats(call, name).await,
        ("GET", [name, "export"]) => archive::export(call, name).await,
        ("GET", [name, "archive"]) => archive::get(call, name).await,
        ("HEAD", [name, "archive"]) => archive::stat(call, name).await,
        ("PUT", [name, "archive"]) => archive::put(call, name).await,
        ("POST", [name, "start"]) => life::start(call, name).await,
        ("POST", [name, "stop"]) => life::stop(call, name).await,
        ("POST", [name, "restart"]) => life::restart(call, name).await,
        ("POST", [name, "kill"]) => life::kill(call, name).await,
        ("POST", [name, "pause"]) => life::pause(call, name).await,
        ("POST", [name, "unpause"]) => life::unpause(call, name).await,
        ("POST", [name, "rename"]) => life::rename(call, name).await,
        ("POST", [name, "resize"]) => life::resize(call, name).await,
        ("POST", [name, "update"]) => create::update(call, name).await,
        ("POST", [name, "wait"]) => wait::wait(call, name).await,
        ("POST", [name, "attach"]) => attach::attach(call, name).await,
        ("GET", [name, "attach", "ws"]) => attach::websocket(call, name).await,
        ("POST", [name, "exec"]) => exec::create(call, name).await,
        _ => Err(ApiError::page_not_found()),
    }
}

/// `POST /commit`
pub async fn route_commit(call: Call) -> Answer {
    match call.method().as_str() {
        "POST" => commit::commit(call).await,
        _ => Err(ApiError::page_not_found()),
    }
}
