//! How long a launch takes inside the library: from the finished plan to the program's end, and exec into a container.
//!
//! Usage: `launch_bench ROOTFS [COUNT]`, as root; ROOTFS has `/bin/true` and `/bin/sleep`. Prints microseconds.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use runtime::exec::{self, ExecContext, foreign_namespaces};
use runtime::perform::launch;
use runtime::plan::{FdRole, HostFacts, LaunchPlan, PlanContext, RootSource, plan};
use runtime::spec::{Process, Spec};

fn made(root: &str, args: &[&str]) -> Result<LaunchPlan, Box<dyn std::error::Error>> {
    let text = serde_json::json!({
        "ociVersion": "1.2.0",
        "process": {"user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/", "env": ["PATH=/bin"]},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "mode=1777"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys"],
        },
    });
    let spec: Spec = serde_json::from_value(text)?;
    let context = PlanContext {
        id: "bench".into(),
        root: Some(RootSource::Path(CString::new(root)?)),
        host: HostFacts::detect(),
        ..PlanContext::default()
    };
    Ok(plan(&spec, &context)?)
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let (min, median) = (times[0].as_micros(), times[times.len() / 2].as_micros());
    println!("{name}: min {min} µs, median {median} µs, n {}", times.len());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let root = args.next().ok_or("usage: launch_bench ROOTFS [COUNT]")?;
    let count: usize = args.next().map_or(Ok(100), |count| count.parse())?;
    let plan = made(&root, &["/bin/true"])?;
    let (mut started, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let begin = Instant::now();
        let launched = launch(&plan, &[])?;
        started.push(begin.elapsed());
        sys::pidfd::wait(&launched.pidfd)?;
        ended.push(begin.elapsed());
    }
    report("launch to exec", started);
    report("launch to reaped", ended);
    let container = launch(&made(&root, &["/bin/sleep", "1000"])?, &[])?;
    let process = Process { args: vec!["/bin/true".into()], cwd: "/".into(), ..Process::default() };
    let context = ExecContext {
        id: "bench".into(),
        fds: vec![FdRole::Process],
        namespaces: foreign_namespaces(container.pid)?,
        host: HostFacts::detect(),
        ..ExecContext::default()
    };
    let plan = exec::plan(&process, &context)?;
    let mut times = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        let launched = launch(&plan, &[container.pidfd.as_fd()])?;
        sys::pidfd::wait(&launched.pidfd)?;
        times.push(begin.elapsed());
    }
    sys::pidfd::send_signal(&container.pidfd, 9)?;
    sys::pidfd::wait(&container.pidfd)?;
    report("exec to reaped", times);
    Ok(())
}
