//! Base images made from Debian's packages, cached outside the repository.
//!
//! The cache is `$CALE_FIXTURES`, else `/var/cache/cale-fixtures`. A fixture is made under a
//! temporary name and renamed, so several test processes may ask for it at once.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::program;

const APPLETS_LEFT_OUT: [&str; 3] = ["dpkg", "dpkg-deb", "rpm"];

/// The cache directory.
pub fn cache() -> PathBuf {
    let dir = std::env::var_os("CALE_FIXTURES")
        .map_or_else(|| PathBuf::from("/var/cache/cale-fixtures"), PathBuf::from);
    std::fs::create_dir_all(&dir).expect("the fixture cache can be made");
    dir
}

fn cached(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = cache().join(name);
    if !path.exists() {
        let partial = cache().join(format!(".{name}.{}", std::process::id()));
        make(&partial);
        std::fs::rename(&partial, &path).expect("the fixture can be put in place");
    }
    path
}

/// A root filesystem tar like the official busybox image's: one static program hard-linked under
/// every applet's name, users, and the usual directories.
pub fn busybox_tar() -> PathBuf {
    cached("busybox-1.tar", |path| {
        let file = std::fs::File::create(path).expect("the fixture can be written");
        let mut tar = tar::Builder::new(file);
        for (dir, mode) in [
            ("bin/", 0o755),
            ("dev/", 0o755),
            ("etc/", 0o755),
            ("home/", 0o755),
            ("root/", 0o700),
            ("tmp/", 0o1777),
            ("usr/", 0o755),
            ("usr/bin/", 0o755),
            ("usr/sbin/", 0o755),
            ("var/", 0o755),
            ("var/spool/", 0o755),
            ("var/www/", 0o755),
        ] {
            append(&mut tar, dir, tar::EntryType::Directory, mode, &[], None);
        }
        let program = std::fs::read("/bin/busybox").expect("busybox-static is installed");
        append(&mut tar, "bin/[", tar::EntryType::Regular, 0o755, &program, None);
        let applets = program::run(Command::new("/bin/busybox").arg("--list")).ok();
        for applet in applets.lines().chain(["busybox"]) {
            if applet != "[" && !APPLETS_LEFT_OUT.contains(&applet) {
                let name = format!("bin/{applet}");
                append(&mut tar, &name, tar::EntryType::Link, 0o755, &[], Some("bin/["));
            }
        }
        append(&mut tar, "usr/bin/env", tar::EntryType::Symlink, 0o777, &[], Some("../../bin/env"));
        for (name, mode, text) in [
            ("etc/passwd", 0o644, PASSWD),
            ("etc/group", 0o644, GROUP),
            ("etc/shadow", 0o640, "root:*:19000:0:99999:7:::\n"),
            ("etc/os-release", 0o644, "ID=busybox\nNAME=BusyBox\nVERSION_ID=1.35.0\n"),
        ] {
            append(&mut tar, name, tar::EntryType::Regular, mode, text.as_bytes(), None);
        }
        tar.into_inner().and_then(|mut file| file.flush()).expect("the fixture can be written");
    })
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
";

const GROUP: &str = "root:x:0:
daemon:x:1:
bin:x:2:
tty:x:5:
wheel:x:10:root
www-data:x:33:
operator:x:37:
users:x:100:
nobody:x:65534:
";

fn append(
    tar: &mut tar::Builder<std::fs::File>,
    name: &str,
    kind: tar::EntryType,
    mode: u32,
    data: &[u8],
    link: Option<&str>,
) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(1_700_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(data.len() as u64);
    let result = match link {
        Some(target) => tar.append_link(&mut header, name, target),
        None => tar.append_data(&mut header, name, data),
    };
    result.expect("the fixture can be written");
}

/// A minimal Debian 12 root filesystem tar with apt, made by mmdebstrap (about half a minute).
///
/// The machine's own certificate bundle is put in, so that TLS works through its gateways, and its
/// apt sources, so that `apt-get` works inside.
pub fn debian_tar() -> PathBuf {
    cached("debian-12.tar", |path| {
        let mut command = Command::new("mmdebstrap");
        command
            .args(["--variant=minbase", "--include=ca-certificates"])
            .args([
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/doc/*",
            ])
            .arg("--customize-hook=copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs")
            .args(["--format=tar", "bookworm"])
            .arg(path);
        for sources in apt_sources() {
            command.arg(sources);
        }
        program::run(&mut command).ok();
    })
}

/// The machine's own apt sources, which reach whatever mirror it may reach.
fn apt_sources() -> Vec<PathBuf> {
    let listed = std::fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let parts = listed.map(|entry| entry.path()).filter(|path| {
        path.extension().is_some_and(|extension| extension == "list" || extension == "sources")
    });
    let main = PathBuf::from("/etc/apt/sources.list");
    parts.chain([main]).filter(|path| path.metadata().is_ok_and(|meta| meta.len() > 0)).collect()
}
