//! The 512-byte block: fields, numbers and checksum (POSIX.1-2017 pax, "ustar Interchange Format";
//! GNU tar manual, "Basic Tar Format").

pub(crate) const BLOCK: usize = 512;

/// Byte ranges of the header's fields.
pub(crate) mod field {
    use std::ops::Range;
    pub(crate) const NAME: Range<usize> = 0..100;
    pub(crate) const MODE: Range<usize> = 100..108;
    pub(crate) const UID: Range<usize> = 108..116;
    pub(crate) const GID: Range<usize> = 116..124;
    pub(crate) const SIZE: Range<usize> = 124..136;
    pub(crate) const MTIME: Range<usize> = 136..148;
    pub(crate) const CHECKSUM: Range<usize> = 148..156;
    pub(crate) const TYPE: usize = 156;
    pub(crate) const LINK: Range<usize> = 157..257;
    pub(crate) const MAGIC: Range<usize> = 257..265;
    pub(crate) const MAJOR: Range<usize> = 329..337;
    pub(crate) const MINOR: Range<usize> = 337..345;
    pub(crate) const PREFIX: Range<usize> = 345..500;
    pub(crate) const GNU_SPARSE: Range<usize> = 386..482;
    pub(crate) const GNU_SPARSE_MORE: usize = 482;
    pub(crate) const GNU_REAL_SIZE: Range<usize> = 483..495;
}

pub(crate) const USTAR_MAGIC: &[u8; 8] = b"ustar\x0000";
pub(crate) const GNU_MAGIC: &[u8; 8] = b"ustar  \0";

/// The text of a field: up to its first NUL.
pub(crate) fn text(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len())]
}

/// A number of a field: octal digits between blanks and NULs, or GNU's base 256. `None` if it is
/// neither, or doesn't fit.
pub(crate) fn number(bytes: &[u8]) -> Option<i64> {
    match bytes.first() {
        Some(first) if first & 0x80 != 0 => base256(bytes),
        _ => octal(bytes),
    }
}

fn octal(bytes: &[u8]) -> Option<i64> {
    let blank = |b: &u8| *b == b' ' || *b == 0;
    let start = bytes.iter().position(|b| !blank(b)).unwrap_or(bytes.len());
    let rest = &bytes[start..];
    let end = rest.iter().position(blank).unwrap_or(rest.len());
    if !rest[end..].iter().all(blank) {
        return None;
    }
    rest[..end].iter().try_fold(0i64, |value, &b| match b {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(b - b'0')),
        _ => None,
    })
}

fn base256(bytes: &[u8]) -> Option<i64> {
    let negative = bytes[0] & 0x40 != 0;
    // Sign-extend the seven value bits of the first byte.
    let first =
        if negative { i64::from(bytes[0] | 0x80) - 256 } else { i64::from(bytes[0] & 0x7f) };
    bytes[1..].iter().try_fold(first, |value, &b| value.checked_mul(256)?.checked_add(i64::from(b)))
}

/// Whether the stored checksum is the sum of the block's bytes, its own field read as blanks;
/// historical writers summed signed bytes.
pub(crate) fn checksum_holds(block: &[u8; BLOCK]) -> bool {
    let Some(stored) = octal(&block[field::CHECKSUM]) else { return false };
    let (unsigned, signed) = sums(block);
    stored == unsigned || stored == signed
}

fn sums(block: &[u8; BLOCK]) -> (i64, i64) {
    let blanks = 8 * i64::from(b' ');
    let mut unsigned = blanks;
    let mut signed = blanks;
    for (index, &byte) in block.iter().enumerate() {
        if !field::CHECKSUM.contains(&index) {
            unsigned += i64::from(byte);
            signed += i64::from(byte as i8);
        }
    }
    (unsigned, signed)
}

/// Writes `value` as octal with a closing NUL; false if it doesn't fit.
pub(crate) fn put_octal(bytes: &mut [u8], value: u64) -> bool {
    let digits = bytes.len() - 1;
    if digits < 22 && value >> (3 * digits) != 0 {
        return false;
    }
    let mut rest = value;
    for byte in bytes[..digits].iter_mut().rev() {
        *byte = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    bytes[digits] = 0;
    true
}

/// Fills in the checksum, last of all fields.
pub(crate) fn seal(block: &mut [u8; BLOCK]) {
    let (sum, _) = sums(block);
    let text = format!("{sum:06o}\0 ");
    block[field::CHECKSUM].copy_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_kinds() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"12x4\0"), None);
        assert_eq!(number(b"12 4\0"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1, 0]), None);
    }

    #[test]
    fn octal_that_does_not_fit_is_said() {
        let mut bytes = [0u8; 8];
        assert!(put_octal(&mut bytes, 0o7_777_777));
        assert_eq!(number(&bytes), Some(0o7_777_777));
        assert!(!put_octal(&mut bytes, 0o10_000_000));
    }
}
