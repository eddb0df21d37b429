//! What this host and this process offer: read once at the engine's start.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use runtime::{
    cgroup::{GroupPath, Hierarchies, Layout},
    exec::ExecContext,
    plan::{CgroupView, FdRole, HostFacts, SeccompProgram},
    seccomp::{Cache, Context, Profile, SocketFamilies, Source},
    spec::{LinuxSeccomp, Process},
};

use crate::{
    Config, Error, Result,
    container::{Record, oci},
    error::Cause,
};

/// Facts and the caches that depend on them.
#[derive(Debug)]
pub struct Host {
    /// What launches are told.
    pub facts: HostFacts,
    /// Names of what this process may hand on.
    pub capabilities: Vec<String>,
    /// Only the unified hierarchy is there.
    pub unified: bool,
    groups: Hierarchies,
    kernel: (u32, u32),
    profile: Option<String>,
    compiler: Cache,
    filters: Mutex<HashMap<Key, Arc<Filter>>>,
}

/// A filter in both forms that a launch wants.
#[derive(Debug)]
pub struct Filter {
    /// For the specification.
    pub spec: LinuxSeccomp,
    /// For the kernel.
    pub program: SeccompProgram,
}

type Key = (Option<String>, Vec<String>);

impl Host {
    /// Looks.
    pub fn detect(config: &Config, groups: Hierarchies) -> Self {
        let facts = HostFacts::detect();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            facts,
            capabilities: oci::capabilities::names(facts.capabilities),
            unified: groups.layout() == Layout::Unified,
            groups,
            kernel: runtime::seccomp::kernel_version(release.trim()).unwrap_or((0, 0)),
            profile: config.seccomp_profile.clone(),
            compiler: Cache::default(),
            filters: Mutex::new(HashMap::new()),
        }
    }

    /// The hierarchies as a container sees them.
    pub fn cgroup_view(&self, group: &GroupPath) -> Result<CgroupView> {
        CgroupView::of(&self.groups, group).map_err(|error| Error::Failed {
            action: "show",
            subject: "the control group".to_owned(),
            source: Cause::new(error.kind(), error),
        })
    }

    /// The system call filter of a container; `None`: none.
    pub fn filter(&self, record: &Record, bounding: &[String]) -> Result<Option<Arc<Filter>>> {
        use oci::security::Seccomp;
        let host = &record.spec.host;
        let security = oci::security::read(&host.security_opt)?;
        let profile = match security.seccomp {
            Seccomp::Unconfined => return Ok(None),
            Seccomp::Profile(text) => Some(text),
            Seccomp::Default if host.privileged => return Ok(None),
            Seccomp::Default => match self.profile.as_deref() {
                Some("unconfined") => return Ok(None),
                profile => profile.map(str::to_owned),
            },
        };
        let key = (profile, bounding.to_vec());
        let cached = |filters: &Mutex<HashMap<Key, Arc<Filter>>>| {
            filters.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
        };
        if let Some(filter) = cached(&self.filters) {
            return Ok(Some(filter));
        }
        let filter = Arc::new(self.compile(key.0.as_deref(), bounding)?);
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        // Profiles come from clients: the cache must not grow for ever.
        if filters.len() >= 64 {
            filters.clear();
        }
        filters.insert(key, filter.clone());
        Ok(Some(filter))
    }

    fn compile(&self, profile: Option<&str>, bounding: &[String]) -> Result<Filter> {
        let fail = |error: runtime::seccomp::SeccompError| Error::Failed {
            action: "read",
            subject: "the seccomp profile".to_owned(),
            source: Cause::new(error.kind(), error),
        };
        let context = Context::new(bounding.iter().map(String::as_str), self.kernel);
        let (spec, source) = match profile {
            None => (Profile::docker_default().resolve(&context), Source::Default),
            Some(text) => {
                (Profile::parse(text).map_err(fail)?.resolve(&context), Source::Json(text))
            }
        };
        let filter =
            self.compiler.filter(source, &context, SocketFamilies::AsProfiled).map_err(fail)?;
        Ok(Filter { spec: spec.map_err(fail)?, program: program(&filter) })
    }

    /// The plan of a further process in a container whose first one is `pid`.
    pub fn exec_plan(
        &self,
        record: &Record,
        process: &Process,
        privileged: bool,
        pid: u32,
        fds: Vec<FdRole>,
    ) -> Result<Vec<u8>> {
        let bounding = process.capabilities.as_ref().map(|sets| sets.bounding.clone());
        let filter = match privileged {
            true => None,
            false => self.filter(record, &bounding.unwrap_or_default())?,
        };
        let signed = i32::try_from(pid).unwrap_or(i32::MAX);
        let namespaces = runtime::exec::foreign_namespaces(signed).map_err(|source| {
            Error::File { action: "join", path: format!("process {pid}"), source }
        })?;
        let context = ExecContext {
            id: record.id.to_string(),
            fds,
            namespaces,
            seccomp: filter.map(|filter| filter.program.clone()),
            host: self.facts,
            keep_keyring: false,
        };
        runtime::exec::plan(process, &context).and_then(|plan| plan.encode()).map_err(|error| {
            Error::Failed {
                action: "plan",
                subject: "the exec".to_owned(),
                source: Cause::new(error.kind(), error),
            }
        })
    }
}

/// The compiled filter as the launch plan carries it.
fn program(filter: &runtime::seccomp::Filter) -> SeccompProgram {
    SeccompProgram(filter.to_bytes())
}
