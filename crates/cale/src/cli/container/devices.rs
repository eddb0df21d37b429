//! `--device`, `--gpus`, per-device limits.

use serde_json::{Value as Json, json};

use crate::cli::error::CliError;
use crate::cli::flags::value::csv;
use crate::cli::format::units;

/// Host devices, and names of the Container Device Interface (`vendor/class=name`).
///
/// # Errors
/// Docker's sentence about a wrong specification.
pub fn devices(specs: &[String]) -> Result<(Vec<Json>, Vec<String>), CliError> {
    let (mut paths, mut named) = (Vec::new(), Vec::new());
    for spec in specs {
        if !spec.starts_with('/') && spec.contains('/') && spec.contains('=') {
            named.push(spec.clone());
            continue;
        }
        let is_mode = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
        let parts: Vec<&str> = spec.split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [source] => (*source, *source, "rwm"),
            [source, mode] if is_mode(mode) => (*source, *source, *mode),
            [source, target] => (*source, *target, "rwm"),
            [source, target, mode] if is_mode(mode) => (*source, *target, *mode),
            _ => return Err(CliError::invalid(format!("invalid device specification: {spec}"))),
        };
        paths.push(
            json!({"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": mode}),
        );
    }
    Ok((paths, named))
}

/// Checks rules such as `c 1:3 rwm`.
///
/// # Errors
/// Docker's sentence about a wrong rule.
pub fn check_rule(rule: &str) -> Result<(), CliError> {
    let number =
        |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = rule.split(' ').collect();
    let valid = match words.as_slice() {
        [kind, numbers, mode] => {
            matches!(*kind, "a" | "b" | "c")
                && numbers.split_once(':').is_some_and(|(a, b)| number(a) && number(b))
                && (1..=3).contains(&mode.len())
                && mode.chars().all(|c| "rwm".contains(c))
        }
        _ => false,
    };
    if valid {
        Ok(())
    } else {
        Err(CliError::invalid(format!("invalid device cgroup format '{rule}'")))
    }
}

/// What the number behind a device's path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Relative weight, 10 to 1000.
    Weight,
    /// Bytes per second, with a unit.
    BytesPerSecond,
    /// Operations per second.
    Operations,
}

/// Reads `path:amount` limits.
///
/// # Errors
/// Docker's sentence about a wrong limit.
pub fn throttles(specs: &[String], amount: Amount) -> Result<Vec<Json>, CliError> {
    specs.iter().map(|spec| throttle(spec, amount)).collect()
}

fn throttle(spec: &str, amount: Amount) -> Result<Json, CliError> {
    let (path, value) = spec
        .split_once(':')
        .filter(|(path, _)| !path.is_empty())
        .ok_or_else(|| CliError::invalid(format!("bad format: {spec}")))?;
    if !path.starts_with("/dev/") {
        return Err(CliError::invalid(format!("bad format for device path: {spec}")));
    }
    let wrong = |form: &str| {
        CliError::invalid(format!("invalid rate for device: {spec}. The correct format is {form}"))
    };
    match amount {
        Amount::Weight => match value.parse::<u16>() {
            Ok(weight) if weight == 0 || (10..=1000).contains(&weight) => {
                Ok(json!({"Path": path, "Weight": weight}))
            }
            _ => Err(CliError::invalid(format!("invalid weight for device: {spec}"))),
        },
        Amount::BytesPerSecond => {
            let form = "<device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb";
            let rate = units::parse_bytes(value).map_err(|_| wrong(form))?;
            Ok(json!({"Path": path, "Rate": rate}))
        }
        Amount::Operations => {
            let form = "<device-path>:<number>. Number must be a positive integer";
            let rate = value.parse::<u64>().map_err(|_| wrong(form))?;
            Ok(json!({"Path": path, "Rate": rate}))
        }
    }
}

/// Reads a `--gpus` line: `all`, `2`, or `device=…,capabilities=…,driver=…,count=…`.
///
/// # Errors
/// Docker's sentence about a wrong request.
pub fn gpus(line: &str) -> Result<Json, CliError> {
    let (mut driver, mut count, mut ids) = (String::new(), 0_i64, Vec::new());
    let mut capabilities = vec!["gpu".to_owned()];
    let mut options = serde_json::Map::new();
    let counted = |text: &str| match text {
        "all" => Ok(-1),
        text => text.parse::<i64>().map_err(|_| {
            CliError::invalid(format!(
                "invalid count ({text}): value must be either \"all\" or an integer"
            ))
        }),
    };
    for field in csv(line) {
        match field.split_once('=') {
            None => count = counted(&field)?,
            Some(("driver", value)) => value.clone_into(&mut driver),
            Some(("count", value)) => count = counted(value)?,
            Some(("device", value)) => ids = value.split(',').map(str::to_owned).collect(),
            Some(("capabilities", value)) => {
                capabilities = value.split(',').map(str::to_owned).collect();
                if !capabilities.iter().any(|c| c == "gpu") {
                    capabilities.push("gpu".to_owned());
                }
            }
            Some(("options", value)) => {
                for option in value.split(',') {
                    let (key, value) = option.split_once('=').unwrap_or((option, ""));
                    options.insert(key.to_owned(), Json::from(value));
                }
            }
            Some((key, _)) => {
                return Err(CliError::invalid(format!("unexpected key '{key}' in '{field}'")));
            }
        }
    }
    if count == 0 && ids.is_empty() {
        count = 1;
    }
    Ok(json!({
        "Driver": driver, "Count": count, "DeviceIDs": ids,
        "Capabilities": [capabilities], "Options": options
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_specs() {
        let specs =
            ["/dev/a".into(), "/dev/a:r".into(), "/dev/a:/dev/b:rw".into(), "v.com/gpu=1".into()];
        let (paths, named) = devices(&specs).expect("valid");
        assert_eq!(paths[1]["CgroupPermissions"], "r");
        assert_eq!(paths[2]["PathInContainer"], "/dev/b");
        assert_eq!(named, ["v.com/gpu=1"]);
        assert!(devices(&["/dev/a:/dev/b:x".into()]).is_err());
    }

    #[test]
    fn limits_and_rules() {
        let rate = throttle("/dev/sda:1mb", Amount::BytesPerSecond).expect("valid");
        assert_eq!(rate["Rate"], 1 << 20);
        assert!(throttle("/dev/sda:5", Amount::Weight).is_err());
        assert!(throttle("sda:5", Amount::Operations).is_err());
        assert!(check_rule("c 1:* rw").is_ok());
        assert!(check_rule("x 1:1 r").is_err());
    }

    #[test]
    fn gpu_requests() {
        assert_eq!(gpus("all").expect("valid")["Count"], -1);
        assert_eq!(gpus("\"device=0,2\"").expect("valid")["DeviceIDs"][1], "2");
        assert!(gpus("foo=1").is_err());
    }
}
