//! What the daemon and the keeper say to each other: one message per `SOCK_SEQPACKET` packet.
//!
//! Owns the vocabulary (requests, replies, events) and its versioning; [`frame`] owns the bytes around it.
//! It doesn't know sockets or processes.
//!
//! **Compatibility.** A keeper outlives daemons, so a daemon must be able to talk to a keeper of an older build.
//! Enum variants are therefore only ever *appended*, and a struct on the wire is never changed: a new variant with a new
//! struct takes its place. A keeper answers a request that it can't decode with [`Failure::Unsupported`]; the daemon
//! reads [`Hello::protocol`] and doesn't ask for more than that.

pub mod frame;
mod task_id;

use model::ErrorKind;
use model::state::ExitStatus;
use serde::{Deserialize, Serialize};

pub use task_id::{TaskId, TaskIdError};

use crate::log::LogConfig;

/// Version of the vocabulary below; raised whenever a variant is appended.
pub const PROTOCOL: u16 = 1;

/// Environment-free identity of this build; a daemon compares it to decide on a hand-over.
pub const BUILD: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// What a client may ask. Each is answered by exactly one [`Reply`], except [`Request::Inventory`]
/// (any number of [`Reply::Task`], then [`Reply::Done`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Must be the first message of a connection. Answered by [`Reply::Hello`].
    Hello(Hello),
    /// Start a container's init or an exec process. Fds: the plan's, then one per attach. Answered by [`Reply::Launched`].
    Launch(Launch),
    /// Copy output to (and input from) the socket or pipe passed along. One fd. Answered by [`Reply::Attached`].
    Attach {
        /// The task to attach to.
        id: TaskId,
        /// Streams, framing and what to do with a slow reader.
        spec: AttachSpec,
    },
    /// Stop serving one attach; its fd is closed here after what was queued is written.
    Detach {
        /// The task attached to.
        id: TaskId,
        /// The number [`Reply::Attached`] gave.
        attach: u64,
    },
    /// Set the terminal's size. Only for tasks with [`Io::Tty`].
    Resize {
        /// The task.
        id: TaskId,
        /// The new size.
        size: WindowSize,
    },
    /// Close the write end of the task's stdin. The caller must drop the stdin anchor that it holds, too.
    CloseStdin {
        /// The task.
        id: TaskId,
    },
    /// Send a signal to the task's first process, through its pidfd.
    Signal {
        /// The task.
        id: TaskId,
        /// Signal number, 1..=64.
        signal: u8,
    },
    /// Every task with its anchors: a [`Reply::Task`] each, then [`Reply::Done`].
    Inventory,
    /// Hand back what an earlier keeper gave, after that keeper died. Fds as said by `anchors`.
    /// Without a pidfd for a process that is gone, the exit is recorded as unknown.
    Adopt {
        /// The task.
        id: TaskId,
        /// Which fds follow, in the order of [`AnchorSet`].
        anchors: AnchorSet,
    },
    /// Remove an ended task and its exit record: the caller has stored the exit.
    Forget {
        /// The task.
        id: TaskId,
    },
    /// Change the log configuration of a running container from the next record on.
    SetLog {
        /// The task.
        id: TaskId,
        /// What holds from now on.
        log: LogConfig,
    },
    /// Be told once, by [`Event::LogGrew`], when the next record of this task is committed to its log.
    WatchLog {
        /// The task.
        id: TaskId,
    },
    /// From now on, receive [`Event::Exited`], [`Event::Detached`] and [`Event::LogLost`]. Exits that nobody
    /// acknowledged yet are sent at once.
    Subscribe,
    /// End the keeper. Refused with [`Failure::Busy`] while a process runs, unless `hand_over` is set: then the
    /// keeper leaves its tasks to a successor, as after a crash.
    Shutdown {
        /// Leave running tasks to the next keeper instead of refusing.
        hand_over: bool,
    },
}

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Highest vocabulary version that the speaker understands.
    pub protocol: u16,
    /// Build of the speaker, for people and for the decision on a hand-over.
    pub build: String,
    /// Process id of the speaker.
    pub pid: u32,
}

impl Hello {
    /// This process introducing itself.
    #[must_use]
    pub fn of_this_process() -> Self {
        Hello { protocol: PROTOCOL, build: BUILD.to_owned(), pid: std::process::id() }
    }
}

/// A process to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// Name of the new task; must not exist.
    pub id: TaskId,
    /// What to start, encoded by `runtime`.
    pub plan: Plan,
    /// Where its standard streams go.
    pub io: Io,
    /// Where its output is logged.
    pub log: LogConfig,
    /// Attaches that must not miss a byte: their fds follow the plan's fds, in this order.
    pub attaches: Vec<AttachSpec>,
}

/// The runtime's plan (`runtime::plan::LaunchPlan`, encoded), opaque here.
///
/// Its table of descriptors must begin with the roles stdin, stdout, stderr, which the keeper fills, and go on with the descriptors of the message;
/// with [`Io::Passed`] the message has these three, too; with [`Io::Tty`] there are none of them: the plan makes a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// First process of a container.
    Container(Vec<u8>),
    /// Another process in a running container.
    Exec(Vec<u8>),
}

/// Where a task's standard streams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Io {
    /// `/dev/null` three times: nothing to copy.
    Null,
    /// FIFOs kept by the keeper.
    Streams {
        /// A stdin that can be written to; otherwise `/dev/null`.
        stdin: bool,
        /// Owner of the FIFOs, so that the container's user may reopen `/dev/stdout`.
        owner: Owner,
    },
    /// A terminal, made by the plan in the container's devpts; the keeper holds its master.
    Tty {
        /// Initial size.
        size: WindowSize,
    },
    /// The first three fds of the message are used as they are; nothing is copied or logged.
    Passed,
}

/// Host ids of a file's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Owner {
    /// User id on the host.
    pub uid: u32,
    /// Group id on the host.
    pub gid: u32,
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WindowSize {
    /// Height.
    pub rows: u16,
    /// Width.
    pub columns: u16,
}

/// One of a task's output streams. A terminal has only [`Stream::Stdout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How an attached fd is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachSpec {
    /// Copy from the fd to the task's stdin.
    pub stdin: bool,
    /// Copy the task's stdout to the fd.
    pub stdout: bool,
    /// Copy the task's stderr to the fd.
    pub stderr: bool,
    /// How output is framed.
    pub framing: Framing,
    /// What happens when the fd isn't read.
    pub slow_reader: SlowReader,
    /// Close the task's stdin when the fd's input ends ("StdinOnce").
    pub close_stdin_at_eof: bool,
    /// Input that the caller has read already; goes to stdin first.
    pub input: Vec<u8>,
    /// The bytes that detach when typed one after the other; empty: none.
    pub detach_keys: Vec<u8>,
}

impl AttachSpec {
    /// Output only, without framing: what most callers want.
    #[must_use]
    pub fn output(framing: Framing) -> Self {
        AttachSpec {
            stdin: false,
            stdout: true,
            stderr: true,
            framing,
            slow_reader: SlowReader::Wait,
            close_stdin_at_eof: false,
            input: Vec::new(),
            detach_keys: Vec::new(),
        }
    }
}

/// How output is framed on an attached fd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Framing {
    /// The bytes as they come.
    Raw,
    /// Each chunk preceded by `[1|2, 0, 0, 0, length as u32 big-endian]` (Docker Engine API, "Attach to a container").
    Multiplexed,
}

/// What the keeper does when an attached fd is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlowReader {
    /// Stop reading the task's output until there is room: the task may block in `write`.
    Wait,
    /// Close the attach.
    Disconnect,
}

/// The fds that keep a task whole while no keeper lives. The daemon stores them and hands them back by
/// [`Request::Adopt`]; [`crate::client::Anchors`] is the typed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AnchorSet {
    /// First fd: pidfd of the first process. Its exit information outlives the process.
    pub pidfd: bool,
    /// Next: write end of stdin. Keeps the task from seeing an end of file.
    pub stdin: bool,
    /// Next: read end of the stdout FIFO. Keeps unread bytes.
    pub stdout: bool,
    /// Next: read end of the stderr FIFO.
    pub stderr: bool,
    /// Next: the terminal's master. Keeps the session from being hung up.
    pub tty: bool,
}

impl AnchorSet {
    /// How many fds there are.
    #[must_use]
    pub fn count(self) -> usize {
        [self.pidfd, self.stdin, self.stdout, self.stderr, self.tty]
            .into_iter()
            .filter(|x| *x)
            .count()
    }
}

/// Answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Hello`].
    Hello(Hello),
    /// To [`Request::Launch`]; the fds of `anchors` come along.
    Launched {
        /// Process id in the keeper's pid namespace.
        pid: u32,
        /// The fds in this message.
        anchors: AnchorSet,
        /// Numbers of the attaches that came with the request.
        attaches: Vec<u64>,
    },
    /// To [`Request::Attach`].
    Attached {
        /// Number of the attach within this keeper.
        attach: u64,
    },
    /// One task of an inventory; the fds of `report.anchors` come along.
    Task(TaskReport),
    /// Done as asked.
    Done,
    /// Not done.
    Failed(Failure),
}

/// A task as the keeper sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub id: TaskId,
    /// How far it is.
    pub phase: Phase,
    /// Process id of its first process.
    pub pid: u32,
    /// Where its streams go.
    pub io: Io,
    /// Where it is logged.
    pub log: LogConfig,
    /// The fds in this message.
    pub anchors: AnchorSet,
    /// Attaches being served.
    pub attaches: u32,
    /// Output bytes that could not be logged (disk full and the like) since launch.
    pub log_bytes_lost: u64,
    /// How it ended, when it has.
    pub exit: Option<ExitRecord>,
}

/// Phases that a client can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Its process runs (or its last output is being written).
    Running,
    /// Its process is gone and this keeper can't know how: it waits for [`Request::Adopt`].
    Missing,
    /// Its exit is recorded; kept until [`Request::Forget`].
    Ended,
}

/// How and when a task ended. Written to `<exec-root>/io/<id>/exit` before it is announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// The task.
    pub id: TaskId,
    /// Its status.
    pub status: ExitStatus,
    /// Whether the kernel wrote a core dump.
    pub core_dumped: bool,
    /// When the keeper saw it, nanoseconds since the epoch.
    pub at_ns: i64,
    /// Left to the daemon, which watches the cgroup: whether the kernel killed for lack of memory.
    pub oom_killed: Option<bool>,
}

/// Told without being asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A task ended; its log is complete and its exit record is on disk.
    Exited(ExitRecord),
    /// The log of a watched task grew; watch again to be told again.
    LogGrew {
        /// The task.
        id: TaskId,
    },
    /// An attach ended before its task: detach keys, or the other end closed, or it was too slow.
    Detached {
        /// The task.
        id: TaskId,
        /// Its number.
        attach: u64,
        /// Why.
        why: DetachReason,
    },
    /// Output could not be logged and is lost; sent once per kind of failure and task.
    LogLost {
        /// The task.
        id: TaskId,
        /// The `errno` of the write.
        errno: i32,
    },
}

/// Why an attach ended before its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetachReason {
    /// The detach keys were typed.
    Keys,
    /// The reader went away.
    Closed,
    /// The reader was too slow and asked to be dropped then.
    Slow,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// The request can't be decoded by this build, or came before `Hello`.
    #[error("the keeper (protocol {protocol}) doesn't understand this request")]
    Unsupported {
        /// Highest version that the keeper understands.
        protocol: u16,
    },
    /// No such task.
    #[error("the keeper knows no task {0}")]
    NoSuchTask(TaskId),
    /// The name is taken.
    #[error("the keeper already has a task {0}")]
    TaskExists(TaskId),
    /// The task isn't in a phase in which this can be done.
    #[error("task {id} is {phase:?}")]
    WrongPhase {
        /// The task.
        id: TaskId,
        /// The phase it is in.
        phase: Phase,
    },
    /// The task has no terminal, no stdin, and so on.
    #[error("task {id} has no {what}")]
    Lacks {
        /// The task.
        id: TaskId,
        /// What is missing.
        what: Part,
    },
    /// The message came with the wrong number of fds.
    #[error("the request came with {got} file descriptors instead of {want}")]
    Fds {
        /// How many came.
        got: u32,
        /// How many the request needs.
        want: u32,
    },
    /// The plan could not be read: another build made it.
    #[error("the keeper can't read this launch plan")]
    PlanUnreadable,
    /// The runtime could not start the process.
    #[error("the process could not be started: {report}")]
    Start {
        /// The step that failed, as the runtime words it.
        report: String,
        /// What kind of failure it is.
        kind: StartFailure,
        /// The kernel's error number, 0 if there is none.
        errno: i32,
    },
    /// The keeper itself could not do something.
    #[error("the keeper could not {action} (error {errno})")]
    Keeper {
        /// What it tried.
        action: String,
        /// The kernel's error number.
        errno: i32,
    },
    /// Processes run.
    #[error("the keeper still has {tasks} running tasks")]
    Busy {
        /// How many.
        tasks: u32,
    },
}

impl Failure {
    /// For the edges.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Failure::Unsupported { .. } | Failure::PlanUnreadable => ErrorKind::Unsupported,
            Failure::NoSuchTask(_) => ErrorKind::NotFound,
            Failure::TaskExists(_) | Failure::WrongPhase { .. } | Failure::Busy { .. } => {
                ErrorKind::Conflict
            }
            Failure::Lacks { .. } => ErrorKind::Conflict,
            Failure::Start { kind, .. } => match kind {
                StartFailure::Setup => ErrorKind::Internal,
                StartFailure::NotExecutable | StartFailure::NotFound => ErrorKind::InvalidInput,
            },
            Failure::Fds { .. } | Failure::Keeper { .. } => ErrorKind::Internal,
        }
    }
}

/// Parts that a task may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A terminal.
    Terminal,
    /// A stdin to write to.
    Stdin,
    /// Output streams.
    Output,
    /// A log.
    Log,
    /// This attach.
    Attach,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Part::Terminal => "terminal",
            Part::Stdin => "open stdin",
            Part::Output => "output to copy",
            Part::Log => "log",
            Part::Attach => "such attach",
        })
    }
}

/// Kinds of failed starts that the exit codes 125, 126 and 127 tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartFailure {
    /// Setting the container up failed.
    Setup,
    /// The program exists but can't be executed.
    NotExecutable,
    /// The program doesn't exist.
    NotFound,
}
