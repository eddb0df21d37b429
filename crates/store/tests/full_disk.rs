//! A data root on a disk that fills up: clear errors, nothing half, and life goes on when there
//! is space again, without a restart.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod fixture;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use fixture::busybox_tar;
use model::ErrorKind;
use model::image::{Descriptor, ImageConfig};
use store::{Batch, Begin, Durability, LayerSource, Options, RemoveOptions, Store};

/// A small filesystem, unmounted at the end.
struct Disk {
    temp: tempfile::TempDir,
}

impl Disk {
    fn new(options: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path().to_str().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", at]).status();
        assert!(mounted.unwrap().success());
        Self { temp }
    }

    fn root(&self) -> PathBuf {
        self.temp.path().join("root")
    }

    /// Takes all the space there is.
    fn fill(&self) -> PathBuf {
        let path = self.temp.path().join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        let chunk = vec![1u8; 64 * 1024];
        while file.write_all(&chunk).is_ok() {}
        while file.write_all(&[1]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.temp.path()).status();
    }
}

fn import(store: &Store) -> store::Image {
    let names = vec!["bb:1".parse().unwrap()];
    let config = ImageConfig { os: "linux".to_owned(), ..ImageConfig::default() };
    store.image_import(&store.lease(), &busybox_tar()[..], config, "", names).unwrap()
}

fn take(store: &Store, archive: &[u8]) -> store::Result<store::Layer> {
    let lease = store.lease();
    let source = LayerSource {
        blob: Descriptor::new("", model::Digest::sha256(archive), archive.len() as u64),
        diff_id: None,
        parents: Vec::new(),
    };
    match store.layer_begin(&lease, source)? {
        Begin::Present(layer) => Ok(layer),
        Begin::Wanted(mut ingest) => {
            let from = usize::try_from(ingest.offset()).unwrap();
            ingest.write(&archive[from..])?;
            ingest.finish()
        }
    }
}

fn big_layer() -> Vec<u8> {
    let content = "x".repeat(3_000_000);
    fixture::small_layer(&[("a", &content), ("b", &content), ("c", &content)])
}

fn staged(root: &Path) -> usize {
    std::fs::read_dir(root.join("staging")).unwrap().count() - 1
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let disk = Disk::new("size=40m");
    let store = Store::open(&disk.root(), Options::default()).unwrap();
    import(&store);
    let filler = disk.fill();
    let error = take(&store, &big_layer()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    assert_eq!(staged(&disk.root()), 0, "half a tree was left");
    // Reading goes on, and the reserve lets small writes through.
    assert!(store.image_find("bb:1").is_ok());
    std::fs::remove_file(&filler).unwrap();
    let layer = take(&store, &big_layer()).unwrap();
    assert_eq!(layer.entries, 3);
    assert_eq!(store.check(store::CheckOptions { deep: true, repair: false }).unwrap(), []);
}

#[test]
fn records_and_removals_work_on_a_full_disk() {
    let disk = Disk::new("size=24m");
    let store = Store::open(&disk.root(), Options::default()).unwrap();
    let image = import(&store);
    disk.fill();
    let mut failed = 0;
    for n in 0..40 {
        let batch = Batch::new().put("k", &n.to_string(), vec![b'v'; 100_000]);
        if let Err(error) = store.apply(batch, Durability::Durable) {
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
            failed += 1;
        }
    }
    let kept = store.list("k").unwrap().len();
    assert_eq!(kept + failed, 40, "what failed isn't there, what didn't is");
    assert!(kept > 0, "the reserve was used");
    store.image_remove("bb:1", RemoveOptions::default(), |_| Vec::new()).unwrap();
    assert!(!store.layer_path(&image.layers[0]).exists());
    take(&store, &fixture::small_layer(&[("fits", "again")])).unwrap();
}

#[test]
fn running_out_of_inodes_is_said_too() {
    let disk = Disk::new("size=64m,nr_inodes=300");
    let store = Store::open(&disk.root(), Options::default()).unwrap();
    let names: Vec<String> = (0..600).map(|n| format!("f{n}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (&name[..], "x")).collect();
    let error = take(&store, &fixture::small_layer(&files)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    assert_eq!(staged(&disk.root()), 0);
    take(&store, &fixture::small_layer(&files[..100])).unwrap();
}
