//! Pull, push and other talk with registries.

use model::{
    Digest, Reference,
    image::{Descriptor, Platform},
};

use super::{Images, ProgressSink, PullRequest, PushRequest, RegistryAuth};
use crate::{Error, Result};

impl Images<'_> {
    /// Fetches from a registry.
    pub async fn pull(&self, request: PullRequest, _progress: ProgressSink) -> Result<Digest> {
        Err(away(&request.reference))
    }

    /// Sends to a registry.
    pub async fn push(&self, request: PushRequest, _progress: ProgressSink) -> Result<()> {
        Err(away(&request.reference))
    }

    /// Checks credentials with a registry; returns an identity token, if it gives one.
    pub async fn login(&self, auth: RegistryAuth) -> Result<Option<String>> {
        Err(Error::Unavailable(format!("registry {} can't be reached yet", auth.server)))
    }

    /// Asks a registry what a name means there: descriptor and platforms.
    pub async fn distribution(
        &self,
        reference: &Reference,
        _auth: Option<RegistryAuth>,
    ) -> Result<(Descriptor, Vec<Platform>)> {
        Err(away(reference))
    }
}

fn away(reference: &Reference) -> Error {
    Error::Unavailable(format!(
        "registry {} can't be reached by this version of the engine",
        reference.domain()
    ))
}
