//! Output: templates, tables, units. Data goes to standard output, talk to standard error.

pub mod columns;
pub mod json_text;
pub mod rows;
pub mod template;
pub mod time;
pub mod units;
