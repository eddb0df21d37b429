//! Pull, push and other talk with registries: who is asked for what. The protocol is
//! `registry`'s.

use std::sync::Arc;

use model::{
    Digest, Reference,
    event::EventType,
    image::{Descriptor, Platform},
};
use registry::{
    Client, Credentials, Hosts,
    client::Repository,
    pull::{self, Pull},
    push::{self, Push},
};
use tokio::sync::mpsc;

use super::{Aux, Images, Progress, ProgressSink, PullRequest, PushRequest, RegistryAuth};
use crate::{Config, Error, Result, error::Cause};

/// Docker's name of the hub in credentials.
const HUB: &str = "docker.io";

/// The client for an engine's registries.
pub(crate) fn client(config: &Config) -> Client {
    let mut hosts = Hosts {
        insecure: config.insecure_registries.clone(),
        certs_dirs: vec!["/etc/cale/certs.d".into(), "/etc/docker/certs.d".into()],
        ..Hosts::default()
    };
    if !config.registry_mirrors.is_empty() {
        hosts.mirrors.insert(HUB.to_owned(), config.registry_mirrors.clone());
    }
    Client::new(hosts)
}

fn credentials(auth: Option<RegistryAuth>) -> Credentials {
    let Some(auth) = auth else { return Credentials::Anonymous };
    if !auth.registry_token.is_empty() {
        return Credentials::RegistryToken(auth.registry_token);
    }
    if !auth.identity_token.is_empty() {
        return Credentials::IdentityToken(auth.identity_token);
    }
    if auth.username.is_empty() {
        return Credentials::Anonymous;
    }
    Credentials::Basic { username: auth.username, password: auth.password }
}

fn failed(action: &'static str, subject: &str) -> impl FnOnce(registry::Error) -> Error {
    let subject = subject.to_owned();
    move |error| Error::Failed { action, subject, source: Cause::new(error.kind(), error) }
}

/// Everything said goes to the client in order; the transfer itself never waits for it. The task
/// ends when the sink is dropped and all is told: the last words must be out before the answer ends.
fn forwarded(progress: ProgressSink) -> (registry::progress::Sink, tokio::task::JoinHandle<()>) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let told = tokio::spawn(async move {
        while let Some(step) = receiver.recv().await {
            if progress.send(convert(step)).await.is_err() {
                return;
            }
        }
    });
    let sink: registry::progress::Sink = Arc::new(move |step| {
        // The client may be gone; the transfer then ends with the request.
        let _ = sender.send(step);
    });
    (sink, told)
}

/// Waits until everything said has reached the client.
async fn finish(sink: registry::progress::Sink, told: tokio::task::JoinHandle<()>) {
    drop(sink);
    if let Err(error) = told.await {
        tracing::warn!(%error, "progress was cut short");
    }
}

fn convert(step: registry::Progress) -> Progress {
    match step {
        registry::Progress::Status { id, text } => Progress::Status { id, text },
        registry::Progress::Bytes { id, text, current, total } => {
            Progress::Bytes { id, text: text.to_owned(), current, total }
        }
    }
}

impl Images<'_> {
    /// Fetches from a registry.
    pub async fn pull(&self, request: PullRequest, progress: ProgressSink) -> Result<Digest> {
        let credentials = credentials(request.auth);
        let client = self.engine.registries();
        let references = match request.all_tags {
            false => vec![request.reference.clone().or_latest()],
            true => {
                let tags = pull::tags(client, &request.reference, &credentials)
                    .await
                    .map_err(failed("list the tags of", &request.reference.familiar()))?;
                let repository = request.reference.repository();
                tags.iter().filter_map(|tag| repository.with_tag(tag).ok()).collect()
            }
        };
        let (sink, told) = forwarded(progress);
        let store = self.engine.records().store().clone();
        let mut last = None;
        for reference in references {
            let name = reference.familiar();
            let wanted = Pull {
                reference,
                platform: request.platform.clone().unwrap_or_else(Platform::host),
                credentials: credentials.clone(),
                parallel: self.engine.config().max_concurrent_downloads,
            };
            let pulled =
                pull::pull(client, &store, &wanted, &sink).await.map_err(failed("pull", &name))?;
            self.engine.events().other(EventType::Image, "pull", &name, &[("name", &name)]);
            last = Some(pulled.id);
        }
        finish(sink, told).await;
        last.ok_or_else(|| {
            Error::NotFound(format!("{} has no tags", request.reference.familiar_repository()))
        })
    }

    /// Sends to a registry.
    pub async fn push(&self, request: PushRequest, progress: ProgressSink) -> Result<()> {
        let credentials = credentials(request.auth);
        let client = self.engine.registries();
        let store = self.engine.records().store().clone();
        let references = match request.all_tags {
            false => vec![request.reference.clone().or_latest()],
            true => self.tags_of(&request.reference).await?,
        };
        if references.is_empty() {
            return Err(Error::NotFound(format!(
                "An image does not exist locally with the tag: {}",
                request.reference.familiar_repository()
            )));
        }
        for reference in references {
            let name = reference.familiar();
            if let Err(store::Error::NoImage(_)) = store.resolve(&reference) {
                return Err(Error::NotFound(format!(
                    "An image does not exist locally with the tag: {}",
                    reference.familiar_repository()
                )));
            }
            let wanted = Push {
                reference,
                credentials: credentials.clone(),
                parallel: self.engine.config().max_concurrent_uploads,
            };
            let (sink, told) = forwarded(progress.clone());
            let pushed = push::push(client, &store, &wanted, &sink).await;
            finish(sink, told).await;
            let pushed = pushed.map_err(failed("push", &name))?;
            self.engine.events().other(EventType::Image, "push", &name, &[("name", &name)]);
            let aux = Aux::Pushed { tag: pushed.tag, digest: pushed.digest, size: pushed.size };
            // A client that went away doesn't care.
            let _ = progress.send(Progress::Aux(aux)).await;
        }
        Ok(())
    }

    async fn tags_of(&self, reference: &Reference) -> Result<Vec<Reference>> {
        let repository = reference.repository();
        let all = self.list(super::ListRequest::default()).await?;
        let tags = all.into_iter().flat_map(|image| image.tags);
        Ok(tags.filter(|tag| tag.repository() == repository).collect())
    }

    /// Checks credentials with a registry; returns an identity token, if it gives one.
    pub async fn login(&self, auth: RegistryAuth) -> Result<Option<String>> {
        let server = server(&auth.server);
        let client = self.engine.registries();
        client
            .login(&server, &credentials(Some(auth)))
            .await
            .map(|()| None)
            .map_err(failed("log in to", &server))
    }

    /// Asks a registry what a name means there: descriptor and platforms.
    pub async fn distribution(
        &self,
        reference: &Reference,
        auth: Option<RegistryAuth>,
    ) -> Result<(Descriptor, Vec<Platform>)> {
        let client = self.engine.registries();
        let reference = reference.clone().or_latest();
        let endpoint = client.hosts().registry(reference.domain());
        let repository =
            Repository::new(client, endpoint, reference.path(), &credentials(auth), false);
        let target = match reference.digest() {
            Some(digest) => digest.to_string(),
            None => reference.tag().unwrap_or("latest").to_owned(),
        };
        let asked = repository.manifest(&target).await;
        let fetched = asked.map_err(failed("ask the registry for", &reference.familiar()))?;
        let size = fetched.bytes.len() as u64;
        let descriptor = Descriptor::new(&fetched.media_type, fetched.digest.clone(), size);
        let invalid = |error: serde_json::Error| Error::Failed {
            action: "read the manifest of",
            subject: reference.familiar(),
            source: Cause::new(model::ErrorKind::Internal, error),
        };
        if fetched.media_type == model::image::media_type::OCI_INDEX
            || fetched.media_type == model::image::media_type::DOCKER_INDEX
        {
            let index: model::image::Index =
                serde_json::from_slice(&fetched.bytes).map_err(invalid)?;
            let platforms = index.manifests.into_iter().filter_map(|entry| entry.platform);
            return Ok((descriptor, platforms.filter(|p| p.os != "unknown").collect()));
        }
        Ok((descriptor, Vec::new()))
    }
}

/// The registry of a login, which clients write as a URL.
fn server(text: &str) -> String {
    let bare = text.trim_start_matches("https://").trim_start_matches("http://");
    match bare.split('/').next().unwrap_or_default() {
        "" | "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_logins() {
        assert_eq!(server("https://index.docker.io/v1/"), "docker.io");
        assert_eq!(server(""), "docker.io");
        assert_eq!(server("localhost:5000"), "localhost:5000");
    }
}
