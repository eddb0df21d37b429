//! Docker's profile format: rules that depend on capabilities, architecture and kernel.
//!
//! A [`Profile`] is what `--security-opt seccomp=FILE` names, and what the built-in
//! default is written in; [`Profile::resolve`] settles the conditions and leaves plain
//! `linux.seccomp`. The format has no specification: the behaviour is that of
//! `profiles/seccomp` in the moby project, and `default.json` is a copy of its data.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::spec::{
    LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction, SeccompArch, SeccompFlag,
    null_as_default,
};

use super::SeccompError;
use super::arch::Abi;
use super::policy::invalid;

/// What a profile's conditions are asked about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Context {
    /// The container's bounding set: `CAP_SYS_ADMIN`, …
    pub capabilities: BTreeSet<String>,
    /// The kernel's version: major, minor.
    pub kernel: (u32, u32),
    /// The machine's architecture.
    pub native: Abi,
}

impl Context {
    /// For this program's architecture.
    pub fn new<'a>(capabilities: impl IntoIterator<Item = &'a str>, kernel: (u32, u32)) -> Self {
        let capabilities = capabilities.into_iter().map(str::to_owned).collect();
        Self { capabilities, kernel, native: Abi::native() }
    }
}

/// `major.minor` of a kernel release such as `6.18.44-fc` (`uname -r`).
pub fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|at: char| !at.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// A profile as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: SeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_as_default")]
    architectures: Vec<SeccompArch>,
    #[serde(default, deserialize_with = "null_as_default")]
    arch_map: Vec<ArchEntry>,
    #[serde(default, deserialize_with = "null_as_default")]
    flags: Vec<SeccompFlag>,
    #[serde(default)]
    listener_path: String,
    #[serde(default)]
    listener_metadata: String,
    #[serde(default, deserialize_with = "null_as_default")]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchEntry {
    architecture: SeccompArch,
    #[serde(default, deserialize_with = "null_as_default")]
    sub_architectures: Vec<SeccompArch>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The oldest form of the format has one name a rule.
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    names: Vec<String>,
    action: SeccompAction,
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_as_default")]
    args: Vec<LinuxSeccompArg>,
    #[serde(default, deserialize_with = "null_as_default")]
    includes: Condition,
    #[serde(default, deserialize_with = "null_as_default")]
    excludes: Condition,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default, deserialize_with = "null_as_default")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

impl Profile {
    /// Reads a profile. Plain `linux.seccomp` is the same format without conditions.
    ///
    /// # Errors
    /// [`SeccompError::Parse`]; [`SeccompError::Invalid`] for fields that exclude each
    /// other.
    pub fn parse(json: &str) -> Result<Self, SeccompError> {
        let profile: Self =
            serde_json::from_str(json).map_err(|source| SeccompError::Parse { source })?;
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return Err(invalid("both 'architectures' and 'archMap' are given".into()));
        }
        for rule in &profile.syscalls {
            if rule.name.is_empty() == rule.names.is_empty() {
                return Err(invalid(format!(
                    "a rule needs either 'name' or 'names', not both: {:?} {:?}",
                    rule.name, rule.names
                )));
            }
            for condition in [&rule.includes, &rule.excludes] {
                condition.kernel()?;
            }
        }
        Ok(profile)
    }

    /// The built-in profile, parsed on first use.
    pub fn docker_default() -> &'static Self {
        static DEFAULT: OnceLock<Profile> = OnceLock::new();
        DEFAULT.get_or_init(|| {
            Self::parse(include_str!("default.json")).expect("tests parse the built-in profile")
        })
    }

    /// The rules that hold in `context`, as `linux.seccomp`.
    ///
    /// # Errors
    /// [`SeccompError::Invalid`] for a malformed `minKernel`.
    pub fn resolve(&self, context: &Context) -> Result<LinuxSeccomp, SeccompError> {
        let mut syscalls = Vec::with_capacity(self.syscalls.len());
        for rule in &self.syscalls {
            if !rule.holds(context)? {
                continue;
            }
            let names = match rule.names.is_empty() {
                true => vec![rule.name.clone()],
                false => rule.names.clone(),
            };
            let (action, errno_ret, args) = (rule.action, rule.errno_ret, rule.args.clone());
            syscalls.push(LinuxSyscall { names, action, errno_ret, args });
        }
        Ok(LinuxSeccomp {
            default_action: self.default_action,
            default_errno_ret: self.default_errno_ret,
            architectures: self.architectures(context.native),
            flags: self.flags.clone(),
            listener_path: self.listener_path.clone(),
            listener_metadata: self.listener_metadata.clone(),
            syscalls,
        })
    }

    fn architectures(&self, native: Abi) -> Vec<SeccompArch> {
        let native = native.to_spec();
        match self.arch_map.iter().find(|entry| entry.architecture == native) {
            Some(entry) => {
                let mut all = vec![entry.architecture];
                all.extend(&entry.sub_architectures);
                all
            }
            None => self.architectures.clone(),
        }
    }
}

impl Rule {
    fn holds(&self, context: &Context) -> Result<bool, SeccompError> {
        let native = context.native.docker_name();
        let has = |capability: &String| context.capabilities.contains(capability);
        let here = |arch: &String| arch == native;
        let (needs, not) = (&self.includes, &self.excludes);
        let excluded = not.arches.iter().any(here)
            || not.caps.iter().any(has)
            || not.kernel()?.is_some_and(|least| context.kernel >= least);
        Ok(!excluded
            && (needs.arches.is_empty() || needs.arches.iter().any(here))
            && needs.caps.iter().all(has)
            && needs.kernel()?.is_none_or(|least| context.kernel >= least))
    }
}

impl Condition {
    fn kernel(&self) -> Result<Option<(u32, u32)>, SeccompError> {
        let Some(text) = self.min_kernel.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let parsed = text
            .split_once('.')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        match parsed {
            Some(version) => Ok(Some(version)),
            None => Err(invalid(format!("minKernel {text:?} isn't 'major.minor'"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(profile: &LinuxSeccomp, action: SeccompAction) -> BTreeSet<&str> {
        let rules = profile.syscalls.iter().filter(|rule| rule.action == action);
        rules.flat_map(|rule| rule.names.iter().map(String::as_str)).collect()
    }

    #[test]
    fn capabilities_open_calls() {
        let resolve = |capabilities: &[&str]| {
            let context = Context {
                native: Abi::X86_64,
                ..Context::new(capabilities.iter().copied(), (6, 1))
            };
            Profile::docker_default().resolve(&context).unwrap()
        };
        let (plain, admin) = (resolve(&["CAP_CHOWN"]), resolve(&["CAP_SYS_ADMIN"]));
        let allowed = |profile: &LinuxSeccomp, name: &str| {
            names(profile, SeccompAction::Allow).contains(name)
        };
        assert!(!allowed(&plain, "mount") && allowed(&admin, "mount"));
        assert!(names(&plain, SeccompAction::Errno).contains("clone3"));
        assert!(names(&admin, SeccompAction::Errno).is_empty());
        assert!(allowed(&plain, "arch_prctl") && !allowed(&plain, "riscv_flush_icache"));
        assert_eq!(plain.architectures, [SeccompArch::X86_64, SeccompArch::X86, SeccompArch::X32]);
    }

    #[test]
    fn old_kernels_lose_ptrace() {
        let at = |kernel| {
            let profile = Profile::docker_default().resolve(&Context::new([], kernel)).unwrap();
            names(&profile, SeccompAction::Allow).contains("ptrace")
        };
        assert!(!at((4, 7)) && at((4, 8)) && at((4, 10)) && at((6, 0)));
    }

    #[test]
    fn contradictions_are_refused() {
        let parse = |text: &str| Profile::parse(text).map(|_| ()).unwrap_err().to_string();
        let both = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
            "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":null}]}"#;
        assert!(parse(both).contains("archMap"));
        let rule = |fields: &str| {
            format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{{fields}}}]}}"#)
        };
        assert!(
            parse(&rule(r#""name":"a","names":["b"],"action":"SCMP_ACT_KILL""#))
                .contains("not both")
        );
        let kernel = r#""name":"a","action":"SCMP_ACT_KILL","includes":{"minKernel":"4.x"}"#;
        assert!(parse(&rule(kernel)).contains("4.x"));
        assert!(matches!(Profile::parse("{"), Err(SeccompError::Parse { .. })));
        assert!(matches!(
            Profile::parse(r#"{"defaultAction":"SCMP_ACT_MAYBE"}"#),
            Err(SeccompError::Parse { .. })
        ));
    }

    #[test]
    fn releases_have_versions() {
        assert_eq!(kernel_version("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(kernel_version("5.10-rc1"), Some((5, 10)));
        assert_eq!(kernel_version("linux"), None);
    }
}
