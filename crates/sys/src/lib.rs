//! (being laid)

pub mod notify;
pub mod epoll;
pub mod fifo;
pub mod memory;
pub mod packet;
