//! `USER`, `--user`, `--group-add`: names of a container resolved with its own `/etc/passwd` and `/etc/group`.
//!
//! The files are the image's: opened by descriptor inside the root, without blocking, regular files only, read up to a
//! limit (CVE-2026-47262 and kin). Digits are always a number, even when a user of that name exists (CVE-2026-46680).

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

/// Largest id, as Docker has it: ids beyond are negative for some programs.
const ID_LIMIT: u32 = i32::MAX as u32;
/// Bytes of a file that are looked at; more is an error, because a group behind it would silently be missing.
const FILE_LIMIT: u64 = 16 << 20;
const O_NONBLOCK: i32 = 0o4000;
const O_NOCTTY: i32 = 0o400;

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups, as the group file lists them; empty when the group was given.
    pub additional_gids: Vec<u32>,
    /// Home directory, when the password file has the user.
    pub home: Option<String>,
}

/// A name can't be resolved.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// A number that is none of an id.
    #[error("uids and gids must be in range 0-2147483647: {0:?}")]
    Range(String),
    /// The file is there but can't be used.
    #[error("read {file} of the container")]
    File {
        /// Which.
        file: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl IdentityError {
    /// Kind of the error.
    pub fn kind(&self) -> model::ErrorKind {
        model::ErrorKind::InvalidInput
    }
}

/// Resolves `user`, `uid`, `user:group`, `uid:gid` or nothing (root) in the root that `root` refers to.
///
/// # Errors
/// Names that aren't there; numbers out of range; files that are no regular files or too long.
pub fn resolve(root: BorrowedFd<'_>, text: &str) -> Result<Identity, IdentityError> {
    let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
    let group = group.filter(|group| !group.is_empty());
    let user = if user.is_empty() { "0" } else { user };
    let passwd = read(root, c"/etc/passwd", "/etc/passwd")?;
    let number = id(user)?;
    let entry = passwd.lines().filter_map(User::parse).find(|entry| match number {
        Some(uid) => entry.uid == uid,
        None => entry.name == user,
    });
    let uid = match (number, &entry) {
        (Some(uid), _) => uid,
        (None, Some(entry)) => entry.uid,
        (None, None) => return Err(IdentityError::NoUser(user.to_owned())),
    };
    let home = entry.as_ref().map(|entry| entry.home.to_owned());
    if let Some(group) = group {
        let gid = resolve_group(root, group)?;
        return Ok(Identity { uid, gid, additional_gids: Vec::new(), home });
    }
    let gid = entry.as_ref().map_or(0, |entry| entry.gid);
    let additional_gids = match &entry {
        Some(entry) => groups_of(&read(root, c"/etc/group", "/etc/group")?, entry.name),
        None => Vec::new(),
    };
    Ok(Identity { uid, gid, additional_gids, home })
}

/// Resolves a group by name or number.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_group(root: BorrowedFd<'_>, text: &str) -> Result<u32, IdentityError> {
    if let Some(gid) = id(text)? {
        return Ok(gid);
    }
    let group = read(root, c"/etc/group", "/etc/group")?;
    let found = group.lines().filter_map(Group::parse).find(|entry| entry.name == text);
    found.map(|entry| entry.gid).ok_or_else(|| IdentityError::NoGroup(text.to_owned()))
}

/// A number if it looks like one: digits, or a sign and digits.
fn id(text: &str) -> Result<Option<u32>, IdentityError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(number) if number <= ID_LIMIT && !text.starts_with('+') => Ok(Some(number)),
        _ => Err(IdentityError::Range(text.to_owned())),
    }
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> User<'a> {
    /// `name:password:uid:gid:comment:home:shell`; lines that aren't are skipped, as libc does.
    fn parse(line: &'a str) -> Option<User<'a>> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = id(fields.nth(1)?).ok().flatten()?;
        let gid = id(fields.next()?).ok().flatten()?;
        Some(User { name, uid, gid, home: fields.nth(1).unwrap_or("") })
    }
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    /// `name:password:gid:members`.
    fn parse(line: &'a str) -> Option<Group<'a>> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = id(fields.nth(1)?).ok().flatten()?;
        Some(Group { name, gid, members: fields.next().unwrap_or("") })
    }
}

fn groups_of(text: &str, user: &str) -> Vec<u32> {
    let member = |entry: &Group<'_>| entry.members.split(',').any(|name| name.trim() == user);
    let mut gids: Vec<u32> = Vec::new();
    for gid in text.lines().filter_map(Group::parse).filter(member).map(|entry| entry.gid) {
        if !gids.contains(&gid) {
            gids.push(gid);
        }
    }
    gids
}

/// The file's text; empty when there is none.
fn read(root: BorrowedFd<'_>, path: &CStr, file: &'static str) -> Result<String, IdentityError> {
    let failed = |source| IdentityError::File { file, source };
    let opened = match sys::rooted::open(root, path, O_NONBLOCK | O_NOCTTY) {
        Err(sys::Errno::NOENT | sys::Errno::NOTDIR) => return Ok(String::new()),
        result => File::from(result.map_err(|errno| failed(errno.into()))?),
    };
    let metadata = opened.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("isn't a regular file")));
    }
    if metadata.len() > FILE_LIMIT {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    let mut bytes = Vec::new();
    opened.take(FILE_LIMIT).read_to_end(&mut bytes).map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn root() -> (tempfile::TempDir, File) {
        let dir = tempfile::tempdir().expect("makes a directory");
        std::fs::create_dir(dir.path().join("etc")).expect("makes etc");
        let passwd = "root:x:0:0:r:/root:/bin/sh\n1000:x:0:0::/evil:\nweb:x:33:34::/srv:\nbroken\n";
        std::fs::write(dir.path().join("etc/passwd"), passwd).expect("writes");
        let group = "root:x:0:\nwww:x:34:\nadm:x:4:root,web\nx:x:9:web\ny:x:9:web\n7:x:70:\n";
        std::fs::write(dir.path().join("etc/group"), group).expect("writes");
        let open = File::open(dir.path()).expect("opens");
        (dir, open)
    }

    #[test]
    fn names_and_numbers() {
        let (_dir, root) = root();
        let who = |text: &str| {
            let found = resolve(root.as_fd(), text).expect("resolves");
            (found.uid, found.gid, found.additional_gids, found.home.unwrap_or_default())
        };
        assert_eq!(who(""), (0, 0, vec![4], "/root".into()));
        assert_eq!(who("web"), (33, 34, vec![4, 9], "/srv".into()));
        assert_eq!(who("33"), (33, 34, vec![4, 9], "/srv".into()));
        assert_eq!(who("web:adm"), (33, 4, vec![], "/srv".into()));
        assert_eq!(who("5:6"), (5, 6, vec![], String::new()));
        assert_eq!(who(":adm"), (0, 4, vec![], "/root".into()));
        // A name of digits is no name.
        assert_eq!(who("1000"), (1000, 0, vec![], String::new()));
        assert_eq!(who("1:7"), (1, 7, vec![], String::new()));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let (_dir, root) = root();
        for text in
            ["nobody", "web:none", "2147483648", "4294967296", "-1", "+1", "0x0", "1:99999999999"]
        {
            assert!(resolve(root.as_fd(), text).is_err(), "{text}");
        }
    }

    #[test]
    fn odd_files_are_refused_and_missing_ones_empty() {
        let (dir, root) = root();
        let passwd = dir.path().join("etc/passwd");
        std::fs::remove_file(&passwd).expect("removes");
        assert_eq!(resolve(root.as_fd(), "5").expect("resolves").gid, 0);
        std::os::unix::fs::symlink("/dev/zero", &passwd).expect("links");
        assert_eq!(resolve(root.as_fd(), "5").expect("resolves").uid, 5, "the root has no /dev");
        std::fs::remove_file(&passwd).expect("removes");
        std::fs::create_dir(&passwd).expect("makes");
        assert!(matches!(resolve(root.as_fd(), "5"), Err(IdentityError::File { .. })));
        std::fs::remove_dir(&passwd).expect("removes");
        File::create(&passwd).and_then(|file| file.set_len(2 << 30)).expect("makes");
        assert!(matches!(resolve(root.as_fd(), "5"), Err(IdentityError::File { .. })));
    }
}
