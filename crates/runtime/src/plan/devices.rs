//! `/dev`: nodes and links that every container has (`config-linux.md`, "Default Devices"), and those of the specification.

use super::{DeviceNode, PlanError, Step, c_string, invalid};
use crate::spec::{LinuxDeviceCgroup, Spec};

const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
];

const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;

/// Rules for the devices that every container has: those of `/dev`, its terminals, and making any node (having one is
/// harmless as long as it can't be opened).
pub fn default_device_rules() -> Vec<LinuxDeviceCgroup> {
    let rule =
        |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| LinuxDeviceCgroup {
            allow: true,
            kind: Some(kind.into()),
            major,
            minor,
            access: Some(access.into()),
        };
    let mut rules = vec![rule("c", None, None, "m"), rule("b", None, None, "m")];
    for (_, major, minor) in DEFAULTS {
        rules.push(rule("c", Some(major.into()), Some(minor.into()), "rwm"));
    }
    // Pseudo terminals: the multiplexer, and all of them.
    rules.push(rule("c", Some(5), Some(2), "rwm"));
    rules.push(rule("c", Some(136), None, "rwm"));
    rules
}

/// Steps that fill `/dev`. `bind`: nodes can't be made (user namespace), the host's are bound.
pub(super) fn steps(spec: &Spec, bind: bool) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    let linux = spec.linux();
    for (path, major, minor) in DEFAULTS {
        if linux.devices.iter().any(|device| device.path == path) {
            continue;
        }
        let (path, mode) = (c_string("default device", path)?, S_IFCHR | 0o666);
        steps.push(Step::Device(DeviceNode { path, mode, major, minor, uid: 0, gid: 0, bind }));
    }
    for (index, device) in linux.devices.iter().enumerate() {
        let field = format!("linux.devices[{index}]");
        if device.path == "/dev/ptmx" || device.path == "/dev/console" {
            // Both come with the terminal: a link into devpts, and a bind.
            continue;
        }
        if !device.path.starts_with('/') {
            return Err(invalid(field, format!("path {:?} isn't absolute", device.path)));
        }
        let kind = match device.kind.as_str() {
            "c" | "u" => S_IFCHR,
            "b" => S_IFBLK,
            "p" => S_IFIFO,
            other => return Err(invalid(field, format!("type {other:?} isn't one of c, u, b, p"))),
        };
        let number = |value: i64| {
            u32::try_from(value).map_err(|_| invalid(field.as_str(), format!("number {value}")))
        };
        steps.push(Step::Device(DeviceNode {
            path: c_string(&field, device.path.as_str())?,
            mode: kind | device.file_mode.unwrap_or(0o666) & 0o7777,
            major: number(device.major)?,
            minor: number(device.minor)?,
            uid: device.uid.unwrap_or(0),
            gid: device.gid.unwrap_or(0),
            bind,
        }));
    }
    for (content, path) in LINKS {
        steps.push(Step::Symlink(c_string("link", content)?, c_string("link", path)?));
    }
    Ok(steps)
}
