//! House rules that no compiler knows. Each message says what to do instead.
//!
//! Limits come in as ratchets: `tidy.toml` lists the functions that are over the limit today, each
//! with its length; they may only shrink.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{Result, source};

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Ratchets {
    /// `path::function` → lines allowed.
    functions: BTreeMap<String, usize>,
    /// Path prefixes where another program may be run, each with its reason.
    processes: BTreeMap<String, String>,
    /// Path prefixes where the environment may be read, each with its reason.
    environment: BTreeMap<String, String>,
}

/// Runs all checks.
pub fn run(_args: &[String]) -> Result {
    let faults = faults()?;
    if faults.is_empty() { Ok(()) } else { Err(format!("\n{}", faults.join("\n"))) }
}

/// Every broken rule, worded.
pub fn faults() -> Result<Vec<String>> {
    let text = source::read(&source::root().join("crates/xtask/tidy.toml"))?;
    let ratchets: Ratchets = toml::from_str(&text).map_err(|e| format!("tidy.toml: {e}"))?;
    let mut faults = Vec::new();
    for path in source::files()? {
        let full = source::root().join(&path);
        let Ok(text) = std::fs::read_to_string(&full) else { continue };
        forbidden_words(&path, &text, &mut faults);
        if path.extension().is_some_and(|extension| extension == "rs") {
            rust_file(&path, &text, &ratchets, &mut faults);
        }
    }
    stale_ratchets(&ratchets, &mut faults);
    architecture_paths(&mut faults)?;
    Ok(faults)
}

fn rust_file(path: &Path, text: &str, ratchets: &Ratchets, faults: &mut Vec<String>) {
    let shown = path.display().to_string();
    if !text.starts_with("//!") {
        faults
            .push(format!("{shown}: no head comment: say what the file owns and what it doesn't"));
    }
    let code = code_lines(text);
    let table = text.lines().take(12).any(|line| line.starts_with("//! tidy: table"));
    if code > FILE_LINES_MAX && !table {
        faults.push(format!(
            "{shown}: {code} lines of code, the limit is {FILE_LINES_MAX}: split it by what it owns"
        ));
    }
    file_name(path, faults);
    orphan(path, faults);
    let tests_only = is_test_code(&shown);
    if !tests_only {
        only_where(&shown, text, &["Command::new("], &ratchets.processes, "runs a process", faults);
        let environment = ["env::var(", "env::var_os(", "env::vars("];
        only_where(
            &shown,
            text,
            &environment,
            &ratchets.environment,
            "reads the environment",
            faults,
        );
    }
    for (name, lines) in long_functions(text) {
        let key = format!("{shown}::{name}");
        let allowed = ratchets.functions.get(&key).copied().unwrap_or(FUNCTION_LINES_MAX);
        if lines > allowed {
            faults.push(format!("{key}: {lines} lines, allowed {allowed}: take a step out into a function of its own"));
        }
    }
}

/// Test code and developer tools may run programs and read the environment.
fn is_test_code(path: &str) -> bool {
    path.starts_with("crates/xtask/")
        || path.starts_with("crates/testkit/")
        || path.starts_with("fuzz/")
        || path.contains("/tests/")
        || path.contains("/examples/")
        || path.contains("/benches/")
        || path.ends_with("/tests.rs")
        || path.ends_with("_tests.rs")
        || path.ends_with("build.rs")
}

fn only_where(
    path: &str,
    text: &str,
    needles: &[&str],
    allowed: &BTreeMap<String, String>,
    what: &str,
    faults: &mut Vec<String>,
) {
    if allowed.keys().any(|prefix| path.starts_with(prefix.as_str())) {
        return;
    }
    let product = text.split("#[cfg(test)]").next().unwrap_or(text);
    for (number, line) in product.lines().enumerate() {
        if needles.iter().any(|needle| line.contains(needle))
            && !line.trim_start().starts_with("//")
        {
            faults.push(format!(
                "{path}:{}: {what}: use a library or pass the value in, or list the place with its reason in tidy.toml",
                number + 1
            ));
        }
    }
}

fn file_name(path: &Path, faults: &mut Vec<String>) {
    const VAGUE: [&str; 8] =
        ["utils", "util", "common", "helper", "helpers", "manager", "misc", "imp"];
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if VAGUE.contains(&stem) {
        faults.push(format!("{}: name the file after what it owns", path.display()));
    }
}

/// A source file that no `mod` line names is never compiled, and neither are its tests.
fn orphan(path: &Path, faults: &mut Vec<String>) {
    let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
    let Some(src) = parts.iter().position(|part| *part == "src") else { return };
    let inside = &parts[src + 1..];
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let top = inside.len() == 1 && ["lib", "main"].contains(&stem);
    if top || inside.is_empty() || inside[0] == "bin" {
        return;
    }
    let (name, parents) = if stem == "mod" {
        let folder = path.parent().unwrap_or(path);
        (folder.file_name().and_then(|n| n.to_str()).unwrap_or_default(), parents_of(folder))
    } else {
        (stem, parents_of(path))
    };
    let declared = parents.iter().any(|parent| {
        std::fs::read_to_string(source::root().join(parent)).is_ok_and(|text| declares(&text, name))
    });
    if !declared {
        faults.push(format!("{}: no parent says `mod {name};`: it isn't compiled", path.display()));
    }
}

fn declares(text: &str, name: &str) -> bool {
    let wanted = format!("mod {name};");
    let by_path = format!("{name}.rs\"]");
    text.lines().any(|line| line.trim_end().ends_with(&wanted) || line.contains(&by_path))
}

fn parents_of(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(path);
    vec![
        folder.join("mod.rs"),
        folder.join("lib.rs"),
        folder.join("main.rs"),
        folder.with_extension("rs"),
    ]
}

/// Lines that are neither blank nor comments, without the test module.
fn code_lines(text: &str) -> usize {
    let product = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text);
    product
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

/// Functions over the limit, by name and length. Relies on rustfmt: a function ends at the first
/// later line that is a closing brace at the indentation of its `fn`.
fn long_functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else { continue };
        let end = lines[start..].iter().position(|later| {
            later.trim_end() == format!("{}}}", " ".repeat(indent))
                || later.trim_end().ends_with(");") && later.starts_with("fn")
        });
        let Some(length) = end.map(|end| end + 1) else { continue };
        if length > FUNCTION_LINES_MAX
            && lines[start..start + length].iter().any(|l| l.contains('{'))
        {
            found.push((name.to_owned(), length));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.split_once("fn ").filter(|(before, _)| {
        before.split_whitespace().all(|word| {
            ["pub", "async", "const", "unsafe", "extern", "\"C\""].contains(&word)
                || word.starts_with("pub(")
        })
    })?;
    rest.1.split(['(', '<']).next()
}

fn stale_ratchets(ratchets: &Ratchets, faults: &mut Vec<String>) {
    for (key, allowed) in &ratchets.functions {
        let Some((path, name)) = key.rsplit_once("::") else { continue };
        let text = std::fs::read_to_string(source::root().join(path)).unwrap_or_default();
        let length = long_functions(&text).into_iter().find(|(found, _)| found == name);
        match length {
            Some((_, lines)) if lines == *allowed => {}
            Some((_, lines)) if lines < *allowed => {
                faults.push(format!(
                    "tidy.toml: {key} has shrunk to {lines} lines: lower its ratchet"
                ));
            }
            Some(_) => {}
            None => faults.push(format!("tidy.toml: {key} is within the limit: remove its line")),
        }
    }
}

/// Every path that `ARCHITECTURE.md` names must exist.
fn architecture_paths(faults: &mut Vec<String>) -> Result {
    let text = source::read(&source::root().join("ARCHITECTURE.md"))?;
    let quoted = text.split('`').skip(1).step_by(2);
    for path in quoted.filter(|path| path.starts_with("crates/")) {
        if !source::root().join(path).exists() {
            faults.push(format!("ARCHITECTURE.md: {path} doesn't exist: keep the text true"));
        }
    }
    Ok(())
}

/// Texts that have no place in a public project: one machine's paths, people's trackers.
fn forbidden_words(path: &Path, text: &str, faults: &mut Vec<String>) {
    let own = path.ends_with("tidy.rs");
    let words = ["/work/", "/root/.cargo", "CARGO_REGISTRIES", ".library/"];
    for (number, line) in text.lines().enumerate().filter(|_| !own) {
        if let Some(word) = words.iter().find(|word| line.contains(**word)) {
            faults.push(format!(
                "{}:{}: {word:?} is a path of one machine: make it relative or configurable",
                path.display(),
                number + 1
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        assert_eq!(faults().unwrap().join("\n"), "");
    }

    #[test]
    fn a_long_function_is_seen() {
        let body = "    let x = 1;\n".repeat(80);
        let text = format!("pub async fn long(\n    a: u8,\n) {{\n{body}}}\n\nfn short() {{\n}}\n");
        assert_eq!(long_functions(&text), vec![("long".to_owned(), 84)]);
    }

    #[test]
    fn comments_and_tests_are_not_code() {
        assert_eq!(
            code_lines("//! x\n\nfn a() {}\n// b\n\n#[cfg(test)]\nmod tests {\n fn c() {}\n}\n"),
            1
        );
    }
}
