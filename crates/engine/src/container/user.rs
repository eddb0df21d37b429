//! `--user`, looked up in the container's own passwd and group files.
//!
//! Numbers stay numbers. A name that isn't there is an error in Docker's words; a number that
//! isn't there is fine and has group 0.

use runtime::spec::User;

use super::Record;
use crate::{Error, Result, records::RootFiles};

/// The ids with which a container's first process runs.
pub fn look_up(record: &Record, files: &RootFiles) -> Result<User> {
    let text = record.spec.process.user.as_deref().unwrap_or("");
    resolve(text, &record.spec.host.group_add, |path| files.read(path))
}

/// The ids for `text` with more `groups`; `read` gives the content of a file in the root.
pub fn resolve(
    text: &str,
    groups: &[String],
    read: impl Fn(&str) -> Result<Option<Vec<u8>>>,
) -> Result<User> {
    let passwd = lines(read("etc/passwd")?);
    let group = lines(read("etc/group")?);
    let (user_text, group_text) = match text.split_once(':') {
        Some((user, group)) => (user, group),
        None => (text, ""),
    };
    let person = person(user_text, &passwd)?;
    let gid = match group_text {
        "" => person.gid,
        text => group_id(text, &group)?,
    };
    let mut more: Vec<u32> = Vec::new();
    if group_text.is_empty() && !person.name.is_empty() {
        let member = |line: &&Vec<String>| {
            line.get(3).is_some_and(|list| list.split(',').any(|name| name == person.name))
        };
        more.extend(
            group.iter().filter(member).filter_map(|line| line.get(2)?.parse::<u32>().ok()),
        );
    }
    for text in groups {
        more.push(group_id(text, &group)?);
    }
    let mut seen = std::collections::HashSet::new();
    more.retain(|gid| seen.insert(*gid));
    Ok(User { uid: person.uid, gid, additional_gids: more, ..User::default() })
}

struct Person {
    name: String,
    uid: u32,
    gid: u32,
}

fn person(text: &str, passwd: &[Vec<String>]) -> Result<Person> {
    let number = match text {
        "" => Some(0),
        text => text.parse::<u32>().ok(),
    };
    let found = passwd.iter().find(|line| {
        let uid = line.get(2).and_then(|field| field.parse::<u32>().ok());
        line.first().is_some_and(|name| name == text) || (number.is_some() && uid == number)
    });
    let ids = found.and_then(|line| {
        Some((line.first()?.clone(), line.get(2)?.parse().ok()?, line.get(3)?.parse().ok()?))
    });
    match (ids, number) {
        (Some((name, uid, gid)), _) => Ok(Person { name, uid, gid }),
        (None, Some(uid)) if uid <= i32::MAX.cast_unsigned() => {
            Ok(Person { name: String::new(), uid, gid: 0 })
        }
        _ => Err(Error::Invalid(format!(
            "unable to find user {text}: no matching entries in passwd file"
        ))),
    }
}

fn group_id(text: &str, group: &[Vec<String>]) -> Result<u32> {
    let by_name = group.iter().find(|line| line.first().is_some_and(|name| name == text));
    if let Some(gid) = by_name.and_then(|line| line.get(2)?.parse().ok()) {
        return Ok(gid);
    }
    match text.parse::<u32>() {
        Ok(gid) if gid <= i32::MAX.cast_unsigned() => Ok(gid),
        _ => Err(Error::Invalid(format!(
            "unable to find group {text}: no matching entries in group file"
        ))),
    }
}

fn lines(content: Option<Vec<u8>>) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(&content.unwrap_or_default()).into_owned();
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, groups: &[&str]) -> Result<(u32, u32, Vec<u32>)> {
        let files = |path: &str| {
            Ok(Some(match path {
                "etc/passwd" => b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n".to_vec(),
                _ => b"root:x:0:root\nadm:x:4:web,root\nweb:x:34:\n".to_vec(),
            }))
        };
        let groups: Vec<String> = groups.iter().map(|name| (*name).to_owned()).collect();
        resolve(text, &groups, files).map(|user| (user.uid, user.gid, user.additional_gids))
    }

    #[test]
    fn names_and_numbers() {
        assert_eq!(of("", &[]).unwrap(), (0, 0, vec![0, 4]));
        assert_eq!(of("web", &[]).unwrap(), (33, 34, vec![4]));
        assert_eq!(of("33", &["adm"]).unwrap(), (33, 34, vec![4]));
        assert_eq!(of("web:adm", &[]).unwrap(), (33, 4, vec![]));
        assert_eq!(of("1234", &["77"]).unwrap(), (1234, 0, vec![77]));
        assert_eq!(of("1234:99", &[]).unwrap(), (1234, 99, vec![]));
    }

    #[test]
    fn strangers_are_refused() {
        assert!(of("nobody", &[]).unwrap_err().text().contains("unable to find user nobody"));
        assert!(of("web:none", &[]).unwrap_err().text().contains("unable to find group none"));
        assert!(of("4294967295", &[]).is_err());
    }

    #[test]
    fn no_files_mean_root() {
        let user = resolve("", &[], |_| Ok(None)).unwrap();
        assert_eq!((user.uid, user.gid), (0, 0));
    }
}
