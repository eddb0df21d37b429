//! Places where a test may make the store fail or the process die, named by text.
//!
//! Compiled in only for this crate's tests and under the feature `failpoints`; otherwise
//! `failpoint!` is nothing. `CALE_STORE_ABORT_AT=<name>` aborts the process at that place, as
//! `kill -9` would: no destructor runs.

#[cfg(any(test, feature = "failpoints"))]
pub(crate) fn hit(name: &'static str) {
    if std::env::var_os("CALE_STORE_ABORT_AT").is_some_and(|wanted| wanted == name) {
        std::process::abort();
    }
}

macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(any(test, feature = "failpoints"))]
        $crate::failpoint::hit($name);
    };
}

pub(crate) use failpoint;
