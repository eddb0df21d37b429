//! Everything Cale keeps under `<data-root>`: blobs, layers, images, the engine's objects and
//! events, leases, garbage collection, check and repair.
//!
//! Owns the layout on disk, the metadata database and the rule of what may be removed.
//! Deliberately owns no network, no mount and no async: every call here may block on the disk, so
//! async callers go through their blocking pool. [`Store`] is cheap to clone and thread-safe.
//!
//! ```text
//! <data-root>/
//!   lock                     flock of the one engine; holds its pid
//!   meta/cale.redb           the database (and cale.redb.v<N>, the copy made before a migration)
//!   images/                  an OCI image layout: oci-layout, index.json, blobs/sha256/<hex>
//!   layers/<diff-id hex>/    fs (the unpacked tree, whiteouts in overlayfs form), meta (JSON)
//!   containers/<id>/         upper, work, and what the engine puts beside
//!   volumes/<name>/_data
//!   staging/                 work in progress; partial/<hex> is kept for resumption, all else is
//!                            swept at start
//! ```
//!
//! **Write order.** Blob: staging file → hash → fsync → rename → fsync(dir) → transaction. Layer:
//! staging tree → syncfs → meta → rename → fsync(dir) → transaction. A record in the database
//! therefore always has its bytes; bytes without a record are garbage.
//!
//! **Interface** (errors are [`Error`], its `kind()` tells the edge what to do):
//! ```text
//! Store::open(root, Options) -> Store                       exclusive; says who else has it
//!
//! lease() -> Lease                                          what it has touched is never collected
//! pin(owner, &[Resource]) / unpin(owner)                    the same, durable and by name
//!
//! blob_begin(&Lease, &Digest, size) -> Begin<u64, BlobIngest>     BlobIngest: offset, write, finish
//! blob_put(&Lease, &[u8]) -> Digest     blob_read(&Digest, limit) -> Vec<u8>
//! blob_open(&Digest) -> BlobFile (Read + Seek, size)        blob_size(&Digest) -> Option<u64>
//! document::{manifest, index, config}                       strict parsing of what was pulled
//!
//! layer_begin(&Lease, LayerSource) -> Begin<Layer, LayerIngest>   LayerIngest: offset, write, finish
//! layer_import(&Lease, impl Read) -> Layer                  any tar, plain or compressed
//! layer_commit(&Lease, &Commit) -> Layer                    an upper directory becomes a layer
//! layer(&diff_id) / layer_of_blob(&Digest) / layer_keep(&Lease, &diff_id) -> Layer
//! layer_blob(&Lease, &diff_id, Compression) -> Descriptor   for push; kept, or made now
//! layer_tar(&diff_id) -> TarStream (Read)                   the uncompressed archive, verified
//!
//! image_put(&Lease, &NewImage) -> Image                     from config and manifest blobs (pull)
//! image_make(&Lease, &ImageConfig, names) -> Image          from layers that are here (commit, build)
//! image_import(&Lease, impl Read, ImageConfig, comment, names) -> Image
//! image(&id) / image_find("name|id|prefix") / resolve(&Reference) / images() -> Vec<ImageSummary>
//! tag(&Reference, &id) / untag(&Reference) / image_touch(&id)
//! image_remove(text, RemoveOptions, users) -> Vec<Removed>  image_prune(wanted, users)
//! image_load(impl Read, progress) -> Vec<Loaded>            image_save(&[text], impl Write)
//! image_complete(&Lease, &id)                               blobs for other tools
//!
//! rootfs_create(&ContainerId, &image) -> Rootfs             lowers (top first), upper, work
//! rootfs / rootfs_remove / rootfs_diff -> Vec<Change> / rootfs_size -> DiskSize
//! snapshot(&Lease, &[diff_id]) -> Snapshot                  the same for a build step
//!
//! get(kind, id) / list(kind) / apply(Batch, Durability)     engine objects: JSON bytes
//! events_since(cursor, limit) / event_bounds()
//!
//! volume_create / volume_remove / volume_path / volume_names / volume_size / volume_fill
//! collect() -> Collected     check(CheckOptions) -> Vec<Finding>     usage() -> Usage
//!
//! archive::{write_tree, write_path, extract, copy_tree, Reader, Writer}
//! ```

pub mod archive;
mod blob;
mod check;
mod db;
mod diff;
mod error;
mod failpoint;
#[cfg(test)]
mod fault_tests;
mod gc;
mod hash;
mod image;
mod layer;
mod lease;
mod objects;
mod options;
mod pipe;
mod rootfs;
mod store;
mod usage;
mod volume;

pub use archive::Compression;
pub use blob::{Begin, BlobFile, BlobIngest};
pub use check::{CheckOptions, Fault, Finding};
pub use db::Durability;
pub use diff::{Change, ChangeKind, changes};
pub use error::{Error, Result};
pub use gc::Collected;
pub use image::{
    Image, ImageSummary, ImageUse, LoadProgress, Loaded, NewImage, RemoveOptions, Removed,
    chain_ids, document,
};
pub use layer::{Commit, Layer, LayerIngest, LayerSource, Take, TarStream};
pub use lease::{Lease, Resource};
pub use objects::Batch;
pub use options::{Limits, Options};
pub use rootfs::{Rootfs, Snapshot};
pub use store::Store;
pub use usage::{DiskSize, Usage, measure};
