//! The built-in image `hello`: there without registry and network.
//!
//! It is made in the store when it is first asked for, from a static program that the build
//! script compiled; from then on it is an image like any other.

use model::{
    Reference,
    image::{ImageConfig, Platform, ProcessDefaults},
};
use store::{
    Image, Store,
    archive::{Entry, EntryKind, Writer},
};

use crate::{Error, Result, error::Cause, records::stored};

/// The static program.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));
/// A fixed date: the same program gives the same image everywhere.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// Whether a text names the built-in image.
pub fn is_meant(text: &str) -> bool {
    text.parse::<Reference>().is_ok_and(|name| name.or_latest().familiar() == "hello:latest")
}

/// Makes the image.
pub fn make(store: &Store) -> Result<Image> {
    let failed = |error: store::archive::ArchiveError| Error::Failed {
        action: "make",
        subject: "the built-in image".to_owned(),
        source: Cause::new(model::ErrorKind::Internal, error),
    };
    let mut archive = Vec::with_capacity(PROGRAM.len() + 4096);
    let mut writer = Writer::new(&mut archive);
    let mut entry = Entry::new(b"hello", EntryKind::File, 0o755);
    entry.size = PROGRAM.len() as u64;
    writer.append(&entry, PROGRAM).map_err(failed)?;
    writer.finish().map_err(failed)?;
    let platform = Platform::host();
    let config = ImageConfig {
        created: Some(CREATED.to_owned()),
        architecture: platform.architecture,
        os: platform.os,
        variant: platform.variant,
        config: Some(ProcessDefaults {
            cmd: Some(vec!["/hello".to_owned()]),
            working_dir: "/".to_owned(),
            env: vec![
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            ],
            ..ProcessDefaults::default()
        }),
        ..ImageConfig::default()
    };
    let name = "hello:latest".parse().map_err(|_| Error::Invalid("hello".to_owned()))?;
    let lease = store.lease();
    store
        .image_import(&lease, archive.as_slice(), config, "built into cale", vec![name])
        .map_err(stored("make", "the built-in image"))
}
