//! `system check`: does the disk hold what the records say, and the reverse?
//!
//! The shallow check compares records with names and lengths; the deep one reads every byte:
//! blobs against their digests, trees against their archives. Repair mends what can be mended
//! from what is here, and forgets damaged blobs so that the next pull fetches them again. It
//! never removes anything of a container or volume.

use std::fmt;
use std::io::{self, BufReader, Read};

use model::Digest;
use sys::dir::{Dir, Links};
use sys::file::{FileKind, Stat};

use crate::archive::{self, ExtractOptions, Extractor, Reader};
use crate::blob::{Begin, BlobRecord};
use crate::db::{Durability, Table};
use crate::error::{Error, Result};
use crate::hash::Hasher;
use crate::image::{ImageRecord, ReferenceRecord};
use crate::layer::{Layer, LayerSource};
use crate::rootfs::RootfsRecord;
use crate::store::Store;

/// How thorough a check is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Read and compare every byte.
    pub deep: bool,
    /// Mend what can be mended.
    pub repair: bool,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The database's own structure was damaged (redb has mended it).
    Database,
    /// A blob is recorded, but its file is gone.
    BlobMissing(Digest),
    /// A blob's file has another length or content than its digest says.
    BlobDamaged(Digest),
    /// A blob's file has no record.
    BlobUnrecorded(Digest),
    /// A layer is recorded, but its tree is gone.
    LayerMissing(Digest),
    /// A layer's tree differs from its archive; where first.
    LayerDamaged(Digest, String),
    /// A layer's directory has no record; its name.
    LayerUnrecorded(String),
    /// An image lacks something that it needs.
    ImageIncomplete(Digest, String),
    /// A name stands for an image that isn't there.
    NameDangling(String),
    /// A container's directory is gone; its id.
    RootfsMissing(String),
    /// A container's directory has no record; its id.
    RootfsUnrecorded(String),
}

/// One fault, and whether it has been mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// Whether repair mended it. What isn't mended here comes right by pulling the image again.
    pub repaired: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::Database => write!(f, "metadata database: damaged pages"),
            Fault::BlobMissing(digest) => write!(f, "blob {digest}: file is missing"),
            Fault::BlobDamaged(digest) => write!(f, "blob {digest}: content is damaged"),
            Fault::BlobUnrecorded(digest) => write!(f, "blob {digest}: not recorded"),
            Fault::LayerMissing(digest) => write!(f, "layer {digest}: tree is missing"),
            Fault::LayerDamaged(digest, what) => write!(f, "layer {digest}: damaged at {what}"),
            Fault::LayerUnrecorded(name) => write!(f, "layer directory {name}: not recorded"),
            Fault::ImageIncomplete(id, what) => write!(f, "image {id}: {what} is missing"),
            Fault::NameDangling(name) => write!(f, "name {name}: its image is missing"),
            Fault::RootfsMissing(id) => write!(f, "container {id}: directory is missing"),
            Fault::RootfsUnrecorded(id) => write!(f, "container directory {id}: not recorded"),
        }?;
        f.write_str(if self.repaired { " (repaired)" } else { "" })
    }
}

impl Store {
    /// Checks the store, and mends it if asked to.
    ///
    /// # Errors
    /// Only what keeps it from checking at all; faults are findings.
    pub fn check(&self, options: CheckOptions) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        if options.deep && !self.inner.verify_database()? {
            findings.push(Finding { fault: Fault::Database, repaired: true });
        }
        self.check_blobs(options, &mut findings)?;
        self.check_layers(options, &mut findings)?;
        self.check_images(options, &mut findings)?;
        self.check_rootfs(&mut findings)?;
        self.check_unrecorded(options, &mut findings)?;
        Ok(findings)
    }

    fn check_blobs(&self, options: CheckOptions, findings: &mut Vec<Finding>) -> Result<()> {
        for (key, record) in self.inner.read(|s| s.all::<BlobRecord>(Table::Blobs))? {
            let Ok(digest) = key.parse::<Digest>() else { continue };
            let fault = match self.inner.blob_open(&digest) {
                Err(Error::NoBlob(_)) => Some(Fault::BlobMissing(digest.clone())),
                Err(error) => return Err(error),
                Ok(file) if file.size() != record.size => Some(Fault::BlobDamaged(digest.clone())),
                Ok(file) if options.deep => match hash(file, &digest) {
                    Ok(actual) if actual == digest => None,
                    // Bytes that can't be read are damage, too.
                    Ok(_) | Err(_) => Some(Fault::BlobDamaged(digest.clone())),
                },
                Ok(_) => None,
            };
            let Some(fault) = fault else { continue };
            let repaired = options.repair && self.forget_blob(&digest)?;
            findings.push(Finding { fault, repaired });
        }
        Ok(())
    }

    fn forget_blob(&self, digest: &Digest) -> Result<bool> {
        let key = digest.to_string();
        self.inner.write(Durability::Durable, move |tx| tx.delete(Table::Blobs, &key))?;
        let dir = self.inner.dirs.blobs(digest.algorithm());
        dir.remove_tree(digest.hex().as_bytes())
            .map_err(Error::file("remove", crate::store::blob_path(digest)))?;
        Ok(true)
    }

    fn check_layers(&self, options: CheckOptions, findings: &mut Vec<Finding>) -> Result<()> {
        let parents = self.parents()?;
        for (_, layer) in self.inner.read(|s| s.all::<Layer>(Table::Layers))? {
            let below = parents
                .iter()
                .find_map(|chain| {
                    let at = chain.iter().position(|diff_id| *diff_id == layer.diff_id)?;
                    Some(chain[..at].to_vec())
                })
                .unwrap_or_default();
            let fault = match self.inner.layer_tree(&layer.diff_id) {
                Err(Error::NoLayer(_)) => Some(Fault::LayerMissing(layer.diff_id.clone())),
                Err(error) => return Err(error),
                Ok(_) if !options.deep => None,
                Ok(tree) => self
                    .difference(&layer, &tree, &below)?
                    .map(|what| Fault::LayerDamaged(layer.diff_id.clone(), what)),
            };
            let Some(fault) = fault else { continue };
            let repaired = options.repair && self.unpack_again(&layer, below)?;
            findings.push(Finding { fault, repaired });
        }
        Ok(())
    }

    /// The layers of every image, lowest first.
    fn parents(&self) -> Result<Vec<Vec<Digest>>> {
        let images = self.inner.read(|s| s.all::<ImageRecord>(Table::Images))?;
        Ok(images.into_iter().map(|(_, record)| record.config.rootfs.diff_ids).collect())
    }

    /// Where a layer's tree first differs from its archive. One that was made here has no other
    /// archive than its tree, whose digest must then be the diff id.
    fn difference(&self, layer: &Layer, tree: &Dir, below: &[Digest]) -> Result<Option<String>> {
        let kept = layer.blobs.iter().find(|blob| self.inner.blob_open(&blob.digest).is_ok());
        let Some(blob) = kept else {
            if !layer.made_here {
                // There is nothing to compare with; the lost blob is a finding of its own.
                return Ok(None);
            }
            let mut archive = self.inner.layer_tar(layer)?;
            return Ok(match io::copy(&mut archive, &mut io::sink()) {
                Ok(_) => None,
                Err(_) => Some("its digest".to_owned()),
            });
        };
        let staged = self.inner.stage("check")?;
        let limits = self.inner.options.limits;
        let fresh = crate::layer::new_tree(&staged)?;
        let target =
            fresh.try_clone().map_err(Error::file("open", format!("staging/{}", staged.name)))?;
        let unpacked = (|| {
            let file = self.inner.blob_open(&blob.digest)?;
            let unpack = |source| Error::Unpack { subject: blob.digest.to_string(), source };
            let plain = archive::decoder(BufReader::new(file)).map_err(unpack)?;
            let mut reader = Reader::new(BufReader::with_capacity(256 * 1024, plain), limits);
            let mut extractor = Extractor::new(target, ExtractOptions::layer(limits));
            while let Some(entry) = reader.next_entry().map_err(unpack)? {
                extractor.apply(&entry, &mut reader).map_err(unpack)?;
            }
            extractor.settle(&self.inner.lowers(below)?).map_err(unpack)?;
            extractor.finish().map_err(unpack)
        })();
        match unpacked {
            Ok(_) => compare(&fresh, tree, &mut Vec::new())
                .map_err(Error::file("compare", format!("layer {}", layer.diff_id))),
            // The blob is damaged, which is a finding of its own; of the tree it says nothing.
            Err(error) if error.kind() == model::ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unpack_again(&self, layer: &Layer, parents: Vec<Digest>) -> Result<bool> {
        let kept = layer.blobs.iter().find(|blob| self.inner.blob_open(&blob.digest).is_ok());
        let Some(blob) = kept else { return Ok(false) };
        let lease = self.lease();
        lease.keep(crate::Resource::Blob(blob.digest.clone()));
        lease.keep(crate::Resource::Layer(layer.diff_id.clone()));
        self.inner.discard(&self.inner.dirs.layers, layer.diff_id.hex(), "layers")?;
        let source =
            LayerSource { blob: blob.clone(), diff_id: Some(layer.diff_id.clone()), parents };
        match self.layer_begin(&lease, source)? {
            Begin::Present(_) => Ok(true),
            Begin::Wanted(ingest) => Ok(ingest.finish().is_ok()),
        }
    }

    fn check_images(&self, options: CheckOptions, findings: &mut Vec<Finding>) -> Result<()> {
        for (key, record) in self.inner.read(|s| s.all::<ImageRecord>(Table::Images))? {
            let Ok(id) = key.parse::<Digest>() else { continue };
            let mut incomplete = |what: String| {
                let fault = Fault::ImageIncomplete(id.clone(), what);
                findings.push(Finding { fault, repaired: false });
            };
            if self.blob_size(&id)?.is_none() {
                incomplete("its configuration".to_owned());
            }
            for diff_id in &record.config.rootfs.diff_ids {
                if self.inner.layer(diff_id)?.is_none() {
                    incomplete(format!("layer {diff_id}"));
                }
            }
        }
        let names = self.inner.read(|s| s.all::<ReferenceRecord>(Table::References))?;
        for (name, row) in names {
            let image = row.image.to_string();
            if self.inner.read(|s| s.get_bytes(Table::Images, &image))?.is_some() {
                continue;
            }
            if options.repair {
                let key = name.clone();
                self.inner
                    .write(Durability::Durable, move |tx| tx.delete(Table::References, &key))?;
            }
            let fault = Fault::NameDangling(name);
            findings.push(Finding { fault, repaired: options.repair });
        }
        if options.repair { self.write_layout() } else { Ok(()) }
    }

    fn check_rootfs(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let records = self.inner.read(|s| s.all::<RootfsRecord>(Table::Rootfs))?;
        let dirs = &self.inner.dirs;
        let names = dirs.containers.names().map_err(Error::file("list", "containers"))?;
        for (id, _) in &records {
            if !names.iter().any(|name| name == id.as_bytes()) {
                let fault = Fault::RootfsMissing(id.clone());
                findings.push(Finding { fault, repaired: false });
            }
        }
        for name in names {
            let name = String::from_utf8_lossy(&name).into_owned();
            if !records.iter().any(|(id, _)| *id == name) {
                let fault = Fault::RootfsUnrecorded(name);
                findings.push(Finding { fault, repaired: false });
            }
        }
        Ok(())
    }

    fn check_unrecorded(&self, options: CheckOptions, findings: &mut Vec<Finding>) -> Result<()> {
        let leased = {
            let frozen = self.inner.leases.freeze();
            frozen.all().cloned().collect()
        };
        let layers = self.unrecorded_layers(&leased)?;
        let blobs = self.unrecorded_blobs(&leased)?;
        let repaired = options.repair;
        if repaired && (!layers.is_empty() || !blobs.is_empty()) {
            self.collect()?;
        }
        let layers = layers.into_iter().map(Fault::LayerUnrecorded);
        let blobs = blobs.into_iter().map(|(digest, _)| Fault::BlobUnrecorded(digest));
        findings.extend(layers.chain(blobs).map(|fault| Finding { fault, repaired }));
        Ok(())
    }
}

fn hash(mut file: impl Read, digest: &Digest) -> io::Result<Digest> {
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0u8; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// The first path at which two trees differ in anything that an archive carries.
fn compare(wanted: &Dir, actual: &Dir, path: &mut Vec<u8>) -> io::Result<Option<String>> {
    let (names, others) = (wanted.names()?, actual.names()?);
    let show = |path: &[u8], name: &[u8]| {
        String::from_utf8_lossy(&[path, b"/", name].concat()).into_owned()
    };
    if let Some(name) =
        names.iter().find(|n| !others.contains(n)).or(others.iter().find(|n| !names.contains(n)))
    {
        return Ok(Some(show(path, name)));
    }
    for name in &names {
        let (a, b) = (wanted.stat(name)?, actual.stat(name)?);
        if essence(&a) != essence(&b) {
            return Ok(Some(show(path, name)));
        }
        let same = match a.kind {
            FileKind::Regular => same_file(wanted, actual, name)?,
            FileKind::Symlink => wanted.read_link(name)? == actual.read_link(name)?,
            FileKind::Directory => {
                let (a, b) = (wanted.open_dir(name)?, actual.open_dir(name)?);
                if xattrs(&a)? != xattrs(&b)? {
                    return Ok(Some(show(path, name)));
                }
                let length = path.len();
                path.push(b'/');
                path.extend_from_slice(name);
                let difference = compare(&a, &b, path)?;
                path.truncate(length);
                if difference.is_some() {
                    return Ok(difference);
                }
                true
            }
            _ => true,
        };
        if !same {
            return Ok(Some(show(path, name)));
        }
    }
    Ok(None)
}

type Essence = (FileKind, u32, u32, u32, u64, i64, u32, u32);

fn essence(stat: &Stat) -> Essence {
    // A directory's length is its filesystem's affair, a whiteout's time nobody's.
    let size = if stat.kind == FileKind::Regular { stat.size } else { 0 };
    let seconds = if stat.is_whiteout() { 0 } else { stat.modified.seconds };
    (stat.kind, stat.mode, stat.uid, stat.gid, size, seconds, stat.major, stat.minor)
}

/// Names with values.
type Xattrs = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn xattrs(fd: impl std::os::fd::AsFd) -> io::Result<Xattrs> {
    let names = sys::file::xattr_names(fd.as_fd())?;
    names.into_iter().map(|n| sys::file::xattr(fd.as_fd(), &n).map(|v| (n, v))).collect()
}

fn same_file(wanted: &Dir, actual: &Dir, name: &[u8]) -> io::Result<bool> {
    let a = wanted.resolve_file(name, Links::Refuse)?;
    let b = actual.resolve_file(name, Links::Refuse)?;
    if xattrs(&a)? != xattrs(&b)? {
        return Ok(false);
    }
    let (mut a, mut b) =
        (BufReader::with_capacity(64 * 1024, a), BufReader::with_capacity(64 * 1024, b));
    loop {
        let (left, right) = (io::BufRead::fill_buf(&mut a)?, io::BufRead::fill_buf(&mut b)?);
        let length = left.len().min(right.len());
        if left[..length] != right[..length] || left.is_empty() != right.is_empty() {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
        io::BufRead::consume(&mut a, length);
        io::BufRead::consume(&mut b, length);
    }
}
