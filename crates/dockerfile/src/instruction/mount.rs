//! `RUN --mount=…` values, read after their variables were expanded.

/// One mount of a `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunMount {
    /// Where in the build container; `None` only for a secret that is an environment variable, or
    /// where the kind has a default.
    pub target: Option<String>,
    /// Read-only.
    pub readonly: bool,
    /// What.
    pub kind: RunMountKind,
}

/// What a mount of a `RUN` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunMountKind {
    /// Files of the context, a stage or an image.
    Bind {
        /// `None`: the context.
        from: Option<String>,
        /// Path there, `/` by default.
        source: String,
    },
    /// A directory that lives on between builds.
    Cache {
        /// Name; the target by default.
        id: Option<String>,
        /// Initial content.
        from: Option<String>,
        /// Path in the initial content.
        source: String,
        /// Use by several builds at once.
        sharing: Sharing,
        /// Permission bits of a new one.
        mode: u32,
        /// Owner of a new one.
        uid: u32,
        /// Group of a new one.
        gid: u32,
    },
    /// Memory.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
    },
    /// A file or variable that never enters the image.
    Secret {
        /// Name; the target's last component by default.
        id: Option<String>,
        /// The variable that gets it.
        env: Option<String>,
        /// An error when the client has none.
        required: bool,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// The client's ssh agent.
    Ssh {
        /// Name, `default` by default.
        id: String,
        /// An error when the client has none.
        required: bool,
        /// Permission bits of the socket.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
}

/// How builds that use one cache at once get along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All write to the same one.
    #[default]
    Shared,
    /// Each gets its own.
    Private,
    /// One after the other.
    Locked,
}

/// The pairs of one value; each may be taken once.
struct Fields<'a> {
    pairs: Vec<(String, Option<&'a str>)>,
}

impl<'a> Fields<'a> {
    fn take(&mut self, names: &[&str]) -> Option<Option<&'a str>> {
        let at = self.pairs.iter().position(|(name, _)| names.contains(&name.as_str()))?;
        Some(self.pairs.remove(at).1)
    }

    fn text(&mut self, names: &[&str]) -> Result<Option<String>, String> {
        match self.take(names) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value.to_owned())),
            Some(None) => Err(format!("invalid field {:?}: must be a key=value pair", names[0])),
        }
    }

    fn switch(&mut self, names: &[&str]) -> Result<Option<bool>, String> {
        match self.take(names) {
            None => Ok(None),
            Some(None | Some("true" | "1")) => Ok(Some(true)),
            Some(Some("false" | "0")) => Ok(Some(false)),
            Some(Some(other)) => Err(format!("invalid value for {:?}: {other}", names[0])),
        }
    }

    fn number(&mut self, name: &str, radix: u32, default: u32) -> Result<u32, String> {
        match self.text(&[name])? {
            None => Ok(default),
            Some(text) => u32::from_str_radix(&text, radix)
                .map_err(|_| format!("invalid value {text} for {name}")),
        }
    }
}

impl RunMount {
    /// Reads `type=cache,target=/x,…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').filter(|field| !field.is_empty()).map(|field| {
            match field.split_once('=') {
                Some((name, value)) => (name.trim().to_ascii_lowercase(), Some(value)),
                None => (field.trim().to_ascii_lowercase(), None),
            }
        });
        let mut fields = Fields { pairs: pairs.collect() };
        let kind = fields.text(&["type"])?.unwrap_or_else(|| "bind".to_owned());
        let target = fields.text(&["target", "dst", "destination"])?;
        let readonly =
            match (fields.switch(&["readonly", "ro"])?, fields.switch(&["readwrite", "rw"])?) {
                (Some(readonly), _) => Some(readonly),
                (None, Some(writable)) => Some(!writable),
                (None, None) => None,
            };
        let source = |fields: &mut Fields<'_>| fields.text(&["source", "src"]);
        let kind = match kind.to_ascii_lowercase().as_str() {
            "bind" => RunMountKind::Bind {
                from: fields.text(&["from"])?,
                source: source(&mut fields)?.unwrap_or_else(|| "/".to_owned()),
            },
            "cache" => cache(&mut fields)?,
            "tmpfs" => RunMountKind::Tmpfs { size: size(&mut fields)? },
            "secret" => RunMountKind::Secret {
                id: fields.text(&["id"])?.or(source(&mut fields)?),
                env: fields.text(&["env"])?,
                required: fields.switch(&["required"])?.unwrap_or(false),
                mode: fields.number("mode", 8, 0o400)?,
                uid: fields.number("uid", 10, 0)?,
                gid: fields.number("gid", 10, 0)?,
            },
            "ssh" => RunMountKind::Ssh {
                id: fields.text(&["id"])?.unwrap_or_else(|| "default".to_owned()),
                required: fields.switch(&["required"])?.unwrap_or(false),
                mode: fields.number("mode", 8, 0o600)?,
                uid: fields.number("uid", 10, 0)?,
                gid: fields.number("gid", 10, 0)?,
            },
            other => return Err(format!("unsupported mount type {other:?}")),
        };
        if let Some((name, _)) = fields.pairs.first() {
            return Err(format!("unexpected key '{name}' in mount {text:?}"));
        }
        let needs_target = matches!(
            kind,
            RunMountKind::Bind { .. } | RunMountKind::Cache { .. } | RunMountKind::Tmpfs { .. }
        );
        if needs_target && target.is_none() {
            return Err("mount target must not be empty".to_owned());
        }
        let readonly = readonly.unwrap_or(matches!(kind, RunMountKind::Bind { .. }));
        Ok(Self { target, readonly, kind })
    }
}

fn cache(fields: &mut Fields<'_>) -> Result<RunMountKind, String> {
    Ok(RunMountKind::Cache {
        id: fields.text(&["id"])?,
        from: fields.text(&["from"])?,
        source: fields.text(&["source", "src"])?.unwrap_or_else(|| "/".to_owned()),
        sharing: match fields.text(&["sharing"])?.as_deref() {
            None | Some("shared") => Sharing::Shared,
            Some("private") => Sharing::Private,
            Some("locked") => Sharing::Locked,
            Some(other) => return Err(format!("unsupported sharing value {other:?}")),
        },
        mode: fields.number("mode", 8, 0o755)?,
        uid: fields.number("uid", 10, 0)?,
        gid: fields.number("gid", 10, 0)?,
    })
}

fn size(fields: &mut Fields<'_>) -> Result<Option<u64>, String> {
    let Some(text) = fields.text(&["size"])? else { return Ok(None) };
    let fault = || format!("invalid value for size: {text}");
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(['b', 'k', 'm', 'g', 't', 'i']);
    let shift = match lower[digits.len()..].chars().next() {
        None | Some('b') => 0,
        Some('k') => 10,
        Some('m') => 20,
        Some('g') => 30,
        Some('t') => 40,
        Some(_) => return Err(fault()),
    };
    let number: u64 = digits.parse().map_err(|_| fault())?;
    number.checked_shl(shift).map(Some).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_read_with_defaults() {
        let mount =
            RunMount::parse("type=cache,target=/root/.cache,id=pip,sharing=locked,mode=0700")
                .unwrap();
        let RunMountKind::Cache { id, sharing, mode, .. } = mount.kind else { panic!() };
        assert_eq!((id.as_deref(), sharing, mode), (Some("pip"), Sharing::Locked, 0o700));
        assert!(RunMount::parse("target=/x").unwrap().readonly);
        assert!(!RunMount::parse("target=/x,rw").unwrap().readonly);
        let RunMountKind::Tmpfs { size } =
            RunMount::parse("type=tmpfs,dst=/t,size=2m").unwrap().kind
        else {
            panic!()
        };
        assert_eq!(size, Some(2 << 20));
    }

    #[test]
    fn wrong_mounts_are_refused() {
        for bad in [
            "type=moon,target=/x",
            "type=cache",
            "target=/x,sharing=a",
            "target=/x,bogus=1",
            "target",
        ] {
            assert!(RunMount::parse(bad).is_err(), "{bad}");
        }
    }
}
