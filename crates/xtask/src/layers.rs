//! The crate edges: `LAYERS.toml` says what may use what, `cargo metadata` says what does.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Result, source};

#[derive(Deserialize)]
struct Layer {
    layer: Option<u32>,
    #[serde(default)]
    dev: bool,
    may_use: MayUse,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MayUse {
    Named(Vec<String>),
    Word(String),
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Checks every edge between crates of the workspace.
pub fn run(_args: &[String]) -> Result {
    let faults = faults()?;
    if faults.is_empty() { Ok(()) } else { Err(format!("\n{}", faults.join("\n"))) }
}

/// Every forbidden or undeclared edge, worded.
pub fn faults() -> Result<Vec<String>> {
    let text = source::read(&source::root().join("LAYERS.toml"))?;
    let table: BTreeMap<String, Layer> =
        toml::from_str(&text).map_err(|error| format!("LAYERS.toml: {error}"))?;
    let mut faults = declared_upwards(&table);
    for package in metadata()?.packages {
        let user = short(&package.name);
        let Some(layer) = table.get(user) else {
            faults.push(format!("crate {user} is not in LAYERS.toml: give it a layer"));
            continue;
        };
        for dependency in &package.dependencies {
            let used = short(&dependency.name);
            let test_only = dependency.kind.as_deref() == Some("dev");
            if dependency.path.is_none() || test_only || allows(layer, used) {
                continue;
            }
            faults.push(format!(
                "crate {user} uses {used}, which LAYERS.toml doesn't allow: move the code to a crate that may"
            ));
        }
    }
    Ok(faults)
}

fn allows(layer: &Layer, used: &str) -> bool {
    match &layer.may_use {
        MayUse::Named(names) => names.iter().any(|name| name == used),
        MayUse::Word(word) => word == "all",
    }
}

/// The table itself may not point upwards.
fn declared_upwards(table: &BTreeMap<String, Layer>) -> Vec<String> {
    let mut faults = Vec::new();
    for (user, layer) in table.iter().filter(|(_, layer)| !layer.dev) {
        let MayUse::Named(names) = &layer.may_use else { continue };
        for used in names {
            let below = table.get(used).and_then(|used| used.layer);
            if below.is_none_or(|below| Some(below) > layer.layer) {
                faults.push(format!("LAYERS.toml lets {user} use {used}, which is not below it"));
            }
        }
    }
    faults
}

fn short(name: &str) -> &str {
    name.strip_prefix("cale-").unwrap_or(name)
}

fn metadata() -> Result<Metadata> {
    let output = std::process::Command::new("cargo")
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(source::root())
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn crates_use_only_what_lies_below() {
        assert_eq!(super::faults().unwrap(), Vec::<String>::new());
    }
}
