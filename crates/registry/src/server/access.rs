//! Who asks, and what they may do.
//!
//! Users are in an htpasswd file with bcrypt hashes; the file is read again when it changes. Rights are
//! grants on repositories. A right is checked for each request, and for the source of a mount, too.

use std::{
    collections::HashMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use base64::Engine as _;
use http::{HeaderMap, Uri, header};
use sha2::{Digest as _, Sha256};

use super::{
    State, answer,
    config::{Access, Action, Auth, AuthMode},
    pattern::Pattern,
    refusal::{Code, Refusal},
    route::Name,
    token::{self, Grant},
};

/// A checked password needn't be checked again for so long: bcrypt takes 50 ms and more by design.
const REMEMBERED: Duration = Duration::from_secs(60);
const REMEMBERED_MAX: usize = 10_000;
/// Compared with when the user is unknown, so that the time taken doesn't tell.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuu5Lo0g67CiD3M4RpN1BmBb4Crp5w7dbK";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// No access control, or nobody in particular.
    Anonymous,
    /// A proven name.
    User(String),
    /// The bearer of a token, with what it grants.
    Bearer {
        /// Who it was given to; empty for nobody in particular.
        user: String,
        /// What it allows.
        grants: Vec<Grant>,
    },
}

impl Caller {
    /// For notifications.
    pub fn user(&self) -> &str {
        match self {
            Self::Anonymous => "",
            Self::User(user) | Self::Bearer { user, .. } => user,
        }
    }

    /// Whether the caller may do `action` in a repository.
    pub(super) fn may(&self, state: &State, name: &Name, action: Action) -> bool {
        let Some(control) = &state.access else { return true };
        match self {
            Self::Anonymous => control.allowed(None, name, action),
            Self::User(user) => control.allowed(Some(user), name, action),
            Self::Bearer { user, grants } => {
                let granted = grants
                    .iter()
                    .any(|grant| grant.name == name.as_str() && grant.actions.contains(&action));
                // The catalog is filtered by what the bearer could get a token for.
                let user = (!user.is_empty()).then_some(user.as_str());
                granted || (action == Action::Pull && control.allowed(user, name, action))
            }
        }
    }
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// That somebody asks whom we know.
    Identity,
    /// The list of repositories, which is filtered.
    Catalog,
    /// A right.
    Repository(Name, Action),
}

/// Users and grants.
#[derive(Debug)]
pub struct AccessControl {
    /// As configured.
    pub config: Auth,
    users: Mutex<Users>,
    /// Digests of name and password that were right, and until when that holds.
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    /// Signs tokens.
    pub(super) signer: token::Signer,
}

#[derive(Debug, Default)]
struct Users {
    changed: Option<SystemTime>,
    hashes: HashMap<String, String>,
}

impl AccessControl {
    /// Reads the users.
    ///
    /// # Errors
    /// The file's; a hash that isn't bcrypt.
    pub fn new(config: Auth) -> io::Result<Self> {
        let control = Self {
            users: Mutex::default(),
            remembered: Mutex::default(),
            signer: token::Signer::new()?,
            config,
        };
        control.reload()?;
        Ok(control)
    }

    fn reload(&self) -> io::Result<()> {
        let path: &PathBuf = &self.config.htpasswd;
        let changed = fs::metadata(path)?.modified()?;
        let mut users = self.users.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if users.changed == Some(changed) {
            return Ok(());
        }
        let hashes = read_htpasswd(&fs::read_to_string(path)?)?;
        *users = Users { changed: Some(changed), hashes };
        self.remembered.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
        Ok(())
    }

    /// Whether the password is the user's. Blocks for the time that bcrypt takes.
    pub fn verify(&self, user: &str, password: &str) -> bool {
        if let Err(error) = self.reload() {
            tracing::error!(%error, "cannot read the users again; going on with those known");
        }
        let mut hasher = Sha256::new();
        hasher.update((user.len() as u64).to_le_bytes());
        hasher.update(user);
        hasher.update(password);
        let key: [u8; 32] = hasher.finalize().into();
        let remembered = || self.remembered.lock().unwrap_or_else(|poison| poison.into_inner());
        if remembered().get(&key).is_some_and(|until| *until > Instant::now()) {
            return true;
        }
        let users = self.users.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let hash = users.hashes.get(user).cloned();
        drop(users);
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let right = bcrypt::verify(password, &hash).unwrap_or(false) && known;
        if right {
            let mut remembered = remembered();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(key, Instant::now() + REMEMBERED);
        }
        right
    }

    /// Whether a grant allows this; `None` is nobody in particular.
    pub fn allowed(&self, user: Option<&str>, name: &Name, action: Action) -> bool {
        if self.config.access.is_empty() {
            return user.is_some();
        }
        self.config.access.iter().any(|grant| fits(grant, user, name, action))
    }
}

fn fits(grant: &Access, user: Option<&str>, name: &Name, action: Action) -> bool {
    let meant = grant.users.iter().any(|entry| match (entry.as_str(), user) {
        ("anonymous", _) => true,
        ("*", Some(_)) => true,
        (entry, Some(user)) => entry == user,
        (_, None) => false,
    });
    meant
        && grant.actions.contains(&action)
        && grant.repositories.iter().any(|pattern| {
            // A user's name may hold what a pattern takes for a star.
            let user = user.filter(|user| !user.contains('*'));
            match (pattern.contains("{user}"), user) {
                (false, _) => Pattern::new(pattern).matches(name.as_str()),
                (true, Some(user)) => {
                    Pattern::new(&pattern.replace("{user}", user)).matches(name.as_str())
                }
                (true, None) => false,
            }
        })
}

fn read_htpasswd(text: &str) -> io::Result<HashMap<String, String>> {
    let mut hashes = HashMap::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let invalid = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let (user, hash) =
            line.split_once(':').ok_or_else(|| invalid("a line without a colon in htpasswd"))?;
        if !["$2a$", "$2b$", "$2y$"].iter().any(|prefix| hash.starts_with(prefix)) {
            return Err(invalid(&format!("the password of {user:?} isn't a bcrypt hash")));
        }
        hashes.insert(user.to_owned(), hash.to_owned());
    }
    Ok(hashes)
}

/// Finds out who asks, and refuses what they may not.
pub(super) async fn authorize(
    state: &Arc<State>,
    headers: &HeaderMap,
    uri: &Uri,
    needs: &Needs,
) -> Result<Caller, Refusal> {
    let Some(control) = &state.access else { return Ok(Caller::Anonymous) };
    let challenge = || challenge(&state.access, state.is_tls(), headers, uri, needs);
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let caller = match (control.config.mode, header) {
        (_, None) => Caller::Anonymous,
        (AuthMode::Basic, Some(header)) => match basic(control, header).await? {
            Some(user) => Caller::User(user),
            None => return Err(challenge()),
        },
        (AuthMode::Token, Some(header)) => {
            let token =
                header.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
            match token.and_then(|(_, token)| control.signer.read(token.trim())) {
                Some(claims) => Caller::Bearer { user: claims.sub, grants: claims.access },
                None => return Err(challenge()),
            }
        }
    };
    let fine = match (&caller, needs) {
        // `docker login` asks here: without a name there must be a challenge.
        (Caller::Anonymous, Needs::Identity) => false,
        (_, Needs::Identity | Needs::Catalog) => true,
        (Caller::Bearer { grants, .. }, Needs::Repository(name, action)) => {
            grants.iter().any(|grant| grant.name == name.as_str() && grant.actions.contains(action))
        }
        (caller, Needs::Repository(name, action)) => {
            // Tokens are how anonymous callers are admitted where there are tokens.
            control.config.mode == AuthMode::Basic && caller.may(state, name, *action)
        }
    };
    match (fine, &caller) {
        (true, _) => Ok(caller),
        (false, Caller::User(user)) => Err(Refusal::new(
            Code::Denied,
            format!("requested access to the resource is denied to {user}"),
        )),
        (false, _) => Err(challenge()),
    }
}

/// The user of a `Basic` header, if name and password are right.
pub(super) async fn basic(
    control: &Arc<AccessControl>,
    header: &str,
) -> Result<Option<String>, Refusal> {
    let Some((user, password)) = split_basic(header) else { return Ok(None) };
    let control = control.clone();
    answer::blocking(move || Ok(control.verify(&user, &password).then_some(user))).await
}

fn split_basic(header: &str) -> Option<(String, String)> {
    let (kind, text) = header.split_once(' ')?;
    if !kind.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn challenge(
    control: &Option<Arc<AccessControl>>,
    tls: bool,
    headers: &HeaderMap,
    uri: &Uri,
    needs: &Needs,
) -> Refusal {
    let refusal = Refusal::new(Code::Unauthorized, "authentication required");
    let Some(control) = control else { return refusal };
    let text = match control.config.mode {
        AuthMode::Basic => format!("Basic realm=\"{}\"", control.config.realm),
        AuthMode::Token => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
            let host = host.or(uri.authority().map(|host| host.as_str())).unwrap_or_default();
            let scheme = if tls { "https" } else { "http" };
            let own = format!("{scheme}://{host}/token");
            let realm = control.config.token_url.as_ref().unwrap_or(&own);
            let scope = match needs {
                Needs::Identity => String::new(),
                Needs::Catalog => ",scope=\"registry:catalog:*\"".to_owned(),
                Needs::Repository(name, action) => {
                    let actions = match action {
                        Action::Pull => "pull",
                        Action::Push => "pull,push",
                        Action::Delete => "delete",
                    };
                    format!(",scope=\"repository:{name}:{actions}\"")
                }
            };
            format!("Bearer realm=\"{realm}\",service=\"{}\"{scope}", token::SERVICE)
        }
    };
    refusal.with_header(header::WWW_AUTHENTICATE, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(users: &[&str], repositories: &[&str], actions: &[Action]) -> Access {
        let own = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Access { users: own(users), repositories: own(repositories), actions: actions.to_vec() }
    }

    #[test]
    fn grants_are_for_whom_they_name() {
        use Action::{Delete, Pull, Push};
        let name = |text| Name::new(text).unwrap();
        let public = grant(&["anonymous"], &["public/**"], &[Pull]);
        assert!(fits(&public, None, &name("public/a"), Pull));
        assert!(fits(&public, Some("x"), &name("public/a"), Pull));
        assert!(!fits(&public, None, &name("public/a"), Push));
        assert!(!fits(&public, None, &name("private/a"), Pull));
        let home = grant(&["*"], &["home/{user}/**"], &[Pull, Push, Delete]);
        assert!(fits(&home, Some("ann"), &name("home/ann/x"), Delete));
        assert!(!fits(&home, Some("ann"), &name("home/bob/x"), Pull));
        assert!(!fits(&home, Some("*"), &name("home/bob/x"), Pull));
        assert!(!fits(&home, None, &name("home/ann/x"), Pull));
    }

    #[test]
    fn only_bcrypt_is_taken() {
        assert!(read_htpasswd("a:$2y$05$x\n# c\n").unwrap().contains_key("a"));
        assert!(read_htpasswd("a:{SHA}x").is_err());
        assert!(read_htpasswd("a").is_err());
    }
}
