//! Health: probes run as execs in time, and the verdict that the actor draws from them.
//!
//! One task a run of a container; one probe at a time. The verdict is pure ([`judge`]).

use std::{sync::Arc, time::Duration};

use model::state::Health;
use tokio_util::sync::CancellationToken;

use super::{
    HealthPlan, HealthState, Probe, Record, State,
    actor::Actor,
    handle::{Handle, Message},
};
use crate::{Engine, moment, records::Weight};

/// Probes kept for inspect.
const KEPT: usize = 5;
/// Bytes kept of a probe's output.
const OUTPUT_MAX: usize = 4096;

/// One run of a container.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its number.
    pub number: u64,
    /// Ends the probes.
    pub stop: CancellationToken,
}

/// The plan of a container's probes, if it has any.
pub fn plan(record: &Record) -> Option<HealthPlan> {
    let shell = record.spec.process.shell.clone().unwrap_or_default();
    HealthPlan::of(record.spec.healthcheck.as_ref()?, &shell)
}

/// Starts probing. A container that is taken up again keeps its health.
pub fn begin(
    state: &mut State,
    record: &Record,
    engine: &Arc<Engine>,
    handle: &Arc<Handle>,
    run: Run,
) {
    let Some(plan) = plan(record) else {
        state.health = HealthState::default();
        return;
    };
    if state.health.status == Health::None {
        state.health = HealthState { status: Health::Starting, ..HealthState::default() };
    }
    engine.tasks().spawn(probe_in_time(engine.clone(), handle.clone(), plan, run));
}

/// The process is gone: what was known of its health is past.
pub fn on_exit(state: &mut State) {
    if state.health.status != Health::None {
        state.health.status = Health::Unhealthy;
    }
}

async fn probe_in_time(engine: Arc<Engine>, handle: Arc<Handle>, plan: HealthPlan, run: Run) {
    let began = tokio::time::Instant::now();
    loop {
        let starting = began.elapsed() < plan.start_period
            && handle.snapshot().state.health.status == Health::Starting;
        let wait = if starting { plan.start_interval.min(plan.interval) } else { plan.interval };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = run.stop.cancelled() => return,
        }
        if handle.snapshot().state.status != model::state::Status::Running {
            continue;
        }
        let start_ns = moment::now_ns();
        let (exit_code, output) = tokio::select! {
            outcome = crate::exec::probe(&engine, &handle, &plan.command, plan.timeout) => outcome,
            () = run.stop.cancelled() => return,
        };
        let probe = Probe { start_ns, end_ns: moment::now_ns(), exit_code, output };
        handle.send(&engine, Message::Probed { run: run.number, probe });
    }
}

/// What a probe changes. `running_for`: since the start.
pub fn judge(health: &mut HealthState, mut probe: Probe, plan: &HealthPlan, running_for: Duration) {
    let mut end = probe.output.len().min(OUTPUT_MAX);
    while !probe.output.is_char_boundary(end) {
        end -= 1;
    }
    probe.output.truncate(end);
    if probe.exit_code == 0 {
        health.failing_streak = 0;
        health.status = Health::Healthy;
    } else {
        let excused = health.status == Health::Starting && running_for < plan.start_period;
        if !excused {
            health.failing_streak += 1;
            if health.failing_streak >= plan.retries {
                health.status = Health::Unhealthy;
            }
        }
    }
    health.log.push(probe);
    let surplus = health.log.len().saturating_sub(KEPT);
    health.log.drain(..surplus);
}

impl Actor {
    /// A probe has ended.
    pub(super) fn probed(&mut self, probe: Probe) {
        let Some(plan) = plan(&self.record) else { return };
        let since = self.state.started_ns.map_or(0, |started| probe.start_ns - started);
        let running_for = Duration::from_nanos(u64::try_from(since).unwrap_or(0));
        let before = self.state.health.status;
        judge(&mut self.state.health, probe, &plan, running_for);
        let after = self.state.health.status;
        if before == after {
            self.publish();
            return;
        }
        let name = if after == Health::Healthy { "healthy" } else { "unhealthy" };
        let event = self.event(&format!("health_status: {name}"), &[]);
        if let Err(error) = self.save_with(Weight::Lazy, vec![event]) {
            tracing::error!(error = error.text(), "health not stored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(retries: u32, start_period_s: u64) -> HealthPlan {
        HealthPlan {
            command: Vec::new(),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            start_period: Duration::from_secs(start_period_s),
            start_interval: Duration::from_secs(1),
            retries,
        }
    }

    fn probe(exit_code: i64) -> Probe {
        Probe { start_ns: 0, end_ns: 0, exit_code, output: "ü".repeat(4096) }
    }

    #[test]
    fn failures_in_a_row_make_it_unhealthy() {
        let mut health = HealthState { status: Health::Starting, ..HealthState::default() };
        let plan = plan(2, 0);
        judge(&mut health, probe(1), &plan, Duration::ZERO);
        assert_eq!(health.status, Health::Starting);
        judge(&mut health, probe(1), &plan, Duration::ZERO);
        assert_eq!(health.status, Health::Unhealthy);
        judge(&mut health, probe(0), &plan, Duration::ZERO);
        assert_eq!((health.status, health.failing_streak), (Health::Healthy, 0));
        for _ in 0..9 {
            judge(&mut health, probe(1), &plan, Duration::ZERO);
        }
        assert_eq!(health.log.len(), KEPT);
        assert!(health.log[0].output.len() <= OUTPUT_MAX);
    }

    #[test]
    fn the_start_period_excuses() {
        let mut health = HealthState { status: Health::Starting, ..HealthState::default() };
        judge(&mut health, probe(1), &plan(1, 60), Duration::from_secs(5));
        assert_eq!(health.status, Health::Starting);
        judge(&mut health, probe(1), &plan(1, 60), Duration::from_secs(61));
        assert_eq!(health.status, Health::Unhealthy);
    }
}
