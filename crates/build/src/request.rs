//! What is asked of a build: the text, the target, arguments and limits.

use std::collections::{BTreeMap, BTreeSet};

use model::image::Platform;
use serde::{Deserialize, Serialize};

/// A build as asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The Dockerfile.
    pub dockerfile: String,
    /// Its name, for messages.
    pub file_name: String,
    /// Stage to build, by name or number; `None`: the last one.
    pub target: Option<String>,
    /// `--build-arg`
    pub build_args: BTreeMap<String, String>,
    /// `--label`, put on the result.
    pub labels: BTreeMap<String, String>,
    /// Platform of the result.
    pub platform: Platform,
    /// Nothing from the cache.
    pub no_cache: bool,
    /// Stages that take nothing from the cache.
    pub no_cache_filter: BTreeSet<String>,
    /// Ask registries for newer base images.
    pub pull: bool,
    /// Named contexts (`--build-context`) by lower-case name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// How `RUN` steps are confined.
    pub limits: RunLimits,
    /// `RUN --security=insecure` was granted.
    pub allow_insecure: bool,
    /// `RUN --network=host` was granted.
    pub allow_host_network: bool,
    /// One step after the other, in the order written (the classic API's output).
    pub sequential: bool,
}

impl Request {
    /// A build of `dockerfile` with nothing special asked.
    pub fn new(dockerfile: impl Into<String>) -> Self {
        Self {
            dockerfile: dockerfile.into(),
            file_name: "Dockerfile".to_owned(),
            target: None,
            build_args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platform: Platform::host(),
            no_cache: false,
            no_cache_filter: BTreeSet::new(),
            pull: false,
            contexts: BTreeMap::new(),
            limits: RunLimits::default(),
            allow_insecure: false,
            allow_host_network: false,
            sequential: false,
        }
    }
}

/// What a named context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// An image.
    Image(String),
    /// A tree of files that the worker knows under this name.
    Tree(String),
}

/// Bounds and surroundings of `RUN` steps. They are not part of cache keys, as in Docker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Network mode of steps that don't say: empty or `default`, `none`, `host`, a network's name.
    pub network: String,
    /// `host:address` lines.
    pub extra_hosts: Vec<String>,
    /// Bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Bytes of memory and swap.
    pub memory_swap: Option<i64>,
    /// Relative weight.
    pub cpu_shares: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds.
    pub cpu_quota: Option<i64>,
    /// `0-2`
    pub cpuset_cpus: String,
    /// `0`
    pub cpuset_mems: String,
    /// Parent control group.
    pub cgroup_parent: String,
    /// `name=soft:hard`
    pub ulimits: Vec<(String, i64, i64)>,
    /// Security options as `docker run` has them.
    pub security_opt: Vec<String>,
}
