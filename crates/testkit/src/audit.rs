//! The leak audit: what the kernel and the filesystem hold before a suite and after it.
//!
//! Compared: mounts, network namespaces pinned by name, links, addresses, nft tables, control groups
//! of ours, processes of ours (by command line), files below the given directories.

use std::{collections::BTreeSet, path::PathBuf, process::Command, time::Duration};

use crate::program;

/// Everything that a test could leave behind, as lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    lines: BTreeSet<String>,
    dirs: Vec<PathBuf>,
}

impl Snapshot {
    /// Looks at the machine now; `dirs` are watched for files too.
    pub fn take(dirs: &[PathBuf]) -> Self {
        let mut lines = BTreeSet::new();
        mounts(&mut lines);
        network(&mut lines);
        control_groups(&mut lines);
        processes(&mut lines);
        for dir in dirs {
            if let Ok(entries) = std::fs::read_dir(dir) {
                lines.extend(entries.flatten().map(|e| format!("file {}", e.path().display())));
            }
        }
        Self { lines, dirs: dirs.to_vec() }
    }

    /// What is there now and wasn't then. Namespaces and links vanish asynchronously, so this
    /// looks again for up to `patience`.
    pub fn leaks(&self, patience: Duration) -> Vec<String> {
        let deadline = std::time::Instant::now() + patience;
        loop {
            let now = Self::take(&self.dirs);
            let leaks: Vec<String> = now.lines.difference(&self.lines).cloned().collect();
            if leaks.is_empty() || std::time::Instant::now() > deadline {
                return leaks;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn mounts(lines: &mut BTreeSet<String>) {
    let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    lines.extend(text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let kind = line.split(" - ").nth(1)?;
        Some(format!("mount {} {}", fields.get(4)?, kind.split(' ').next()?))
    }));
}

fn network(lines: &mut BTreeSet<String>) {
    for (what, args) in [
        ("link", ["-o", "-br", "link"].as_slice()),
        ("address", ["-o", "-br", "address"].as_slice()),
        ("netns", ["netns", "list"].as_slice()),
    ] {
        let said = program::run(Command::new("ip").args(args));
        let first = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // The operational state and flags of a link flap; its name and addresses don't.
            let keep =
                if what == "link" { words.first().copied().into_iter().collect() } else { words };
            format!(
                "{what} {}",
                keep.into_iter()
                    .filter(|w| !["UP", "DOWN", "UNKNOWN"].contains(w))
                    .collect::<Vec<_>>()
                    .join(" ")
            )
        };
        lines.extend(said.out.lines().map(first));
    }
    let said = program::run(Command::new("nft").args(["list", "tables"]));
    lines.extend(said.out.lines().map(|line| format!("nft {line}")));
}

/// Groups whose path says that they are ours.
fn control_groups(lines: &mut BTreeSet<String>) {
    let root = PathBuf::from("/sys/fs/cgroup");
    let mut waiting = vec![root];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                if path.to_string_lossy().contains("cale") {
                    lines.insert(format!("cgroup {}", path.display()));
                }
                waiting.push(path);
            }
        }
    }
}

fn processes(lines: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let text = String::from_utf8_lossy(&command).replace('\0', " ");
        let program = text.split(' ').next().unwrap_or_default();
        let ours =
            ["cale", "dockerd", "docker-registry"].iter().any(|name| program.ends_with(name));
        if ours && !text.contains("xtask") {
            lines.insert(format!("process {pid} {}", text.trim()));
        }
    }
}
