//! `-e`, `--env-file`, `--label` and `--label-file`.

use std::fs;

use crate::cli::error::CliError;

/// Variables from files and flags, in that order. A name without `=` takes our own value; if we
/// have none, the flag removes the variable and the file's line is left out.
///
/// # Errors
/// If a file can't be read or a name is wrong.
pub fn variables(files: &[String], flags: &[String]) -> Result<Vec<String>, CliError> {
    let mut all = Vec::new();
    for file in files {
        for line in lines(file)? {
            let (name, value) = split(&line);
            check_name(name, file)?;
            match value {
                Some(_) => all.push(line),
                None => all.extend(std::env::var(name).ok().map(|value| format!("{name}={value}"))),
            }
        }
    }
    for flag in flags {
        let (name, value) = split(flag);
        if name.is_empty() {
            return Err(CliError::invalid(format!("invalid environment variable: {flag}")));
        }
        match (value, std::env::var(name)) {
            (None, Ok(ours)) => all.push(format!("{name}={ours}")),
            (None, Err(_)) | (Some(_), _) => all.push(flag.clone()),
        }
    }
    Ok(all)
}

/// Labels from files and flags, in that order; later ones replace earlier ones.
///
/// # Errors
/// If a file can't be read.
pub fn labels(files: &[String], flags: &[String]) -> Result<Vec<(String, String)>, CliError> {
    let mut all = Vec::new();
    for file in files {
        all.extend(lines(file)?);
    }
    all.extend(flags.iter().cloned());
    Ok(all
        .iter()
        .map(|line| {
            let (name, value) = split(line);
            (name.to_owned(), value.unwrap_or("").to_owned())
        })
        .collect())
}

fn split(line: &str) -> (&str, Option<&str>) {
    match line.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (line, None),
    }
}

fn check_name(name: &str, file: &str) -> Result<(), CliError> {
    if name.is_empty() {
        return Err(CliError::invalid(format!("no variable name on line of {file}")));
    }
    if name.contains(char::is_whitespace) {
        return Err(CliError::invalid(format!("variable '{name}' contains whitespaces")));
    }
    Ok(())
}

fn lines(file: &str) -> Result<Vec<String>, CliError> {
    let text = fs::read_to_string(file).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            CliError::invalid(format!("open {file}: no such file or directory"))
        }
        _ => CliError::file(format!("read {file}"), e),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let content = text.lines().map(str::trim_start);
    Ok(content.filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_first_and_have_comments() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("env").display().to_string();
        fs::write(&file, "# note\n\nA=1\n  B=x y\nNOT_SET_ANYWHERE\n").expect("written");
        let all = variables(&[file], &["A=2".to_owned(), "ALSO_NOT_SET".to_owned()]);
        assert_eq!(all.expect("valid"), ["A=1", "B=x y", "A=2", "ALSO_NOT_SET"]);
    }

    #[test]
    fn wrong_lines_are_refused() {
        assert!(variables(&[], &["=x".to_owned()]).is_err());
        assert!(variables(&["/nonexistent".to_owned()], &[]).is_err());
    }
}
