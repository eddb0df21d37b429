//! `login`: keep credentials for a registry.

use std::io::{BufRead, Read, Write};

use crate::cli::config::ConfigFile;
use crate::cli::config::credentials::{self, Credentials};
use crate::cli::context::Cx;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Matches, command};
use crate::cli::link::Query;
use crate::cli::session;

static FLAGS: &[Flag] = &[
    Flag::text("password", "Password or token").short('p'),
    Flag::switch("password-stdin", "Read the password from stdin"),
    Flag::text("username", "User name").short('u'),
];

command! {
    /// Prove who you are to a registry, and keep the credentials.
    pub static LOGIN = {
        usage: "[OPTIONS] [SERVER]",
        flags: &[FLAGS],
        arity: Arity::AtMost(1),
        run: |cx, m| Box::pin(login(cx, m)),
    }
}

async fn login(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    let mut password = m.text("password").to_owned();
    let mut username = m.text("username").to_owned();
    if m.given("password") && !m.on("password-stdin") {
        eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    }
    if m.on("password-stdin") {
        if m.given("password") {
            return Err(CliError::invalid(
                "conflicting options: cannot specify both --password and --password-stdin",
            ));
        }
        if username.is_empty() {
            return Err(CliError::invalid(
                "the --password-stdin option requires --username to be set",
            ));
        }
        std::io::stdin()
            .read_to_string(&mut password)
            .map_err(|e| CliError::file("read the password from standard input", e))?;
        password.truncate(password.trim_end_matches(['\n', '\r']).len());
    }
    let server = server_of(m.arg(0).unwrap_or(""));
    let mut config = ConfigFile::load(&cx.config_dir)?;
    let known = credentials::lookup(&config, &server).unwrap_or_default();
    let mut credentials = if username.is_empty() && password.is_empty() && !known.is_empty() {
        eprintln!("Authenticating with existing credentials... [Username: {}]", known.username);
        known
    } else {
        if username.is_empty() || password.is_empty() {
            if !session::is_terminal(std::io::stdin()) {
                return Err(CliError::invalid(
                    "Error: Cannot perform an interactive login from a non TTY device",
                ));
            }
            ask(&mut username, &mut password, &known.username)?;
        }
        Credentials { username, password, identity_token: String::new(), server: server.clone() }
    };
    credentials.server.clone_from(&server);
    let answer = cx.link()?.post("/auth", &Query::new(), Some(&credentials.json())).await?;
    if let Some(token) = answer["IdentityToken"].as_str().filter(|token| !token.is_empty()) {
        credentials.password = String::new();
        token.clone_into(&mut credentials.identity_token);
    }
    if credentials::store(&mut config, &credentials)? {
        eprintln!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\nConfigure a credential helper to remove this warning.\n",
            config.dir().join("config.json").display()
        );
    }
    outln!("{}", answer["Status"].as_str().unwrap_or("Login Succeeded"))?;
    Ok(Exit::SUCCESS)
}

/// Key of a registry that a user named: a host, with or without scheme and path.
pub fn server_of(typed: &str) -> String {
    if typed.is_empty() || typed == credentials::DEFAULT_REGISTRY {
        return credentials::DEFAULT_REGISTRY.to_owned();
    }
    let bare = typed.split_once("://").map_or(typed, |(_, rest)| rest);
    credentials::server_key(bare.split('/').next().unwrap_or(bare))
}

fn ask(username: &mut String, password: &mut String, known: &str) -> Result<(), CliError> {
    let failed = |e| CliError::file("read from the terminal", e);
    let read = |prompt: &str| -> std::io::Result<String> {
        let mut stdout = std::io::stdout().lock();
        write!(stdout, "{prompt}")?;
        stdout.flush()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        Ok(line.trim_end_matches(['\n', '\r']).to_owned())
    };
    if username.is_empty() {
        let hint = if known.is_empty() { String::new() } else { format!(" ({known})") };
        *username = read(&format!("Username{hint}: ")).map_err(failed)?;
        if username.is_empty() {
            known.clone_into(username);
        }
    }
    if username.is_empty() {
        return Err(CliError::invalid("Error: Non-null Username Required"));
    }
    if password.is_empty() {
        let hidden = sys::terminal::NoEcho::enter().map_err(failed)?;
        *password = read("Password: ").map_err(failed)?;
        drop(hidden);
        outln!()?;
    }
    if password.is_empty() {
        return Err(CliError::invalid("Error: Password Required"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts() {
        assert_eq!(server_of(""), credentials::DEFAULT_REGISTRY);
        assert_eq!(server_of("https://reg.example:5000/v2/"), "reg.example:5000");
        assert_eq!(server_of("docker.io"), credentials::DEFAULT_REGISTRY);
    }
}
