//! `--chmod`: octal and symbolic permission changes (chmod(1), "MODES").

use serde::Serialize;

/// A change of permission bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ModeChange {
    /// These bits.
    Octal(u32),
    /// `u=rwX,go-w`, clause by clause.
    Symbolic(Vec<Clause>),
}

/// One clause of a symbolic change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// Bits of those whose permissions change: 0o4700, 0o2070, 0o1007.
    who: u32,
    op: char,
    permissions: String,
}

impl ModeChange {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
            )
        };
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(bits) if bits <= 0o7777 => Ok(Self::Octal(bits)),
                _ => Err(fault()),
            };
        }
        let clauses = text.split(',').map(clause).collect::<Option<Vec<_>>>().ok_or_else(fault)?;
        Ok(Self::Symbolic(clauses.into_iter().flatten().collect()))
    }

    /// The new bits of a file that had `mode`.
    pub fn apply(&self, mode: u32, directory: bool) -> u32 {
        match self {
            Self::Octal(bits) => *bits,
            Self::Symbolic(clauses) => {
                clauses.iter().fold(mode & 0o7777, |mode, clause| clause.apply(mode, directory))
            }
        }
    }
}

fn clause(text: &str) -> Option<Vec<Clause>> {
    let start = text.find(['+', '-', '='])?;
    let who = text[..start].chars().try_fold(0, |bits, c| {
        Some(
            bits | match c {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            },
        )
    })?;
    let who = if who == 0 { 0o7777 } else { who };
    let mut clauses = Vec::new();
    let mut rest = &text[start..];
    while let Some(op) = rest.chars().next() {
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
        let permissions = &rest[1..end];
        let copies = matches!(permissions, "u" | "g" | "o");
        if !copies && !permissions.chars().all(|c| "rwxXst".contains(c)) {
            return None;
        }
        clauses.push(Clause { who, op, permissions: permissions.to_owned() });
        rest = &rest[end..];
    }
    Some(clauses)
}

impl Clause {
    fn apply(&self, mode: u32, directory: bool) -> u32 {
        let spread = |three: u32| three << 6 | three << 3 | three;
        let wanted = match self.permissions.as_str() {
            "u" => spread(mode >> 6 & 7),
            "g" => spread(mode >> 3 & 7),
            "o" => spread(mode & 7),
            letters => letters.chars().fold(0, |bits, c| {
                bits | match c {
                    'r' => 0o444,
                    'w' => 0o222,
                    'x' => 0o111,
                    'X' if directory || mode & 0o111 != 0 => 0o111,
                    's' => 0o6000,
                    't' => 0o1000,
                    _ => 0,
                }
            }),
        } & self.who;
        match self.op {
            '+' => mode | wanted,
            '-' => mode & !wanted,
            // chmod(1): set-id bits of directories stay unless named.
            _ => mode & !(self.who & if directory { 0o1777 } else { 0o7777 }) | wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_apply_as_chmods() {
        for (text, before, directory, after) in [
            ("644", 0o755, false, 0o644),
            ("07777", 0, false, 0o7777),
            ("u=rwx,go=rx", 0o600, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o644, true, 0o755),
            ("go-w", 0o666, false, 0o644),
            ("u+s", 0o755, false, 0o4755),
            ("+t", 0o755, true, 0o1755),
            ("g=u", 0o640, false, 0o660),
            ("u=rw+x", 0, false, 0o700),
        ] {
            assert_eq!(
                ModeChange::parse(text).unwrap().apply(before, directory),
                after,
                "{text} {before:o}"
            );
        }
        for bad in ["", "999", "17777", "u", "q+x", "u+q"] {
            assert!(ModeChange::parse(bad).is_err(), "{bad}");
        }
    }
}
