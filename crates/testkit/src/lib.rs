//! What tests share: fixtures, engines on private roots, the leak audit, peers.
//!
//! Nothing here is compiled into the product. A test that starts something owns it by a guard
//! whose drop stops and removes it; [`audit`] proves that nothing was left.

pub mod audit;
pub mod dockerd;
pub mod engine;
pub mod fixture;
pub mod program;
pub mod registry;
pub mod spec;
