//! `save`: images as a tar archive.

use super::export::to_output;
use super::push::platform_json;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::link::Query;

static FLAGS: &[Flag] = &[
    Flag::text("output", "Write to this file instead of stdout").short('o'),
    Flag::text("platform", "Save only this platform, such as linux/amd64"),
];

command! {
    /// Write one or more images as a tar archive.
    pub static SAVE = {
        usage: "[OPTIONS] IMAGE [IMAGE...]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let mut query = Query::new();
            for name in m.args() {
                query = query.set("names", name);
            }
            if let Some(platform) = m.typed("platform") {
                query = query.set("platform", platform_json(platform)?);
            }
            to_output(cx, m.text("output"), "/images/get", &query).await
        }),
    }
}
