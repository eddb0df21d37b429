//! `POST /commit`

use api::wire::{Config, IdResponse};
use engine::container::CommitRequest;
use http::StatusCode;

use super::super::{call::Call, images, reply, routes::Answer, view};

/// Makes an image of a container.
pub async fn commit(mut call: Call) -> Answer {
    let config: Option<Config> = call.json_or_default().await?;
    let reference = images::optional_reference(call.query.text("repo"), call.query.text("tag"))?;
    let request = CommitRequest {
        reference,
        comment: call.query.text("comment").to_owned(),
        author: call.query.text("author").to_owned(),
        pause: call.query.flag_or("pause", true),
        changes: images::changes(&call.query),
        config: config.as_ref().and_then(view::image::process_defaults),
    };
    let container = call.query.text("container").to_owned();
    let id = call.engine().containers().commit(&container, request).await?;
    Ok(reply::json(StatusCode::CREATED, &IdResponse { id: id.to_string() }))
}
