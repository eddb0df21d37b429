//! `checkpoint` and `restore`, by the program `criu`; without it a clear refusal.

use std::path::PathBuf;
use std::process::Command;

use super::super::flags::{Flag, parse};
use super::super::record::{Record, Status};
use super::super::{CliError, Global, Outcome, launch};
use super::{expect_status, only_id};

const FLAGS: &[Flag] = &[
    Flag::value("image-path"),
    Flag::value("work-path"),
    Flag::value("parent-path"),
    Flag::switch("leave-running"),
    Flag::switch("tcp-established"),
    Flag::switch("ext-unix-sk"),
    Flag::switch("shell-job"),
    Flag::switch("file-locks"),
    Flag::value("manage-cgroups-mode"),
];

pub(super) fn checkpoint(global: &Global, mut args: Vec<String>) -> Outcome {
    let flags = parse(FLAGS, &mut args)?;
    let record = Record::load(global, &only_id("checkpoint", &args)?)?;
    expect_status(global, &record, &[Status::Running])?;
    let images = PathBuf::from(flags.get("image-path").unwrap_or("checkpoint"));
    std::fs::create_dir_all(&images).map_err(CliError::file("make", &images))?;
    let mut criu = Command::new(&global.criu);
    criu.arg("dump").arg("--tree").arg(record.init_process_pid.to_string());
    criu.arg("--images-dir").arg(&images).args(["--log-file", "dump.log"]);
    criu.arg("--root").arg(&record.rootfs).args(["--manage-cgroups=ignore"]);
    if let Some(work) = flags.get("work-path") {
        criu.args(["--work-dir", work]);
    }
    if let Some(parent) = flags.get("parent-path") {
        criu.args(["--prev-images-dir", parent, "--track-mem"]);
    }
    for mount in &record.spec.mounts {
        criu.arg("--external").arg(format!("mnt[{}]:{}", mount.destination, mount.destination));
    }
    for (flag, word) in [
        ("leave-running", "--leave-running"),
        ("tcp-established", "--tcp-established"),
        ("ext-unix-sk", "--ext-unix-sk"),
        ("shell-job", "--shell-job"),
        ("file-locks", "--file-locks"),
    ] {
        if flags.has(flag) {
            criu.arg(word);
        }
    }
    let status = criu.status().map_err(CliError::file("run", &global.criu))?;
    if !status.success() {
        let text = format!("criu failed ({status}); see dump.log in {}", images.display());
        return Err(CliError::State(text));
    }
    if !flags.has("leave-running") {
        launch::destroy(global, &record)?;
    }
    Ok(0)
}

pub(super) fn restore(_global: &Global, _args: Vec<String>) -> Outcome {
    Err(CliError::usage("restore: bringing containers back from a checkpoint isn't supported yet"))
}
