//! (being laid)

pub mod notify;
