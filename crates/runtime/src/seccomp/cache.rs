//! Compiled filters, kept by what they were compiled from.
//!
//! Compiling the default profile takes about 1 ms the first time and its result hardly ever
//! changes. Keys are the sources themselves, not digests of them: a collision would
//! load the wrong filter.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::spec::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction, SeccompOperator};

use super::SeccompError;
use super::filter::{Filter, compile_with};
use super::profile::{Context, Profile};

/// Distinct filters kept; custom profiles are few, and one takes about 5 KiB.
const CAPACITY: usize = 128;

/// How far the engine goes beyond a profile against socket families with a record of
/// kernel holes: AF_ALG and AF_VSOCK.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SocketFamilies {
    /// As the profile says. Under the built-in one both are refused, except through
    /// `socketcall` of 32-bit programs, whose arguments no filter can see.
    #[default]
    AsProfiled,
    /// Refused under every profile, and `socketcall` may make no sockets at all. Breaks
    /// 32-bit programs built against a C library older than 2016.
    Closed,
}

/// Where a filter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source<'a> {
    /// The built-in profile.
    Default,
    /// A profile in Docker's format, as JSON.
    Json(&'a str),
    /// `linux.seccomp` of a bundle.
    Spec(&'a LinuxSeccomp),
}

#[derive(PartialEq, Eq, Hash)]
enum Origin {
    Default,
    Json(String),
    Spec(LinuxSeccomp),
}

type Key = (Origin, Context, SocketFamilies);

/// The cache. Share one among all threads.
#[derive(Default)]
pub struct Cache {
    filters: Mutex<HashMap<Key, Filter>>,
}

impl Cache {
    /// The filter for `source` in `context`, compiled on first use.
    ///
    /// # Errors
    /// As [`Profile::parse`] and [`super::compile`]. Failures aren't kept.
    pub fn filter(
        &self,
        source: Source<'_>,
        context: &Context,
        families: SocketFamilies,
    ) -> Result<Filter, SeccompError> {
        let origin = match source {
            Source::Default => Origin::Default,
            Source::Json(text) => Origin::Json(text.to_owned()),
            Source::Spec(spec) => Origin::Spec(spec.clone()),
        };
        let key = (origin, context.clone(), families);
        if let Some(filter) = self.lock().get(&key) {
            return Ok(filter.clone());
        }
        // Compiled outside of the lock: two threads may do it, neither waits.
        let filter = compile_source(source, context, families)?;
        let mut filters = self.lock();
        if filters.len() >= CAPACITY {
            filters.clear();
        }
        filters.insert(key, filter.clone());
        Ok(filter)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Filter>> {
        // Every state of the map is good, also the one a panicking thread left.
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compile_source(
    source: Source<'_>,
    context: &Context,
    families: SocketFamilies,
) -> Result<Filter, SeccompError> {
    let resolved;
    let spec = match source {
        Source::Default => {
            resolved = Profile::docker_default().resolve(context)?;
            &resolved
        }
        Source::Json(text) => {
            resolved = Profile::parse(text)?.resolve(context)?;
            &resolved
        }
        Source::Spec(spec) => spec,
    };
    let mut first = Vec::new();
    if source == Source::Default || families == SocketFamilies::Closed {
        first.extend(closed_families());
    }
    if families == SocketFamilies::Closed {
        first.push(denied("socketcall", equal_low(1)));
    }
    compile_with(spec, &first, context.native)
}

/// `socket(AF_ALG, …)` and `socket(AF_VSOCK, …)` fail with `EPERM`. The kernel takes the
/// family from the low 32 bits of the register; the profile's "above 40" compares all
/// 64, so that 1<<32 | 38 would pass it.
fn closed_families() -> [LinuxSyscall; 2] {
    const AF_ALG: u64 = 38;
    const AF_VSOCK: u64 = 40;
    [AF_ALG, AF_VSOCK].map(|family| denied("socket", equal_low(family)))
}

fn denied(name: &str, condition: LinuxSeccompArg) -> LinuxSyscall {
    LinuxSyscall {
        names: vec![name.to_owned()],
        action: SeccompAction::Errno,
        errno_ret: None,
        args: vec![condition],
    }
}

fn equal_low(value: u64) -> LinuxSeccompArg {
    let op = SeccompOperator::MaskedEqual;
    LinuxSeccompArg { index: 0, value: u64::from(u32::MAX), value_two: value, op }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cache").field("filters", &self.lock().len()).finish()
    }
}
