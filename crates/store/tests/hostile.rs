//! Hostile archives, made on the spot: none touches anything outside its root, all end soon and
//! in bounded memory, and what must be refused is refused by name.

#![allow(clippy::unwrap_used, reason = "tests may")]

mod fixture;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fixture::{open, tree_listing};
use model::Digest;
use model::image::Descriptor;
use store::archive::{ArchiveError, ExtractOptions, Limits, Whiteouts, extract};
use store::{Begin, Error, LayerSource};

const BLOCK: usize = 512;

/// Builds headers field by field, right checksum and all, whatever nonsense they say.
struct Raw {
    bytes: Vec<u8>,
}

struct Head<'a> {
    name: &'a [u8],
    kind: u8,
    link: &'a [u8],
    mode: u32,
    size: u64,
}

impl<'a> Head<'a> {
    fn new(name: &'a [u8], kind: u8) -> Self {
        Self { name, kind, link: b"", mode: 0o777, size: 0 }
    }
}

impl Raw {
    fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    fn head(&mut self, head: &Head<'_>) {
        let mut block = [0u8; BLOCK];
        let name = &head.name[..head.name.len().min(100)];
        block[..name.len()].copy_from_slice(name);
        let field = |block: &mut [u8; BLOCK], at: usize, digits: usize, value: u64| {
            let text = format!("{value:0digits$o}");
            block[at..at + digits].copy_from_slice(&text.as_bytes()[..digits]);
        };
        field(&mut block, 100, 7, u64::from(head.mode));
        field(&mut block, 108, 7, 0);
        field(&mut block, 116, 7, 0);
        field(&mut block, 124, 11, head.size);
        field(&mut block, 136, 11, 0);
        block[156] = head.kind;
        let link = &head.link[..head.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        field(&mut block, 329, 7, 1);
        field(&mut block, 337, 7, 3);
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&block);
    }

    fn data(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        let rest = data.len().wrapping_neg() % BLOCK;
        self.bytes.extend_from_slice(&vec![0; rest]);
    }

    fn pax(&mut self, records: &[(&str, &[u8])]) {
        let mut body = Vec::new();
        for (key, value) in records {
            let mut length = key.len() + value.len() + 4;
            while length.to_string().len() + key.len() + value.len() + 3 != length {
                length += 1;
            }
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.head(&Head { size: body.len() as u64, ..Head::new(b"PaxHeader", b'x') });
        self.data(&body);
    }

    fn entry(&mut self, head: &Head<'_>) {
        let long = head.name.len() > 100 || head.name.contains(&0);
        if long {
            self.pax(&[("path", head.name)]);
        }
        if head.kind == b'0' {
            self.head(&Head { size: 4, name: head.name, link: head.link, ..*head });
            self.data(b"evil");
        } else {
            self.head(head);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 2 * BLOCK]);
        self.bytes
    }
}

/// A directory to extract into, and one beside it that must stay as it is.
struct Site {
    _temp: tempfile::TempDir,
    root: PathBuf,
    canary: PathBuf,
    before: std::collections::BTreeMap<String, String>,
}

impl Site {
    fn new() -> Self {
        // In memory: the time limit is about the extractor, not about a busy disk.
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let (root, canary) = (temp.path().join("root"), temp.path().join("canary"));
        std::fs::create_dir(&root).unwrap();
        std::fs::create_dir(&canary).unwrap();
        std::fs::create_dir(canary.join("dir")).unwrap();
        std::fs::write(canary.join("file"), "untouched").unwrap();
        std::os::unix::fs::symlink("file", canary.join("link")).unwrap();
        let before = tree_listing(temp.path().join("canary").as_path());
        Self { _temp: temp, root, canary, before }
    }

    fn extract(&self, archive: &[u8]) -> Result<(), ArchiveError> {
        let dir = sys::dir::Dir::open(&self.root).unwrap();
        let limits = Limits { entries: 10_000, unpacked_bytes: 64 << 20, ratio: 200 };
        let start = Instant::now();
        let result = extract(dir, archive, ExtractOptions::layer(limits)).map(drop);
        assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
        assert_eq!(tree_listing(&self.canary), self.before, "the canary was touched: {result:?}");
        result
    }
}

fn names(canary: &Path) -> Vec<Vec<u8>> {
    let canary = canary.to_str().unwrap();
    let mut names: Vec<Vec<u8>> = [
        "../canary/file",
        "../../canary/new",
        "/../canary/file",
        "a/../../canary/file",
        "a/b/../../../canary/file",
        "./../canary/file",
        "link/file",
        "link/new",
        "link/dir/new",
        "link",
        "up/canary/file",
        "up/../canary/file",
        "hard",
        "..",
        ".",
        "/",
        "",
        ".wh...",
        ".wh.",
        ".wh..",
        ".wh.file",
        "link/.wh.file",
        "link/.wh..wh..opq",
        ".wh..wh..opq",
        "a/.wh.../x",
        ".wh../canary/file",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(format!("{canary}/file").into_bytes());
    names.push(format!("/{canary}/new").into_bytes());
    names.push(vec![b'n'; 300]);
    names.push(b"x/".repeat(2500));
    names.push(b"nul\0name".to_vec());
    names
}

#[test]
fn two_hundred_and_more_archives_leave_the_canary_alone() {
    let mut count = 0;
    let kinds = [b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'Z'];
    for prepared in ["symlink", "relative", "dir", "flip", "hard"] {
        let probe = Site::new();
        for name in names(&probe.canary) {
            for kind in kinds {
                let site = Site::new();
                let canary = site.canary.to_str().unwrap().as_bytes();
                let mut raw = Raw::new();
                match prepared {
                    "symlink" => raw.entry(&Head { link: canary, ..Head::new(b"link", b'2') }),
                    "relative" => {
                        raw.entry(&Head { link: b"../canary", ..Head::new(b"link", b'2') });
                        raw.entry(&Head { link: b"..", ..Head::new(b"up", b'2') });
                    }
                    "dir" => raw.entry(&Head::new(b"link", b'5')),
                    "flip" => {
                        raw.entry(&Head::new(b"link", b'5'));
                        raw.entry(&Head::new(b"link/inner", b'0'));
                        raw.entry(&Head { link: canary, ..Head::new(b"link", b'2') });
                    }
                    _ => {
                        let target = [canary, b"/file"].concat();
                        raw.entry(&Head { link: &target, ..Head::new(b"soft", b'2') });
                        raw.entry(&Head { link: b"soft", ..Head::new(b"hard", b'1') });
                    }
                }
                let link = [canary, b"/file"].concat();
                raw.entry(&Head { link: &link, ..Head::new(&name, kind) });
                // Then the same name again with another mode, and as a directory.
                raw.entry(&Head { link: b"soft", mode: 0o4777, ..Head::new(&name, b'5') });
                let result = site.extract(&raw.finish());
                let shows_parent = name.split(|&b| b == b'/').any(|part| part == b"..");
                assert!(!shows_parent || result.is_err(), "{}", String::from_utf8_lossy(&name));
                count += 1;
            }
        }
    }
    assert!(count >= 200, "{count}");
}

#[test]
fn mutated_archives_never_escape_hang_or_panic() {
    let good = fixture::small_layer(&[("a/b", "content"), ("a/.wh.c", ""), ("link", "x")]);
    let site = Site::new();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..500 {
        let mut bytes = good.clone();
        for _ in 0..=round % 5 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(state >> 33).unwrap() % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        // The checksum is made right, or nothing but it would be tested.
        for block in bytes.chunks_mut(BLOCK) {
            if block.len() == BLOCK && block[257..262] == *b"ustar" {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        // Either way is right; what counts is that it ends and stays inside.
        let _ = site.extract(&bytes);
    }
}

fn refused(raw: Raw, reason: &str) {
    let site = Site::new();
    let error = site.extract(&raw.finish()).expect_err(reason).to_string();
    assert!(error.contains(reason), "{error:?} doesn't say {reason:?}");
}

#[test]
fn contradictions_are_refused_by_name() {
    let mut raw = Raw::new();
    raw.pax(&[("size", b"3")]);
    raw.pax(&[("size", b"4")]);
    refused(raw, "two pax headers");

    let mut raw = Raw::new();
    raw.head(&Head { size: 512, ..Head::new(b"dir", b'5') });
    raw.data(&[b'x'; 512]);
    refused(raw, "with data that can't have any");

    let mut raw = Raw::new();
    raw.head(&Head { size: 12, ..Head::new(b"g", b'g') });
    raw.data(b"12 size=512\n");
    refused(raw, "global pax header");

    let mut raw = Raw::new();
    raw.pax(&[("path", b"x")]);
    refused(raw, "an extension without its entry");

    let mut raw = Raw::new();
    raw.head(&Head { size: 2 << 20, ..Head::new(b"x", b'x') });
    refused(raw, "bytes in an extended header");

    let mut raw = Raw::new();
    raw.bytes.extend_from_slice(&[0; BLOCK]);
    raw.entry(&Head::new(b"after", b'0'));
    refused(raw, "a lone zero block");

    let mut raw = Raw::new();
    raw.pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.realsize", b"1000000000000000"),
    ]);
    raw.head(&Head { size: 512, ..Head::new(b"s", b'0') });
    raw.data(b"1000000000\n");
    refused(raw, "sparse extents");

    let mut raw = Raw::new();
    raw.head(&Head { size: 60 << 20, ..Head::new(b"big", b'0') });
    raw.data(&vec![0; 60 << 20]);
    raw.head(&Head { size: 60 << 20, ..Head::new(b"big2", b'0') });
    refused(raw, "bytes in files");

    let mut raw = Raw::new();
    for n in 0..10_001 {
        raw.head(&Head::new(format!("d{n}").as_bytes(), b'6'));
    }
    refused(raw, "10000 entries");

    let mut raw = Raw::new();
    raw.entry(&Head { link: b"nowhere", ..Head::new(b"h", b'1') });
    refused(raw, "which isn't there");
}

#[test]
fn pax_sizes_win_as_in_other_readers() {
    // The ustar size says 0, the pax size 512: the block is data, not a smuggled header.
    let mut inner = Raw::new();
    inner.head(&Head::new(b"smuggled", b'6'));
    let mut raw = Raw::new();
    raw.pax(&[("size", b"512")]);
    raw.head(&Head::new(b"outer", b'0'));
    raw.data(&inner.bytes);
    let site = Site::new();
    site.extract(&raw.finish()).unwrap();
    let names: Vec<_> = tree_listing(&site.root).into_keys().collect();
    assert_eq!(names, ["outer"]);
}

#[test]
fn attributes_that_steer_overlayfs_are_not_taken() {
    let mut raw = Raw::new();
    raw.pax(&[
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.security.selinux", b"x"),
        ("SCHILY.xattr.user.kept", b"1"),
    ]);
    raw.head(&Head::new(b"dir", b'5'));
    let site = Site::new();
    site.extract(&raw.finish()).unwrap();
    let dir = std::fs::File::open(site.root.join("dir")).unwrap();
    assert_eq!(sys::file::xattr_names(&dir).unwrap(), [b"user.kept".to_vec()]);
}

#[test]
fn a_swapper_in_the_tree_gains_nothing() {
    let site = Site::new();
    let root = site.root.clone();
    std::fs::create_dir(root.join("d")).unwrap();
    std::os::unix::fs::symlink(&site.canary, root.join("evil")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let swap = |from: &str, to: &str| {
                // Fails while the extractor is in between; the next round goes on.
                let _ = std::fs::rename(root.join(from), root.join(to));
            };
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                swap("d", "t");
                swap("evil", "d");
                swap("d", "evil");
                swap("t", "d");
            }
        });
        for round in 0..400 {
            let mut raw = Raw::new();
            for n in 0..20 {
                let name = format!("d/f{n}");
                raw.entry(&Head { mode: 0o4777, ..Head::new(name.as_bytes(), b'0') });
                raw.entry(&Head { mode: 0o777, ..Head::new(b"d", b'5') });
                let name = format!("d/n{n}");
                raw.entry(&Head::new(name.as_bytes(), b'6'));
            }
            let dir = sys::dir::Dir::open(&site.root).unwrap();
            let options = ExtractOptions {
                whiteouts: Whiteouts::Plain,
                owner: Some((round, round)),
                keep_kinds: true,
                limits: Limits::default(),
            };
            // Under a swapper it may fail; it must only never reach outside.
            let _ = extract(dir, &raw.finish()[..], options);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(tree_listing(&site.canary), site.before);
}

#[test]
fn deep_trees_cost_an_error_and_not_the_process() {
    // As deep as may be, and one deeper; on a thread with the stack that workers have.
    for (levels, fits) in [(399, true), (401, false), (1500, false)] {
        let path = [b"d/".repeat(levels), b"f".to_vec()].concat();
        let mut raw = Raw::new();
        raw.entry(&Head::new(&path, b'0'));
        let site = Site::new();
        let result = site.extract(&raw.finish());
        assert_eq!(result.is_ok(), fits, "{levels}: {result:?}");
    }
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = store::Store::open(temp.path(), store::Options::default()).unwrap();
    let lease = store.lease();
    let snapshot = store.snapshot(&lease, &[]).unwrap();
    let upper = snapshot.rootfs().upper.clone();
    let mut dir = sys::dir::Dir::open(&upper).unwrap();
    for _ in 0..20_000 {
        dir.make_dir(b"d", 0o755).unwrap();
        dir = dir.open_dir(b"d").unwrap();
    }
    let top = sys::dir::Dir::open(&upper).unwrap();
    assert!(store::changes(&top, &[]).is_err());
    std::fs::write(upper.join("d/d/file"), "x").unwrap();
    assert_eq!(store::measure(&top).unwrap().content_bytes, 1);
    for take in [store::Take::Copy, store::Take::Move] {
        let commit = store::Commit { upper: upper.clone(), take, epoch: None };
        let error = store.layer_commit(&lease, &commit).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("nest too deeply"), "{cause}");
        assert!(upper.join("d/d").exists(), "the upper directory was lost");
    }
    drop(snapshot);
    assert!(store.usage().unwrap().staging_bytes < 1 << 20);
}

#[test]
fn a_bomb_stops_at_its_ratio_and_frees_its_staging() {
    let (_temp, store) = open();
    let mut raw = Raw::new();
    raw.head(&Head { size: 6 << 30, ..Head::new(b"zeros", b'0') });
    let mut bomb = zstd_stream();
    bomb.write_all(&raw.bytes).unwrap();
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..600 {
        bomb.write_all(&zeros).unwrap();
    }
    let packed = bomb.finish().unwrap();
    assert!(packed.len() < 1 << 20);
    let lease = store.lease();
    let source = LayerSource {
        blob: Descriptor::new("", Digest::sha256(&packed), packed.len() as u64),
        diff_id: None,
        parents: Vec::new(),
    };
    let Begin::Wanted(mut ingest) = store.layer_begin(&lease, source).unwrap() else { panic!() };
    let result = ingest.write(&packed).and_then(|()| ingest.finish());
    let error = result.expect_err("it is a bomb");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    assert!(matches!(error, Error::Unpack { .. }), "{text}");
    assert!(text.contains("more than 200 times"), "{text}");
    assert!(store.usage().unwrap().staging_bytes < 1 << 20);
}

fn zstd_stream() -> store::archive::Encoder<Vec<u8>> {
    store::archive::Encoder::new(store::Compression::Zstd, Vec::new()).unwrap()
}
