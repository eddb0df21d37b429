//! Images through their life: import, run's directories, commit, save, load, remove, collect.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod fixture;

use fixture::{busybox_tar, id, open, small_layer, tree_listing};
use model::Reference;
use model::image::{Descriptor, ImageConfig, Platform, ProcessDefaults};
use store::{
    Begin, Commit, Compression, Durability, Error, ImageUse, LayerSource, RemoveOptions, Removed,
    Store, Take,
};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn image_config() -> ImageConfig {
    let host = Platform::host();
    ImageConfig {
        created: Some("2026-01-02T03:04:05Z".to_owned()),
        architecture: host.architecture,
        os: host.os,
        config: Some(ProcessDefaults { cmd: Some(vec!["sh".to_owned()]), ..Default::default() }),
        ..Default::default()
    }
}

fn import(store: &Store, name: &str) -> store::Image {
    let lease = store.lease();
    let names = vec![reference(name)];
    store.image_import(&lease, &busybox_tar()[..], image_config(), "imported", names).unwrap()
}

#[test]
fn an_imported_image_is_found_by_all_its_names() {
    let (_temp, store) = open();
    let image = import(&store, "busybox:1");
    let short = image.id.short().to_owned();
    for text in ["busybox:1", "docker.io/library/busybox:1", &short, &image.id.to_string()] {
        assert_eq!(store.image_find(text).unwrap().id, image.id, "{text}");
    }
    let missing = store.image_find("busybox").unwrap_err();
    assert_eq!(missing.to_string(), "No such image: busybox:latest");
    assert!(matches!(store.image_find("nosuch@x"), Err(Error::NoImage(_))));
    assert!(image.size > 500_000, "{}", image.size);
    assert_eq!(image.config.history.len(), 1);
}

#[test]
fn a_container_change_becomes_a_layer_and_back() {
    let (_temp, store) = open();
    let image = import(&store, "base:1");
    let rootfs = store.rootfs_create(&id(1), &image.id).unwrap();
    assert!(rootfs.lowers[0].join("bin/busybox").exists());
    assert!(matches!(store.rootfs_create(&id(1), &image.id), Err(Error::RootfsExists(_))));
    std::fs::create_dir(rootfs.upper.join("etc")).unwrap();
    std::fs::write(rootfs.upper.join("etc/new"), "x").unwrap();
    std::os::unix::net::UnixListener::bind(rootfs.upper.join("sock")).unwrap();
    let upper = sys::dir::Dir::open(&rootfs.upper).unwrap();
    let whiteout = sys::dir::Node::Character { major: 0, minor: 0 };
    upper.make_node(b"tmp", whiteout, 0).unwrap();
    let changes: Vec<String> =
        store.rootfs_diff(&id(1)).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["C /etc", "A /etc/new", "A /sock", "D /tmp"]);
    assert!(store.rootfs_size(&id(1)).unwrap().content_bytes == 1);

    let lease = store.lease();
    let commit = Commit { upper: rootfs.upper.clone(), take: Take::Copy, epoch: None };
    let copied = store.layer_commit(&lease, &commit).unwrap();
    assert!(rootfs.upper.join("etc/new").exists());
    let moved = store.layer_commit(&lease, &Commit { take: Take::Move, ..commit }).unwrap();
    assert_eq!(copied.diff_id, moved.diff_id);
    assert!(!rootfs.upper.exists());

    // The archive is made again from the tree, in every compression, and gives the diff id.
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let blob = store.layer_blob(&lease, &moved.diff_id, compression).unwrap();
        assert_eq!(store.layer_of_blob(&blob.digest).unwrap().unwrap().diff_id, moved.diff_id);
        if compression == Compression::None {
            assert_eq!(blob.digest, moved.diff_id);
            assert_eq!(blob.size, moved.tar_size);
        }
    }
    store.rootfs_remove(&id(1)).unwrap();
    assert!(matches!(store.rootfs(&id(1)), Err(Error::NoRootfs(_))));
}

#[test]
fn saved_images_load_elsewhere_with_the_same_ids_and_trees() {
    let (_temp, store) = open();
    let base = import(&store, "base:1");
    store.tag(&reference("base:stable"), &base.id).unwrap();
    let lease = store.lease();
    let layer = small_layer(&[("etc/conf", "value"), ("etc/.wh.gone", "")]);
    let upper = store.layer_import(&lease, &layer[..]).unwrap();
    let mut config = base.config.clone();
    config.rootfs.diff_ids.push(upper.diff_id.clone());
    let names = vec![reference("reg.example:5000/app/web:2")];
    let app = store.image_make(&lease, &config, names).unwrap();

    let mut archive = Vec::new();
    store.image_save(&["base", "reg.example:5000/app/web:2"], &mut archive).unwrap();
    let mut again = Vec::new();
    store.image_save(&["base", "reg.example:5000/app/web:2"], &mut again).unwrap();
    assert!(archive == again, "saving is deterministic");

    for gzip in [false, true] {
        let (_other_temp, other) = open();
        let input = if gzip { fixture::gzip(&archive) } else { archive.clone() };
        let mut steps = Vec::new();
        let loaded = other.image_load(&input[..], |step| steps.push(step)).unwrap();
        assert_eq!(loaded.len(), 2);
        assert!(steps.len() >= 3, "{steps:?}");
        assert_eq!(other.image_find("base:stable").unwrap().id, base.id);
        assert_eq!(other.image_find("reg.example:5000/app/web:2").unwrap().id, app.id);
        for diff_id in &app.layers {
            assert_eq!(
                tree_listing(&store.layer_path(diff_id)),
                tree_listing(&other.layer_path(diff_id))
            );
        }
        let mut back = Vec::new();
        other.image_save(&["base", "reg.example:5000/app/web:2"], &mut back).unwrap();
        assert!(back == archive, "a loaded image saves as it was");
    }
}

#[test]
fn removal_follows_the_rules_that_users_know() {
    let (_temp, store) = open();
    let image = import(&store, "a:1");
    store.tag(&reference("a:2"), &image.id).unwrap();
    store.tag(&reference("b:1"), &image.id).unwrap();
    let nobody = |_: &model::Digest| Vec::new();
    let plain = RemoveOptions::default();

    let removed = store.image_remove("a:2", plain, nobody).unwrap();
    assert_eq!(removed, [Removed::Untagged("a:2".to_owned())]);
    let refusal = store.image_remove(image.id.short(), plain, nobody).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!(
            "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
            image.id.short()
        )
    );
    store.image_remove("b:1", plain, nobody).unwrap();
    let stopped = |_: &model::Digest| vec![ImageUse { container: "c1".into(), running: false }];
    let refusal = store.image_remove("a:1", plain, stopped).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!(
            "conflict: unable to remove repository reference \"a:1\" (must force) - container c1 is using its referenced image {}",
            image.id.short()
        )
    );
    let running = |_: &model::Digest| vec![ImageUse { container: "c1".into(), running: true }];
    let force = RemoveOptions { force: true };
    let refusal = store.image_remove(image.id.short(), force, running).unwrap_err();
    assert!(refusal.to_string().contains("(cannot be forced)"), "{refusal}");
    let removed = store.image_remove("a:1", plain, nobody).unwrap();
    assert_eq!(removed, [Removed::Untagged("a:1".to_owned()), Removed::Deleted(image.id.clone())]);
    assert!(store.layer(&image.layers[0]).unwrap().is_none());
    assert!(!store.layer_path(&image.layers[0]).exists());
    assert!(store.usage().unwrap().blobs.is_empty());
}

#[test]
fn collection_spares_what_is_in_use_or_in_flight() {
    let (_temp, store) = open();
    let image = import(&store, "a:1");
    store.rootfs_create(&id(7), &image.id).unwrap();
    let nobody = |_: &model::Digest| Vec::new();
    store.image_remove("a:1", RemoveOptions { force: true }, nobody).unwrap();
    assert!(store.layer(&image.layers[0]).unwrap().is_some(), "a container has it");

    let lease = store.lease();
    let layer = store.layer_import(&lease, &small_layer(&[("x", "y")])[..]).unwrap();
    let blob = store.blob_put(&lease, b"document").unwrap();
    store.collect().unwrap();
    assert!(store.layer(&layer.diff_id).unwrap().is_some(), "leased");
    store.pin("cache", &[store::Resource::Layer(layer.diff_id.clone())]).unwrap();
    drop(lease);
    let collected = store.collect().unwrap();
    assert_eq!(collected.blobs, [blob]);
    assert!(store.layer(&layer.diff_id).unwrap().is_some(), "pinned");
    store.unpin("cache").unwrap();
    store.rootfs_remove(&id(7)).unwrap();
    assert_eq!(store.collect().unwrap().layers.len(), 2);
    assert!(store.usage().unwrap().layers.is_empty());
}

#[test]
fn a_broken_off_download_goes_on_where_it_was() {
    let (temp, store) = open();
    let packed = fixture::gzip(&busybox_tar());
    let digest = model::Digest::sha256(&packed);
    let source = LayerSource {
        blob: Descriptor::new("", digest.clone(), packed.len() as u64),
        diff_id: Some(model::Digest::sha256(&busybox_tar())),
        parents: Vec::new(),
    };
    let half = packed.len() / 2;
    {
        let lease = store.lease();
        let Begin::Wanted(mut ingest) = store.layer_begin(&lease, source.clone()).unwrap() else {
            panic!("it is new")
        };
        ingest.write(&packed[..half]).unwrap();
    }
    drop(store);
    let store = Store::open(&temp.path().join("root"), store::Options::default()).unwrap();
    let lease = store.lease();
    let Begin::Wanted(mut ingest) = store.layer_begin(&lease, source.clone()).unwrap() else {
        panic!("it is not whole")
    };
    assert_eq!(ingest.offset(), half as u64);
    ingest.write(&packed[half..]).unwrap();
    let layer = ingest.finish().unwrap();
    assert_eq!(store.blob_size(&digest).unwrap(), Some(packed.len() as u64));
    assert_eq!(layer.blobs[0].media_type, model::image::media_type::OCI_LAYER_GZIP);
    assert!(matches!(store.layer_begin(&lease, source).unwrap(), Begin::Present(_)));
}

#[test]
fn wrong_content_never_becomes_visible() {
    let (_temp, store) = open();
    let tar = small_layer(&[("a", "b")]);
    let lease = store.lease();
    let take = |blob: Descriptor, diff_id: model::Digest, bytes: &[u8]| {
        let source = LayerSource { blob, diff_id: Some(diff_id), parents: Vec::new() };
        match store.layer_begin(&lease, source).unwrap() {
            Begin::Wanted(mut ingest) => {
                ingest.write(bytes)?;
                ingest.finish().map(drop)
            }
            Begin::Present(_) => panic!("nothing is there"),
        }
    };
    let (right, other) = (model::Digest::sha256(&tar), model::Digest::sha256(b"other"));
    let size = tar.len() as u64;
    let wrong_digest = take(Descriptor::new("", other.clone(), size), right.clone(), &tar);
    assert!(matches!(wrong_digest, Err(Error::WrongDigest { .. })), "{wrong_digest:?}");
    let wrong_diff = take(Descriptor::new("", right.clone(), size), other, &tar);
    assert!(matches!(wrong_diff, Err(Error::WrongDiffId { .. })), "{wrong_diff:?}");
    let long = take(Descriptor::new("", right.clone(), size - 1), right.clone(), &tar);
    assert!(matches!(long, Err(Error::WrongSize { .. })), "{long:?}");
    let short = take(Descriptor::new("", right.clone(), size), right.clone(), &tar[..512]);
    assert!(matches!(short, Err(Error::WrongSize { .. })), "{short:?}");
    assert!(store.layer(&right).unwrap().is_none());
    assert!(store.usage().unwrap().blobs.is_empty());
    let rest = Descriptor::new("", right.clone(), size);
    let source = LayerSource { blob: rest, diff_id: Some(right.clone()), parents: Vec::new() };
    let Begin::Wanted(mut ingest) = store.layer_begin(&lease, source).unwrap() else { panic!() };
    assert_eq!(ingest.offset(), 512, "only the short one may be resumed");
    ingest.write(&tar[512..]).unwrap();
    ingest.finish().unwrap();
}

#[test]
fn a_lost_database_is_rebuilt_from_the_disk() {
    let (temp, store) = open();
    let image = import(&store, "kept:1");
    store.apply(store::Batch::new().put("k", "i", b"x".to_vec()), Durability::Durable).unwrap();
    let root = store.root().to_owned();
    drop(store);
    std::fs::remove_file(root.join("meta/cale.redb")).unwrap();
    let store = Store::open(&root, store::Options::default()).unwrap();
    let found = store.image_find("kept:1").unwrap();
    assert_eq!(found.id, image.id);
    assert_eq!(store.layer(&found.layers[0]).unwrap().unwrap().size, image.size);
    drop(temp);
}

#[test]
fn a_second_engine_is_told_who_is_first() {
    let (_temp, store) = open();
    let refusal = Store::open(store.root(), store::Options::default()).err().unwrap();
    let pid = std::process::id().to_string();
    assert!(refusal.to_string().contains(&format!("process {pid}")), "{refusal}");
}
