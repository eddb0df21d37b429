//! One request: route, rights, then one function an endpoint.

mod blob;
mod listing;
mod manifest;
mod upload;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::{
    State,
    access::{Caller, Needs},
    answer::{self, API_VERSION, Body},
    config::Action,
    refusal::{Code, Refusal},
    route::{Name, Route},
};

/// What a handler gets.
pub(super) struct Call {
    pub state: Arc<State>,
    pub caller: Caller,
    pub request: Request<Incoming>,
}

impl Call {
    fn idle(&self) -> Duration {
        Duration::from_secs(self.state.config.idle_timeout_s)
    }

    /// A parameter of the query.
    fn parameter(&self, name: &str) -> Option<String> {
        let query = self.request.uri().query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.request.headers().get(name).and_then(|value| value.to_str().ok())
    }
}

/// Answers a request; never fails.
pub(super) async fn answer(state: Arc<State>, request: Request<Incoming>) -> Response<Body> {
    let begun = std::time::Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = Route::parse(&path);
    let label = route.as_ref().map_or("none", Route::label);
    let handled = match route {
        Ok(route) => handle(state.clone(), request, route).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = handled.unwrap_or_else(|refusal| answer::refused(&refusal));
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    let status = response.status();
    state.metrics.request(label, method.as_str(), status.as_u16(), begun.elapsed());
    tracing::debug!(%method, path, status = status.as_u16(), "answered");
    response
}

async fn handle(
    state: Arc<State>,
    request: Request<Incoming>,
    route: Route,
) -> Result<Response<Body>, Refusal> {
    let method = request.method().as_str().to_owned();
    if !route.methods().contains(&method.as_str()) {
        let refusal = Refusal::new(Code::Unsupported, format!("{method} is not supported here"));
        return Err(refusal.with_header(header::ALLOW, route.methods().join(", ")));
    }
    if route == Route::Token {
        return super::token::issue(&state, request).await;
    }
    let needs = needs(&route, &method);
    let caller = super::access::authorize(&state, request.headers(), request.uri(), &needs).await?;
    allowed_now(&state, &route, &method)?;
    let call = Call { state, caller, request };
    match (route, method.as_str()) {
        (Route::Base, _) => {
            let body = serde_json::json!({});
            answer::with(answer::json("application/json", &body), body.to_string())
        }
        (Route::Catalog, _) => listing::catalog(call).await,
        (Route::Tags(name), _) => listing::tags(call, name).await,
        (Route::History(name, tag), _) => listing::history(call, name, tag).await,
        (Route::Referrers(name, digest), _) => listing::referrers(call, name, digest).await,
        (Route::Blob(name, digest), "DELETE") => blob::delete(call, name, digest).await,
        (Route::Blob(name, digest), _) => blob::fetch(call, name, digest).await,
        (Route::Manifest(name, reference), "PUT") => manifest::put(call, name, reference).await,
        (Route::Manifest(name, reference), "DELETE") => {
            manifest::delete(call, name, reference).await
        }
        (Route::Manifest(name, reference), _) => manifest::fetch(call, name, reference).await,
        (Route::Uploads(name), _) => upload::begin(call, name).await,
        (Route::Upload(name, id), "PATCH") => upload::chunk(call, name, id).await,
        (Route::Upload(name, id), "PUT") => upload::finish(call, name, id).await,
        (Route::Upload(name, id), "DELETE") => upload::cancel(call, name, id).await,
        (Route::Upload(name, id), _) => upload::status(call, name, id).await,
        (Route::Token, _) => Err(Refusal::new(Code::NotFound, "there is no token service here")),
    }
}

fn needs(route: &Route, method: &str) -> Needs {
    let action = match (route, method) {
        (Route::Uploads(_) | Route::Upload(..), _) | (_, "PUT") => Action::Push,
        (_, "DELETE") => Action::Delete,
        _ => Action::Pull,
    };
    match (route, route.name()) {
        (_, Some(name)) => Needs::Repository(name.clone(), action),
        (Route::Catalog, _) => Needs::Catalog,
        _ => Needs::Identity,
    }
}

/// The switches `read_only` and `delete`, on every route that changes something (CVE-2026-41888).
fn allowed_now(state: &State, route: &Route, method: &str) -> Result<(), Refusal> {
    let changes = !matches!(method, "GET" | "HEAD");
    if changes && state.config.read_only {
        return Err(Refusal::new(Code::ReadOnly, "this registry is read-only"));
    }
    let removes = method == "DELETE" && !matches!(route, Route::Upload(..));
    if removes && !state.config.delete {
        return Err(Refusal::new(Code::Unsupported, "deletes are switched off"));
    }
    Ok(())
}

/// Refuses what goes beyond the repository's quota.
async fn within_quota(state: &Arc<State>, name: &Name, more: u64) -> Result<(), Refusal> {
    let rules = &state.config.quota;
    let Some(quota) = rules.iter().find(|quota| quota.repositories.matches(name.as_str())) else {
        return Ok(());
    };
    let (storage, repository) = (state.storage.clone(), name.clone());
    let held = answer::blocking(move || storage.size(&repository)).await?;
    if held.saturating_add(more) <= quota.bytes {
        return Ok(());
    }
    let why = format!("quota exceeded: {name} holds {held} of {} bytes", quota.bytes);
    Err(Refusal::new(Code::Denied, why)
        .with_detail(serde_json::json!({"held": held, "wanted": more, "quota": quota.bytes})))
}

fn created(location: String) -> http::response::Builder {
    answer::empty(StatusCode::CREATED).header(header::LOCATION, location)
}
