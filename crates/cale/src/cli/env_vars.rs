//! Every environment variable that the client reads, defined once.

/// An environment variable and what it does.
pub struct EnvVar {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
}

macro_rules! env_vars {
    ($($(#[doc = $doc:literal])* $id:ident),* $(,)?) => {
        $($(#[doc = $doc])* pub const $id: &str = stringify!($id);)*
        /// All of them, for the reference.
        pub const ALL: &[EnvVar] = &[$(EnvVar { name: stringify!($id), help: concat!($($doc),*) }),*];
    };
}

env_vars! {
    /// Address of the engine; goes before `DOCKER_HOST`.
    CALE_HOST,
    /// Address of the engine.
    DOCKER_HOST,
    /// Name of the context to use.
    DOCKER_CONTEXT,
    /// Directory of `config.json` and the contexts (default `~/.docker`).
    DOCKER_CONFIG,
    /// Directory of `ca.pem`, `cert.pem` and `key.pem`.
    DOCKER_CERT_PATH,
    /// Use TLS and check the engine's certificate if not empty.
    DOCKER_TLS_VERIFY,
    /// Use TLS without checking if not empty.
    DOCKER_TLS,
    /// API version to speak, instead of the newest that both sides know.
    DOCKER_API_VERSION,
    /// Platform for commands with `--platform`.
    DOCKER_DEFAULT_PLATFORM,
    /// The user's home directory.
    HOME,
    /// Directory of the user's sockets.
    XDG_RUNTIME_DIR,
}

/// Value of a variable, unless unset or empty.
pub fn value(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
