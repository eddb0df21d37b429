//! Registry credentials: kept in `config.json` or by a credential helper, a program named
//! `docker-credential-NAME` that speaks JSON on its standard streams.

use std::io::Write;
use std::process::{Command, Stdio};

use data_encoding::{BASE64, BASE64URL};
use serde_json::{Map, Value as Json, json};

use super::ConfigFile;
use crate::cli::error::CliError;

/// Key of the default registry in `auths`.
pub const DEFAULT_REGISTRY: &str = "https://index.docker.io/v1/";

/// A user's proof for one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User name; empty when there is a token only.
    pub username: String,
    /// Password or personal token.
    pub password: String,
    /// OAuth refresh token.
    pub identity_token: String,
    /// Server, as the key of `auths`.
    pub server: String,
}

impl Credentials {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.username.is_empty() && self.password.is_empty() && self.identity_token.is_empty()
    }

    /// The value of `X-Registry-Auth`.
    pub fn header(&self) -> String {
        BASE64URL.encode(self.json().to_string().as_bytes())
    }

    /// The object that `/auth` and `X-Registry-Config` take.
    pub fn json(&self) -> Json {
        let mut object = Map::new();
        let fields = [
            ("username", &self.username),
            ("password", &self.password),
            ("identitytoken", &self.identity_token),
            ("serveraddress", &self.server),
        ];
        for (key, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
            object.insert(key.to_owned(), Json::from(value.as_str()));
        }
        Json::Object(object)
    }
}

/// Key of `auths` for a registry's host name.
pub fn server_key(host: &str) -> String {
    match host {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => {
            DEFAULT_REGISTRY.to_owned()
        }
        other => other.to_owned(),
    }
}

fn bare_host(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// Name of the helper that keeps the credentials of `server`; empty if they are in the file.
fn helper_of<'a>(config: &'a ConfigFile, server: &str) -> &'a str {
    let special = config.object("credHelpers").and_then(|helpers| {
        helpers.get(server).or_else(|| helpers.get(bare_host(server))).and_then(Json::as_str)
    });
    special.unwrap_or_else(|| config.text("credsStore"))
}

/// What is known for `server`; empty credentials if nothing.
///
/// # Errors
/// A helper's complaint, or a broken entry of the file.
pub fn lookup(config: &ConfigFile, server: &str) -> Result<Credentials, CliError> {
    match helper_of(config, server) {
        "" => from_file(config, server),
        helper => from_helper(helper, server),
    }
}

/// Everything that is known, by server: for builds, which may pull from anywhere.
///
/// # Errors
/// As [`lookup`].
pub fn all(config: &ConfigFile) -> Result<Vec<Credentials>, CliError> {
    let mut servers: Vec<String> =
        config.object("auths").map(|auths| auths.keys().cloned().collect()).unwrap_or_default();
    if let Some(helpers) = config.object("credHelpers") {
        servers
            .extend(helpers.keys().filter(|k| !servers.contains(k)).cloned().collect::<Vec<_>>());
    }
    let found: Result<Vec<_>, _> = servers.iter().map(|s| lookup(config, s)).collect();
    Ok(found?.into_iter().filter(|credentials| !credentials.is_empty()).collect())
}

fn from_file(config: &ConfigFile, server: &str) -> Result<Credentials, CliError> {
    let Some(auths) = config.object("auths") else { return Ok(Credentials::default()) };
    let entry = auths.get(server).or_else(|| {
        auths.iter().find(|(key, _)| bare_host(key) == bare_host(server)).map(|(_, entry)| entry)
    });
    let Some(entry) = entry else { return Ok(Credentials::default()) };
    let text = |key: &str| entry.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let mut credentials = Credentials {
        username: text("username"),
        password: text("password"),
        identity_token: text("identitytoken"),
        server: server.to_owned(),
    };
    let auth = text("auth");
    if !auth.is_empty() {
        let pair = BASE64.decode(auth.as_bytes()).ok().and_then(|b| String::from_utf8(b).ok());
        let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
            return Err(CliError::invalid(format!("invalid auth configuration for {server}")));
        };
        user.clone_into(&mut credentials.username);
        password.trim_end_matches('\0').clone_into(&mut credentials.password);
    }
    Ok(credentials)
}

/// Runs `docker-credential-NAME VERB` with `input`; its output, or `None` if it knows nothing.
fn call_helper(name: &str, verb: &str, input: &str) -> Result<Option<String>, CliError> {
    let program = format!("docker-credential-{name}");
    let failed = |e| CliError::file(format!("run {program}"), e);
    let mut child = Command::new(&program)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper may answer without reading; its exit status tells more than EPIPE.
        drop(stdin.write_all(input.as_bytes()));
    }
    let output = child.wait_with_output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        Ok(Some(text))
    } else if text.contains("credentials not found") {
        Ok(None)
    } else {
        Err(CliError::invalid(format!(
            "error getting credentials - err: {program} failed, out: `{text}`"
        )))
    }
}

fn from_helper(helper: &str, server: &str) -> Result<Credentials, CliError> {
    let Some(answer) = call_helper(helper, "get", server)? else {
        return Ok(Credentials::default());
    };
    let answer: Json = serde_json::from_str(&answer).map_err(|e| {
        CliError::invalid(format!("credential helper {helper} answered nonsense: {e}"))
    })?;
    let text = |key: &str| answer.get(key).and_then(Json::as_str).unwrap_or("").to_owned();
    let mut credentials = Credentials { server: server.to_owned(), ..Credentials::default() };
    // The protocol marks an OAuth token by this user name.
    if text("Username") == "<token>" {
        credentials.identity_token = text("Secret");
    } else {
        credentials.username = text("Username");
        credentials.password = text("Secret");
    }
    Ok(credentials)
}

/// Keeps credentials; true if they lie unencrypted in the file.
///
/// # Errors
/// A helper's complaint, or the file can't be written.
pub fn store(config: &mut ConfigFile, credentials: &Credentials) -> Result<bool, CliError> {
    let server = credentials.server.clone();
    let helper = helper_of(config, &server).to_owned();
    let mut entry = Map::new();
    if helper.is_empty() {
        let pair = format!("{}:{}", credentials.username, credentials.password);
        if !credentials.username.is_empty() {
            entry.insert("auth".to_owned(), Json::from(BASE64.encode(pair.as_bytes())));
        }
        if !credentials.identity_token.is_empty() {
            let token = Json::from(credentials.identity_token.as_str());
            entry.insert("identitytoken".to_owned(), token);
        }
    } else {
        let (user, secret) = if credentials.identity_token.is_empty() {
            (credentials.username.as_str(), &credentials.password)
        } else {
            ("<token>", &credentials.identity_token)
        };
        let input = json!({"ServerURL": server, "Username": user, "Secret": secret});
        call_helper(&helper, "store", &input.to_string())?;
    }
    config.object_mut("auths").insert(server, Json::Object(entry));
    config.save()?;
    Ok(helper.is_empty())
}

/// Forgets the credentials of `server`; false if none were known.
///
/// # Errors
/// As [`store`].
pub fn erase(config: &mut ConfigFile, server: &str) -> Result<bool, CliError> {
    let helper = helper_of(config, server).to_owned();
    if !helper.is_empty() {
        call_helper(&helper, "erase", server)?;
    }
    let known = config.object_mut("auths").shift_remove(server).is_some();
    if known {
        config.save()?;
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_keeps_user_and_password() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut config = ConfigFile::load(dir.path()).expect("empty");
        let credentials = Credentials {
            username: "u".into(),
            password: "p:w".into(),
            server: "reg:5000".into(),
            ..Credentials::default()
        };
        assert!(store(&mut config, &credentials).expect("stored"));
        let config = &mut ConfigFile::load(dir.path()).expect("valid");
        assert_eq!(lookup(config, "reg:5000").expect("known"), credentials);
        assert!(erase(config, "reg:5000").expect("erased"));
        assert!(lookup(config, "reg:5000").expect("valid").is_empty());
    }

    #[test]
    fn old_keys_with_scheme_are_found() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let auth = BASE64.encode(b"u:p");
        let text = format!(r#"{{"auths":{{"https://reg:5000/v1/":{{"auth":"{auth}"}}}}}}"#);
        std::fs::write(dir.path().join("config.json"), text).expect("written");
        let config = ConfigFile::load(dir.path()).expect("valid");
        assert_eq!(lookup(&config, "reg:5000").expect("known").username, "u");
    }

    #[test]
    fn the_hub_has_a_historical_key() {
        assert_eq!(server_key("docker.io"), DEFAULT_REGISTRY);
        assert_eq!(server_key("reg:5000"), "reg:5000");
    }
}
