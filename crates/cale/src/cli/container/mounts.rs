//! `-v`, `--mount`, `--tmpfs`: what is mounted into a container.

use serde_json::{Map, Value as Json, json};

use crate::cli::error::CliError;
use crate::cli::flags::value::{boolean, csv};
use crate::cli::format::units;

/// Anonymous volumes (`-v /path`) and bindings (`-v source:target`), in the engine's form.
///
/// # Errors
/// Docker's sentences about wrong specifications.
pub fn volumes(specs: &[String]) -> Result<(Map<String, Json>, Vec<String>), CliError> {
    let (mut anonymous, mut binds) = (Map::new(), Vec::new());
    for spec in specs {
        let parts: Vec<&str> = spec.split(':').collect();
        match parts.as_slice() {
            [""] => return Err(CliError::invalid("invalid empty volume spec")),
            [target] => {
                anonymous.insert((*target).to_owned(), json!({}));
            }
            [source, rest @ ..] if !source.is_empty() => {
                binds.push(format!("{}:{}", absolute(source)?, rest.join(":")));
            }
            _ => {
                return Err(CliError::invalid(format!(
                    "invalid spec: {spec}: empty section between colons"
                )));
            }
        }
    }
    Ok((anonymous, binds))
}

/// A path relative to our working directory becomes absolute; the name of a volume stays.
fn absolute(source: &str) -> Result<String, CliError> {
    if !source.starts_with('.') {
        return Ok(source.to_owned());
    }
    let path = std::path::absolute(source)
        .map_err(|e| CliError::file(format!("find the directory {source}"), e))?;
    Ok(normal(&path.display().to_string()))
}

/// Removes `.` and resolves `..` in the text of an absolute path, as Go's `filepath.Clean`.
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `--tmpfs` specifications: path → options.
pub fn tmpfs(specs: &[String]) -> Map<String, Json> {
    let pair = |spec: &String| {
        let (path, options) = spec.split_once(':').unwrap_or((spec, ""));
        (path.to_owned(), Json::from(options))
    };
    specs.iter().map(pair).collect()
}

/// Reads one `--mount` line into the engine's form.
///
/// # Errors
/// Docker's sentences about wrong fields.
pub fn mount(line: &str) -> Result<Json, CliError> {
    let mut mount = Mount { kind: "volume".to_owned(), ..Mount::default() };
    for field in csv(line) {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.trim().to_lowercase(), Some(value.to_owned())),
            None => (field.trim().to_lowercase(), None),
        };
        mount.set(&key, value.as_deref(), &field)?;
    }
    mount.finish()
}

#[derive(Default)]
struct Mount {
    kind: String,
    top: Map<String, Json>,
    bind: Map<String, Json>,
    volume: Map<String, Json>,
    image: Map<String, Json>,
    tmpfs: Map<String, Json>,
}

/// Which part of the document a field belongs to, its name there, and how its text is read.
const FIELDS: &[(&str, &str, &str, Form)] = &[
    ("source", "top", "Source", Form::Path),
    ("src", "top", "Source", Form::Path),
    ("target", "top", "Target", Form::Text),
    ("dst", "top", "Target", Form::Text),
    ("destination", "top", "Target", Form::Text),
    ("readonly", "top", "ReadOnly", Form::Switch),
    ("ro", "top", "ReadOnly", Form::Switch),
    ("consistency", "top", "Consistency", Form::Text),
    ("bind-propagation", "bind", "Propagation", Form::Text),
    ("bind-nonrecursive", "bind", "NonRecursive", Form::Switch),
    ("bind-create-src", "bind", "CreateMountpoint", Form::Switch),
    ("bind-recursive", "bind", "", Form::Recursive),
    ("volume-subpath", "volume", "Subpath", Form::Text),
    ("volume-nocopy", "volume", "NoCopy", Form::Switch),
    ("volume-label", "volume", "Labels", Form::Pair),
    ("volume-driver", "driver", "Name", Form::Text),
    ("volume-opt", "driver", "Options", Form::Pair),
    ("image-subpath", "image", "Subpath", Form::Text),
    ("tmpfs-size", "tmpfs", "SizeBytes", Form::Size),
    ("tmpfs-mode", "tmpfs", "Mode", Form::Octal),
];

#[derive(Clone, Copy)]
enum Form {
    Text,
    Path,
    Switch,
    Recursive,
    Pair,
    Size,
    Octal,
}

impl Mount {
    fn set(&mut self, key: &str, value: Option<&str>, field: &str) -> Result<(), CliError> {
        if let ("type", Some(value)) = (key, value) {
            self.kind = value.to_lowercase();
            return Ok(());
        }
        let known = FIELDS.iter().find(|(name, ..)| *name == key);
        let (value, &(_, part, name, form)) = match (value, known) {
            (Some(value), Some(known)) => (value, known),
            // Switches may stand alone.
            (None, Some(known @ (_, _, _, Form::Switch))) => ("true", known),
            (None, _) => {
                return Err(CliError::invalid(format!(
                    "invalid field '{field}' must be a key=value pair"
                )));
            }
            (Some(_), None) => {
                return Err(CliError::invalid(format!("unexpected key '{key}' in '{field}'")));
            }
        };
        let wrong = || CliError::invalid(format!("invalid value for {key}: {value}"));
        let part = match part {
            "top" => &mut self.top,
            "bind" => &mut self.bind,
            "image" => &mut self.image,
            "tmpfs" => &mut self.tmpfs,
            "driver" => object_in(&mut self.volume, "DriverConfig"),
            _ => &mut self.volume,
        };
        let value = match form {
            Form::Text => Json::from(value),
            Form::Path => Json::from(absolute(value)?),
            Form::Switch => Json::from(boolean(value).map_err(|_| wrong())?),
            Form::Size => Json::from(units::parse_bytes(value).map_err(|_| wrong())?),
            Form::Octal => Json::from(u32::from_str_radix(value, 8).map_err(|_| wrong())?),
            Form::Pair => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                object_in(part, name).insert(key.to_owned(), Json::from(value));
                return Ok(());
            }
            Form::Recursive => return recursive(part, value),
        };
        part.insert(name.to_owned(), value);
        Ok(())
    }

    fn finish(self) -> Result<Json, CliError> {
        if self.kind.is_empty() {
            return Err(CliError::invalid("type is required"));
        }
        if !self.top.contains_key("Target") {
            return Err(CliError::invalid("target is required"));
        }
        let mut document = Map::new();
        document.insert("Type".to_owned(), Json::from(self.kind.as_str()));
        document.extend(self.top);
        for (owner, key, options) in [
            ("volume", "VolumeOptions", self.volume),
            ("bind", "BindOptions", self.bind),
            ("image", "ImageOptions", self.image),
            ("tmpfs", "TmpfsOptions", self.tmpfs),
        ] {
            if options.is_empty() {
                continue;
            }
            if owner != self.kind {
                return Err(CliError::invalid(format!(
                    "cannot mix '{owner}-*' options with mount type '{}'",
                    self.kind
                )));
            }
            document.insert(key.to_owned(), Json::Object(options));
        }
        Ok(Json::Object(document))
    }
}

fn recursive(bind: &mut Map<String, Json>, value: &str) -> Result<(), CliError> {
    let key = match value {
        "enabled" => return Ok(()),
        "disabled" => "NonRecursive",
        "writable" => "ReadOnlyNonRecursive",
        "readonly" => "ReadOnlyForceRecursive",
        _ => {
            return Err(CliError::invalid(format!(
                "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
            )));
        }
    };
    bind.insert(key.to_owned(), Json::Bool(true));
    Ok(())
}

fn object_in<'a>(map: &'a mut Map<String, Json>, key: &str) -> &'a mut Map<String, Json> {
    let slot = map.entry(key).or_insert_with(|| json!({}));
    slot.as_object_mut().expect("only objects are put under these keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> String {
        mount(line).map_or_else(|e| e.to_string(), |m| m.to_string())
    }

    #[test]
    fn mount_lines() {
        assert_eq!(
            read("type=bind,source=/a,target=/b,readonly,bind-propagation=rslave"),
            r#"{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"rslave"}}"#
        );
        assert_eq!(
            read("src=v,dst=/d,volume-opt=a=b,\"volume-label=x=1,2\""),
            r#"{"Type":"volume","Source":"v","Target":"/d","VolumeOptions":{"DriverConfig":{"Options":{"a":"b"}},"Labels":{"x":"1,2"}}}"#
        );
        assert_eq!(
            read("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777"),
            r#"{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":1048576,"Mode":1023}}"#
        );
    }

    #[test]
    fn wrong_mount_lines() {
        assert_eq!(read("type=bind,source=/a"), "target is required");
        assert_eq!(read("type=bind,target=/a,foo=1"), "unexpected key 'foo' in 'foo=1'");
        assert_eq!(read("type=bind,target"), "invalid field 'target' must be a key=value pair");
        assert!(read("type=bind,target=/x,volume-nocopy=true").starts_with("cannot mix"));
    }

    #[test]
    fn volume_specs() {
        let specs = ["/data".to_owned(), "vol:/x:ro".to_owned(), "./src:/y".to_owned()];
        let (anonymous, binds) = volumes(&specs).expect("valid");
        assert!(anonymous.contains_key("/data"));
        assert_eq!(binds[0], "vol:/x:ro");
        assert!(binds[1].starts_with('/') && binds[1].ends_with("/src:/y"));
        assert!(volumes(&[":/x".to_owned()]).is_err());
    }
}
