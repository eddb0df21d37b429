//! Stats: what a container uses, once a second.

use std::{fs, sync::Arc, time::Duration};

use indexmap::IndexMap;
use tokio::sync::mpsc;

use super::{Containers, InterfaceCounters, StatsFrame, StatsSample, handle::Handle, start};
use crate::{Engine, Result, blocking, moment};

const EVERY: Duration = Duration::from_secs(1);

/// Readings of a container's use, in time.
#[derive(Debug)]
pub struct StatsStream {
    receiver: mpsc::Receiver<StatsFrame>,
}

impl StatsStream {
    /// The next reading; `None` when the container is gone.
    pub async fn next(&mut self) -> Option<StatsFrame> {
        self.receiver.recv().await
    }
}

impl Containers<'_> {
    /// Readings of its use, the first at once, then one a second.
    pub async fn stats(&self, container: &str) -> Result<StatsStream> {
        let handle = self.engine.registry().find(container)?;
        let (sender, receiver) = mpsc::channel(1);
        self.engine.tasks().spawn(read_in_time(self.engine.clone(), handle, sender));
        Ok(StatsStream { receiver })
    }
}

async fn read_in_time(engine: Arc<Engine>, handle: Arc<Handle>, sender: mpsc::Sender<StatsFrame>) {
    let mut previous: Option<StatsSample> = None;
    let mut watch = handle.watch();
    loop {
        let current = sample(&engine, &handle).await;
        let record = handle.snapshot().record.clone();
        let frame = StatsFrame {
            id: record.id.clone(),
            name: record.name.clone(),
            os: record.platform.os.clone(),
            current: current.clone(),
            previous,
        };
        if sender.send(frame).await.is_err() {
            return;
        }
        previous = current;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = sender.closed() => return,
            () = engine.stopping().cancelled_owned() => return,
        }
        if watch.has_changed().is_err() {
            return;
        }
        watch.mark_unchanged();
    }
}

async fn sample(engine: &Arc<Engine>, handle: &Arc<Handle>) -> Option<StatsSample> {
    let snapshot = handle.snapshot();
    if !snapshot.state.is_running() {
        return None;
    }
    let path = start::group_path(engine, &snapshot.record).ok()?;
    let groups = engine.groups().clone();
    let pid = snapshot.state.pid;
    let read = blocking::spawn(move || {
        let usage = groups
            .open(&path)
            .and_then(|group| group.usage())
            .map_err(|error| start::group_error("read", error))?;
        Ok(StatsSample {
            read_ns: moment::now_ns(),
            usage,
            networks: interfaces(pid),
            system_cpu_ns: system_cpu_ns(),
            online_cpus: online_cpus(),
        })
    });
    match read.await {
        Ok(sample) => Some(sample),
        Err(error) => {
            tracing::debug!(container = %snapshot.record.name, error = error.text(), "no reading");
            None
        }
    }
}

/// Counters as the container's own namespace shows them.
fn interfaces(pid: u32) -> IndexMap<String, InterfaceCounters> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    parse_interfaces(&text)
}

fn parse_interfaces(text: &str) -> IndexMap<String, InterfaceCounters> {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let name = name.trim();
        let n: Vec<u64> = numbers.split_whitespace().map_while(|n| n.parse().ok()).collect();
        if name == "lo" || n.len() < 12 {
            return None;
        }
        let counters = InterfaceCounters {
            rx_bytes: n[0],
            rx_packets: n[1],
            rx_errors: n[2],
            rx_dropped: n[3],
            tx_bytes: n[8],
            tx_packets: n[9],
            tx_errors: n[10],
            tx_dropped: n[11],
        };
        Some((name.to_owned(), counters))
    };
    text.lines().filter_map(line).collect()
}

/// user, nice, system, idle, iowait, irq and softirq of all processors, proc_stat(5).
fn system_cpu_ns() -> u64 {
    const NS_PER_TICK: u64 = 10_000_000;
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks = first.split_whitespace().skip(1).take(7).filter_map(|n| n.parse::<u64>().ok());
    ticks.sum::<u64>() * NS_PER_TICK
}

fn online_cpus() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_without_the_loopback() {
        let text = "Inter-|\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 0 1 0 0 0 0 30 4 5 6 0 0 0 0\n";
        let read = parse_interfaces(text);
        assert_eq!(read.len(), 1);
        assert_eq!(read["eth0"].rx_bytes, 10);
        assert_eq!(read["eth0"].tx_dropped, 6);
        assert!(system_cpu_ns() > 0);
    }
}
