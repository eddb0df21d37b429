//! The end of a run: telling it to end, taking in the exit, cleaning up, and what comes next.

use std::time::Duration;

use model::{
    container::{DEFAULT_STOP_TIMEOUT, RestartPolicy},
    state::{ExitStatus, Status},
};
use tokio::time::Instant;

use super::{
    StopRequest,
    actor::{Actor, Then, patience},
    attach, health,
    restart_policy::{Run, revive},
    signal,
    start::release_rest,
};
use crate::{Error, Result, moment, records::Weight};

impl Actor {
    /// Sends the stop signal and sets the alarm for SIGKILL. `at_once` skips the signal.
    pub(super) async fn end(&mut self, stop: &StopRequest, at_once: bool) -> Result<()> {
        let process = &self.record.spec.process;
        let name = stop.signal.as_deref().or(process.stop_signal.as_deref());
        let number = match name {
            Some(text) if !text.is_empty() => signal::parse(text)?,
            _ => signal::TERM,
        };
        let default = i64::try_from(DEFAULT_STOP_TIMEOUT.as_secs()).unwrap_or(10);
        let seconds = stop.timeout_s.or(process.stop_timeout_s).unwrap_or(default);
        self.record.stopped_by_hand = true;
        let kill_at = patience(seconds).map(|patience| Instant::now() + patience);
        let ending = self.ending.get_or_insert_default();
        ending.kill_at = match (ending.kill_at, kill_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => b.or(a),
        };
        if at_once {
            ending.kill_at = None;
            self.kill_all().await;
        } else {
            self.send_signal(number).await?;
        }
        self.thaw_for_the_end().await;
        Ok(())
    }

    /// Frozen tasks take no signal.
    pub(super) async fn thaw_for_the_end(&mut self) {
        if self.state.status != Status::Paused {
            return;
        }
        if let Some(live) = &self.live
            && let Err(error) = live.thaw().await
        {
            tracing::warn!(container = %self.record.name, error = error.text(), "thaw before stop");
        }
        self.state.status = Status::Running;
        self.publish();
    }

    /// Sends a signal to process 1.
    pub(super) async fn send_signal(&mut self, number: u8) -> Result<()> {
        let task = attach::task_of(&self.handle)?;
        self.engine.log().tell(self.event("kill", &[("signal", &number.to_string())]));
        self.engine.keeping().signal(&task, number).await.map_err(|error| Error::Container {
            action: "kill",
            container: self.record.name.to_string(),
            source: crate::error::Cause::new(error.kind(), error),
        })
    }

    /// SIGKILL to everything in the container.
    pub(super) async fn kill_all(&mut self) {
        let sent = self.send_signal(signal::KILL).await;
        if let Err(error) = sent {
            tracing::debug!(container = %self.record.name, error = error.text(), "SIGKILL");
        }
        self.kill_all_others().await;
    }

    /// Without a pid namespace of its own, its other processes outlive process 1.
    pub(super) async fn kill_all_others(&mut self) {
        if let Some(live) = &self.live
            && let Err(error) = live.kill_group().await
        {
            tracing::debug!(container = %self.record.name, error = error.text(), "kill the group");
        }
    }

    /// The keeper says that it has ended.
    pub(super) async fn exited(&mut self, exit: keeper::protocol::ExitRecord) {
        if self.live.is_none() && !self.state.is_running() {
            // Told twice: the exit is stored already.
            self.engine.forget_later(&self.handle);
            return;
        }
        self.probing.cancel();
        let lasted = self.state.started_ns.map_or(Duration::ZERO, |started| {
            let ns = u64::try_from(exit.at_ns.saturating_sub(started)).unwrap_or(0);
            Duration::from_nanos(ns)
        });
        let mut left = Vec::new();
        let oom = match self.live.take() {
            Some(live) => {
                left = live.departures(&self.engine);
                live.release(&self.engine, &self.record, &mut self.state).await
            }
            // It ended while no engine was there: only its control group and memory are left.
            None => release_rest(&self.engine, &self.record, &mut self.state).await,
        };
        let status = exit.status;
        if oom && !self.state.oom_killed {
            self.out_of_memory();
        }
        let state = &mut self.state;
        state.status = Status::Exited;
        state.pid = 0;
        state.exit = Some(status);
        state.exit_code = status.code();
        state.finished_ns = Some(exit.at_ns);
        state.exits += 1;
        health::on_exit(state);
        self.after_exit(lasted, left).await;
    }

    /// What somebody asked for, or what policy says.
    async fn after_exit(&mut self, lasted: Duration, left: Vec<crate::event::Draft>) {
        let then = self.ending.take().map(|ending| ending.then).unwrap_or_default();
        let again_by_hand = then.iter().any(|(then, _)| matches!(then, Then::Start));
        let removed_by_hand = then.iter().any(|(then, _)| matches!(then, Then::Remove(_)));
        let run = Run {
            lasted,
            exit_code: self.state.exit_code,
            by_hand: self.record.stopped_by_hand,
            restarts: self.record.restart_count,
        };
        let delay = match again_by_hand || removed_by_hand {
            true => None,
            false => self.backoff.after(self.record.spec.host.restart_policy, run),
        };
        if let Some(delay) = delay {
            self.state.status = Status::Restarting;
            self.revive_at = Some(Instant::now() + delay);
        }
        let code = self.state.exit_code.to_string();
        let seconds = lasted.as_secs().to_string();
        let mut events =
            vec![self.event("die", &[("execDuration", &seconds), ("exitCode", &code)])];
        events.extend(left);
        let stopped = then.iter().any(|(then, _)| !matches!(then, Then::Remove(_)));
        if stopped {
            events.push(self.event("stop", &[]));
        }
        if let Some(by_hand) = self.shutting_down.take() {
            self.record.stopped_by_hand = by_hand;
        }
        if let Err(error) = self.save_with(Weight::Lazy, events) {
            // The keeper keeps the exit until it is stored; the next start of the engine asks.
            tracing::error!(container = %self.record.name, error = error.text(), "exit not stored");
        } else {
            self.engine.forget_later(&self.handle);
        }
        self.settle(then, delay.is_none()).await;
    }

    async fn settle(
        &mut self,
        then: std::collections::VecDeque<(Then, super::actor::Reply)>,
        stays_down: bool,
    ) {
        let mut removed = false;
        for (then, reply) in then {
            let answer = match then {
                Then::Answer => Ok(()),
                Then::Start if self.state.is_running() => Ok(()),
                Then::Start => {
                    self.record.stopped_by_hand = false;
                    self.start().await
                }
                Then::Remove(_) if removed => Ok(()),
                Then::Remove(how) => {
                    removed = true;
                    self.remove(how).await
                }
            };
            // A caller that went away doesn't care.
            let _ = reply.send(answer);
        }
        if self.record.spec.host.auto_remove && stays_down && !removed && !self.state.is_running() {
            self.remove_itself().await;
        }
    }

    async fn remove_itself(&mut self) {
        let how = super::RemoveRequest { force: true, volumes: true, link: false };
        if let Err(error) = self.remove(how).await {
            tracing::warn!(container = %self.record.name, error = error.text(), "auto-remove");
        }
    }

    /// A start by policy failed: that counts as an exit.
    pub(super) async fn after_failed_restart(&mut self) {
        let exit_code = self.state.exit_code;
        let restarts = self.record.restart_count;
        let run = Run { lasted: Duration::ZERO, exit_code, by_hand: false, restarts };
        let delay = self.backoff.after(self.record.spec.host.restart_policy, run);
        self.state.status = match delay {
            Some(delay) => {
                self.revive_at = Some(Instant::now() + delay);
                Status::Restarting
            }
            None => Status::Exited,
        };
        if let Err(error) = self.save(Weight::Lazy) {
            tracing::error!(container = %self.record.name, error = error.text(), "state not stored");
        }
    }

    /// The engine has started: shall it run?
    pub(super) async fn revive(&mut self) {
        if self.state.is_running() || self.live.is_some() {
            return;
        }
        let policy = self.record.spec.host.restart_policy;
        let was_running =
            self.state.status == Status::Restarting || self.state.exit == Some(ExitStatus::Unknown);
        let by_hand = self.record.stopped_by_hand || !self.record.started_once;
        let wanted =
            self.record.started_once && revive(policy, by_hand, self.state.exit_code, was_running);
        if wanted {
            if policy != RestartPolicy::No {
                self.record.restart_count += 1;
            }
            if let Err(error) = self.start().await {
                tracing::warn!(container = %self.record.name, error = error.text(), "start by policy");
                self.after_failed_restart().await;
            }
        } else if self.record.spec.host.auto_remove && self.record.started_once {
            self.remove_itself().await;
        } else if self.state.status == Status::Restarting {
            self.state.status = Status::Exited;
            if let Err(error) = self.save(Weight::Lazy) {
                tracing::error!(error = error.text(), "state not stored");
            }
        }
    }

    /// The kernel killed some of its processes for lack of memory.
    pub(super) fn out_of_memory(&mut self) {
        self.state.oom_killed = true;
        let event = self.event("oom", &[]);
        if let Err(error) = self.save_with(Weight::Lazy, vec![event]) {
            tracing::error!(error = error.text(), "state not stored");
        }
    }

    /// Now, as events and states have it.
    pub(super) fn now() -> i64 {
        moment::now_ns()
    }
}
