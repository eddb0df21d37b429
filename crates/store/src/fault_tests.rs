//! The process dies at every failpoint of a pull and a removal; afterwards an image is absent or
//! whole, nothing half is visible, and doing it again works and fetches only what is missing.
//!
//! The victim is this test binary itself, started again for the one test `victim`.

use std::path::Path;
use std::process::Command;

use model::image::{Descriptor, ImageConfig, RootFs};
use model::{Digest, Reference};

use crate::archive::{Entry, EntryKind, Writer};
use crate::{
    Begin, CheckOptions, Fault, LayerSource, NewImage, Options, RemoveOptions, Result, Store,
};

const ROOT: &str = "CALE_STORE_VICTIM_ROOT";
const FAILPOINTS: [&str; 12] = [
    "blob-written",
    "blob-before-sync",
    "blob-before-rename",
    "blob-after-rename",
    "layer-unpacked",
    "layer-before-sync",
    "layer-before-rename",
    "layer-after-rename",
    "layer-before-record",
    "image-before-record",
    "image-after-record",
    "collect-after-records",
];

fn layer_archive() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for n in 0..200 {
        let path = format!("dir/{n}");
        let entry = Entry::new(path.as_bytes(), EntryKind::File, 0o644);
        writer.append_bytes(entry, &vec![n as u8; 5000]).unwrap();
    }
    writer.finish().unwrap()
}

fn name() -> Reference {
    "victim:1".parse().unwrap()
}

/// What a pull does, with the bytes at hand. Gives how many of them were asked for.
fn pull(store: &Store) -> Result<u64> {
    let archive = layer_archive();
    let diff_id = Digest::sha256(&archive);
    let lease = store.lease();
    let source = LayerSource {
        blob: Descriptor::new("", diff_id.clone(), archive.len() as u64),
        diff_id: Some(diff_id.clone()),
        parents: Vec::new(),
    };
    let mut fetched = 0;
    if let Begin::Wanted(mut ingest) = store.layer_begin(&lease, source)? {
        let from = usize::try_from(ingest.offset()).unwrap();
        for chunk in archive[from..].chunks(100_000) {
            ingest.write(chunk)?;
            fetched += chunk.len() as u64;
        }
        ingest.finish()?;
    }
    let config = ImageConfig {
        os: "linux".to_owned(),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
        ..ImageConfig::default()
    };
    let config = store.blob_put(&lease, &serde_json::to_vec(&config).unwrap())?;
    let references = vec![name()];
    store.image_put(&lease, &NewImage { config, manifest: None, index: None, references })?;
    Ok(fetched)
}

#[test]
fn victim() {
    let Ok(root) = std::env::var(ROOT) else { return };
    let store = Store::open(Path::new(&root), Options::default()).unwrap();
    pull(&store).unwrap();
    store.image_remove("victim:1", RemoveOptions::default(), |_| Vec::new()).unwrap();
}

#[test]
fn dying_anywhere_leaves_an_image_absent_or_whole() {
    for failpoint in FAILPOINTS {
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let root = temp.path().join("root");
        let died = Command::new(std::env::current_exe().unwrap())
            .args(["fault_tests::victim", "--exact", "--quiet"])
            .env(ROOT, &root)
            .env("CALE_STORE_ABORT_AT", failpoint)
            .output()
            .unwrap();
        assert!(!died.status.success(), "{failpoint} was not passed");

        let store = Store::open(&root, Options::default()).unwrap();
        if let Ok(image) = store.image_find("victim:1") {
            assert!(store.layer(&image.layers[0]).unwrap().is_some(), "{failpoint}");
        }
        let deep = CheckOptions { deep: true, repair: false };
        for finding in store.check(deep).unwrap() {
            let harmless =
                matches!(finding.fault, Fault::BlobUnrecorded(_) | Fault::LayerUnrecorded(_));
            assert!(harmless, "{failpoint}: {finding}");
        }
        let fetched = pull(&store).unwrap();
        let whole = layer_archive().len() as u64;
        match failpoint {
            // Nothing of the layer is needed, or it was collected and all of it is.
            "collect-after-records" => assert!(fetched == 0 || fetched == whole, "{fetched}"),
            _ => assert!(fetched < whole, "{failpoint}: fetched {fetched} of {whole} again"),
        }
        store.collect().unwrap();
        assert_eq!(store.check(deep).unwrap(), [], "{failpoint}");
        let staging: Vec<_> = std::fs::read_dir(root.join("staging")).unwrap().collect();
        assert_eq!(staging.len(), 1, "{failpoint}: only `partial` remains");
    }
}

#[test]
fn damage_is_found_named_and_mended() {
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Store::open(temp.path(), Options::default()).unwrap();
    pull(&store).unwrap();
    let image = store.image_find("victim:1").unwrap();
    let diff_id = image.layers[0].clone();
    let deep = CheckOptions { deep: true, repair: false };
    let mend = CheckOptions { deep: true, repair: true };
    assert_eq!(store.check(deep).unwrap(), []);

    let file = store.layer_path(&diff_id).join("dir/7");
    std::fs::write(&file, vec![0u8; 5000]).unwrap();
    let found = store.check(deep).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].fault, Fault::LayerDamaged(diff_id.clone(), "/dir/7".to_owned()));
    assert!(store.check(mend).unwrap()[0].repaired);
    assert_eq!(std::fs::read(&file).unwrap(), vec![7u8; 5000]);
    assert_eq!(store.check(deep).unwrap(), []);

    std::fs::remove_dir_all(store.layer_path(&diff_id).parent().unwrap()).unwrap();
    assert_eq!(
        store.check(CheckOptions::default()).unwrap()[0].fault,
        Fault::LayerMissing(diff_id.clone())
    );
    assert!(store.layer(&diff_id).unwrap().is_none(), "a lost tree is not offered");
    store.check(mend).unwrap();
    assert_eq!(store.check(deep).unwrap(), []);

    let blob = temp.path().join("images/blobs/sha256").join(diff_id.hex());
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    assert_eq!(store.check(CheckOptions::default()).unwrap(), [], "lengths are right");
    let found = store.check(mend).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].fault, Fault::BlobDamaged(diff_id.clone()));
    assert!(!blob.exists());
}
