//! The child between fork and exec: walks the steps.
//!
//! **Invariant**: nothing here or in the step modules allocates, locks or panics on purpose; the launcher may have had
//! other threads. Descriptors live in [`Child`] and die with exec (all are close-on-exec) or `_exit`.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::Errno;
use sys::process::StringArray;

use super::error::Detail;
use super::hook::PreparedHook;
use crate::plan::{FdIndex, LaunchPlan, NamespaceKind, Step, SyncPoint};

/// First byte of a message from the child.
pub(super) mod message {
    /// Waits at a [`super::SyncPoint`].
    pub const SYNC: u8 = b'S';
    /// Failed.
    pub const FAILED: u8 = b'E';
    /// Here is the terminal's master.
    pub const TERMINAL: u8 = b'T';
    /// Here is the filter's listener.
    pub const LISTENER: u8 = b'N';
    /// The launcher's answer.
    pub const GO: u8 = b'G';
}

/// What a step may say when it fails: the kernel's number, and what it was about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    pub errno: Errno,
    pub detail: Detail,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure { errno, detail: Detail::None }
    }
}

/// Adds what a failure was about.
pub(super) trait About<T> {
    /// On failure, with this detail.
    fn about(self, detail: Detail) -> Result<T, Failure>;
}

impl<T> About<T> for Result<T, Errno> {
    fn about(self, detail: Detail) -> Result<T, Failure> {
        self.map_err(|errno| Failure { errno, detail })
    }
}

/// The child's state while it walks.
pub(super) struct Child<'a> {
    pub plan: &'a LaunchPlan,
    pub fds: &'a [BorrowedFd<'a>],
    pub channel: OwnedFd,
    /// The host's procfs, checked by the launcher; nothing mounted inside can stand in for it.
    pub proc: BorrowedFd<'a>,
    pub trees: &'a [OwnedFd],
    /// Data of the fallback by mount(2) for an overlay root.
    pub overlay_data: &'a CStr,
    pub hooks: &'a [PreparedHook<'a>],
    pub next_hook: usize,
    pub argv: &'a StringArray<'a>,
    pub env: StringArray<'a>,
    /// Device and inode of the launcher's own program.
    pub own_program: Option<(u64, u64)>,
    /// The decoded filter of the plan.
    pub filter: Option<crate::seccomp::Filter>,
    pub title: Option<sys::process::TitleArea>,
    pub root: Option<OwnedFd>,
    pub terminal: Option<OwnedFd>,
    /// Read-only empty directory for masks, made at first use.
    pub empty: Option<OwnedFd>,
    pub program: usize,
    pub cwd_refused: Option<&'a CStr>,
    /// The launcher has been told that all is ready, and may be gone.
    pub alone: bool,
}

impl<'a> Child<'a> {
    /// Walks all steps; comes back only on failure.
    pub fn run(&mut self) -> i32 {
        let plan = self.plan;
        for (index, step) in plan.steps.iter().enumerate() {
            if let Err(failure) = self.perform(step) {
                self.report(index, failure);
                return 1;
            }
        }
        0
    }

    fn report(&mut self, index: usize, failure: Failure) {
        if self.alone {
            super::error::print_raw(failure.errno);
            return;
        }
        let mut text = [0; 10];
        text[0] = message::FAILED;
        text[1..5].copy_from_slice(&(index as u32).to_ne_bytes());
        text[5..9].copy_from_slice(&failure.errno.raw_os_error().to_ne_bytes());
        text[9] = failure.detail as u8;
        // The launcher sees the end of the channel if this fails.
        let _ = sys::channel::send(&self.channel, &text, None);
    }

    pub fn fd(&self, index: FdIndex) -> Result<BorrowedFd<'a>, Errno> {
        self.fds.get(usize::from(index.0)).copied().ok_or(Errno::BADF)
    }

    pub fn root(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    fn perform(&mut self, step: &'a Step) -> Result<(), Failure> {
        match step {
            Step::EnterCgroup(tasks) => {
                let tasks = self.fd(*tasks)?;
                rustix::io::write(tasks, b"0")?;
            }
            Step::Sync(point) => self.sync(*point)?,
            Step::BecomeRoot => become_root()?,
            Step::Join(kind, fd) => sys::namespace::enter(self.fd(*fd)?, kind.flag())?,
            Step::JoinPath(kind, path) => join_path(*kind, path)?,
            Step::JoinProcess(fd, flags) => sys::namespace::enter(self.fd(*fd)?, *flags)?,
            Step::Unshare(flags) => sys::namespace::unshare(*flags)?,
            Step::EnterTime(offsets) => self.enter_time(offsets)?,
            Step::NewSession => {
                rustix::process::setsid()?;
            }
            Step::NewKeyring(name) => match sys::process::new_session_keyring(name) {
                // Keys may be absent from the kernel or filtered: then there is nothing to leak.
                Err(Errno::NOSYS | Errno::PERM | Errno::OPNOTSUPP) => {}
                result => result?,
            },
            Step::Loopback => sys::process::loopback_up()?,
            Step::MountRoot(source, host, root) => self.mount_root(source, *host, *root)?,
            Step::UseRoot => self.use_root()?,
            Step::Mount(mount) => self.mount(mount)?,
            Step::Bind(bind) => self.bind(bind)?,
            Step::Remount(path, attr) => self.remount(path, attr)?,
            Step::MakeDir(path, mode) => {
                sys::rooted::make_dirs(self.root()?, path, *mode)?;
            }
            Step::Symlink(content, path) => self.symlink(content, path)?,
            Step::Device(node) => self.device(node)?,
            Step::Console(columns, rows, bind) => self.console(*columns, *rows, *bind)?,
            Step::Hook(_) => self.hook()?,
            Step::Pivot => self.pivot()?,
            Step::MoveRoot => self.move_root()?,
            Step::Chroot(path) => self.chroot(path)?,
            Step::Mask(paths) => self.mask(paths)?,
            Step::ReadonlyPaths(paths) => self.readonly(paths)?,
            other => self.finish(other)?,
        }
        Ok(())
    }

    fn sync(&mut self, point: SyncPoint) -> Result<(), Errno> {
        sys::channel::send(&self.channel, &[message::SYNC, point as u8], None)?;
        if point == SyncPoint::Ready {
            self.alone = true;
            return Ok(());
        }
        let mut answer = [0; 1];
        match sys::channel::receive(&self.channel, &mut answer)? {
            (1, _) if answer[0] == message::GO => Ok(()),
            // The launcher gave up or is gone: so does the child, without a word.
            _ => sys::process::exit_now(1),
        }
    }

    /// A time namespace's offsets can be written while nobody is in it, and only children or a setns(2) enter it.
    fn enter_time(&self, offsets: &CStr) -> Result<(), Errno> {
        use rustix::fs::{Mode, OFlags, openat};
        sys::namespace::unshare(sys::namespace::flag::TIME)?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(self.proc, c"self/timens_offsets", flags, Mode::empty())?;
        rustix::io::write(&file, offsets.to_bytes())?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let ns = openat(self.proc, c"self/ns/time_for_children", flags, Mode::empty())?;
        sys::namespace::enter(&ns, sys::namespace::flag::TIME)
    }
}

/// Ids that the mapping calls 0; then visible again, because the change of ids made the process undumpable and its own
/// `/proc` files unwritable.
fn become_root() -> Result<(), Errno> {
    match sys::credentials::set_groups(&[]) {
        // The mapping of an unprivileged launcher denies setgroups(2).
        Err(Errno::PERM) => {}
        result => result?,
    }
    sys::credentials::set_group(0)?;
    sys::credentials::set_user(0)?;
    sys::credentials::set_dumpable(true)
}

fn join_path(kind: NamespaceKind, path: &CStr) -> Result<(), Errno> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    sys::namespace::enter(&file, kind.flag())
}
