//! Dockerfile text to spanned syntax tree to typed instructions.
//!
//! Pure: no files, no network. [`syntax::parse`] gives nodes with line spans, [`expand`] does word
//! expansion, [`ignore`] matches `.dockerignore` patterns. What an instruction does when it is built
//! is the business of `build`.

pub mod directive;
pub mod error;
pub mod expand;
pub mod heredoc;
pub mod ignore;
pub mod instruction;
pub mod syntax;
pub mod words;

pub use error::{ParseError, Span};
pub use syntax::{Dockerfile, Node, parse};
