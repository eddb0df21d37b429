//! Pax extended headers: `"%d %s=%s\n"` records (POSIX.1-2017 pax, "pax Extended Header").

use sys::file::Time;

use super::Extent;

/// What an extended header changes about the next entry.
#[derive(Debug, Default)]
pub(crate) struct Extension {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) modified: Option<Time>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: Sparse,
}

/// GNU's sparse keys (GNU tar manual, "Storing Sparse Files").
#[derive(Debug, Default)]
pub(crate) struct Sparse {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
    pub(crate) map: Option<Vec<Extent>>,
}

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// Key and value.
type Record<'a> = (&'a [u8], &'a [u8]);

/// Splits a body into records. `Err` says what is wrong.
pub(crate) fn records(mut body: &[u8]) -> Result<Vec<Record<'_>>, &'static str> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let space =
            body.iter().take(21).position(|&b| b == b' ').ok_or("pax record without length")?;
        let length = decimal(&body[..space]).ok_or("pax record with a bad length")?;
        let length = usize::try_from(length).map_err(|_| "pax record with a bad length")?;
        if length <= space + 1 || length > body.len() || body[length - 1] != b'\n' {
            return Err("pax record with a wrong length");
        }
        let record = &body[space + 1..length - 1];
        let equals = record.iter().position(|&b| b == b'=').ok_or("pax record without '='")?;
        if equals == 0 {
            return Err("pax record without a key");
        }
        found.push((&record[..equals], &record[equals + 1..]));
        body = &body[length..];
    }
    Ok(found)
}

/// Reads the extended header of one entry.
pub(crate) fn parse(body: &[u8]) -> Result<Extension, &'static str> {
    let mut extension = Extension::default();
    for (key, value) in records(body)? {
        // An empty value takes the record's effect back, which without globals is none.
        if value.is_empty() && !key.starts_with(XATTR_PREFIX) {
            continue;
        }
        apply(&mut extension, key, value)?;
    }
    Ok(extension)
}

fn apply(extension: &mut Extension, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
    match key {
        b"path" => set(&mut extension.path, plain(value)?),
        b"linkpath" => set(&mut extension.link, plain(value)?),
        b"size" => set(&mut extension.size, decimal(value).ok_or("pax size is no number")?),
        b"uid" => set(&mut extension.uid, id(value)?),
        b"gid" => set(&mut extension.gid, id(value)?),
        b"mtime" => set(&mut extension.modified, time(value).ok_or("pax mtime is no time")?),
        b"GNU.sparse.major" => {
            set(&mut extension.sparse.major, decimal(value).ok_or("bad sparse version")?)
        }
        b"GNU.sparse.minor" => {
            set(&mut extension.sparse.minor, decimal(value).ok_or("bad sparse version")?)
        }
        b"GNU.sparse.name" => set(&mut extension.sparse.name, plain(value)?),
        b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
            set(&mut extension.sparse.real_size, decimal(value).ok_or("bad sparse size")?)
        }
        b"GNU.sparse.map" => set(&mut extension.sparse.map, map(value)?),
        b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => Err("sparse format 0.0 is unsupported"),
        _ => match key.strip_prefix(XATTR_PREFIX) {
            Some(name) if name.is_empty() || name.contains(&0) => Err("bad xattr name"),
            Some(name) => {
                if extension.xattrs.iter().any(|(known, _)| known == name) {
                    return Err("pax key given twice");
                }
                extension.xattrs.push((name.to_vec(), value.to_vec()));
                Ok(())
            }
            // Times of access and change, user and group names, comments and vendors' keys say
            // nothing that Cale would act on.
            None => Ok(()),
        },
    }
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("pax key given twice"),
    }
}

fn plain(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.contains(&0) { Err("pax name with a NUL byte") } else { Ok(value.to_vec()) }
}

fn id(value: &[u8]) -> Result<u32, &'static str> {
    decimal(value).and_then(|n| u32::try_from(n).ok()).ok_or("pax owner is no id")
}

fn map(value: &[u8]) -> Result<Vec<Extent>, &'static str> {
    let mut numbers = value.split(|&b| b == b',').map(|n| decimal(n).ok_or("bad sparse map"));
    let mut extents = Vec::new();
    while let Some(offset) = numbers.next() {
        let length = numbers.next().ok_or("bad sparse map")??;
        extents.push(Extent { offset: offset?, length });
    }
    Ok(extents)
}

/// Digits only: no sign, no blanks.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &b| match b {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

/// `[-]seconds[.fraction]`, rounded down to nanoseconds.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|&b| b == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &text[..0]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let mut nanoseconds = 0u32;
    for index in 0..9 {
        let digit = match fraction.get(index) {
            Some(b @ b'0'..=b'9') => u32::from(b - b'0'),
            Some(_) => return None,
            None => 0,
        };
        nanoseconds = nanoseconds * 10 + digit;
    }
    Some(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// One record, its length counting itself.
pub(crate) fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + decimal_digits(length) {
        length = rest + decimal_digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn decimal_digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_at_every_length() {
        for length in 0..1100 {
            let value = vec![b'v'; length];
            let mut body = Vec::new();
            record(&mut body, b"k", &value);
            assert_eq!(records(&body).unwrap(), vec![(&b"k"[..], &value[..])], "{length}");
        }
    }

    #[test]
    fn wrong_records_are_refused() {
        for bad in
            [&b"5 a=b"[..], b"7 a=b\n", b"6 a=b\nx", b"-6 a=b\n", b"6 abc\n", b"4 =\n", b" a=b\n"]
        {
            assert!(records(bad).is_err(), "{bad:?}");
        }
        assert!(parse(b"9 size=x\n").is_err());
        assert!(parse(b"9 size=1\n9 size=2\n").is_err());
    }

    #[test]
    fn times_round_down() {
        assert_eq!(time(b"1.5"), Some(Time { seconds: 1, nanoseconds: 500_000_000 }));
        assert_eq!(time(b"-1.5"), Some(Time { seconds: -2, nanoseconds: 500_000_000 }));
        assert_eq!(time(b"1.5x"), None);
    }
}
