//! `Binds` (`-v`), `Mounts` (`--mount`), tmpfs options and `VolumesFrom`.

use model::mount::{
    Mount, MountOrigin, MountSource, Propagation, ReadonlyRecursion, Relabel, VolumesFrom,
};

use super::{Refusal, Result, clean_path, some_text};
use crate::wire;

/// Reads `source:target:options`, `source:target` or `target`. `shallow`: read-only binds leave
/// the mounts below writable (before 1.44).
pub fn parse_bind(text: &str, shallow: bool) -> Result<Mount> {
    let invalid = || Refusal::new(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => ("", *target, ""),
        // `/path:ro` names no source.
        [_, mode] if BindMode::parse(mode, true).is_ok() && !mode.starts_with('/') => {
            return Err(invalid());
        }
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => return Err(invalid()),
    };
    if target.is_empty() || (source.is_empty() && parts.len() > 1) {
        return Err(invalid());
    }
    let target = check_target(text, target)?;
    let is_bind = source.starts_with('/');
    let mode = BindMode::parse(mode, is_bind)?;
    let source = if is_bind {
        MountSource::Bind {
            path: clean_path(source),
            create: true,
            propagation: mode.propagation,
            recursive: true,
            readonly_recursion: if shallow {
                ReadonlyRecursion::Off
            } else {
                ReadonlyRecursion::IfPossible
            },
            relabel: mode.relabel,
        }
    } else {
        MountSource::Volume {
            name: some_text(source),
            copy_up: !mode.nocopy,
            labels: Default::default(),
            driver: None,
            driver_options: Default::default(),
            subpath: None,
        }
    };
    Ok(Mount {
        target,
        readonly: mode.readonly,
        source,
        origin: MountOrigin::Bind(text.to_owned()),
    })
}

fn check_target(text: &str, target: &str) -> Result<String> {
    if !target.starts_with('/') {
        return Err(Refusal::new(format!(
            "invalid volume specification: '{text}': invalid mount path: '{target}' mount path must be absolute"
        )));
    }
    let target = clean_path(target);
    if target == "/" {
        return Err(Refusal::new(format!(
            "invalid volume specification: '{text}': invalid specification: destination can't be '/'"
        )));
    }
    Ok(target)
}

/// The options after the second colon.
#[derive(Default)]
struct BindMode {
    readonly: bool,
    nocopy: bool,
    relabel: Relabel,
    propagation: Propagation,
}

impl BindMode {
    fn parse(text: &str, is_bind: bool) -> Result<Self> {
        let invalid = || Refusal::new(format!("invalid mode: {text}"));
        let mut mode = Self::default();
        if text.is_empty() {
            return Ok(mode);
        }
        // Each group of options may be given once.
        let (mut access, mut label, mut copy, mut spread, mut consistency) = (0, 0, 0, 0, 0);
        for word in text.split(',') {
            match word {
                "ro" | "rw" => {
                    access += 1;
                    mode.readonly = word == "ro";
                }
                "z" | "Z" => {
                    label += 1;
                    mode.relabel = if word == "z" { Relabel::Shared } else { Relabel::Private };
                }
                "nocopy" if !is_bind => {
                    copy += 1;
                    mode.nocopy = true;
                }
                // Docker Desktop's; accepted everywhere, without effect on Linux.
                "consistent" | "cached" | "delegated" => consistency += 1,
                other => match parse_propagation(other) {
                    Some(propagation) if is_bind => {
                        spread += 1;
                        mode.propagation = propagation;
                    }
                    _ => return Err(invalid()),
                },
            }
        }
        if [access, label, copy, spread, consistency].iter().any(|count| *count > 1) {
            return Err(invalid());
        }
        Ok(mode)
    }
}

fn parse_propagation(text: &str) -> Option<Propagation> {
    Some(match text {
        "private" => Propagation::Private,
        "rprivate" => Propagation::Rprivate,
        "shared" => Propagation::Shared,
        "rshared" => Propagation::Rshared,
        "slave" => Propagation::Slave,
        "rslave" => Propagation::Rslave,
        _ => return None,
    })
}

/// Reads one of `HostConfig.Mounts`.
pub fn parse_mount(mount: &wire::Mount, shallow: bool) -> Result<Mount> {
    let fail = |text: &str| {
        Refusal::new(format!("invalid mount config for type {:?}: {text}", mount.kind))
    };
    if mount.kind.is_empty() {
        return Err(fail("mount type unknown"));
    }
    if mount.target.is_empty() {
        return Err(fail("field Target must not be empty"));
    }
    if !mount.target.starts_with('/') {
        let text = format!("invalid mount path: '{}' mount path must be absolute", mount.target);
        return Err(fail(&text));
    }
    let target = clean_path(&mount.target);
    if target == "/" {
        return Err(fail("invalid specification: destination can't be '/'"));
    }
    forbid_foreign_options(mount)?;
    let source = match mount.kind.as_str() {
        "bind" => bind_source(mount, shallow, fail)?,
        "volume" => volume_source(mount, fail)?,
        "tmpfs" => tmpfs_source(mount, fail)?,
        "image" => {
            if mount.source.is_empty() {
                return Err(fail("field Source must not be empty"));
            }
            let options = mount.image_options.as_ref();
            MountSource::Image {
                reference: mount.source.clone(),
                subpath: subpath(options.map_or("", |o| &o.subpath), fail)?,
            }
        }
        "cluster" | "npipe" => {
            return Err(fail(
                "mounts of this type need a swarm or Windows; this engine has neither",
            ));
        }
        _ => return Err(fail("mount type unknown")),
    };
    Ok(Mount { target, readonly: mount.read_only, source, origin: MountOrigin::Mount })
}

fn forbid_foreign_options(mount: &wire::Mount) -> Result<()> {
    let options = [
        ("BindOptions", "bind", mount.bind_options.is_some()),
        ("VolumeOptions", "volume", mount.volume_options.is_some()),
        ("ImageOptions", "image", mount.image_options.is_some()),
        ("TmpfsOptions", "tmpfs", mount.tmpfs_options.is_some()),
    ];
    match options.iter().find(|(_, kind, given)| *given && mount.kind != *kind) {
        Some((name, _, _)) => Err(Refusal::new(format!(
            "{name} must not be specified on mount type {:?}",
            mount.kind
        ))),
        None => Ok(()),
    }
}

fn bind_source(
    mount: &wire::Mount,
    shallow: bool,
    fail: impl Fn(&str) -> Refusal,
) -> Result<MountSource> {
    if mount.source.is_empty() {
        return Err(fail("field Source must not be empty"));
    }
    if !mount.source.starts_with('/') {
        let text = format!("invalid mount path: '{}' mount path must be absolute", mount.source);
        return Err(fail(&text));
    }
    let options = mount.bind_options.clone().unwrap_or_default();
    let propagation = match options.propagation.as_str() {
        "" => Propagation::Unset,
        text => parse_propagation(text)
            .ok_or_else(|| fail(&format!("invalid propagation mode: {text}")))?,
    };
    if options.read_only_force_recursive {
        if !mount.read_only {
            return Err(fail("mount source is not read-only, but ReadOnlyForceRecursive is set"));
        }
        if options.read_only_non_recursive {
            return Err(fail("ReadOnlyForceRecursive and ReadOnlyNonRecursive cannot be set both"));
        }
    }
    if options.read_only_non_recursive && !mount.read_only {
        return Err(fail("mount source is not read-only, but ReadOnlyNonRecursive is set"));
    }
    Ok(MountSource::Bind {
        path: clean_path(&mount.source),
        create: options.create_mountpoint,
        propagation,
        recursive: !options.non_recursive,
        readonly_recursion: if options.read_only_force_recursive {
            ReadonlyRecursion::Required
        } else if options.read_only_non_recursive || shallow {
            ReadonlyRecursion::Off
        } else {
            ReadonlyRecursion::IfPossible
        },
        relabel: Relabel::No,
    })
}

fn volume_source(mount: &wire::Mount, fail: impl Fn(&str) -> Refusal) -> Result<MountSource> {
    let options = mount.volume_options.clone().unwrap_or_default();
    if mount.source.is_empty() {
        if mount.read_only {
            return Err(fail("must not set ReadOnly mode when using anonymous volumes"));
        }
        if !options.subpath.is_empty() {
            return Err(fail("must not set Subpath when using anonymous volumes"));
        }
    }
    let driver = options.driver_config.unwrap_or_default();
    Ok(MountSource::Volume {
        name: some_text(&mount.source),
        copy_up: !options.no_copy,
        labels: options.labels.unwrap_or_default().into_iter().collect(),
        driver: some_text(&driver.name),
        driver_options: driver.options.into_iter().collect(),
        subpath: subpath(&options.subpath, fail)?,
    })
}

fn subpath(text: &str, fail: impl Fn(&str) -> Refusal) -> Result<Option<String>> {
    if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        return Err(fail("subpath must be a relative path within the volume"));
    }
    Ok(some_text(text))
}

fn tmpfs_source(mount: &wire::Mount, fail: impl Fn(&str) -> Refusal) -> Result<MountSource> {
    if !mount.source.is_empty() {
        return Err(fail("field Source must not be specified"));
    }
    let options = mount.tmpfs_options.clone().unwrap_or_default();
    let size = match options.size_bytes {
        0 => None,
        size => Some(u64::try_from(size).map_err(|_| fail("tmpfs size must not be negative"))?),
    };
    let extra = options.options.unwrap_or_default();
    for option in &extra {
        match option.as_slice() {
            [word] if is_tmpfs_option(word) => {}
            [key, value] if is_tmpfs_option(&format!("{key}={value}")) => {}
            _ => return Err(fail(&format!("invalid option: {}", option.join("=")))),
        }
    }
    Ok(MountSource::Tmpfs {
        size,
        mode: (options.mode != 0).then_some(options.mode),
        options: extra,
    })
}

/// Judges the option text of `--tmpfs path:options`.
pub(super) fn check_tmpfs_options(path: &str, text: &str) -> Result<()> {
    if !path.starts_with('/') {
        return Err(Refusal::new(format!(
            "invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    if clean_path(path) == "/" {
        return Err(Refusal::new("invalid specification: destination can't be '/'"));
    }
    match text.split(',').find(|word| !word.is_empty() && !is_tmpfs_option(word)) {
        Some(word) => Err(Refusal::new(format!("invalid tmpfs option {word:?}"))),
        None => Ok(()),
    }
}

/// Options of tmpfs(5) and mount(8) that Docker accepts.
fn is_tmpfs_option(word: &str) -> bool {
    const FLAGS: [&str; 30] = [
        "defaults",
        "ro",
        "rw",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "exec",
        "noexec",
        "sync",
        "async",
        "dirsync",
        "remount",
        "mand",
        "nomand",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "nostrictatime",
        "private",
        "rprivate",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "unbindable",
    ];
    match word.split_once('=') {
        Some((key, value)) => {
            matches!(key, "size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol")
                && !value.is_empty()
        }
        None => FLAGS.contains(&word),
    }
}

/// Reads `container[:ro|rw]`.
pub(super) fn parse_volumes_from(text: &str) -> Result<VolumesFrom> {
    let invalid = || Refusal::new(format!("malformed --volumes-from specification: {text:?}"));
    let (container, mode) = match text.split_once(':') {
        Some((container, mode)) => (container, Some(mode)),
        None => (text, None),
    };
    if container.is_empty() {
        return Err(invalid());
    }
    let readonly = match mode {
        None => None,
        Some(mode) => Some(BindMode::parse(mode, true)?.readonly),
    };
    Ok(VolumesFrom { container: container.to_owned(), readonly })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> std::result::Result<String, String> {
        let mount = parse_bind(text, false).map_err(|e| e.message)?;
        let source = match mount.source {
            MountSource::Bind { path, propagation, relabel, .. } => {
                format!("bind {path} {propagation:?} {relabel:?}")
            }
            MountSource::Volume { name, copy_up, .. } => {
                format!("volume {} copy={copy_up}", name.unwrap_or_default())
            }
            other => format!("{other:?}"),
        };
        Ok(format!("{source} → {} ro={}", mount.target, mount.readonly))
    }

    #[test]
    fn binds_read_in_all_forms() {
        for (text, want) in [
            ("/src:/dst", "bind /src Unset No → /dst ro=false"),
            ("/src/../x:/dst/:ro", "bind /x Unset No → /dst ro=true"),
            ("/src:/dst:ro,rslave,z", "bind /src Rslave Shared → /dst ro=true"),
            ("/src:/dst:Z,cached", "bind /src Unset Private → /dst ro=false"),
            ("data:/dst", "volume data copy=true → /dst ro=false"),
            ("data:/dst:nocopy,ro", "volume data copy=false → /dst ro=true"),
            ("/dst", "volume  copy=true → /dst ro=false"),
            ("data:/ro", "volume data copy=true → /ro ro=false"),
        ] {
            assert_eq!(bind(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn wrong_binds_are_refused_in_dockers_words() {
        for (text, want) in [
            ("", "invalid volume specification: ''"),
            (":/x", "invalid volume specification: ':/x'"),
            ("/a:", "invalid volume specification: '/a:'"),
            ("/a:/b:/c:ro", "invalid volume specification: '/a:/b:/c:ro'"),
            ("/a:ro", "invalid volume specification: '/a:ro'"),
            ("/a:/b:foo", "invalid mode: foo"),
            ("/a:/b:ro,rw", "invalid mode: ro,rw"),
            ("/a:/b:nocopy", "invalid mode: nocopy"),
            ("v:/b:shared", "invalid mode: shared"),
        ] {
            assert_eq!(bind(text).unwrap_err(), want, "{text}");
        }
        assert!(bind("/a:/").unwrap_err().contains("destination can't be '/'"));
        assert!(bind("/a:b").unwrap_err().contains("'b' mount path must be absolute"));
    }

    fn mount(json: &str) -> std::result::Result<Mount, String> {
        let mount: wire::Mount = crate::go::from_slice(json.as_bytes()).unwrap();
        parse_mount(&mount, false).map_err(|e| e.message)
    }

    #[test]
    fn mounts_read_in_all_types() {
        let bind = mount(r#"{"Type":"bind","Source":"/s","Target":"/t","ReadOnly":true,"BindOptions":{"Propagation":"rshared","NonRecursive":true,"ReadOnlyForceRecursive":true}}"#).unwrap();
        assert!(matches!(
            bind.source,
            MountSource::Bind {
                create: false,
                recursive: false,
                propagation: Propagation::Rshared,
                readonly_recursion: ReadonlyRecursion::Required,
                ..
            }
        ));
        let volume = mount(r#"{"Type":"volume","Source":"v","Target":"/t","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"},"Subpath":"x/y","DriverConfig":{"Name":"local","Options":{"type":"nfs"}}}}"#).unwrap();
        assert!(matches!(
            volume.source,
            MountSource::Volume { copy_up: false, subpath: Some(path), .. } if path == "x/y"
        ));
        let tmpfs = mount(r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":4096,"Mode":448,"Options":[["noexec"],["uid","5"]]}}"#).unwrap();
        assert!(matches!(
            tmpfs.source,
            MountSource::Tmpfs { size: Some(4096), mode: Some(0o700), .. }
        ));
        let image = mount(r#"{"Type":"image","Source":"debian","Target":"/t"}"#).unwrap();
        assert!(matches!(image.source, MountSource::Image { .. }));
    }

    #[test]
    fn wrong_mounts_are_refused() {
        for (json, want) in [
            (
                r#"{"Type":"bind","Source":"/s"}"#,
                "invalid mount config for type \"bind\": field Target must not be empty",
            ),
            (
                r#"{"Type":"bind","Target":"/t"}"#,
                "invalid mount config for type \"bind\": field Source must not be empty",
            ),
            (
                r#"{"Type":"bind","Source":"s","Target":"/t"}"#,
                "invalid mount config for type \"bind\": invalid mount path: 's' mount path must be absolute",
            ),
            (
                r#"{"Type":"foo","Source":"s","Target":"/t"}"#,
                "invalid mount config for type \"foo\": mount type unknown",
            ),
            (
                r#"{"Type":"tmpfs","Source":"s","Target":"/t"}"#,
                "invalid mount config for type \"tmpfs\": field Source must not be specified",
            ),
            (
                r#"{"Type":"volume","Target":"/t","BindOptions":{}}"#,
                "BindOptions must not be specified on mount type \"volume\"",
            ),
            (
                r#"{"Type":"volume","Source":"v","Target":"/t","VolumeOptions":{"Subpath":"../x"}}"#,
                "invalid mount config for type \"volume\": subpath must be a relative path within the volume",
            ),
        ] {
            assert_eq!(mount(json).unwrap_err(), want, "{json}");
        }
    }

    #[test]
    fn tmpfs_options_are_checked() {
        assert!(check_tmpfs_options("/run", "rw,noexec,size=64m,mode=1777").is_ok());
        assert!(check_tmpfs_options("/run", "").is_ok());
        assert!(check_tmpfs_options("/run", "bogus").unwrap_err().message.contains("bogus"));
        assert!(check_tmpfs_options("run", "").is_err());
    }

    #[test]
    fn volumes_from_may_say_how() {
        assert_eq!(parse_volumes_from("db").unwrap().readonly, None);
        assert_eq!(parse_volumes_from("db:ro").unwrap().readonly, Some(true));
        assert!(parse_volumes_from("db:foo").is_err());
        assert!(parse_volumes_from("").is_err());
    }
}
