//! The last steps: attributes of the process, its ids and rights, and the program.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, openat};
use sys::{Errno, credentials, process, rooted};

use super::child::{About, Child, Failure, message};
use super::error::Detail;
use super::hook::decimal;
use crate::plan::{CapabilitySets, FdIndex, Step};

const O_RDONLY: i32 = 0;
const O_WRONLY: i32 = 1;
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// Home directories are looked for in this much of `/etc/passwd`.
const PASSWD_LIMIT: usize = 1 << 20;

impl<'a> Child<'a> {
    /// Steps that need nothing of mounts.
    pub(super) fn finish(&mut self, step: &'a Step) -> Result<(), Failure> {
        match step {
            Step::Sysctl(path, value) => self.write_proc(c"sys", path, value.to_bytes())?,
            Step::Hostname(name) => rustix::system::sethostname(name.to_bytes())?,
            Step::Domainname(name) => rustix::system::setdomainname(name.to_bytes())?,
            Step::Rlimits(limits) => {
                for limit in limits {
                    process::set_limit(limit.resource, limit.soft, limit.hard)?;
                }
            }
            Step::OomScore(score) => self.oom_score(*score)?,
            Step::Personality(domain) => process::set_personality(*domain)?,
            Step::Scheduler(attr) => process::set_scheduler(process::SchedAttr {
                size: 0,
                policy: attr.policy,
                flags: attr.flags,
                nice: attr.nice,
                priority: attr.priority,
                runtime_ns: attr.runtime_ns,
                deadline_ns: attr.deadline_ns,
                period_ns: attr.period_ns,
            })?,
            Step::IoPriority(priority) => process::set_io_priority(*priority)?,
            Step::Affinity(mask) => process::set_affinity(mask)?,
            Step::ExecLabel(file, label) => self.exec_label(file, label)?,
            Step::Stdio(table) => self.stdio(table)?,
            Step::Umask(mask) => process::set_umask(*mask),
            Step::Cwd(path) => self.cwd(path)?,
            Step::Undumpable => credentials::set_dumpable(false)?,
            Step::Bounding(mask) => credentials::limit_bounding(*mask)?,
            Step::User(uid, gid, groups) => self.user(*uid, *gid, groups)?,
            Step::HomeFromPasswd(uid) => self.home(*uid)?,
            Step::FindProgram => self.find_program()?,
            Step::AwaitGate(gate) => {
                let gate = self.fd(*gate)?;
                let mut byte = [0; 1];
                while matches!(rustix::io::read(gate, &mut byte), Err(Errno::INTR)) {}
            }
            Step::ParentDeathSignal(signal) => credentials::set_parent_death_signal(*signal)?,
            Step::Capabilities(sets) => capabilities(sets)?,
            Step::NoNewPrivileges => credentials::no_new_privileges()?,
            Step::Seccomp(_) => self.seccomp()?,
            Step::Preserve(fds) => self.preserve(fds)?,
            Step::BecomeInit => self.become_init()?,
            Step::Exec => return Err(self.execute()),
            // `Child::perform` has taken the others.
            _ => return Err(Errno::INVAL.into()),
        }
        Ok(())
    }

    /// Writes a file of the host's procfs, which the kernel answers by the writer's namespaces. No links and no mounts on
    /// the way, so that it is procfs that gets the text (CVE-2025-52881).
    fn write_proc(&self, below: &CStr, path: &CStr, text: &[u8]) -> Result<(), Failure> {
        let base = rooted::open(self.proc, below, 0o10_000_000)?;
        let file = rooted::open_strict(&base, path, O_WRONLY).about(Detail::ProcFile)?;
        rustix::io::write(&file, text).about(Detail::ProcFile)?;
        Ok(())
    }

    /// `self` is a link by design, which is why it is resolved apart from the rest.
    fn open_own(&self, file: &CStr) -> Result<std::os::fd::OwnedFd, Errno> {
        let own = openat(self.proc, c"thread-self", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        rooted::open_strict(&own, file, O_WRONLY)
    }

    fn oom_score(&self, score: i32) -> Result<(), Failure> {
        let file = self.open_own(c"oom_score_adj").about(Detail::ProcFile)?;
        let mut digits = [0; 12];
        let mut text = [b'-'; 13];
        let number = decimal(score.unsigned_abs(), &mut digits);
        text[1..=number.len()].copy_from_slice(number);
        let text = &text[usize::from(score >= 0)..=number.len()];
        rustix::io::write(&file, text).about(Detail::ProcFile)?;
        Ok(())
    }

    fn exec_label(&self, file: &CStr, label: &CStr) -> Result<(), Failure> {
        let file = self.open_own(file).about(Detail::Label)?;
        rustix::io::write(&file, label.to_bytes()).about(Detail::Label)?;
        Ok(())
    }

    fn stdio(&mut self, table: &[Option<FdIndex>; 3]) -> Result<(), Failure> {
        if let Some(terminal) = &self.terminal {
            sys::tty::take_control(terminal).about(Detail::Terminal)?;
            for number in 0..3 {
                process::duplicate_to(terminal.as_fd(), number)?;
            }
            return Ok(());
        }
        for (number, index) in (0..).zip(table) {
            if let Some(index) = index {
                process::duplicate_to(self.fd(*index)?, number)?;
            }
        }
        Ok(())
    }

    /// The directory is entered and then looked at: a descriptor of the host's that `/proc/self/fd/N` named would be
    /// outside of the root (CVE-2024-21626).
    fn cwd(&mut self, path: &'a CStr) -> Result<(), Failure> {
        match rustix::process::chdir(path) {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                rooted::make_dirs(self.root()?, path, 0o755).about(Detail::Target)?;
                rustix::process::chdir(path)?;
            }
            // Root may be a nobody there (FUSE, NFS): the user tries again.
            Err(Errno::ACCESS | Errno::PERM) if self.cwd_refused.is_none() => {
                self.cwd_refused = Some(path);
                return Ok(());
            }
            Err(errno) => return Err(errno.into()),
        }
        let mut buffer = [0; rooted::PATH_LIMIT];
        let name = process::working_directory(&mut buffer).about(Detail::OutsideRoot)?;
        if name.first() != Some(&b'/') {
            return Err(Errno::PERM).about(Detail::OutsideRoot);
        }
        Ok(())
    }

    fn user(&mut self, uid: u32, gid: u32, groups: &[u32]) -> Result<(), Failure> {
        self.give_stdio(uid)?;
        match credentials::set_groups(groups) {
            Err(Errno::PERM) if groups.is_empty() => {}
            result => result.about(Detail::Groups)?,
        }
        credentials::set_group(gid).about(Detail::Group)?;
        credentials::keep_capabilities(true)?;
        credentials::set_user(uid).about(Detail::User)?;
        credentials::keep_capabilities(false)?;
        if let Some(path) = self.cwd_refused {
            self.cwd(path)?;
        }
        Ok(())
    }

    /// `/dev/stdout` can be reopened by the user only if it is the user's.
    fn give_stdio(&self, uid: u32) -> Result<(), Failure> {
        let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let null = rustix::fs::makedev(1, 3);
        for stream in streams {
            let Ok(stat) = fstat(stream) else { continue };
            if stat.st_uid == uid || stat.st_rdev == null {
                continue;
            }
            match rustix::fs::fchown(stream, Some(rustix::fs::Uid::from_raw(uid)), None) {
                // Not ours to give: another user namespace's, a read-only file system's, a socket's.
                Err(Errno::INVAL | Errno::PERM | Errno::ROFS | Errno::OPNOTSUPP) => {}
                result => result.about(Detail::Stdio)?,
            }
        }
        Ok(())
    }

    fn home(&mut self, uid: u32) -> Result<(), Failure> {
        let mut found = [0u8; 1024];
        let len = match rooted::open(self.root()?, c"/etc/passwd", O_RDONLY | 0o4000) {
            Ok(file) => home_of(file.as_fd(), uid, &mut found)?,
            Err(_) => 0,
        };
        let home = if len == 0 { &b"/"[..] } else { &found[..len] };
        self.env.push(&[b"HOME=", home]).about(Detail::Home)
    }

    fn find_program(&mut self) -> Result<(), Failure> {
        let mut first_refusal = None;
        for (index, path) in self.plan.program.candidates.iter().enumerate() {
            match self.may_execute(path) {
                Ok(()) => {
                    self.program = index;
                    return Ok(());
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => first_refusal = first_refusal.or(Some(errno)),
            }
        }
        Err(first_refusal.unwrap_or(Errno::NOENT)).about(Detail::Program)
    }

    fn may_execute(&self, path: &CStr) -> Result<(), Errno> {
        let file = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&file)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return Err(Errno::ISDIR);
        }
        // `/proc/self/exe` and the like would run the launcher's own program (CVE-2019-5736).
        if kind != FileType::RegularFile || self.own_program == Some((stat.st_dev, stat.st_ino)) {
            return Err(Errno::ACCESS);
        }
        accessat(CWD, path, rustix::fs::Access::EXEC_OK, AtFlags::EACCESS)
    }

    fn seccomp(&mut self) -> Result<(), Failure> {
        let (effective, permitted, inheritable) = credentials::capabilities()?;
        // A change of user has emptied the effective set.
        if permitted & CAP_SYS_ADMIN != 0 && effective & CAP_SYS_ADMIN == 0 {
            credentials::set_capabilities(effective | CAP_SYS_ADMIN, permitted, inheritable)?;
        }
        let filter = self.filter.as_ref().ok_or(Errno::INVAL)?;
        let listener = filter.load()?;
        if let Some(listener) = listener {
            let fd = Some(listener.as_fd());
            sys::channel::send(&self.channel, &[message::LISTENER], fd).about(Detail::Channel)?;
        }
        Ok(())
    }

    /// The launcher has moved all other descriptors out of the way.
    fn preserve(&mut self, fds: &[FdIndex]) -> Result<(), Failure> {
        for (number, index) in (3..).zip(fds) {
            process::duplicate_to(self.fd(*index)?, number)?;
        }
        Ok(())
    }

    fn execute(&mut self) -> Failure {
        let Some(path) = self.plan.program.candidates.get(self.program) else {
            return Failure { errno: Errno::NOENT, detail: Detail::Program };
        };
        let errno = process::execute(path, self.argv, &self.env);
        Failure { errno, detail: Detail::Exec }
    }
}

fn capabilities(sets: &CapabilitySets) -> Result<(), Failure> {
    credentials::set_capabilities(sets.effective, sets.permitted, sets.inheritable)
        .about(Detail::Capabilities)?;
    credentials::set_ambient(sets.ambient).about(Detail::Capabilities)
}

/// Scans lines `name:x:uid:gid:gecos:home:shell`: length of the home directory, put in `found`.
fn home_of(file: BorrowedFd<'_>, uid: u32, found: &mut [u8; 1024]) -> Result<usize, Errno> {
    let mut digits = [0; 12];
    let wanted = decimal(uid, &mut digits);
    let (mut line, mut len, mut total) = ([0u8; 1024], 0, 0);
    let mut chunk = [0u8; 2048];
    loop {
        let count = rustix::io::read(file, &mut chunk)?;
        let end = count == 0 || total > PASSWD_LIMIT;
        total += count;
        for byte in chunk[..count].iter().copied().chain(end.then_some(b'\n')) {
            if byte == b'\n' {
                if let Some(home) = line.get(..len).and_then(|line| home_in(line, wanted)) {
                    found[..home.len()].copy_from_slice(home);
                    return Ok(home.len());
                }
                len = 0;
            } else {
                if let Some(place) = line.get_mut(len) {
                    *place = byte;
                }
                len += 1;
            }
        }
        if end {
            return Ok(0);
        }
    }
}

fn home_in<'l>(line: &'l [u8], uid: &[u8]) -> Option<&'l [u8]> {
    let mut fields = line.split(|byte| *byte == b':');
    (fields.nth(2)? == uid).then(|| fields.nth(2)).flatten().filter(|home| !home.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    #[test]
    fn homes_are_found_by_number() {
        let mut file = tempfile::tempfile().expect("makes a file");
        let long = "x".repeat(3000);
        write!(
            file,
            "root:x:0:0::/root:/bin/sh\n{long}\nweb:x:33:33:a:/srv/web:\nlast:x:5:5::/l:/s"
        )
        .expect("writes");
        for (uid, home) in [(0, "/root"), (33, "/srv/web"), (5, "/l"), (3, "")] {
            file.rewind().expect("rewinds");
            let mut found = [0; 1024];
            let len = home_of(file.as_fd(), uid, &mut found).expect("reads");
            assert_eq!(&found[..len], home.as_bytes());
        }
    }
}
