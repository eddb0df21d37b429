//! Login: whether a registry takes somebody's credentials.

use http::Method;

use super::{
    Client, Credentials,
    request::{Ask, endpoint_key},
};
use crate::error::Result;

impl Client {
    /// Asks for the base of the API, which needs no rights but an identity.
    ///
    /// # Errors
    /// [`crate::Error::Unauthorized`] when the registry refuses them.
    pub async fn login(&self, registry: &str, credentials: &Credentials) -> Result<()> {
        let endpoint = self.hosts().registry(registry);
        // What was granted to somebody else must not answer for these.
        self.kept.forget(&endpoint_key(&endpoint), "");
        let ask = Ask {
            endpoint: &endpoint,
            method: Method::GET,
            target: "/v2/",
            scope: "",
            headers: &[],
            credentials,
        };
        self.ask(&ask).await.map(drop)
    }
}
