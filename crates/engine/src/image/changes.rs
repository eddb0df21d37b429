//! `--change`: single Dockerfile instructions applied to an image's configuration.

use model::{
    container::HealthCheck,
    image::{Empty, ProcessDefaults},
};

use crate::{Error, Result};

/// Applies one instruction of those that commit and import take.
///
/// # Errors
/// Another instruction, or arguments that it doesn't have.
pub fn apply(config: &mut ProcessDefaults, text: &str) -> Result<()> {
    let text = text.trim();
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let invalid = |why: &str| Error::Invalid(format!("invalid change {text:?}: {why}"));
    if rest.is_empty() {
        return Err(invalid("it has no arguments"));
    }
    match name.to_ascii_uppercase().as_str() {
        "CMD" => {
            config.cmd = Some(command(rest, config.shell.as_deref())?);
            config.args_escaped = false;
        }
        "ENTRYPOINT" => {
            config.entrypoint = Some(command(rest, config.shell.as_deref())?);
        }
        "ENV" => {
            for (key, value) in pairs(rest).ok_or_else(|| invalid("expected key=value"))? {
                let entry = format!("{key}={value}");
                config.env = crate::container::merge_environment(&config.env, &[entry]);
            }
        }
        "LABEL" => {
            for (key, value) in pairs(rest).ok_or_else(|| invalid("expected key=value"))? {
                config.labels.insert(key, value);
            }
        }
        "EXPOSE" => {
            for port in words(rest).ok_or_else(|| invalid("unbalanced quotes"))? {
                let port = port
                    .parse::<model::port::ContainerPort>()
                    .map_err(|error| invalid(&error.to_string()))?;
                config.exposed_ports.insert(port.to_string(), Empty {});
            }
        }
        "VOLUME" => {
            let paths = match json_list(rest) {
                Some(list) => list,
                None => words(rest).ok_or_else(|| invalid("unbalanced quotes"))?,
            };
            config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        }
        "WORKDIR" => {
            config.working_dir = match rest.strip_prefix('/') {
                Some(_) => rest.to_owned(),
                None => format!("{}/{rest}", config.working_dir.trim_end_matches('/')),
            };
        }
        "USER" => config.user = rest.to_owned(),
        "STOPSIGNAL" => {
            crate::container::signal::parse(rest)?;
            config.stop_signal = Some(rest.to_owned());
        }
        "ONBUILD" => config.on_build.push(rest.to_owned()),
        "SHELL" => {
            config.shell = Some(json_list(rest).ok_or_else(|| invalid("expected a JSON list"))?);
        }
        "HEALTHCHECK" if rest.eq_ignore_ascii_case("none") => {
            config.healthcheck =
                Some(HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() });
        }
        _ => {
            return Err(Error::Invalid(format!("{name} is not a valid change command")));
        }
    }
    Ok(())
}

fn json_list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Exec form, or shell form.
fn command(text: &str, shell: Option<&[String]>) -> Result<Vec<String>> {
    if let Some(list) = json_list(text) {
        return Ok(list);
    }
    let shell = match shell {
        Some(shell) if !shell.is_empty() => shell.to_vec(),
        _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
    };
    Ok(shell.into_iter().chain([text.to_owned()]).collect())
}

/// `a=1 b="2 3"`, or the old `key rest of line`.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let words = words(text)?;
    if !words.first()?.contains('=') {
        let (key, value) = text.split_once(char::is_whitespace)?;
        return Some(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    words
        .into_iter()
        .map(|word| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
        .collect()
}

/// Words with quotes and backslashes, as Dockerfiles have them.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, '\\') => word.get_or_insert_default().push(characters.next()?),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_change_the_configuration() {
        let mut config = ProcessDefaults::default();
        for change in [
            "CMD [\"a\", \"b\"]",
            "ENTRYPOINT run it",
            "ENV A=1 B=\"2 3\"",
            "ENV C d e",
            "LABEL x=y",
            "EXPOSE 80 53/udp",
            "WORKDIR /srv",
            "WORKDIR sub",
            "USER me",
            "STOPSIGNAL SIGINT",
            "VOLUME [\"/data\"]",
        ] {
            apply(&mut config, change).unwrap();
        }
        assert_eq!(config.cmd.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(config.entrypoint.as_ref().unwrap()[2], "run it");
        assert_eq!(config.env, ["A=1", "B=2 3", "C=d e"]);
        assert_eq!(config.exposed_ports.len(), 2);
        assert_eq!(config.working_dir, "/srv/sub");
        assert!(config.volumes.contains_key("/data"));
        for bad in ["FROM x", "CMD", "ENV", "LABEL \"x", "STOPSIGNAL NEVER", "EXPOSE zero"] {
            assert!(apply(&mut config, bad).is_err(), "{bad}");
        }
    }
}
