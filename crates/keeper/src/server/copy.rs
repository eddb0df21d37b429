//! Moving bytes: output to the log and the attaches, input from the attaches to stdin; and who has to wait for whom.
//!
//! An attach that is full and wants every byte stops its task's output: the FIFO fills, and the process blocks in `write`, as it would on a
//! terminal. Stopping means not watching the FIFO any more. Once the task has ended, nobody waits: the little that is left is queued.

use std::io;

use sys::epoll::{Interest, Ready};
use sys::fifo::{self, Moved};

use super::attach::{Delivery, Input};
use super::launcher::Launcher;
use super::output::CHUNK;
use super::slab::Key;
use super::task::Task;
use super::{Role, Server, Stalled};
use crate::protocol::{DetachReason, Event, Io, Stream};
use crate::supervise::State;

/// Chunks of one stream before the others get their turn.
const TURN: usize = 4;
/// Most bytes copied of a stream whose task has ended: what a FIFO can hold (fcntl(2), `F_SETPIPE_SZ`). Another writer could go on for ever.
const LAST_WORDS: usize = 1 << 20;
const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl<L: Launcher> Server<L> {
    pub(super) fn on_output(&mut self, key: Key, index: usize) {
        for _ in 0..TURN {
            match self.copy_chunk(key, index) {
                Ok(Moved::Bytes(count)) if count == CHUNK => {}
                Ok(Moved::Bytes(_) | Moved::Later) => break,
                Ok(Moved::End) => return self.close_output(key, index),
                Err(_) => return self.stall(key),
            }
            if self.is_held_back(key) {
                break;
            }
        }
        if self.is_held_back(key) {
            self.pause_outputs(key);
        }
    }

    /// Copies at most one chunk of a stream.
    fn copy_chunk(&mut self, key: Key, index: usize) -> io::Result<Moved> {
        let Some(task) = self.tasks.get_mut(key) else { return Ok(Moved::Later) };
        let Task { outputs, sink, dir, .. } = task;
        let Some(output) = &mut outputs[index] else { return Ok(Moved::End) };
        let moved = match sink {
            Some(sink) if !output.discard => {
                output.log(dir, sink, &self.journal, &mut self.scratch)
            }
            _ => output.read(&mut self.scratch),
        }?;
        if matches!(moved, Moved::Bytes(_)) && !output.discard {
            self.deliver(key, STREAMS[index]);
            self.look_at_log(key);
        }
        Ok(moved)
    }

    /// Offers the chunk in the scratch memory to the task's attaches.
    fn deliver(&mut self, key: Key, stream: Stream) {
        let Some(task) = self.tasks.get(key) else { return };
        if task.attaches.is_empty() {
            return;
        }
        for attach_key in task.attaches.clone() {
            let Some(attach) = self.attaches.get_mut(attach_key) else { continue };
            if !attach.wants(stream) {
                continue;
            }
            match attach.offer(stream, &self.scratch.bytes) {
                Delivery::Written => {}
                Delivery::Waiting => self.watch_attach(attach_key),
                Delivery::Closed => self.detach(attach_key, Some(DetachReason::Closed)),
                Delivery::Slow => self.detach(attach_key, Some(DetachReason::Slow)),
            }
        }
    }

    /// Does what follows from a log that grew, was rotated, or could not be written.
    pub(super) fn look_at_log(&mut self, key: Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(sink) = &mut task.sink else { return };
        let lost = (sink.lost_errno != task.loss_announced).then_some(sink.lost_errno);
        let grew = std::mem::take(&mut sink.grew);
        let rotated = std::mem::take(&mut sink.rotated);
        let id = task.id.clone();
        if rotated {
            self.pack_log(key);
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let Some(errno) = lost {
            task.loss_announced = errno;
            self.announce(&Event::LogLost { id: id.clone(), errno });
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        if grew && !task.log_watchers.is_empty() {
            for watcher in std::mem::take(&mut task.log_watchers) {
                self.tell(watcher, &Event::LogGrew { id: id.clone() });
            }
        }
    }

    fn is_held_back(&self, key: Key) -> bool {
        let Some(task) = self.tasks.get(key) else { return false };
        task.state != State::Ended
            && task
                .attaches
                .iter()
                .any(|key| self.attaches.get(*key).is_some_and(super::Attach::holds_back))
    }

    fn pause_outputs(&mut self, key: Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        for output in task.outputs.iter_mut().flatten() {
            if std::mem::take(&mut output.watched) {
                let _not_watched = self.epoll.remove(&output.fifo);
            }
        }
        if let Some(console) = &mut task.console
            && std::mem::take(&mut console.watched)
        {
            let _not_watched = self.epoll.remove(&console.master);
        }
    }

    /// The exec-root is full, or the like: the bytes stay where they are until it isn't.
    fn stall(&mut self, key: Key) {
        self.pause_outputs(key);
        if !self.stalled.contains(&Stalled::Outputs(key)) {
            self.stalled.push(Stalled::Outputs(key));
        }
    }

    /// Watches a task's outputs again, unless an attach still holds them back.
    pub(super) fn resume_outputs(&mut self, key: Key) {
        if self.is_held_back(key) {
            return;
        }
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let Some(console) = &mut task.console {
            if !console.watched {
                let token = Role::Console.token(key);
                console.watched = self.epoll.add(&console.master, token, Interest::READ).is_ok();
                // Something may have been left in the FIFO behind it.
                self.on_output(key, 0);
            }
            return;
        }
        if matches!(task.io, Io::Tty { .. }) {
            return; // its master comes with the adoption
        }
        for (index, output) in task.outputs.iter_mut().enumerate() {
            if let Some(output) = output
                && !output.watched
            {
                let token = Role::output(index).token(key);
                output.watched = self.epoll.add(&output.fifo, token, Interest::READ).is_ok();
            }
        }
    }

    fn close_output(&mut self, key: Key, index: usize) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if matches!(task.io, Io::Tty { .. }) && task.state != State::Ended {
            return; // the FIFO behind a terminal has no writer but us
        }
        self.flush_line(key, index);
        let Some(task) = self.tasks.get_mut(key) else { return };
        if let Some(output) = task.outputs[index].take() {
            self.unwatch(&output);
        }
    }

    /// Logs the unfinished line of a stream that has ended.
    fn flush_line(&mut self, key: Key, index: usize) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Task { outputs, sink, .. } = task;
        if let (Some(output), Some(sink)) = (&mut outputs[index], sink)
            && !output.discard
            && let Err(error) = output.flush(sink, &self.journal, &mut self.scratch)
        {
            eprintln!("keeper: cannot log the last line of {}: {error}", task.id);
        }
        self.look_at_log(key);
    }

    pub(super) fn on_console(&mut self, key: Key) {
        for _ in 0..TURN {
            match self.copy_console(key) {
                Ok(Moved::Bytes(_)) => {}
                Ok(Moved::Later) => break,
                Ok(Moved::End) => {
                    // Nobody has the terminal open now; somebody may again, and then there is an edge to see.
                    let Some(task) = self.tasks.get(key) else { return };
                    if let Some(console) = &task.console {
                        let interest = Interest { edge: true, ..Interest::READ };
                        let token = Role::Console.token(key);
                        if self.epoll.modify(&console.master, token, interest).is_err() {
                            self.unwatch(&console.master);
                        }
                    }
                    return;
                }
                Err(_) => return self.stall(key),
            }
            if self.is_held_back(key) {
                return self.pause_outputs(key);
            }
        }
    }

    /// Moves one chunk from a terminal into the FIFO behind it and on.
    fn copy_console(&mut self, key: Key) -> io::Result<Moved> {
        let Some(task) = self.tasks.get(key) else { return Ok(Moved::Later) };
        let Some(console) = &task.console else { return Ok(Moved::End) };
        let moved = fifo::splice(&console.master, &console.stage, CHUNK)?;
        if matches!(moved, Moved::Bytes(_)) {
            while let Moved::Bytes(_) = self.copy_chunk(key, 0)? {}
        }
        Ok(moved)
    }

    /// Copies what an ended task left, and closes its streams. What other processes still write to them goes nowhere.
    pub(super) fn copy_last_words(&mut self, key: Key) {
        let mut copied = 0;
        while copied < LAST_WORDS
            && let Ok(Moved::Bytes(count)) = self.copy_console(key)
        {
            copied += count;
        }
        if let Some(task) = self.tasks.get_mut(key)
            && let Some(console) = task.console.take()
        {
            self.unwatch(&console.master);
        }
        for index in 0..STREAMS.len() {
            let mut copied = 0;
            let ended = loop {
                match self.copy_chunk(key, index) {
                    Ok(Moved::Bytes(count)) if copied < LAST_WORDS => copied += count,
                    Ok(Moved::End) => break true,
                    Ok(Moved::Bytes(_) | Moved::Later) | Err(_) => break false,
                }
            };
            self.flush_line(key, index);
            let Some(task) = self.tasks.get_mut(key) else { return };
            if let Some(output) = &mut task.outputs[index] {
                output.discard = true;
                if ended {
                    self.close_output(key, index);
                }
            }
        }
    }

    pub(super) fn watch_new_attach(&mut self, key: Key) {
        let Some(attach) = self.attaches.get(key) else { return };
        let interest = self.attach_interest(attach);
        // EPERM: a regular file, which is always ready.
        let _unpollable = self.epoll.add(attach, Role::Attach.token(key), interest);
    }

    fn attach_interest(&self, attach: &super::Attach) -> Interest {
        let full = self
            .tasks
            .get(attach.task)
            .and_then(|task| task.stdin.as_ref())
            .is_some_and(|stdin| !stdin.waiting.is_empty());
        Interest { read: attach.input_open && !full, write: attach.is_waiting(), edge: false }
    }

    fn watch_attach(&mut self, key: Key) {
        let Some(attach) = self.attaches.get(key) else { return };
        let interest = self.attach_interest(attach);
        let _unpollable = self.epoll.modify(attach, Role::Attach.token(key), interest);
    }

    pub(super) fn on_attach(&mut self, key: Key, event: Ready) {
        let Some(attach) = self.attaches.get_mut(key) else { return };
        let (task, was_holding) = (attach.task, attach.holds_back());
        if event.writable && attach.flush() == Delivery::Closed {
            return self.detach(key, Some(DetachReason::Closed));
        }
        if attach.closing && !attach.is_waiting() {
            return self.detach(key, None);
        }
        if was_holding && !attach.is_waiting() {
            self.resume_outputs(task);
        }
        if event.readable {
            self.read_input(key);
        }
        // A hang-up with input left is looked at again after the input.
        let Some(attach) = self.attaches.get(key) else { return };
        if event.hung_up && !(attach.input_open && event.readable) {
            return self.detach(key, Some(DetachReason::Closed));
        }
        self.watch_attach(key);
    }

    fn read_input(&mut self, key: Key) {
        self.scratch.bytes.resize(CHUNK / 4, 0);
        let Some(attach) = self.attaches.get_mut(key) else { return };
        if !attach.input_open {
            return;
        }
        let (task, closes) = (attach.task, attach.spec.close_stdin_at_eof);
        match attach.read(&mut self.scratch.bytes) {
            Input::Bytes(bytes) => self.write_stdin(task, &bytes),
            Input::Detach(bytes) => {
                self.write_stdin(task, &bytes);
                self.detach(key, Some(DetachReason::Keys));
            }
            Input::End if closes => self.close_stdin(task),
            Input::End | Input::Later => {}
        }
    }

    /// Takes input that came with the attach itself.
    pub(super) fn typed(&mut self, key: Key, bytes: &[u8]) {
        let Some(attach) = self.attaches.get_mut(key) else { return };
        let task = attach.task;
        match attach.filter(bytes) {
            Input::Bytes(bytes) => self.write_stdin(task, &bytes),
            Input::Detach(bytes) => {
                self.write_stdin(task, &bytes);
                self.detach(key, Some(DetachReason::Keys));
            }
            Input::End | Input::Later => {}
        }
    }

    fn write_stdin(&mut self, key: Key, bytes: &[u8]) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(stdin) = &mut task.stdin else { return };
        if stdin.close_then {
            return;
        }
        let was_waiting = !stdin.waiting.is_empty();
        stdin.waiting.extend_from_slice(bytes);
        if !was_waiting {
            self.flush_stdin(key);
            self.watch_stdin(key);
        }
    }

    /// Starts or stops waiting for room in stdin, and with it reading from the attaches.
    fn watch_stdin(&mut self, key: Key) {
        let Some(task) = self.tasks.get(key) else { return };
        let Some(stdin) = &task.stdin else { return };
        if !stdin.waiting.is_empty() {
            let token = Role::Stdin.token(key);
            let _already = self.epoll.add(&stdin.fd, token, Interest::WRITE);
            for attach in task.attaches.clone() {
                self.watch_attach(attach);
            }
        }
    }

    pub(super) fn on_stdin(&mut self, key: Key) {
        self.flush_stdin(key);
        let Some(task) = self.tasks.get(key) else { return };
        let still_waiting = task.stdin.as_ref().is_some_and(|stdin| !stdin.waiting.is_empty());
        if still_waiting {
            return;
        }
        if let Some(stdin) = &task.stdin {
            self.unwatch(&stdin.fd);
        }
        for attach in task.attaches.clone() {
            self.watch_attach(attach);
        }
    }

    fn flush_stdin(&mut self, key: Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(stdin) = &mut task.stdin else { return };
        while !stdin.waiting.is_empty() {
            match fifo::write(&stdin.fd, &stdin.waiting) {
                Ok(Moved::Bytes(count)) => {
                    stdin.waiting.drain(..count);
                }
                Ok(Moved::Later | Moved::End) => return,
                // EPIPE: the process closed its stdin; the rest is for nobody.
                Err(_) => return self.drop_stdin(key),
            }
        }
        stdin.waiting = Vec::new();
        if stdin.close_then {
            self.drop_stdin(key);
        }
    }

    /// Closes stdin when what waits for it is written. A terminal has no end of input to signal.
    pub(super) fn close_stdin(&mut self, key: Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        if task.console.is_some() {
            return;
        }
        let Some(stdin) = &mut task.stdin else { return };
        stdin.close_then = true;
        if stdin.waiting.is_empty() {
            self.drop_stdin(key);
        }
    }

    fn drop_stdin(&mut self, key: Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        // Without its name a later keeper can't open it again.
        if task.console.is_none()
            && let Err(error) = std::fs::remove_file(task.dir.stdin())
        {
            eprintln!("keeper: cannot remove the stdin of {}: {error}", task.id);
        }
        if let Some(stdin) = task.stdin.take() {
            self.unwatch(&stdin.fd);
        }
    }

    /// Ends an attach. With a reason, it ended before its task, and that is announced.
    pub(super) fn detach(&mut self, key: Key, why: Option<DetachReason>) {
        let Some(attach) = self.attaches.remove(key) else { return };
        self.unwatch(&attach);
        let held_back = attach.holds_back();
        let Some(task) = self.tasks.get_mut(attach.task) else { return };
        task.attaches.retain(|other| *other != key);
        let id = task.id.clone();
        if held_back {
            self.resume_outputs(attach.task);
        }
        if let Some(why) = why {
            self.announce(&Event::Detached { id, attach: attach.number, why });
        }
    }

    /// Lets a task's attaches go once they have got everything.
    pub(super) fn close_attaches(&mut self, key: Key) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        for attach_key in std::mem::take(&mut task.attaches) {
            let Some(attach) = self.attaches.get_mut(attach_key) else { continue };
            attach.closing = true;
            attach.input_open = false;
            if attach.is_waiting() {
                self.watch_attach(attach_key);
            } else {
                self.detach(attach_key, None);
            }
        }
    }
}
