//! Attaching clients: parsing detach keys, and handing the client's end to the keeper.
//!
//! The keeper copies between client and container, so that an attached client outlives the
//! daemon. A client that attaches before the start is parked with the actor and travels along
//! with the launch: it misses no byte.

use std::{
    io::Write,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use keeper::protocol::{AttachSpec, Framing, SlowReader, TaskId};
use tokio::sync::oneshot;

use super::{
    AttachIo, AttachRequest, Containers, LogSource, LogsRequest,
    handle::{Handle, Message},
};
use crate::{Engine, Error, Result};

/// A client that will wait for the next start: it was told that it may attach, and hands its end
/// over in a moment. Known to the actor before the client is told, so that a start that the
/// client asks for next doesn't overtake it.
pub type Expected = oneshot::Receiver<Parked>;

/// A client that waits for the next start.
#[derive(Debug)]
pub struct Parked {
    /// How it is served.
    pub spec: AttachSpec,
    /// Its end.
    pub fd: OwnedFd,
}

/// Leave to attach.
#[derive(Debug)]
pub struct AttachTicket {
    engine: Arc<Engine>,
    handle: Arc<Handle>,
    request: AttachRequest,
    detach_keys: Vec<u8>,
    tty: bool,
    place: Option<oneshot::Sender<Parked>>,
}

impl Containers<'_> {
    /// Checks that it can be attached to. The client may be told so before
    /// [`AttachTicket::connect`].
    pub async fn attach(&self, container: &str, request: AttachRequest) -> Result<AttachTicket> {
        let handle = self.engine.registry().find(container)?;
        let snapshot = handle.snapshot();
        if snapshot.state.status == model::state::Status::Paused {
            return Err(Error::Conflict(format!(
                "container {container} is paused, unpause the container before attach"
            )));
        }
        if snapshot.state.status == model::state::Status::Restarting {
            return Err(Error::Conflict(format!(
                "container {container} is restarting, wait until the container is running"
            )));
        }
        let detach_keys = detach_keys(request.detach_keys.as_deref())?;
        let place = match request.stream && !snapshot.state.is_running() {
            true => {
                let (sender, expected) = oneshot::channel();
                handle.send(self.engine, Message::Expect(expected));
                Some(sender)
            }
            false => None,
        };
        Ok(AttachTicket {
            engine: self.engine.clone(),
            detach_keys,
            place,
            tty: snapshot.record.spec.process.tty,
            handle,
            request,
        })
    }
}

impl AttachTicket {
    /// The container has a terminal: output isn't framed.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Hands the client over. Returns when the keeper serves it, or, for a container that
    /// doesn't run yet, when its next start will.
    pub async fn connect(self, io: AttachIo) -> Result<()> {
        let framing = if self.tty || io.raw { Framing::Raw } else { Framing::Multiplexed };
        if self.request.logs {
            self.replay(&io, framing).await?;
        }
        if !self.request.stream {
            return Ok(());
        }
        let snapshot = self.handle.snapshot();
        let process = &snapshot.record.spec.process;
        let stdin = self.request.stdin && process.open_stdin;
        let spec = AttachSpec {
            stdin,
            stdout: self.request.stdout,
            stderr: self.request.stderr && !self.tty,
            framing,
            slow_reader: SlowReader::Wait,
            close_stdin_at_eof: stdin && process.stdin_once && !self.tty,
            input: if stdin { io.input } else { Vec::new() },
            detach_keys: if self.tty { self.detach_keys } else { Vec::new() },
        };
        self.engine.events().container(&snapshot.record, "attach", &[]);
        let parked = Parked { spec, fd: io.fd };
        let parked = match self.place {
            Some(place) => match place.send(parked) {
                Ok(()) => return Ok(()),
                // The start could not wait any longer.
                Err(parked) => parked,
            },
            None => parked,
        };
        let task = task_of(&self.handle)?;
        self.engine.keeping().attach(&task, parked.spec, parked.fd).await
    }

    /// Writes what was logged so far.
    async fn replay(&self, io: &AttachIo, framing: Framing) -> Result<()> {
        let request = LogsRequest {
            stdout: self.request.stdout,
            stderr: self.request.stderr,
            ..LogsRequest::default()
        };
        let name = self.handle.id.to_string();
        let mut lines = Containers { engine: &self.engine }.logs(&name, request).await?;
        let mut out = std::fs::File::from(io.fd.as_fd().try_clone_to_owned().map_err(client_gone)?);
        while let Some(line) = lines.next().await {
            let line = line?;
            let mut bytes = Vec::with_capacity(line.bytes.len() + 8);
            if framing == Framing::Multiplexed {
                let stream = if line.source == LogSource::Stdout { 1 } else { 2 };
                let length = u32::try_from(line.bytes.len()).unwrap_or(u32::MAX);
                bytes.extend([stream, 0, 0, 0]);
                bytes.extend(length.to_be_bytes());
            }
            bytes.extend(&line.bytes);
            out = crate::blocking::spawn(move || {
                write_all(&mut out, &bytes).map_err(client_gone)?;
                Ok(out)
            })
            .await?;
        }
        Ok(())
    }
}

/// Writes to a client's socket, which may be in non-blocking mode.
fn write_all(out: &mut std::fs::File, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let interest = sys::epoll::Interest { read: false, write: true, edge: false };
                sys::epoll::wait_one(&*out, interest, None)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn client_gone(source: std::io::Error) -> Error {
    Error::File { action: "write to", path: "the attached client".to_owned(), source }
}

/// The keeper's name of a container's process.
pub fn task_of(handle: &Handle) -> Result<TaskId> {
    TaskId::container(handle.id.as_str()).map_err(|error| Error::Invalid(error.to_string()))
}

/// Reads `ctrl-p,ctrl-q`: single characters and `ctrl-` with a letter or one of `@[\]^_`.
pub fn detach_keys(text: Option<&str>) -> Result<Vec<u8>> {
    let text = match text {
        None => "ctrl-p,ctrl-q",
        Some("") => return Ok(Vec::new()),
        Some(text) => text,
    };
    text.split(',')
        .map(|key| {
            let invalid = || Error::Invalid(format!("Invalid detach keys ({text}) provided"));
            match key.as_bytes() {
                [byte] => Ok(*byte),
                bytes => match bytes.strip_prefix(b"ctrl-") {
                    Some([letter @ b'a'..=b'z']) => Ok(letter - b'a' + 1),
                    Some(b"@") => Ok(0),
                    Some([sign @ (b'[' | b'\\' | b']' | b'^' | b'_')]) => Ok(sign - b'[' + 27),
                    _ => Err(invalid()),
                },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_read_as_docker_writes_them() {
        assert_eq!(detach_keys(None).unwrap(), [16, 17]);
        assert!(detach_keys(Some("")).unwrap().is_empty());
        assert_eq!(detach_keys(Some("a,ctrl-[")).unwrap(), [b'a', 27]);
        assert!(detach_keys(Some("ctrl-1")).is_err());
        assert!(detach_keys(Some("ab")).is_err());
    }
}
