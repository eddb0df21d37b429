//! Detach keys: a sequence typed by the user that ends an attached session.

use bytes::Bytes;

use crate::cli::error::CliError;

/// What detaches unless configured otherwise.
pub const DEFAULT_KEYS: &str = "ctrl-p,ctrl-q";

/// Watches input for the key sequence.
#[derive(Debug)]
pub struct Keys {
    sequence: Vec<u8>,
    matched: usize,
}

/// Reads a sequence such as `ctrl-p,ctrl-q` or `a,b`.
///
/// # Errors
/// [`CliError::Invalid`] with the key that is unknown.
pub fn parse_keys(text: &str) -> Result<Keys, CliError> {
    let key = |word: &str| {
        if let Some(letter) = word.strip_prefix("ctrl-") {
            return match letter.as_bytes() {
                [c @ b'a'..=b'z'] => Some(c - b'a' + 1),
                [c @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => Some(c - b'@'),
                _ => None,
            };
        }
        match word.as_bytes() {
            [c] => Some(*c),
            _ => None,
        }
    };
    let sequence: Result<Vec<u8>, CliError> = text
        .split(',')
        .map(|word| {
            key(word).ok_or_else(|| CliError::invalid(format!("Unknown character: '{word}'")))
        })
        .collect();
    Ok(Keys { sequence: sequence?, matched: 0 })
}

impl Keys {
    /// What of `input` is to be sent, and whether the sequence is complete. The keys themselves
    /// are held back until it is clear that they don't belong to the sequence.
    pub fn filter(&mut self, input: &[u8]) -> (Bytes, bool) {
        let mut passed = Vec::with_capacity(input.len());
        for &byte in input {
            if byte == self.sequence[self.matched] {
                self.matched += 1;
                if self.matched == self.sequence.len() {
                    return (passed.into(), true);
                }
                continue;
            }
            passed.extend_from_slice(&self.sequence[..self.matched]);
            self.matched = 0;
            if byte == self.sequence[0] {
                self.matched = 1;
            } else {
                passed.push(byte);
            }
        }
        (passed.into(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_across_reads() {
        let mut keys = parse_keys(DEFAULT_KEYS).expect("valid");
        assert_eq!(keys.filter(b"ab\x10"), (Bytes::from_static(b"ab"), false));
        assert_eq!(keys.filter(b"x"), (Bytes::from_static(b"\x10x"), false));
        assert_eq!(keys.filter(b"\x10\x10\x11rest"), (Bytes::from_static(b"\x10"), true));
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(parse_keys("ctrl-1").is_err());
        assert!(parse_keys("abc").is_err());
        assert!(parse_keys("ctrl-[,a").is_ok());
    }
}
