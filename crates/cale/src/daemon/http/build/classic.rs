//! `POST /build`: a context in the body or at a URL, Docker's classic stream as the answer.

use std::{collections::HashMap, sync::Arc};

use build::Request;
use engine::{
    Engine,
    build::{Context, Inputs, Nobody},
};
use tokio::sync::mpsc;
use tokio_util::io::SyncIoBridge;

use super::{
    output::Output,
    parameters::{self, Parameters},
};
use crate::daemon::http::{call::Call, error::ApiError, reply, routes::Answer};

/// Events that wait for a slow reader.
const DEPTH: usize = 256;

/// Builds an image.
pub async fn build(call: Call) -> Answer {
    let parameters = parameters::read(&call)?;
    let engine = call.engine().clone();
    let version = call.version;
    let mut context = match parameters.remote.as_str() {
        "" => received(&engine, call).await?,
        url => engine.builds().remote_context(url).await?,
    };
    let mut request = parameters.request.clone();
    request.dockerfile = dockerfile(&mut context, &parameters, &mut request).await?;
    // What is wrong with the text itself is a plain answer: nothing was begun.
    if let Err(error) = dockerfile::parse(&request.dockerfile) {
        return Err(ApiError::invalid(build::Error::Parse(error).text()));
    }
    let (pieces, answer) = reply::stream("application/json");
    let output = Output::new(pieces, version, parameters.quiet);
    tokio::spawn(run(engine, context, parameters, request, output));
    Ok(answer)
}

/// Unpacks the body while it comes.
async fn received(engine: &Arc<Engine>, call: Call) -> Result<Context, ApiError> {
    let context = engine.builds().context().await?;
    let reader = SyncIoBridge::new(call.into_reader());
    let unpacked = tokio::task::spawn_blocking(move || {
        context.unpack(reader)?;
        Ok::<_, engine::Error>(context)
    });
    match unpacked.await {
        Ok(result) => Ok(result?),
        Err(error) => Err(ApiError::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            format!("the build context was not unpacked: {error}"),
        )),
    }
}

/// The Dockerfile's text; what the ignore file beside it names is left out from now on.
async fn dockerfile(
    context: &mut Context,
    parameters: &Parameters,
    request: &mut Request,
) -> Result<String, ApiError> {
    let names: &[&str] = match parameters.dockerfile.as_str() {
        "" => &["Dockerfile", "dockerfile"],
        name => &[name],
    };
    for name in names {
        let Some(text) = context.text(name)? else { continue };
        request.file_name = (*name).to_owned();
        let own = context.text(&format!("{name}.dockerignore"))?;
        let ignore = match own {
            Some(own) => Some(own),
            None => context.text(".dockerignore")?,
        };
        if let Some(ignore) = ignore {
            context.ignore(&ignore)?;
        }
        return Ok(text);
    }
    Err(ApiError::invalid(format!("Cannot locate specified Dockerfile: {}", names[0])))
}

async fn run(
    engine: Arc<Engine>,
    context: Context,
    parameters: Parameters,
    request: Request,
    mut output: Output,
) {
    let inputs = Inputs {
        contexts: HashMap::from([(String::new(), Arc::new(context))]),
        client: Arc::new(Nobody),
        auth: parameters.auth,
        references: parameters.references.clone(),
    };
    let builds = engine.builds();
    let prepared = tokio::select! {
        prepared = builds.prepare(request, inputs) => prepared,
        () = output.closed() => return,
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return output.failed(&error).await,
    };
    let (sender, mut events) = mpsc::channel(DEPTH);
    let mut work = Box::pin(prepared.run(sender));
    let result = loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => output.event(&prepared.graph, event).await,
            result = &mut work => break result,
            // Dropping the work cancels it.
            () = output.closed() => return,
        }
    };
    while let Ok(event) = events.try_recv() {
        output.event(&prepared.graph, event).await;
    }
    match result {
        Ok(image) => output.done(&prepared.graph, &image.id, &parameters.references).await,
        Err(error) => output.failed(&error).await,
    }
}
