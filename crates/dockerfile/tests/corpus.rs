//! The trees, refusals and expansions that BuildKit's own tests expect.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::{Path, PathBuf};

use dockerfile::{
    Node,
    expand::{self, Quotes},
    parse,
    syntax::Arguments,
};

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpora")
}

fn folders(name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(corpora().join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

#[test]
fn trees_are_those_of_the_reference_parser() {
    for folder in folders("parse") {
        let text = std::fs::read_to_string(folder.join("Dockerfile")).unwrap();
        let wanted = std::fs::read_to_string(folder.join("result")).unwrap();
        let file = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let tree: Vec<String> = file.nodes.iter().map(|node| format!("({})", dump(node))).collect();
        assert_eq!(tree.join("\n").trim(), wanted.trim(), "{}", folder.display());
    }
}

#[test]
fn what_the_reference_parser_refuses_is_refused() {
    for folder in folders("reject") {
        let text = std::fs::read_to_string(folder.join("Dockerfile")).unwrap();
        assert!(parse(&text).is_err(), "{}", folder.display());
    }
}

/// The notation of the corpus: `(keyword ["flag"] "argument" …)`.
fn dump(node: &Node) -> String {
    let mut out = node.keyword.to_lowercase();
    if !node.flags.is_empty() {
        let flags: Vec<String> = node.flags.iter().map(|flag| quote(flag)).collect();
        out.push_str(&format!(" [{}]", flags.join(" ")));
    }
    arguments(&node.arguments, &mut out);
    out
}

fn arguments(from: &Arguments, out: &mut String) {
    let mut push = |text: &str| {
        out.push(' ');
        out.push_str(&quote(text));
    };
    match from {
        Arguments::None => {}
        Arguments::Words { words, .. } => words.iter().for_each(|word| push(word)),
        Arguments::Text(text) => push(text),
        Arguments::Pairs { pairs, legacy } => {
            for (name, value) in pairs {
                push(name);
                push(value);
                push(if *legacy { "" } else { "=" });
            }
        }
        Arguments::Health { kind, command } => {
            push(kind);
            arguments(command, out);
        }
        Arguments::Nested(inner) => out.push_str(&format!(" ({})", dump(inner))),
    }
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c < ' ' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

#[test]
fn values_expand_as_in_the_reference_table() {
    let text = std::fs::read_to_string(corpora().join("envVarTest")).unwrap();
    let env = [("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")];
    let lookup =
        |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let mut seen = 0;
    for (line, number) in text.lines().zip(1..) {
        let Some((platform, row)) = line.split_once('|').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        if platform.trim() == "W" {
            continue;
        }
        let (input, wanted) = row.split_once('|').unwrap();
        let got = expand::word(input.trim(), '\\', &lookup).unwrap_or_else(|_| "error".to_owned());
        assert_eq!(got, wanted.trim(), "line {number}: {line}");
        seen += 1;
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn words_split_as_in_the_reference_table() {
    let text = std::fs::read_to_string(corpora().join("wordsTest")).unwrap();
    let mut env: Vec<(String, String)> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix("ENV ") {
            let (name, value) = rest.trim_start().split_once('=').unwrap();
            env.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let (input, wanted) = line.split_once('|').unwrap();
        let lookup = |name: &str| {
            env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        };
        let got = match expand::words(input.trim(), '\\', &lookup, Quotes::Remove) {
            Ok(words) => words.join(","),
            Err(_) => "error".to_owned(),
        };
        assert_eq!(got, wanted.trim_start().trim_end_matches('\n'), "line {number}: {line}");
    }
}
