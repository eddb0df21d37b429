//! The Debian packages that end-to-end tests and benchmarks use as peers and fixtures.

use std::process::Command;

use crate::Result;

/// Each with what it is for.
const PACKAGES: &[(&str, &str)] = &[
    ("busybox-static", "the small base image"),
    ("mmdebstrap", "the Debian base image"),
    ("docker.io", "peer: dockerd"),
    ("docker-registry", "peer: registry"),
    ("runc", "peer: runtime"),
    ("crun", "peer: runtime"),
    ("skopeo", "peer: image reader and writer"),
    ("umoci", "peer: image reader and writer"),
    ("iproute2", "network namespaces in tests"),
    ("nftables", "reading tables in tests"),
    ("dnsutils", "dig"),
    ("jq", "reading answers"),
    ("git", "contexts from git"),
    ("python3", "SDK clients"),
    ("python3-venv", "SDK clients"),
    ("apache2-utils", "htpasswd"),
];

/// Installs what is missing.
pub fn run(_args: &[String]) -> Result {
    let missing: Vec<&str> =
        PACKAGES.iter().map(|(name, _)| *name).filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {}", missing.join(" "));
    apt(&["update", "-q"])?;
    let mut args = vec!["install", "-yq", "--no-install-recommends"];
    args.extend(missing);
    apt(&args)
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["-W", "-f=${Status}", package])
        .output()
        .is_ok_and(|output| output.stdout.starts_with(b"install ok installed"))
}

/// Runs apt-get. `RUNLEVEL=1` keeps package scripts from starting the peers as services.
fn apt(args: &[&str]) -> Result {
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .status()
        .map_err(|error| format!("cannot run apt-get: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("apt-get {args:?} failed: {status}")) }
}
