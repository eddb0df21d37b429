//! The pulling and pushing side.
//!
//! [`Client`] speaks to one registry at a time through the endpoints that [`hosts::Hosts`] names for
//! it (mirrors first, then the registry itself), with the credentials given per call. Connections
//! are pooled per endpoint, tokens are kept per endpoint and scope.

pub mod auth;
mod download;
pub mod hosts;
mod login;
pub mod repository;
mod request;
pub mod resolve;
mod transport;
pub(crate) mod webhook;

pub use auth::Credentials;
pub use download::Downloaded;
pub use hosts::{Endpoint, Hosts};
pub use repository::Repository;
pub use request::Client;
pub(crate) use transport::RequestBody;
