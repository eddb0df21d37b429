//! What went wrong in a launch, as a sentence: made by the launcher from `(step, errno, detail)`.
//!
//! The words about the program follow Go's `exec.LookPath`, because clients decide by them between exit codes 126 and 127.

use std::ffi::{CStr, CString};

use sys::Errno;

use crate::plan::{BindSource, LaunchPlan, RootSource, Step};

/// What a failing call was about, beyond its step. One byte on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Detail {
    None,
    RootSource,
    Overlay,
    Propagation,
    AttachRoot,
    Pivot,
    Detach,
    FsType,
    FsOption,
    FsCreate,
    Source,
    Target,
    LinkedTarget,
    InsideProc,
    CopyUp,
    Attributes,
    Attach,
    NullDevice,
    Node,
    Terminal,
    Console,
    Channel,
    HookTimeout,
    HookFailed,
    ProcFile,
    Label,
    Stdio,
    OutsideRoot,
    Groups,
    Group,
    User,
    Home,
    Program,
    Capabilities,
    Exec,
}

impl Detail {
    const ALL: [Detail; 35] = [
        Detail::None,
        Detail::RootSource,
        Detail::Overlay,
        Detail::Propagation,
        Detail::AttachRoot,
        Detail::Pivot,
        Detail::Detach,
        Detail::FsType,
        Detail::FsOption,
        Detail::FsCreate,
        Detail::Source,
        Detail::Target,
        Detail::LinkedTarget,
        Detail::InsideProc,
        Detail::CopyUp,
        Detail::Attributes,
        Detail::Attach,
        Detail::NullDevice,
        Detail::Node,
        Detail::Terminal,
        Detail::Console,
        Detail::Channel,
        Detail::HookTimeout,
        Detail::HookFailed,
        Detail::ProcFile,
        Detail::Label,
        Detail::Stdio,
        Detail::OutsideRoot,
        Detail::Groups,
        Detail::Group,
        Detail::User,
        Detail::Home,
        Detail::Program,
        Detail::Capabilities,
        Detail::Exec,
    ];

    pub(super) fn from_byte(byte: u8) -> Detail {
        Detail::ALL.get(usize::from(byte)).copied().unwrap_or(Detail::None)
    }

    fn phrase(self) -> &'static str {
        match self {
            Detail::None => "",
            Detail::RootSource => "open the root file system",
            Detail::Overlay => "mount the overlay",
            Detail::Propagation => "set mount propagation",
            Detail::AttachRoot => "attach the root file system",
            Detail::Pivot => "pivot_root",
            Detail::Detach => "detach the old root",
            Detail::FsType => "open the file system type",
            Detail::FsOption => "set a file system option",
            Detail::FsCreate => "create the file system",
            Detail::Source => "open the source",
            Detail::Target => "find or make the target in the root file system",
            Detail::LinkedTarget => "the target may not be reached through a symbolic link",
            Detail::InsideProc => "the target lies inside /proc",
            Detail::CopyUp => "copy the directory up",
            Detail::Attributes => "set mount attributes",
            Detail::Attach => "attach the mount",
            Detail::NullDevice => "find the null device in the container",
            Detail::Node => "make the node",
            Detail::Terminal => "open a terminal in the container's devpts",
            Detail::Console => "bind /dev/console",
            Detail::Channel => "reach the launcher",
            Detail::HookTimeout => "the hook took too long",
            Detail::HookFailed => "the hook failed",
            Detail::ProcFile => "write to procfs",
            Detail::Label => "set the security label",
            Detail::Stdio => "change the owner of a standard stream",
            Detail::OutsideRoot => {
                "current working directory is outside of container mount namespace root"
            }
            Detail::Groups => "set supplementary groups",
            Detail::Group => "set the group",
            Detail::User => "set the user",
            Detail::Home => "set HOME",
            Detail::Program => "find the program",
            Detail::Capabilities => "set capabilities",
            Detail::Exec => "exec",
        }
    }
}

/// A launch failed; the child is gone.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The table of descriptors doesn't fit the plan, or the plan isn't complete.
    #[error("launch plan: {reason}")]
    Plan {
        /// Why.
        reason: String,
    },
    /// The launcher's own part failed.
    #[error("{action}")]
    Launcher {
        /// What was tried.
        action: String,
        /// Why.
        source: std::io::Error,
    },
    /// A step of the child failed.
    #[error("{sentence}")]
    Step {
        /// Index in the plan.
        index: usize,
        /// The kernel's number.
        errno: i32,
        /// What it was about.
        detail: Detail,
        /// The step in words, with the kernel's words.
        sentence: String,
    },
    /// The program can't be run.
    #[error("exec: {name:?}: {reason}")]
    Program {
        /// As it was asked for.
        name: String,
        /// Go's words.
        reason: String,
        /// 126 or 127.
        exit_code: u8,
    },
    /// The caller's own part (a hook) failed at a synchronisation point.
    #[error("{what}")]
    Supervisor {
        /// Which part.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl LaunchError {
    /// Exit code for the command line: 126 can't execute, 127 not found, 125 anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            LaunchError::Program { exit_code, .. } => *exit_code,
            _ => 125,
        }
    }

    /// Kind of the error.
    pub fn kind(&self) -> model::ErrorKind {
        match self {
            LaunchError::Plan { .. } | LaunchError::Program { .. } => {
                model::ErrorKind::InvalidInput
            }
            LaunchError::Step { errno, .. } if *errno == Errno::NOENT.raw_os_error() => {
                model::ErrorKind::InvalidInput
            }
            LaunchError::Launcher { .. }
            | LaunchError::Step { .. }
            | LaunchError::Supervisor { .. } => model::ErrorKind::Internal,
        }
    }

    pub(super) fn launcher(action: impl Into<String>, errno: Errno) -> LaunchError {
        LaunchError::Launcher { action: action.into(), source: errno.into() }
    }

    /// From the child's message.
    pub(super) fn from_child(
        plan: &LaunchPlan,
        index: usize,
        errno: i32,
        detail: Detail,
    ) -> LaunchError {
        let number = Errno::from_raw_os_error(errno);
        if matches!(detail, Detail::Program | Detail::Exec) {
            return program(plan, number, detail);
        }
        let words = words_of(number);
        let step = plan.steps.get(index).map_or_else(|| "launch".into(), describe);
        let phrase = detail.phrase();
        let sentence = if phrase.is_empty() {
            format!("{step}: {words}")
        } else {
            format!("{step}: {phrase}: {words}")
        };
        LaunchError::Step { index, errno, detail, sentence }
    }
}

/// Rust adds "(os error N)" to the kernel's words, which clients of other runtimes don't expect.
fn words_of(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or(&text).to_owned();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn program(plan: &LaunchPlan, errno: Errno, detail: Detail) -> LaunchError {
    let name = plan.program.argv.first().map_or_else(String::new, |name| text(name));
    let (reason, exit_code) = match errno {
        Errno::NOENT | Errno::NOTDIR if plan.program.searched && detail == Detail::Program => {
            ("executable file not found in $PATH".to_owned(), 127)
        }
        Errno::NOENT | Errno::NOTDIR if detail == Detail::Program => {
            (format!("stat {name}: {}", words_of(errno)), 127)
        }
        Errno::NOENT | Errno::NOTDIR => (words_of(errno), 127),
        errno => (words_of(errno), 126),
    };
    LaunchError::Program { name, reason, exit_code }
}

fn text(string: &CStr) -> String {
    string.to_string_lossy().into_owned()
}

fn joined(paths: &[CString]) -> String {
    paths.iter().map(|path| text(path)).collect::<Vec<_>>().join(", ")
}

/// A step in words.
fn describe(step: &Step) -> String {
    match step {
        Step::EnterCgroup(_) => "join the control group".into(),
        Step::Join(kind, _) | Step::JoinPath(kind, _) => {
            format!("join the {} namespace", kind.name())
        }
        Step::JoinProcess(..) => "join the container's namespaces".into(),
        Step::Unshare(_) => "make namespaces".into(),
        Step::EnterTime(_) => "make the time namespace".into(),
        Step::Loopback => "bring up lo".into(),
        Step::MountRoot(RootSource::Path(path), ..) => format!("mount the root {}", text(path)),
        Step::MountRoot(RootSource::Overlay(_), ..) => "mount the root".into(),
        Step::Mount(new) => format!("mount {} on {}", text(&new.kind), text(&new.target)),
        Step::Bind(bind) => {
            let source = match &bind.source {
                BindSource::Path(path) | BindSource::Inside(path) => text(path),
                BindSource::Tree(index) => format!("prepared tree {index}"),
            };
            format!("bind {source} on {}", text(&bind.target))
        }
        Step::Remount(path, _) => format!("change the mount {}", text(path)),
        Step::MakeDir(path, _) => format!("make the directory {}", text(path)),
        Step::Symlink(_, path) => format!("make the link {}", text(path)),
        Step::Device(node) => format!("make the device {}", text(&node.path)),
        Step::Console(..) => "make the terminal".into(),
        Step::Hook(hook) => format!("run the hook {}", text(&hook.path)),
        Step::Chroot(path) => format!("enter the root {}", text(path)),
        Step::Sysctl(path, value) => format!("set {} to {:?}", text(path), text(value)),
        Step::Mask(paths) => format!("mask {}", joined(paths)),
        Step::ReadonlyPaths(paths) => format!("make read-only {}", joined(paths)),
        Step::Rlimits(_) => "set resource limits".into(),
        Step::OomScore(score) => format!("set oom_score_adj to {score}"),
        Step::ExecLabel(..) => "set the exec label".into(),
        // The prefix that clients of runc look for.
        Step::Cwd(path) => format!("chdir to cwd ({:?}) set in config.json failed", text(path)),
        Step::User(uid, gid, _) => format!("become {uid}:{gid}"),
        Step::Seccomp(_) => "load the seccomp filter".into(),
        other => {
            let name = format!("{other:?}");
            name.split(['(', ' ']).next().unwrap_or("step").to_owned()
        }
    }
}

/// For a child whose launcher is gone: its number on standard error, without allocating.
pub(super) fn print_raw(errno: Errno) {
    let mut digits = [0; 12];
    let number = super::hook::decimal(errno.raw_os_error().unsigned_abs(), &mut digits);
    for part in [b"cale: container program can't be run: errno ", number, b"\n"] {
        // There is nobody else to tell.
        let _ = rustix::io::write(rustix::stdio::stderr(), part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_survive_the_wire() {
        for detail in Detail::ALL {
            assert_eq!(Detail::from_byte(detail as u8), detail);
        }
    }
}
