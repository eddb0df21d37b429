//! The token service: name and password in, a signed list of rights out.
//!
//! Source: Docker's "Token Authentication Specification". Tokens are signed with a key that lives as
//! long as this process: after a restart clients are challenged and ask again.

use std::{
    io,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{Request, Response, header};
use hyper::body::Incoming;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{
    State,
    access::{self, AccessControl},
    answer::{self, Body},
    config::{Action, AuthMode},
    refusal::{Code, Refusal},
    route::Name,
};

/// What tokens are for.
pub const SERVICE: &str = "cale-registry";
const FORM_MAX: u64 = 64 * 1024;

/// One right in a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Always `repository`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The repository.
    pub name: String,
    /// What may be done.
    pub actions: Vec<Action>,
}

/// What is signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// The user.
    pub sub: String,
    iat: u64,
    exp: u64,
    /// The rights.
    pub access: Vec<Grant>,
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        })
    }
}

/// Signs and reads tokens.
pub struct Signer {
    sign: EncodingKey,
    read: DecodingKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// With a new random key.
    ///
    /// # Errors
    /// Without random bytes.
    pub fn new() -> io::Result<Self> {
        let mut key = [0; 32];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut key)
            .map_err(|_| io::Error::other("no random bytes"))?;
        Ok(Self { sign: EncodingKey::from_secret(&key), read: DecodingKey::from_secret(&key) })
    }

    fn sign(&self, claims: &Claims) -> Result<String, Refusal> {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.sign)
            .map_err(|error| Refusal::new(Code::Internal, format!("cannot sign a token: {error}")))
    }

    /// What a token of ours says, while it holds.
    pub fn read(&self, token: &str) -> Option<Claims> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_audience(&[SERVICE]);
        rules.set_issuer(&[SERVICE]);
        rules.leeway = 0;
        jsonwebtoken::decode::<Claims>(token, &self.read, &rules).ok().map(|token| token.claims)
    }
}

/// `GET /token?service=…&scope=…` with a `Basic` header or none, or the OAuth2 form with a password.
pub(super) async fn issue(
    state: &Arc<State>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let control = state
        .access
        .as_ref()
        .filter(|control| control.config.mode == AuthMode::Token)
        .ok_or_else(|| Refusal::new(Code::NotFound, "there is no token service here"))?;
    let mut parameters: Vec<(String, String)> = Vec::new();
    let query = request.uri().query().unwrap_or_default().to_owned();
    parameters.extend(url::form_urlencoded::parse(query.as_bytes()).into_owned());
    if request.method() == http::Method::POST {
        let idle = std::time::Duration::from_secs(state.config.idle_timeout_s);
        let form = answer::whole(request.body_mut(), FORM_MAX, idle).await?;
        parameters.extend(url::form_urlencoded::parse(&form).into_owned());
    }
    let parameter = |name: &str| {
        parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    };
    let header = request.headers().get(header::AUTHORIZATION).and_then(|text| text.to_str().ok());
    let user = match (header, parameter("username"), parameter("password")) {
        (Some(header), ..) => Some(access::basic(control, header).await?.ok_or_else(wrong)?),
        (None, Some(user), Some(password)) => {
            let (control, user, password) = (control.clone(), user.to_owned(), password.to_owned());
            let right =
                answer::blocking(move || Ok(control.verify(&user, &password).then_some(user)));
            Some(right.await?.ok_or_else(wrong)?)
        }
        _ => None,
    };
    let scopes =
        parameters.iter().filter(|(key, _)| key == "scope").flat_map(|(_, scope)| scope.split(' '));
    let access = scopes.filter_map(|scope| granted(control, user.as_deref(), scope)).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let term = control.config.token_term_s;
    let claims = Claims {
        iss: SERVICE.to_owned(),
        aud: SERVICE.to_owned(),
        sub: user.unwrap_or_default(),
        iat: now,
        exp: now + term,
        access,
    };
    let token = control.signer.sign(&claims)?;
    let body = serde_json::json!({"token": token, "access_token": token, "expires_in": term});
    let builder = answer::json("application/json", &body).header(header::CACHE_CONTROL, "no-store");
    answer::with(builder, body.to_string())
}

fn wrong() -> Refusal {
    Refusal::new(Code::Unauthorized, "incorrect username or password")
}

/// What of `repository:<name>:<actions>` the user may have; `None` if nothing.
fn granted(control: &AccessControl, user: Option<&str>, scope: &str) -> Option<Grant> {
    let (name, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
    let name = Name::new(name).ok()?;
    let mut allowed = Vec::new();
    for action in actions.split(',') {
        let asked: &[Action] = match action {
            "pull" => &[Action::Pull],
            "push" => &[Action::Push],
            "delete" => &[Action::Delete],
            "*" => &[Action::Pull, Action::Push, Action::Delete],
            _ => &[],
        };
        let may = |action: &&Action| control.allowed(user, &name, **action);
        allowed.extend(asked.iter().filter(may).copied());
    }
    let kind = "repository".to_owned();
    (!allowed.is_empty()).then(|| Grant { kind, name: name.as_str().to_owned(), actions: allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(exp: u64) -> Claims {
        let own = || SERVICE.to_owned();
        Claims { iss: own(), aud: own(), sub: "a".into(), iat: 0, exp, access: Vec::new() }
    }

    #[test]
    fn only_own_and_fresh_tokens_hold() {
        let signer = Signer::new().unwrap();
        let fresh = signer.sign(&claims(u64::from(u32::MAX))).unwrap();
        assert_eq!(signer.read(&fresh).unwrap().sub, "a");
        assert!(signer.read(&signer.sign(&claims(1)).unwrap()).is_none());
        assert!(Signer::new().unwrap().read(&fresh).is_none());
        // The algorithm "none" with no signature.
        let unsigned = fresh.rsplit_once('.').unwrap().0.to_owned() + ".";
        assert!(signer.read(&unsigned).is_none());
    }
}
