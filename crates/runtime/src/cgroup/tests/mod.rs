//! The conformance suite: the same demands on v1, hybrid and v2, made to the real kernel.
//!
//! Runs on whatever the machine has (as root): a hybrid host is tested as hybrid and,
//! with the v2 tree left out, as v1. On a v2 host the same functions test v2.

mod fixture;
mod life;
mod limits;
