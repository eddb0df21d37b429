//! Here-documents: `RUN <<EOF`, `COPY <<-"EOF" /dest`.

use crate::{
    error::ParseErrorKind,
    expand::{self, Quotes},
};

/// One here-document of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The terminating word.
    pub name: String,
    /// The file descriptor before `<<`; 0 when none was written.
    pub fd: u32,
    /// Variables in the content are expanded (the word had no quotes).
    pub expand: bool,
    /// Leading tabs are taken off (`<<-`).
    pub chomp: bool,
    /// The lines up to the terminator, with their newlines.
    pub content: String,
}

impl Heredoc {
    /// The content with leading tabs removed where `<<-` asked for it.
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The here-documents that a line announces, contents still empty.
pub fn announced(line: &str, escape: char) -> Result<Vec<Heredoc>, ParseErrorKind> {
    let words =
        expand::split_raw(line, escape).map_err(|e| ParseErrorKind::HeredocWord(e.to_string()))?;
    words.iter().filter_map(|word| of_word(word, escape).transpose()).collect()
}

/// Reads `[fd]<<[-]word`; `None` for any other word.
pub fn of_word(word: &str, escape: char) -> Result<Option<Heredoc>, ParseErrorKind> {
    let Some((fd, rest)) = word.split_once("<<") else { return Ok(None) };
    if !fd.bytes().all(|b| b.is_ascii_digit()) || rest.contains('<') {
        return Ok(None);
    }
    let (chomp, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    if rest.is_empty() {
        return Ok(None);
    }
    let fault = || ParseErrorKind::HeredocWord(word.to_owned());
    let words = expand::words(rest, escape, &|_| None, Quotes::Remove).map_err(|_| fault())?;
    let [name] = words.as_slice() else { return Ok(None) };
    Ok(Some(Heredoc {
        name: name.clone(),
        fd: if fd.is_empty() { 0 } else { fd.parse().map_err(|_| fault())? },
        expand: !rest.contains(['"', '\'', escape]),
        chomp,
        content: String::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_found() {
        let found = announced(r#"RUN <<-'EOF' cat 3<<B >x"#, '\\').unwrap();
        let brief: Vec<_> =
            found.iter().map(|h| (h.name.as_str(), h.fd, h.expand, h.chomp)).collect();
        assert_eq!(brief, [("EOF", 0, false, true), ("B", 3, true, false)]);
        assert!(announced("RUN cat <<<word", '\\').unwrap().is_empty());
        assert!(announced("RUN echo '<<EOF'", '\\').unwrap().is_empty());
    }

    #[test]
    fn chomping_takes_tabs_only() {
        let h = Heredoc {
            name: "E".into(),
            fd: 0,
            expand: true,
            chomp: true,
            content: "\t\ta\n b\n".into(),
        };
        assert_eq!(h.text(), "a\n b\n");
    }
}
