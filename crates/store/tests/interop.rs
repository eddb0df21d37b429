//! Other tools and the store read each other: GNU tar, skopeo, umoci, podman, du.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod fixture;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use fixture::{busybox_tar, id, open, tree_listing};
use model::Reference;
use model::image::{ImageConfig, Platform};
use store::archive::{ExtractOptions, Limits, TreeOptions, Whiteouts, Writer, extract, write_tree};
use store::{Image, Store};

fn run(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&said.stdout).into_owned()
}

fn import(store: &Store, name: &str, tar: &[u8]) -> Image {
    let host = Platform::host();
    let config = ImageConfig {
        created: Some("2026-01-02T03:04:05Z".to_owned()),
        architecture: host.architecture,
        os: host.os,
        ..ImageConfig::default()
    };
    let references = vec![name.parse::<Reference>().unwrap()];
    store.image_import(&store.lease(), tar, config, "", references).unwrap()
}

/// A tree with what archives find hard.
fn odd_tree(root: &Path) {
    let file = |path: &str, content: &[u8], mode: u32| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", b"content", 0o644);
    file("setuid", b"x", 0o4755);
    file("empty", b"", 0o600);
    file(&("long-component/".repeat(12) + "f"), b"", 0o644);
    file(&format!("d/{}", "n".repeat(255)), b"long name", 0o640);
    file(&format!("e/{}/{}", "a".repeat(140), "b".repeat(90)), b"prefix", 0o644);
    file("ünïcødé/文件", "é".as_bytes(), 0o644);
    file("block", &[7u8; 512], 0o644);
    file("sticky/in", b"", 0o644);
    std::fs::set_permissions(root.join("sticky"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    std::fs::hard_link(root.join("plain"), root.join("second-name")).unwrap();
    symlink("/absolute/elsewhere", root.join("abs")).unwrap();
    symlink("x/".repeat(100), root.join("long-link")).unwrap();
    std::os::unix::fs::chown(root.join("empty"), Some(3_000_000), Some(70_000)).unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    use std::os::unix::fs::FileExt;
    sparse.write_all_at(b"begin", 0).unwrap();
    for n in 1..40u64 {
        sparse.write_all_at(b"island", n * 200_000).unwrap();
    }
    sparse.set_len(10_000_000).unwrap();
    let dir = sys::dir::Dir::open(root).unwrap();
    dir.make_node(b"fifo", sys::dir::Node::Fifo, 0o644).unwrap();
    dir.make_node(b"disk", sys::dir::Node::Block { major: 7, minor: 300 }, 0o640).unwrap();
}

fn ours(root: &Path, archive: &[u8]) {
    std::fs::create_dir(root).unwrap();
    let options = ExtractOptions {
        whiteouts: Whiteouts::Plain,
        owner: None,
        keep_kinds: false,
        limits: Limits::default(),
    };
    extract(sys::dir::Dir::open(root).unwrap(), archive, options).unwrap();
}

#[test]
fn gnu_tar_writes_and_we_read_the_same_tree() {
    let temp = tempfile::tempdir().unwrap();
    let from = temp.path().join("from");
    std::fs::create_dir(&from).unwrap();
    odd_tree(&from);
    let at = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    for format in ["gnu", "oldgnu", "pax"] {
        for sparse in [&["-S"][..], &["-S", "--sparse-version=0.1"], &[]] {
            let archive = at("archive.tar");
            let format_flag = format!("--format={format}");
            let mut arguments = vec!["-C", from.to_str().unwrap(), "-cf", &archive, &format_flag];
            arguments.extend(sparse);
            arguments.push(".");
            run("tar", &arguments);
            let to = temp.path().join("to");
            ours(&to, &std::fs::read(&archive).unwrap());
            assert_eq!(tree_listing(&to), tree_listing(&from), "{format} {sparse:?}");
            let stat = std::fs::metadata(to.join("sparse")).unwrap();
            use std::os::unix::fs::MetadataExt;
            assert!(sparse.is_empty() || stat.blocks() * 512 < 1_000_000, "holes stay holes");
            std::fs::remove_dir_all(&to).unwrap();
        }
    }
}

#[test]
fn we_write_and_gnu_tar_and_python_read_the_same_tree() {
    let temp = tempfile::tempdir().unwrap();
    let from = temp.path().join("from");
    std::fs::create_dir(&from).unwrap();
    odd_tree(&from);
    let mut writer = Writer::new(Vec::new());
    let options = TreeOptions { whiteouts: Whiteouts::Plain, epoch: None };
    write_tree(&mut writer, &sys::dir::Dir::open(&from).unwrap(), options).unwrap();
    let bytes = writer.finish().unwrap();
    let archive = temp.path().join("archive.tar");
    std::fs::write(&archive, &bytes).unwrap();
    let to = temp.path().join("to");
    std::fs::create_dir(&to).unwrap();
    let (archive, to_text) = (archive.to_str().unwrap(), to.to_str().unwrap());
    run("tar", &["--xattrs", "-C", to_text, "-xpf", archive]);
    assert_eq!(tree_listing(&to), tree_listing(&from));
    let script = "import sys,tarfile\nfor m in tarfile.open(sys.argv[1]): print(m.name)";
    let names = run("python3", &["-c", script, archive]);
    assert_eq!(names.lines().count(), tree_listing(&from).len());
    let again = temp.path().join("again");
    ours(&again, &bytes);
    assert_eq!(tree_listing(&again), tree_listing(&from));
}

#[test]
fn a_debian_image_has_the_tree_that_gnu_tar_unpacks() {
    let (temp, store) = open();
    let debian = testkit::fixture::debian_tar();
    let tar = std::fs::read(&debian).unwrap();
    let image = import(&store, "debian:12", &tar);
    let theirs = temp.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    let (archive, to) = (debian.to_str().unwrap(), theirs.to_str().unwrap());
    run("tar", &["-C", to, "-xpf", archive, "--numeric-owner", "--xattrs"]);
    let layer = store.layer(&image.layers[0]).unwrap().unwrap();
    let (a, b) = (tree_listing(&store.layer_path(&image.layers[0])), tree_listing(&theirs));
    for (path, line) in &b {
        assert_eq!(a.get(path), Some(line), "{path}");
    }
    assert_eq!(a.len(), b.len());
    assert!(layer.size > 100_000_000);

    // What the store counts is what du counts.
    store.rootfs_create(&id(1), &image.id).unwrap();
    store.volume_create(&"data".parse().unwrap()).unwrap();
    std::fs::write(store.volume_path(&"data".parse().unwrap()).join("f"), [1u8; 999_999]).unwrap();
    let usage = store.usage().unwrap();
    let du = run("du", &["-s", "-B1", store.root().to_str().unwrap()]);
    let du: f64 = du.split_whitespace().next().unwrap().parse().unwrap();
    let ours = usage.total_bytes as f64;
    assert!((ours - du).abs() / du < 0.01, "we say {ours}, du says {du}");
}

#[test]
fn skopeo_and_umoci_read_the_layout() {
    let (temp, store) = open();
    let image = import(&store, "bb:v1", &busybox_tar());
    store.image_complete(&store.lease(), &image.id).unwrap();
    let source = format!("oci:{}:v1", store.root().join("images").display());
    let inspected = run("skopeo", &["inspect", "--config", &source]);
    assert!(inspected.contains(&image.layers[0].to_string()), "{inspected}");
    let copy = temp.path().join("copy");
    run("skopeo", &["copy", "-q", &source, &format!("oci:{}:x", copy.display())]);
    let bundle = temp.path().join("bundle");
    let image_at = format!("{}:x", copy.display());
    run("umoci", &["unpack", "--image", &image_at, bundle.to_str().unwrap()]);
    assert_eq!(
        tree_listing(&bundle.join("rootfs")),
        tree_listing(&store.layer_path(&image.layers[0]))
    );
}

#[test]
fn archives_travel_by_way_of_skopeo_in_both_formats() {
    let (temp, store) = open();
    let image = import(&store, "bb:v1", &busybox_tar());
    let saved = temp.path().join("saved.tar");
    store.image_save(&["bb:v1"], std::fs::File::create(&saved).unwrap()).unwrap();
    for format in ["docker-archive", "oci-archive"] {
        let from = format!("docker-archive:{}", saved.display());
        let there = temp.path().join(format!("{format}.tar"));
        let to = format!("{format}:{}:other/name:v2", there.display());
        run("skopeo", &["copy", "-q", &from, &to]);
        let (_other_temp, other) = open();
        let archive = std::fs::File::open(&there).unwrap();
        let loaded = other.image_load(archive, |_| ()).unwrap();
        assert_eq!(loaded[0].references[0].familiar(), "other/name:v2", "{format}");
        let got = other.image(&loaded[0].image).unwrap();
        assert_eq!(got.layers, image.layers, "{format}");
        assert_eq!(
            tree_listing(&other.layer_path(&got.layers[0])),
            tree_listing(&store.layer_path(&image.layers[0]))
        );
    }
}

#[test]
fn podman_loads_what_we_save() {
    let (temp, store) = open();
    let image = import(&store, "bb:v1", &busybox_tar());
    let saved = temp.path().join("saved.tar");
    store.image_save(&["bb:v1"], std::fs::File::create(&saved).unwrap()).unwrap();
    let at = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
    let (root, run_root) = (at("podman"), at("podman-run"));
    let base = ["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"];
    let podman = |arguments: &[&str]| run("podman", &[&base[..], arguments].concat());
    podman(&["load", "-q", "-i", saved.to_str().unwrap()]);
    let listed = podman(&["images", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}"]);
    assert!(listed.contains(&image.id.to_string()), "{listed}");
    assert!(listed.contains("docker.io/library/bb:v1"), "{listed}");
}
