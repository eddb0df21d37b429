//! The plane in a real kernel: each test is a host of its own (a network namespace), with
//! containers and outside hosts as further namespaces.

mod connect;
mod isolation;
mod lab;
mod naming;
mod publishing;
mod restart;
mod timing;
