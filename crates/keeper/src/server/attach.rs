//! One attached fd: what of it waits to be written, and what is typed into it.
//!
//! Owns framing, the queue of unwritten output and the recognition of detach keys. Doesn't know the task or epoll.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::slab::Key;
use crate::protocol::{AttachSpec, Framing, SlowReader, Stream};

/// What became of output that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// All written.
    Written,
    /// Some of it waits; the fd must be watched for room.
    Waiting,
    /// The reader is gone.
    Closed,
    /// The reader is too slow and asked to be dropped then.
    Slow,
}

/// What was typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// These bytes are for stdin.
    Bytes(Vec<u8>),
    /// The detach keys were typed; these bytes came before.
    Detach(Vec<u8>),
    /// The other end will send no more.
    End,
    /// Nothing now.
    Later,
}

#[derive(Debug)]
pub(crate) struct Attach {
    pub task: Key,
    /// As told to the client.
    pub number: u64,
    pub spec: AttachSpec,
    file: File,
    waiting: Vec<u8>,
    written: usize,
    keys_matched: usize,
    /// The other end still sends.
    pub input_open: bool,
    /// Nothing more will be offered: close when all is written.
    pub closing: bool,
}

impl Attach {
    pub fn new(task: Key, number: u64, spec: AttachSpec, fd: OwnedFd) -> io::Result<Attach> {
        sys::fifo::set_nonblocking(&fd, true)?;
        let input_open = spec.stdin;
        Ok(Attach {
            task,
            number,
            spec,
            file: File::from(fd),
            waiting: Vec::new(),
            written: 0,
            keys_matched: 0,
            input_open,
            closing: false,
        })
    }

    pub fn wants(&self, stream: Stream) -> bool {
        !self.closing
            && match stream {
                Stream::Stdout => self.spec.stdout,
                Stream::Stderr => self.spec.stderr,
            }
    }

    pub fn is_waiting(&self) -> bool {
        self.written < self.waiting.len()
    }

    /// Whether the task's output must stop until this attach has caught up.
    pub fn holds_back(&self) -> bool {
        self.is_waiting() && self.spec.slow_reader == SlowReader::Wait
    }

    /// Writes a chunk of a stream, or queues what there is no room for.
    pub fn offer(&mut self, stream: Stream, bytes: &[u8]) -> Delivery {
        let mut header = [0; 8];
        let header: &[u8] = match self.spec.framing {
            Framing::Raw => &[],
            Framing::Multiplexed => {
                header[0] = match stream {
                    Stream::Stdout => 1,
                    Stream::Stderr => 2,
                };
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                header[4..].copy_from_slice(&len.to_be_bytes());
                &header
            }
        };
        let done = if self.is_waiting() {
            0
        } else {
            match self.file.write_vectored(&[IoSlice::new(header), IoSlice::new(bytes)]) {
                Ok(count) => count,
                Err(error) if is_later(&error) => 0,
                Err(_) => return Delivery::Closed,
            }
        };
        if done == header.len() + bytes.len() {
            return Delivery::Written;
        }
        if self.spec.slow_reader == SlowReader::Disconnect {
            return Delivery::Slow;
        }
        self.waiting.extend_from_slice(&header[done.min(header.len())..]);
        self.waiting.extend_from_slice(&bytes[done.saturating_sub(header.len())..]);
        Delivery::Waiting
    }

    /// Writes what waits, as far as there is room.
    pub fn flush(&mut self) -> Delivery {
        while self.is_waiting() {
            match self.file.write(&self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if is_later(&error) => return Delivery::Waiting,
                Err(_) => return Delivery::Closed,
            }
        }
        self.waiting = Vec::new();
        self.written = 0;
        Delivery::Written
    }

    /// Reads what was typed.
    pub fn read(&mut self, buffer: &mut [u8]) -> Input {
        match self.file.read(buffer) {
            Ok(0) => {
                self.input_open = false;
                Input::End
            }
            Ok(count) => self.filter(&buffer[..count]),
            Err(error) if is_later(&error) => Input::Later,
            Err(_) => {
                self.input_open = false;
                Input::End
            }
        }
    }

    /// Looks for the detach keys. Keys of an unfinished sequence are held back; they pass when the sequence turns out to be another.
    pub fn filter(&mut self, typed: &[u8]) -> Input {
        let keys = std::mem::take(&mut self.spec.detach_keys);
        let mut passed = Vec::with_capacity(typed.len());
        let mut detached = false;
        for byte in typed {
            if keys.get(self.keys_matched) == Some(byte) {
                self.keys_matched += 1;
                if self.keys_matched == keys.len() {
                    detached = true;
                    break;
                }
                continue;
            }
            passed.extend_from_slice(&keys[..self.keys_matched]);
            self.keys_matched = 0;
            if keys.first() == Some(byte) && keys.len() > 1 {
                self.keys_matched = 1;
            } else {
                passed.push(*byte);
            }
        }
        self.spec.detach_keys = keys;
        if detached { Input::Detach(passed) } else { Input::Bytes(passed) }
    }
}

impl AsFd for Attach {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::slab::Slab;

    fn attach(framing: Framing, slow_reader: SlowReader, keys: &[u8]) -> (Attach, File) {
        let (ours, theirs) = sys::packet::stream_pair().unwrap();
        let spec = AttachSpec {
            slow_reader,
            stdin: true,
            detach_keys: keys.to_vec(),
            ..AttachSpec::output(framing)
        };
        let key = Slab::new().insert(());
        (Attach::new(key, 1, spec, ours).unwrap(), File::from(theirs))
    }

    #[test]
    fn a_slow_reader_gets_every_byte_in_frames() {
        let (mut attach, mut theirs) = attach(Framing::Multiplexed, SlowReader::Wait, b"");
        let mut expected = Vec::new();
        for round in 0..100u8 {
            let stream = if round % 2 == 0 { Stream::Stdout } else { Stream::Stderr };
            let chunk = vec![round; 10_000];
            expected.extend_from_slice(&[1 + round % 2, 0, 0, 0, 0, 0, 0x27, 0x10]);
            expected.extend_from_slice(&chunk);
            attach.offer(stream, &chunk);
        }
        assert!(attach.holds_back());
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while got.len() < expected.len() {
            attach.flush();
            let count = theirs.read(&mut buffer).unwrap();
            got.extend_from_slice(&buffer[..count]);
        }
        assert!(got == expected);
        assert_eq!(attach.flush(), Delivery::Written);
        drop(theirs);
        assert_eq!(attach.offer(Stream::Stdout, b"x"), Delivery::Closed);
    }

    #[test]
    fn a_reader_that_would_rather_be_dropped_is() {
        let (mut attach, _theirs) = attach(Framing::Raw, SlowReader::Disconnect, b"");
        let chunk = vec![0; 100_000];
        assert!((0..20).any(|_| attach.offer(Stream::Stdout, &chunk) == Delivery::Slow));
        assert!(!attach.holds_back());
    }

    #[test]
    fn detach_keys() {
        let (mut attach, _theirs) = attach(Framing::Raw, SlowReader::Wait, b"\x10\x11");
        assert_eq!(attach.filter(b"ab\x10"), Input::Bytes(b"ab".to_vec()));
        assert_eq!(attach.filter(b"c"), Input::Bytes(b"\x10c".to_vec()));
        assert_eq!(attach.filter(b"\x10\x10"), Input::Bytes(b"\x10".to_vec()));
        assert_eq!(attach.filter(b"\x11 lost"), Input::Detach(Vec::new()));
    }

    #[test]
    fn a_single_detach_key_and_none() {
        let (mut one, _theirs) = attach(Framing::Raw, SlowReader::Wait, b"q");
        assert_eq!(one.filter(b"aqb"), Input::Detach(b"a".to_vec()));
        let (mut none, _theirs) = attach(Framing::Raw, SlowReader::Wait, b"");
        assert_eq!(none.filter(b"aqb"), Input::Bytes(b"aqb".to_vec()));
    }
}
