//! The `cale` binary.
fn main() {}
