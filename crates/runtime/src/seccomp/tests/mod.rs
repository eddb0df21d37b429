//! The compiler against an evaluator that reads profiles literally, the default profile
//! against known behaviour, and the kernel against both.

mod compiled;
mod defaults;
mod interpret;
mod kernel;
mod naive;
