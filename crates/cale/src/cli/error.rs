//! What goes wrong in a command, and the one place where it becomes text and an exit code.
//!
//! Messages of the engine are passed on word for word behind `Error response from daemon: `,
//! because scripts look for them. Failures of our own read `error: …`, `caused by: …`, `hint: …`.

use std::error::Error;
use std::io;

use thiserror::Error;

use super::exit::Exit;

/// A failed command.
#[derive(Debug, Error)]
pub enum CliError {
    /// The command line was not understood; `usage` is printed below.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// Usage lines and where to find help.
        usage: String,
        /// 125 for flags, 1 for the number of arguments.
        exit: Exit,
    },
    /// The engine refused or failed.
    #[error("Error response from daemon: {message}")]
    Daemon {
        /// HTTP status.
        status: u16,
        /// Its message.
        message: String,
    },
    /// No engine answers.
    #[error("Cannot connect to the Docker daemon at {host}. Is the docker daemon running?")]
    Unreachable {
        /// Where it was looked for.
        host: String,
        /// Why it can't be reached.
        #[source]
        source: Option<io::Error>,
    },
    /// Talking to the engine failed half-way.
    #[error("cannot {action}")]
    Talk {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A `--format` template is wrong or failed.
    #[error("{message}")]
    Template {
        /// Go-shaped complaint.
        message: String,
    },
    /// A flag's or argument's meaning is wrong.
    #[error("{message}")]
    Invalid {
        /// What is wrong, in the words that Docker's users know.
        message: String,
    },
    /// A local file or directory can't be used.
    #[error("cannot {action}")]
    File {
        /// Verb and path.
        action: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Standard output can't be written.
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    /// Several things failed; they were printed when they did.
    #[error("{}", .0.join("\n"))]
    Many(Vec<String>),
    /// The program must end with this code, and all that was to be said has been said.
    #[error("exit status {}", .0.0)]
    Silent(Exit),
    /// Our own failure with advice.
    #[error("{message}")]
    Advised {
        /// What failed.
        message: String,
        /// What the user can do.
        hint: String,
        /// Exit code.
        exit: Exit,
    },
}

impl CliError {
    /// A wrong flag or argument.
    pub fn invalid(message: impl Into<String>) -> Self {
        CliError::Invalid { message: message.into() }
    }

    /// A local file problem: `action` is a verb and the path.
    pub fn file(action: impl Into<String>, source: io::Error) -> Self {
        CliError::File { action: action.into(), source }
    }

    /// A broken conversation.
    pub fn talk(
        action: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        CliError::Talk { action: action.into(), source: source.into() }
    }

    /// Whether the engine says that the object doesn't exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, CliError::Daemon { status: 404, .. })
    }

    /// Exit code of a command that ends with this error. `launches` is for `run` and `create`.
    pub fn exit(&self, launches: bool) -> Exit {
        match self {
            CliError::Usage { exit, .. }
            | CliError::Advised { exit, .. }
            | CliError::Silent(exit) => *exit,
            CliError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => Exit(141),
            CliError::Daemon { message, .. } if launches => exit_of_start(message),
            _ if launches => Exit::ENGINE_FAILED,
            CliError::Daemon { .. }
            | CliError::Unreachable { .. }
            | CliError::Talk { .. }
            | CliError::Template { .. }
            | CliError::Invalid { .. }
            | CliError::File { .. }
            | CliError::Output(_)
            | CliError::Many(_) => Exit::FAILURE,
        }
    }

    /// The text for standard error. `program` is the name we were called by, `path` the command's.
    pub fn text(&self, program: &str, path: &str, launches: bool) -> String {
        let pointer = if launches {
            format!("\n\nRun '{program} {path} --help' for more information")
        } else {
            String::new()
        };
        match self {
            CliError::Silent(_) => String::new(),
            CliError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe => String::new(),
            CliError::Usage { message, usage, .. } => format!("{message}\n\n{usage}"),
            CliError::Many(messages) => messages.join("\n"),
            CliError::Daemon { .. }
            | CliError::Unreachable { .. }
            | CliError::Invalid { .. }
            | CliError::Template { .. } => {
                let program = if launches { format!("{program}: ") } else { String::new() };
                format!("{program}{self}{pointer}")
            }
            CliError::Advised { message, hint, .. } => format!("error: {message}\nhint: {hint}"),
            CliError::Talk { .. } | CliError::File { .. } | CliError::Output(_) => {
                let mut text = format!("error: {self}");
                let mut cause = self.source();
                while let Some(error) = cause {
                    text.push_str(&format!("\ncaused by: {error}"));
                    cause = error.source();
                }
                text
            }
        }
    }
}

/// Exit code of a failed start: the engine's message tells whether the program was the reason.
pub fn exit_of_start(message: &str) -> Exit {
    let has = |needle: &str| message.contains(needle);
    if has("executable file not found")
        || has("no such file or directory")
        || has("system cannot find the file specified")
    {
        Exit::NOT_FOUND
    } else if has("permission denied")
        || has("not a directory")
        || has("is a directory")
        || has("exec format error")
    {
        Exit::CANNOT_EXECUTE
    } else {
        Exit::ENGINE_FAILED
    }
}

/// Prints a line to standard output, or returns the failure from the calling function.
macro_rules! outln {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        writeln!(std::io::stdout().lock(), $($arg)*).map_err($crate::cli::error::CliError::Output)
    }};
}

/// Prints text to standard output, or returns the failure from the calling function.
macro_rules! out {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let mut stdout = std::io::stdout().lock();
        write!(stdout, $($arg)*)
            .and_then(|()| stdout.flush())
            .map_err($crate::cli::error::CliError::Output)
    }};
}
pub(crate) use {out, outln};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_that_fail_tell_why_by_their_code() {
        let of = |message: &str| {
            CliError::Daemon { status: 400, message: message.to_owned() }.exit(true)
        };
        assert_eq!(of("exec: \"nope\": executable file not found in $PATH"), Exit::NOT_FOUND);
        assert_eq!(of("exec: \"/etc/passwd\": permission denied"), Exit::CANNOT_EXECUTE);
        assert_eq!(of("conflict"), Exit::ENGINE_FAILED);
    }

    #[test]
    fn our_own_errors_show_their_causes() {
        let error = CliError::file("read x", io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(
            error.text("cale", "cp", false),
            "error: cannot read x\ncaused by: entity not found"
        );
    }

    #[test]
    fn engine_messages_are_passed_on() {
        let error = CliError::Daemon { status: 404, message: "No such container: x".to_owned() };
        assert_eq!(
            error.text("cale", "rm", false),
            "Error response from daemon: No such container: x"
        );
        assert_eq!(
            error.text("docker", "run", true),
            "docker: Error response from daemon: No such container: x\n\nRun 'docker run --help' for more information"
        );
    }
}
