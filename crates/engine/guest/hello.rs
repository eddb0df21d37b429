//! The program of the built-in image `hello`: tells what isolates it, in plain words.
//!
//! Compiled by the crate's build script into a static program of its own; it runs in a container
//! without anything else, so it uses the standard library only and reads what /proc and /sys say.

use std::{fmt::Write as _, fs, io::Write as _};

fn main() {
    let mut out = String::new();
    greet(&mut out);
    namespaces(&mut out);
    limits(&mut out);
    files(&mut out);
    next(&mut out);
    // Nobody to tell if standard output is closed.
    let _ = std::io::stdout().write_all(out.as_bytes());
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn greet(out: &mut String) {
    line(out, "Hello from a container started by Cale.");
    line(out, "");
    line(out, "This program runs on your own kernel, as an ordinary process; what makes it a");
    line(out, "container is what it can see and how much it may use.");
    line(out, "");
}

fn namespaces(out: &mut String) {
    line(out, "What it sees (namespaces):");
    let processes = fs::read_dir("/proc")
        .map(|entries| {
            let numeric = |name: &std::ffi::OsStr| {
                name.to_str().is_some_and(|text| text.bytes().all(|b| b.is_ascii_digit()))
            };
            entries.flatten().filter(|entry| numeric(&entry.file_name())).count()
        })
        .unwrap_or(0);
    let _ = writeln!(out, "  pid      I am process {} of {processes}", std::process::id());
    let _ = writeln!(out, "  uts      this machine's name is {}", read("/proc/sys/kernel/hostname"));
    let _ = writeln!(out, "  net      {}", interfaces());
    let _ = writeln!(out, "  mnt      {} mounts, none of the host's", mounts().lines().count());
    let _ = writeln!(out, "  ipc      queues and shared memory of its own");
    let kinds = ["pid", "uts", "net", "mnt", "ipc", "cgroup", "user", "time"];
    let ids: Vec<String> = kinds
        .iter()
        .filter_map(|kind| {
            let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
            let text = link.to_string_lossy().into_owned();
            let number = text.split(['[', ']']).nth(1)?.to_owned();
            Some(format!("{kind} {number}"))
        })
        .collect();
    let _ = writeln!(out, "  (compare on the host with: ls -l /proc/self/ns)  {}", ids.join(", "));
    line(out, "");
}

fn interfaces() -> String {
    let text = read("/proc/net/dev");
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    match names.len() {
        0 => "no network".to_owned(),
        1 => format!("only {}: no way out", names[0]),
        _ => format!("interfaces {}", names.join(", ")),
    }
}

fn mounts() -> String {
    read("/proc/self/mountinfo")
}

fn limits(out: &mut String) {
    line(out, "What it may use (control groups):");
    let first = |paths: &[&str]| {
        paths.iter().map(|path| read(path)).find(|text| !text.is_empty()).unwrap_or_default()
    };
    let memory = first(&[
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]);
    let _ = writeln!(out, "  memory   {}", bytes(&memory));
    let quota = first(&["/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"]);
    let period = first(&["/sys/fs/cgroup/cpu/cpu.cfs_period_us",
        "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us"]);
    let _ = writeln!(out, "  cpu      {}", processors(&quota, &period));
    let tasks = first(&["/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"]);
    let tasks = match tasks.as_str() {
        "" | "max" => "as many processes as the host allows".to_owned(),
        count => format!("at most {count} processes"),
    };
    let _ = writeln!(out, "  pids     {tasks}");
    let status = read("/proc/self/status");
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    let capabilities = u64::from_str_radix(&field("CapBnd:"), 16).map_or(0, u64::count_ones);
    let _ = writeln!(out, "  rights   {capabilities} of root's 41 capabilities");
    let filtered = match field("Seccomp:").as_str() {
        "2" => "filtered: calls that a program doesn't need are refused",
        _ => "not filtered",
    };
    let _ = writeln!(out, "  calls    {filtered}");
    line(out, "");
}

fn bytes(text: &str) -> String {
    match text.parse::<u64>() {
        // v1 writes "no limit" as the largest multiple of the page size.
        Ok(count) if count < 1 << 60 => format!("at most {} MiB", count >> 20),
        _ => "as much as the host has".to_owned(),
    }
}

fn processors(quota: &str, period: &str) -> String {
    let mut words = quota.split_whitespace();
    let quota = words.next().and_then(|text| text.parse::<f64>().ok());
    let period = words.next().unwrap_or(period).parse::<f64>().ok();
    match (quota, period) {
        (Some(quota), Some(period)) if quota > 0.0 && period > 0.0 => {
            format!("at most {:.2} processors", quota / period)
        }
        _ => "as much as is free".to_owned(),
    }
}

fn files(out: &mut String) {
    line(out, "What it stands on (copy-on-write layers):");
    let mounts = mounts();
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap_or_default();
    let options = root.split(" - ").nth(1).unwrap_or_default();
    let layers = options
        .split(',')
        .filter_map(|option| {
            let option = option.trim_start_matches("rw").trim();
            option.strip_prefix("lowerdir=").or_else(|| option.strip_prefix("lowerdir+="))
        })
        .map(|list| list.split(':').count())
        .sum::<usize>();
    let kind = options.split(' ').next().unwrap_or("?");
    let writable = match root.split(' ').nth(5) {
        Some(flags) if flags.split(',').any(|flag| flag == "ro") => "nothing here can be written",
        _ => "what is written goes to a layer of its own",
    };
    let _ = writeln!(out, "  root     {kind} of {} read-only layer(s); {writable}", layers.max(1));
    line(out, "");
}

fn next(out: &mut String) {
    line(out, "What to try next:");
    line(out, "  cale run --rm -m 64m --cpus 0.5 hello    the same with limits: look above");
    line(out, "  cale run --rm --network none hello       the same without a network");
    line(out, "  cale import rootfs.tar.gz mine           any root filesystem becomes an image");
    line(out, "  cale run -it mine sh                     and a shell in it");
    line(out, "  cale ps -a                               what ran here");
}
