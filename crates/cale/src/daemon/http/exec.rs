//! `/exec`, and `POST /containers/{id}/exec`.

use api::go::Pair;
use api::wire::{ExecCreateRequest, ExecInspect, ExecStartRequest, IdResponse, ProcessConfig};
use engine::{
    container::WindowSize,
    exec::{CreateRequest, Phase, Snapshot, StartRequest},
};
use http::StatusCode;

use super::{call::Call, containers, error::ApiError, hijack, reply, routes::Answer};

/// The table of `/exec/…`.
pub async fn route(call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("POST", [id, "start"]) => start(call, id).await,
        ("POST", [id, "resize"]) => resize(call, id).await,
        ("GET", [id, "json"]) => inspect(call, id).await,
        _ => Err(ApiError::page_not_found()),
    }
}

fn console_size(size: Option<Pair<u64>>) -> Option<WindowSize> {
    let Pair(height, width) = size?;
    let size =
        WindowSize { height: u16::try_from(height).ok()?, width: u16::try_from(width).ok()? };
    (size.height != 0 || size.width != 0).then_some(size)
}

/// `POST /containers/{id}/exec`
pub async fn create(mut call: Call, container: &str) -> Answer {
    let body: ExecCreateRequest = call.json().await?;
    let command = body.cmd.map(|words| words.0).unwrap_or_default();
    if command.is_empty() {
        return Err(ApiError::invalid("exec config is invalid: no command specified"));
    }
    let some = |text: String| (!text.is_empty()).then_some(text);
    // Before 1.42 the size was ignored here.
    let size = body.console_size.filter(|_| !call.version.before(42));
    let request = CreateRequest {
        command,
        env: body.env.unwrap_or_default(),
        working_dir: some(body.working_dir),
        user: some(body.user),
        tty: body.tty,
        privileged: body.privileged,
        stdin: body.attach_stdin,
        stdout: body.attach_stdout,
        stderr: body.attach_stderr,
        detach_keys: some(body.detach_keys),
        console_size: console_size(size),
    };
    let id = call.engine().execs().create(container, request).await?;
    Ok(reply::json(StatusCode::CREATED, &IdResponse { id: id.to_string() }))
}

/// `POST /exec/{id}/start`
async fn start(mut call: Call, id: &str) -> Answer {
    let body: ExecStartRequest = call.json_or_default().await?;
    let request =
        StartRequest { detach: body.detach, console_size: console_size(body.console_size) };
    let ticket = call.engine().execs().start(id, request).await?;
    if body.detach {
        ticket.start(None).await?;
        return Ok(reply::status(StatusCode::OK));
    }
    let framed = !ticket.tty();
    hijack::take_over(call, framed, move |io| ticket.start(Some(io)))
}

/// `POST /exec/{id}/resize`
async fn resize(call: Call, id: &str) -> Answer {
    let size = containers::window_size(&call)?;
    call.engine().execs().resize(id, size).await?;
    Ok(reply::status(StatusCode::OK))
}

/// `GET /exec/{id}/json`
async fn inspect(call: Call, id: &str) -> Answer {
    let exec = call.engine().execs().inspect(id).await?;
    Ok(reply::ok(&document(exec)))
}

fn document(exec: Snapshot) -> ExecInspect {
    let Snapshot { id, container, request, phase, pid, .. } = exec;
    let mut words = request.command.into_iter();
    ExecInspect {
        id: id.to_string(),
        running: phase == Phase::Running,
        exit_code: match phase {
            Phase::Prepared | Phase::Running => None,
            Phase::Ended { exit_code } => Some(exit_code),
        },
        process_config: Some(ProcessConfig {
            tty: request.tty,
            entrypoint: words.next().unwrap_or_default(),
            arguments: words.collect(),
            privileged: Some(request.privileged),
            user: request.user.unwrap_or_default(),
        }),
        open_stdin: request.stdin,
        open_stderr: request.stderr,
        open_stdout: request.stdout,
        can_remove: matches!(phase, Phase::Ended { .. }),
        container_id: container.to_string(),
        detach_keys: request.detach_keys.unwrap_or_default(),
        pid: i64::from(pid),
    }
}
