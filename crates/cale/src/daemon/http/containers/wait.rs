//! `POST /containers/{id}/wait`: the head at once, the outcome when it is there.

use api::wire::{WaitError, WaitResponse};
use engine::container::{WaitCondition, WaitOutcome};

use super::super::{call::Call, error::ApiError, reply, routes::Answer};

/// Waits.
pub async fn wait(call: Call, name: &str) -> Answer {
    // Before 1.30 there were no conditions, and the head came with the body.
    let old = call.version.before(30);
    let condition = match call.query.text("condition") {
        _ if old => WaitCondition::NotRunning,
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(ApiError::invalid(format!("invalid condition: {other:?}"))),
    };
    let waiting = call.engine().containers().wait(name, condition).await?;
    if old {
        return Ok(reply::ok(&document(waiting.outcome().await)));
    }
    let (pieces, answer) = reply::stream("application/json");
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = waiting.outcome() => outcome,
            // The client is gone.
            () = pieces.closed() => return,
        };
        // It may go now; then nobody wants to know.
        let _gone = pieces.send(Ok(reply::document(&document(outcome)))).await;
    });
    Ok(answer)
}

fn document(outcome: WaitOutcome) -> WaitResponse {
    WaitResponse {
        error: outcome.error.map(|message| WaitError { message }),
        status_code: outcome.exit_code,
    }
}
