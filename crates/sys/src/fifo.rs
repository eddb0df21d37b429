//! Named and unnamed pipes, and moving bytes between fds without passing them through this process: fifo(7), splice(2).
//!
//! Owns nothing but the calls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

/// Which ends of a FIFO to open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// To read, without blocking, now and later.
    Read,
    /// To write, without blocking; fails with `ENXIO` while nobody reads.
    Write,
    /// Blocking, to read: opening waits for nobody because the caller holds another end.
    ReadBlocking,
    /// Both, blocking: a writer that never gets `EPIPE` (fifo(7): "opening for read and write").
    Both,
}

/// Makes a FIFO with exactly `mode`, owned by `uid` and `gid`.
///
/// # Errors
/// mkfifo(3), chown(2), chmod(2).
pub fn make(path: &Path, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode)?;
    if uid != 0 || gid != 0 {
        rustix::fs::chown(path, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(rustix::fs::chmod(path, mode)?)
}

/// Opens one or both ends, close-on-exec. Never follows a symbolic link.
///
/// # Errors
/// open(2).
pub fn open(path: &Path, end: End) -> io::Result<OwnedFd> {
    let flags = match end {
        End::Read => OFlags::RDONLY | OFlags::NONBLOCK,
        End::Write => OFlags::WRONLY | OFlags::NONBLOCK,
        End::ReadBlocking => OFlags::RDONLY,
        End::Both => OFlags::RDWR,
    };
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?)
}

/// An unnamed pipe, both ends close-on-exec and non-blocking: (read end, write end).
///
/// # Errors
/// pipe2(2).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::PipeFlags;
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// What a non-blocking transfer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing to read now, or no room to write now.
    Later,
    /// Nothing more will ever come.
    End,
}

fn moved(result: rustix::io::Result<usize>) -> io::Result<Moved> {
    match result {
        Ok(0) => Ok(Moved::End),
        Ok(len) => Ok(Moved::Bytes(len)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Later),
        Err(errno) => Err(errno.into()),
    }
}

/// Moves at most `limit` bytes from a pipe into a file at `offset`.
///
/// The kernel takes a byte out of the pipe exactly when it is in the file, before the call returns; a process killed at any moment leaves
/// each byte in one of the two (`iter_file_splice_write` in fs/splice.c). `file` must not be opened with `O_APPEND` (splice(2)).
///
/// # Errors
/// splice(2): `ENOSPC` and others, with nothing moved.
pub fn splice_to_file(
    pipe: impl AsFd,
    file: impl AsFd,
    offset: u64,
    limit: usize,
) -> io::Result<Moved> {
    let mut offset = offset;
    moved(rustix::pipe::splice(
        pipe,
        None,
        file,
        Some(&mut offset),
        limit,
        SpliceFlags::MOVE | SpliceFlags::NONBLOCK,
    ))
}

/// Moves at most `limit` bytes between fds of which at least one is a pipe. From a terminal's master, `EIO` says that no
/// process has the terminal open any more; it is reported as [`Moved::End`].
///
/// # Errors
/// splice(2).
pub fn splice(from: impl AsFd, to: impl AsFd, limit: usize) -> io::Result<Moved> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    match rustix::pipe::splice(from, None, to, None, limit, flags) {
        Err(Errno::IO) => Ok(Moved::End),
        result => moved(result),
    }
}

/// Reads without blocking. `EIO` from a terminal's master counts as [`Moved::End`].
///
/// # Errors
/// read(2).
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Moved> {
    match rustix::io::read(fd, buffer) {
        Err(Errno::IO) => Ok(Moved::End),
        result => moved(result),
    }
}

/// Writes without blocking; a vanished reader is an error and never a signal when `SIGPIPE` is ignored.
///
/// # Errors
/// write(2).
pub fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<Moved> {
    moved(rustix::io::write(fd, bytes))
}

/// Bytes that wait to be read (`FIONREAD`).
///
/// # Errors
/// ioctl_tty(2), pipe(7).
pub fn queued(fd: impl AsFd) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(fd)?)
}

/// Sets or clears `O_NONBLOCK` of the open file (shared by all its duplicates).
///
/// # Errors
/// fcntl(2).
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, on)?)
}

/// Another fd for the same open file, close-on-exec.
///
/// # Errors
/// fcntl(2).
pub fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn bytes_move_into_a_file_at_an_offset() {
        let (read, write_end) = pipe().unwrap();
        let file = tempfile::tempfile().unwrap();
        assert_eq!(splice_to_file(&read, &file, 0, 64).unwrap(), Moved::Later);
        write(&write_end, b"hello").unwrap();
        assert_eq!(splice_to_file(&read, &file, 3, 64).unwrap(), Moved::Bytes(5));
        let mut back = [0; 8];
        file.read_exact_at(&mut back, 0).unwrap();
        assert_eq!(&back, b"\0\0\0hello");
        drop(write_end);
        assert_eq!(splice_to_file(&read, &file, 8, 64).unwrap(), Moved::End);
    }

    #[test]
    fn a_fifo_keeps_bytes_as_long_as_anybody_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        make(&path, 0o600, 0, 0).unwrap();
        let container = open(&path, End::Both).unwrap();
        write(&container, b"kept").unwrap();
        let first = open(&path, End::Read).unwrap();
        let anchor = duplicate(first.as_fd()).unwrap();
        drop((container, first));
        let again = open(&path, End::Read).unwrap();
        assert_eq!(queued(&again).unwrap(), 4);
        let mut buffer = [0; 9];
        assert_eq!(read(&again, &mut buffer).unwrap(), Moved::Bytes(4));
        assert_eq!(read(&again, &mut buffer).unwrap(), Moved::End);
        drop(anchor);
    }
}
