//! `STATUS` of `docker ps`: `Up 5 minutes (healthy)`.

use engine::container::State;
use model::state::{Health, Status};

/// The sentence for a container's state.
pub fn sentence(state: &State, now_ns: i64) -> String {
    let ago = |time: Option<i64>| human_duration(now_ns.saturating_sub(time.unwrap_or(now_ns)));
    match state.status {
        Status::Running => {
            let health = match state.health.status {
                Health::None => "",
                Health::Starting => " (health: starting)",
                Health::Healthy => " (healthy)",
                Health::Unhealthy => " (unhealthy)",
            };
            format!("Up {}{health}", ago(state.started_ns))
        }
        Status::Paused => format!("Up {} (Paused)", ago(state.started_ns)),
        Status::Restarting => {
            format!("Restarting ({}) {} ago", state.exit_code, ago(state.finished_ns))
        }
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Created => "Created".to_owned(),
        Status::Exited => match state.finished_ns {
            Some(_) => format!("Exited ({}) {} ago", state.exit_code, ago(state.finished_ns)),
            None => String::new(),
        },
    }
}

/// A duration as people say it, in Docker's steps.
fn human_duration(ns: i64) -> String {
    let seconds = ns / 1_000_000_000;
    let minutes = seconds / 60;
    // Hours are rounded.
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (..1, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, ..60, _) => format!("{minutes} minutes"),
        (.., 1) => "About an hour".to_owned(),
        (.., ..48) => format!("{hours} hours"),
        (.., ..336) => format!("{} days", hours / 24),
        (.., ..1440) => format!("{} weeks", hours / 24 / 7),
        (.., ..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_dockers() {
        let text = |seconds: i64| human_duration(seconds * 1_000_000_000);
        for (seconds, want) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3600, "About an hour"),
            (7200, "2 hours"),
            (3600 * 48, "2 days"),
            (86400 * 14, "2 weeks"),
            (86400 * 60, "2 months"),
            (86400 * 365 * 2, "2 years"),
        ] {
            assert_eq!(text(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn states_are_sentences() {
        let state = |status| State {
            status,
            exit_code: 137,
            started_ns: Some(0),
            finished_ns: Some(0),
            ..State::default()
        };
        let now = 5_000_000_000;
        assert_eq!(sentence(&state(Status::Running), now), "Up 5 seconds");
        assert_eq!(sentence(&state(Status::Paused), now), "Up 5 seconds (Paused)");
        assert_eq!(sentence(&state(Status::Exited), now), "Exited (137) 5 seconds ago");
        assert_eq!(sentence(&state(Status::Restarting), now), "Restarting (137) 5 seconds ago");
        let mut healthy = state(Status::Running);
        healthy.health.status = Health::Healthy;
        assert_eq!(sentence(&healthy, now), "Up 5 seconds (healthy)");
    }
}
