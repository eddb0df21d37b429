//! Cuts a stream into log records the way Docker's copier does: a record is a line, and a line longer than 16 KiB is several.
//!
//! Pure. The rules decide where the *same* bytes are cut, no matter in which portions they arrive: this is what makes writing
//! them again after a crash give the same file.

/// Longest record in bytes, newline included (moby `daemon/logger/copier.go`, `defaultBufSize`).
pub(crate) const RECORD_MAX: usize = 16 << 10;

/// Length of the first record of `pending`, if one is complete. `ended` says that nothing follows `pending`.
///
/// A record that doesn't end in a newline is continued by the next one (or is the stream's last).
pub(crate) fn first_record(pending: &[u8], ended: bool) -> Option<usize> {
    let window = &pending[..pending.len().min(RECORD_MAX)];
    match memchr::memchr(b'\n', window) {
        Some(newline) => Some(newline + 1),
        None if window.len() == RECORD_MAX => Some(RECORD_MAX),
        None if ended && !window.is_empty() => Some(window.len()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(mut pending: &[u8], ended: bool) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        while let Some(len) = first_record(pending, ended) {
            records.push(pending[..len].to_vec());
            pending = &pending[len..];
        }
        records
    }

    #[test]
    fn lines() {
        assert_eq!(cut(b"a\n\nbc", false), [b"a\n".to_vec(), b"\n".to_vec()]);
        assert_eq!(cut(b"a\nbc", true), [b"a\n".to_vec(), b"bc".to_vec()]);
        assert!(cut(b"", true).is_empty());
    }

    #[test]
    fn long_lines() {
        let lens = |len: usize| -> Vec<usize> {
            let mut line = vec![b'x'; len];
            line.push(b'\n');
            cut(&line, false).iter().map(Vec::len).collect()
        };
        assert_eq!(lens(RECORD_MAX - 1), [RECORD_MAX]);
        assert_eq!(lens(RECORD_MAX), [RECORD_MAX, 1]);
        assert_eq!(lens(2 * RECORD_MAX + 5), [RECORD_MAX, RECORD_MAX, 6]);
    }

    proptest! {
        #[test]
        fn portions_do_not_matter(
            lines in prop::collection::vec(0usize..40_000, 0..6),
            tail in 0usize..20_000,
            portion in 1usize..9_000,
        ) {
            let mut all = Vec::new();
            for len in lines {
                all.resize(all.len() + len, b'x');
                all.push(b'\n');
            }
            all.resize(all.len() + tail, b'y');

            let mut pending = Vec::new();
            let mut records = Vec::new();
            for chunk in all.chunks(portion) {
                pending.extend_from_slice(chunk);
                while let Some(len) = first_record(&pending, false) {
                    records.push(pending.drain(..len).collect::<Vec<u8>>());
                }
            }
            records.extend(cut(&pending, true));
            prop_assert_eq!(&records, &cut(&all, true));
            prop_assert_eq!(records.concat(), all);
        }
    }
}
