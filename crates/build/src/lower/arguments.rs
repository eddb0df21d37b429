//! Predefined build arguments: platforms and proxies.

use std::collections::BTreeMap;

use model::image::Platform;

use crate::Request;

/// Proxy settings given as build arguments reach every `RUN` undeclared, and stay out of the
/// cache and the history.
const PROXY: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The arguments that hold without an `ARG` before the first stage.
pub(super) fn predefined(request: &Request) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (prefix, platform) in [("BUILD", Platform::host()), ("TARGET", request.platform.clone())] {
        all.insert(format!("{prefix}PLATFORM"), platform.to_string());
        all.insert(format!("{prefix}OS"), platform.os.clone());
        all.insert(format!("{prefix}OSVERSION"), platform.os_version.clone().unwrap_or_default());
        all.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        all.insert(format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default());
    }
    let target = request.target.clone().filter(|target| !target.is_empty());
    all.insert("TARGETSTAGE".to_owned(), target.unwrap_or_else(|| "default".to_owned()));
    for (name, value) in &mut all {
        if let Some(given) = request.build_args.get(name) {
            value.clone_from(given);
        }
    }
    all
}

/// `KEY=value` of the proxy settings, in both spellings.
pub(super) fn proxy(request: &Request) -> Vec<String> {
    let given = |name: &str| {
        let twin = if name.starts_with(|c: char| c.is_ascii_uppercase()) {
            name.to_ascii_lowercase()
        } else {
            name.to_ascii_uppercase()
        };
        request.build_args.get(name).or_else(|| request.build_args.get(&twin))
    };
    PROXY.iter().filter_map(|name| Some(format!("{name}={}", given(name)?))).collect()
}

/// Whether an undeclared build argument of this name is in order.
pub(super) fn is_proxy(name: &str) -> bool {
    PROXY.contains(&name)
}

/// Reads `os[/architecture[/variant]]` with the architectures' usual other names.
pub(super) fn platform(text: &str) -> Result<Platform, String> {
    let fault = || format!("failed to parse platform {text}");
    let parts: Vec<&str> = text.split('/').collect();
    if parts.iter().any(|part| {
        part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.()".contains(&b))
    }) {
        return Err(fault());
    }
    let host = Platform::host();
    let (os, architecture, variant) = match parts.as_slice() {
        ["linux"] => ("linux", host.architecture.as_str(), None),
        ["local"] => return Ok(host),
        [architecture] => ("linux", *architecture, None),
        [os, architecture] => (*os, *architecture, None),
        [os, architecture, variant] => (*os, *architecture, Some(*variant)),
        _ => return Err(fault()),
    };
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant.filter(|v| *v != "v1")),
        ("aarch64" | "arm64", variant) => ("arm64", variant.filter(|v| !matches!(*v, "8" | "v8"))),
        ("armhf", _) => ("arm", Some("v7")),
        ("armel", _) => ("arm", Some("v6")),
        ("i386" | "i686", _) => ("386", None),
        ("arm", None | Some("7")) => ("arm", Some("v7")),
        (other, variant) => (other, variant),
    };
    Ok(Platform {
        architecture: architecture.to_owned(),
        os: os.to_owned(),
        os_version: None,
        os_features: Vec::new(),
        variant: variant.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_read_with_their_other_names() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("windows/amd64", "windows/amd64"),
        ] {
            assert_eq!(platform(text).unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "linux/", "a/b/c/d", "linux/a b"] {
            assert!(platform(bad).is_err(), "{bad}");
        }
    }
}
