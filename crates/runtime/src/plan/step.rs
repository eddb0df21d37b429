//! The vocabulary of a launch: what a plan is made of.
//!
//! Owns types only. Every text is a `CString` so that the child hands it to the kernel as it is; every file descriptor
//! is an [`FdIndex`] into the table that travels beside the plan. What a step does is in `crate::perform`.

use std::ffi::CString;

use serde::{Deserialize, Serialize};

/// Position in the table of file descriptors that is handed to `perform::launch` beside the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FdIndex(pub u16);

/// Kinds of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum NamespaceKind {
    User,
    Mount,
    Pid,
    Net,
    Ipc,
    Uts,
    Cgroup,
    Time,
}

impl NamespaceKind {
    /// `CLONE_NEW…` bit.
    pub fn flag(self) -> u64 {
        use sys::namespace::flag;
        match self {
            NamespaceKind::User => flag::USER,
            NamespaceKind::Mount => flag::MOUNT,
            NamespaceKind::Pid => flag::PID,
            NamespaceKind::Net => flag::NET,
            NamespaceKind::Ipc => flag::IPC,
            NamespaceKind::Uts => flag::UTS,
            NamespaceKind::Cgroup => flag::CGROUP,
            NamespaceKind::Time => flag::TIME,
        }
    }

    /// Name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            NamespaceKind::User => "user",
            NamespaceKind::Mount => "mount",
            NamespaceKind::Pid => "pid",
            NamespaceKind::Net => "network",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Time => "time",
        }
    }

    /// The inverse of [`NamespaceKind::name`].
    pub fn from_name(name: &str) -> Option<NamespaceKind> {
        use NamespaceKind::{Cgroup, Ipc, Mount, Net, Pid, Time, User, Uts};
        [User, Mount, Pid, Net, Ipc, Uts, Cgroup, Time].into_iter().find(|kind| kind.name() == name)
    }

    /// Name of the file below `/proc/PID/ns`.
    pub fn file(self) -> &'static str {
        match self {
            NamespaceKind::Mount => "mnt",
            NamespaceKind::Net => "net",
            other => other.name(),
        }
    }

    /// The calling thread's own; of a pid namespace, the one that its children are born in.
    pub fn own_file(self) -> String {
        let file = match self {
            NamespaceKind::Pid => "pid_for_children",
            other => other.file(),
        };
        format!("/proc/thread-self/ns/{file}")
    }
}

/// What a file descriptor of the table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FdRole {
    /// Becomes 0. Without it the child keeps the launcher's.
    Stdin,
    /// Becomes 1.
    Stdout,
    /// Becomes 2.
    Stderr,
    /// A namespace to join (a `/proc/PID/ns/…` file); wins over a path in the specification.
    Namespace(NamespaceKind),
    /// pidfd of a process whose namespaces are joined (`crate::exec`).
    Process,
    /// `tasks` of one v1 hierarchy, open for writing: the child enters by writing `0`.
    CgroupTasks,
    /// Directory of the v2 group: the child is born in it (`CLONE_INTO_CGROUP`). At most one.
    CgroupInto,
    /// A FIFO open for reading and writing; the child waits for one byte before the program runs.
    Gate,
    /// User namespace with the id mapping of overlay layers and of the mounts that ask for it.
    IdmapUserNamespace,
    /// Handed to the program as 3, 4, … in the order of the table.
    Preserved,
}

/// The root filesystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootSource {
    /// A directory that is there already; its mounts come along.
    Path(CString),
    /// An overlay that the child mounts in its own mount namespace: the host sees no mount.
    Overlay(Overlay),
}

/// An overlay file system (kernel: `filesystems/overlayfs.rst`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Lower directories, the topmost first; at least one.
    pub lowers: Vec<CString>,
    /// Writable layer; without it the root is read-only.
    pub upper: Option<CString>,
    /// Work directory on the file system of `upper`.
    pub work: Option<CString>,
    /// No syncs: the upper directory is lost when the machine crashes.
    pub volatile: bool,
    /// Other mount options (`index`, `metacopy`, `userxattr`, …); an empty value is a flag.
    pub options: Vec<(CString, CString)>,
}

/// A clock offset file, a mount parameter: a key with or without value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Name.
    pub key: CString,
    /// Value; none for a flag.
    pub value: Option<CString>,
}

/// Attributes of a mount (`mount_setattr(2)`), `MOUNT_ATTR_…` bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountAttr {
    /// Set on the mount.
    pub set: u64,
    /// Cleared on the mount.
    pub clear: u64,
    /// Set on the mount and all below it.
    pub set_recursive: u64,
    /// Cleared on the mount and all below it.
    pub clear_recursive: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, with `MS_REC` or without; 0 leaves it.
    pub propagation: u64,
}

/// Where a bind mount comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BindSource {
    /// A path on the host, opened by the child before it enters the root.
    Path(CString),
    /// An entry of [`LaunchPlan::trees`], made by the launcher (needed under a user namespace and for id mappings).
    Tree(u16),
    /// A path in the container's root.
    Inside(CString),
}

/// A new file system instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMount {
    /// Type, as `fsopen(2)` takes it.
    pub kind: CString,
    /// `source` parameter; may be empty.
    pub source: CString,
    /// Where in the root.
    pub target: CString,
    /// Parameters of the file system.
    pub params: Vec<Param>,
    /// Attributes of the mount.
    pub attr: MountAttr,
    /// Start with a copy of what the target directory holds (`tmpcopyup`).
    pub copy_up: bool,
}

/// A bind mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindMount {
    /// From.
    pub source: BindSource,
    /// Where in the root; made as file or directory like the source if it is missing.
    pub target: CString,
    /// With the mounts below the source.
    pub recursive: bool,
    /// Attributes.
    pub attr: MountAttr,
    /// A missing source is no error.
    pub optional: bool,
}

/// A tree that the launcher clones before the child is born.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Path on the host.
    pub source: CString,
    /// With the mounts below it.
    pub recursive: bool,
    /// Map its ids.
    pub idmap: Option<Idmap>,
}

/// An id mapping of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idmap {
    /// Lines of `uid_map`: id on disk, id seen, count.
    pub uids: String,
    /// Lines of `gid_map`.
    pub gids: String,
    /// Also the mounts below.
    pub recursive: bool,
}

/// A device node; bound from the host where it can't be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    /// Where in the root.
    pub path: CString,
    /// File type bits and permission bits of `mknod(2)`.
    pub mode: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Owner inside the container.
    pub uid: u32,
    /// Group inside the container.
    pub gid: u32,
    /// Bind the host's node of the same name (user namespaces can't make nodes).
    pub bind: bool,
}

/// Five capability sets as bit masks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CapabilitySets {
    pub bounding: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub permitted: u64,
    pub ambient: u64,
}

/// A hook that runs inside the container's namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsideHook {
    /// Program.
    pub path: CString,
    /// Arguments with the program's name.
    pub argv: Vec<CString>,
    /// Environment, complete.
    pub env: Vec<CString>,
    /// Milliseconds until it is killed; none waits for ever.
    pub timeout_ms: Option<u32>,
    /// State document up to the pid; the child adds its own pid.
    pub state_before_pid: CString,
    /// State document after the pid.
    pub state_after_pid: CString,
}

/// Points at which the child waits for its launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncPoint {
    /// Right after birth: the launcher writes the id mappings.
    Mappings,
    /// Namespaces and mounts are there, the root isn't entered yet: `prestart` and `createRuntime` hooks.
    Created,
    /// All is ready, the child is about to wait at its gate.
    Ready,
}

/// Resource limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// `RLIMIT_…` number.
    pub resource: u32,
    /// Limit in force.
    pub soft: u64,
    /// Ceiling.
    pub hard: u64,
}

/// `sched_setattr(2)`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SchedAttr {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime_ns: u64,
    pub deadline_ns: u64,
    pub period_ns: u64,
}

/// A compiled system call filter: the bytes of [`crate::seccomp::Filter::to_bytes`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeccompProgram(pub Vec<u8>);

impl std::fmt::Debug for SeccompProgram {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let instructions = self.0.len().saturating_sub(4) / 8;
        write!(out, "SeccompProgram({instructions} instructions)")
    }
}

/// One thing that the child does. Order matters; the reasons are in `plan/order.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Write `0` to the `tasks` file of a v1 hierarchy.
    EnterCgroup(FdIndex),
    /// Tell the launcher and wait for its answer.
    Sync(SyncPoint),
    /// Take ids 0:0 of the new user namespace.
    BecomeRoot,
    /// Join one namespace by descriptor.
    Join(NamespaceKind, FdIndex),
    /// Join one namespace by path.
    JoinPath(NamespaceKind, CString),
    /// Join namespaces (`CLONE_NEW…` bits) of the process behind a pidfd.
    JoinProcess(FdIndex, u64),
    /// `unshare(2)` with `CLONE_NEW…` bits.
    Unshare(u64),
    /// Make a time namespace with these lines of `timens_offsets` and enter it.
    EnterTime(CString),
    /// `setsid(2)`.
    NewSession,
    /// An empty session keyring.
    NewKeyring(CString),
    /// Bring up `lo`.
    Loopback,
    /// Mount the root and make it the base of all following paths. The numbers are propagations (`MS_…`): of the tree
    /// inherited from the host, and of the root (0 leaves it as it is).
    MountRoot(RootSource, u64, u64),
    /// Use the present root as the base (a joined mount namespace, or none of our own).
    UseRoot,
    /// Mount a file system.
    Mount(NewMount),
    /// Mount a bind.
    Bind(BindMount),
    /// Change attributes of a mount that is there.
    Remount(CString, MountAttr),
    /// Make a directory, parents included.
    MakeDir(CString, u32),
    /// Make a symbolic link: content, then where; one that is there stays.
    Symlink(CString, CString),
    /// Make a device node.
    Device(DeviceNode),
    /// Open a pseudo terminal in the container's devpts, send its master to the launcher: columns, rows, and whether
    /// it is bound on `/dev/console`.
    Console(u16, u16, bool),
    /// Run a hook.
    Hook(InsideHook),
    /// `pivot_root(2)` into the root and drop the host's tree.
    Pivot,
    /// Move the root over `/` and `chroot(2)`, where pivoting is impossible (ramfs).
    MoveRoot,
    /// `chroot(2)` into a plain path, without a mount namespace of our own.
    Chroot(CString),
    /// Write a kernel parameter, path below `/proc/sys`.
    Sysctl(CString, CString),
    /// Host name.
    Hostname(CString),
    /// NIS domain name.
    Domainname(CString),
    /// Hide paths: files behind `/dev/null`, directories behind an empty read-only tmpfs.
    Mask(Vec<CString>),
    /// Make paths read-only.
    ReadonlyPaths(Vec<CString>),
    /// Resource limits.
    Rlimits(Vec<Limit>),
    /// `oom_score_adj`.
    OomScore(i32),
    /// `personality(2)`.
    Personality(u64),
    /// `sched_setattr(2)`.
    Scheduler(SchedAttr),
    /// `ioprio_set(2)`: class and level packed.
    IoPriority(u16),
    /// `sched_setaffinity(2)`: words of the mask.
    Affinity(Vec<u64>),
    /// Label of the next exec: file below `/proc/self/attr`, then what to write.
    ExecLabel(CString, CString),
    /// Descriptors 0, 1, 2: table entries, or kept; the terminal wins.
    Stdio([Option<FdIndex>; 3]),
    /// File mode mask.
    Umask(u32),
    /// Working directory; made when missing.
    Cwd(CString),
    /// Nobody inside may look at the launching process (`PR_SET_DUMPABLE` 0).
    Undumpable,
    /// Limit the bounding set to this mask.
    Bounding(u64),
    /// Group, supplementary groups, user; capabilities survive.
    User(u32, u32, Vec<u32>),
    /// Fill an absent HOME from the container's `/etc/passwd`, by user id.
    HomeFromPasswd(u32),
    /// Find the program, with the user's rights.
    FindProgram,
    /// Wait for a byte.
    AwaitGate(FdIndex),
    /// `PR_SET_PDEATHSIG`.
    ParentDeathSignal(u32),
    /// Final capability sets.
    Capabilities(CapabilitySets),
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivileges,
    /// Load the filter while CAP_SYS_ADMIN is still permitted, or under no-new-privileges.
    Seccomp(SeccompProgram),
    /// Move preserved descriptors to 3, 4, …; all others close on exec.
    Preserve(Vec<FdIndex>),
    /// Stay as pid 1: run the program as a child, forward signals, reap, exit with its code.
    BecomeInit,
    /// Run the program.
    Exec,
}

/// A user namespace to create; lines as in `user_namespaces(7)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserNamespace {
    /// Content of `uid_map`.
    pub uid_map: String,
    /// Content of `gid_map`.
    pub gid_map: String,
    /// Write `deny` to `setgroups` first, as an unprivileged launcher must.
    pub deny_setgroups: bool,
    /// Limits that the child has no right to set in its namespace: the launcher does.
    pub limits: Vec<Limit>,
    /// As `limits`.
    pub oom_score: Option<i32>,
}

/// Where the launcher's thread goes while it makes the child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinSource {
    /// Table entry: a namespace file.
    Fd(FdIndex),
    /// Table entry: a pidfd.
    Process(FdIndex),
    /// Path of a namespace file.
    Path(CString),
}

/// What runs at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Paths to try, in order; more than one only for a name looked up in PATH.
    pub candidates: Vec<CString>,
    /// Arguments with the program's name.
    pub argv: Vec<CString>,
    /// Environment.
    pub env: Vec<CString>,
    /// Whether the name was looked up in PATH (for the error message).
    pub searched: bool,
}

/// A launch as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// `CLONE_NEW…` bits of the child.
    pub clone_flags: u64,
    /// What the table of descriptors holds, by index.
    pub fds: Vec<FdRole>,
    /// Namespaces that the launcher's thread enters around the clone and leaves after: pid (only children enter it),
    /// and those of the host that a child in a new user namespace may not enter by itself.
    pub launcher_joins: Vec<(NamespaceKind, JoinSource)>,
    /// The user namespace to create.
    pub user_namespace: Option<UserNamespace>,
    /// Trees that the launcher prepares.
    pub trees: Vec<Tree>,
    /// What the child does.
    pub steps: Vec<Step>,
    /// What runs.
    pub program: Program,
    /// What of the specification the plan leaves out, for the log; the specification asks for a warning there.
    pub warnings: Vec<String>,
}
