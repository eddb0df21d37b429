//! The syntax tree: one node an instruction, with its lines, flags, arguments and here-documents.
//!
//! Follows what BuildKit's parser accepts, byte for byte where its test corpus says so: comments and
//! blank lines inside a continued instruction are passed over, an escape character at the end of a
//! line continues it, leading spaces are kept.

use crate::{
    directive::{self, Directives},
    error::{self, ParseError, ParseErrorKind, Span},
    heredoc::{self, Heredoc},
    words,
};

/// The longest line that is read, as BuildKit's scanner has it.
const LINE_MAX: usize = 1024 * 1024;

/// Every instruction's name.
pub const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// A file as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The parser directives.
    pub directives: Directives,
    /// The instructions.
    pub nodes: Vec<Node>,
    /// Lines that are blank inside a continued instruction; BuildKit warns of them.
    pub empty_continuations: Vec<Span>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The keyword as written.
    pub keyword: String,
    /// `--flags` as written, quotes resolved.
    pub flags: Vec<String>,
    /// The arguments.
    pub arguments: Arguments,
    /// Here-documents, in the order announced.
    pub heredocs: Vec<Heredoc>,
    /// The whole instruction on one line, continuations joined.
    pub original: String,
    /// The comment block right above.
    pub comments: Vec<String>,
    /// Its lines.
    pub span: Span,
}

/// How an instruction's arguments are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Nothing.
    None,
    /// Words, from a JSON array (`json`) or separated by spaces.
    Words {
        /// The words.
        words: Vec<String>,
        /// Written as a JSON array.
        json: bool,
    },
    /// One text: a shell command or a single value.
    Text(String),
    /// Names and values; `legacy` is the form `ENV name the rest`.
    Pairs {
        /// Name and value, quotes kept.
        pairs: Vec<(String, String)>,
        /// Written without an equals sign.
        legacy: bool,
    },
    /// `HEALTHCHECK CMD …`
    Health {
        /// `CMD` or `NONE`, as written.
        kind: String,
        /// What follows.
        command: Box<Arguments>,
    },
    /// The instruction of an `ONBUILD`.
    Nested(Box<Node>),
}

impl Node {
    /// The keyword in capitals.
    pub fn instruction(&self) -> String {
        self.keyword.to_ascii_uppercase()
    }
}

/// Reads a whole Dockerfile.
pub fn parse(text: &str) -> Result<Dockerfile, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let directives = directive::read(text)?;
    let mut reader = Reader {
        lines: text.split_inclusive('\n'),
        number: 0,
        escape: directives.escape,
        comments: Vec::new(),
        empty_continuations: Vec::new(),
    };
    let mut nodes = Vec::new();
    while let Some(node) = reader.instruction()? {
        nodes.push(node);
    }
    if nodes.is_empty() {
        return Err(ParseError { span: None, kind: ParseErrorKind::Empty, hint: None });
    }
    Ok(Dockerfile { directives, nodes, empty_continuations: reader.empty_continuations })
}

struct Reader<'a> {
    lines: std::str::SplitInclusive<'a, char>,
    number: u32,
    escape: char,
    comments: Vec<String>,
    empty_continuations: Vec<Span>,
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Result<Option<&'a str>, ParseError> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        self.number += 1;
        if line.len() > LINE_MAX {
            let span = Span { start: self.number, end: self.number };
            return Err(ParseError::at(span, ParseErrorKind::LineTooLong(LINE_MAX)));
        }
        Ok(Some(line))
    }

    fn instruction(&mut self) -> Result<Option<Node>, ParseError> {
        loop {
            let Some(line) = self.line()? else { return Ok(None) };
            let start = self.number;
            let line = trim_newline(line).trim_start();
            if let Some(comment) = line.strip_prefix('#') {
                self.comments.push(comment.trim().to_owned());
                continue;
            }
            let comments = std::mem::take(&mut self.comments);
            let (mut text, mut more) = self.without_continuation(line);
            if !more && text.is_empty() {
                continue;
            }
            while more {
                let Some(line) = self.line()? else { break };
                let line = trim_newline(line);
                if line.trim_start().starts_with('#') {
                    continue;
                }
                if line.trim().is_empty() {
                    self.empty_continuations.push(Span { start: self.number, end: self.number });
                    continue;
                }
                let (part, continued) = self.without_continuation(line);
                text.push_str(&part);
                more = continued;
            }
            let span = Span { start, end: self.number };
            if text.trim().is_empty() {
                continue;
            }
            let mut node = node(&text, self.escape, span)?;
            node.comments = comments;
            self.heredocs(&mut node)?;
            return Ok(Some(node));
        }
    }

    /// Takes an escape character at the end of the line off; true when there was one.
    fn without_continuation(&self, line: &str) -> (String, bool) {
        let trimmed = line.trim_end_matches([' ', '\t']);
        let Some(before) = trimmed.strip_suffix(self.escape) else {
            return (line.to_owned(), false);
        };
        if before.ends_with(self.escape) {
            return (line.to_owned(), false);
        }
        (before.to_owned(), true)
    }

    fn heredocs(&mut self, node: &mut Node) -> Result<(), ParseError> {
        let carrier = innermost(node);
        let takes = ["ADD", "COPY", "RUN"].contains(&carrier.instruction().as_str());
        let json = matches!(carrier.arguments, Arguments::Words { json: true, .. });
        if !takes || json || !node.original.contains("<<") {
            return Ok(());
        }
        let mut span = node.span;
        let fault = |span, kind| ParseError::at(span, kind);
        let mut found =
            heredoc::announced(&node.original, self.escape).map_err(|k| fault(span, k))?;
        for heredoc in &mut found {
            loop {
                let Some(line) = self.line()? else {
                    span.end = self.number;
                    return Err(fault(span, ParseErrorKind::UnterminatedHeredoc));
                };
                let bare = trim_newline(line);
                let bare = if heredoc.chomp { bare.trim_start_matches('\t') } else { bare };
                if bare == heredoc.name {
                    break;
                }
                heredoc.content.push_str(line);
            }
        }
        span.end = self.number;
        node.span = span;
        if let Arguments::Nested(inner) = &mut node.arguments {
            inner.heredocs = found.clone();
            inner.span = span;
        }
        node.heredocs = found;
        Ok(())
    }
}

fn innermost(node: &Node) -> &Node {
    match &node.arguments {
        Arguments::Nested(inner) => innermost(inner),
        _ => node,
    }
}

fn trim_newline(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

/// Reads one joined instruction.
pub fn node(text: &str, escape: char, span: Span) -> Result<Node, ParseError> {
    let original = text.to_owned();
    let trimmed = text.trim();
    let (keyword, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
    let (flags, rest) = words::take_flags(rest);
    let arguments = arguments(keyword, rest.trim(), escape, span)?;
    Ok(Node {
        keyword: keyword.to_owned(),
        flags,
        arguments,
        heredocs: Vec::new(),
        original,
        comments: Vec::new(),
        span,
    })
}

fn arguments(keyword: &str, rest: &str, escape: char, span: Span) -> Result<Arguments, ParseError> {
    let fault = |kind| ParseError::at(span, kind);
    match keyword.to_ascii_uppercase().as_str() {
        "ADD" | "COPY" | "VOLUME" => Ok(match json(rest).map_err(fault)? {
            Some(words) => words,
            None => spaced(rest),
        }),
        "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" => command(rest).map_err(fault),
        "EXPOSE" | "FROM" => Ok(spaced(rest)),
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => Ok(text(rest)),
        "ENV" => pairs("ENV", rest, escape).map_err(fault),
        "LABEL" => pairs("LABEL", rest, escape).map_err(fault),
        "ARG" => {
            let words = words::split_keeping_quotes(rest, escape);
            Ok(if words.is_empty() {
                Arguments::None
            } else {
                Arguments::Words { words, json: false }
            })
        }
        "HEALTHCHECK" => health(rest).map_err(fault),
        "ONBUILD" if rest.is_empty() => Ok(Arguments::None),
        "ONBUILD" => Ok(Arguments::Nested(Box::new(node(rest, escape, span)?))),
        _ => Err(ParseError {
            hint: error::nearest(keyword, INSTRUCTIONS).map(|word| format!("did you mean {word}?")),
            ..fault(ParseErrorKind::UnknownInstruction(keyword.to_owned()))
        }),
    }
}

fn json(rest: &str) -> Result<Option<Arguments>, ParseErrorKind> {
    match words::json_strings(rest) {
        None => Ok(None),
        Some(Ok(words)) => Ok(Some(Arguments::Words { words, json: true })),
        Some(Err(())) => Err(ParseErrorKind::NotStringArray),
    }
}

fn command(rest: &str) -> Result<Arguments, ParseErrorKind> {
    Ok(match json(rest)? {
        Some(words) => words,
        None => text(rest),
    })
}

fn text(rest: &str) -> Arguments {
    if rest.is_empty() { Arguments::None } else { Arguments::Text(rest.to_owned()) }
}

fn spaced(rest: &str) -> Arguments {
    let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    if words.is_empty() { Arguments::None } else { Arguments::Words { words, json: false } }
}

fn pairs(key: &'static str, rest: &str, escape: char) -> Result<Arguments, ParseErrorKind> {
    let words = words::split_keeping_quotes(rest, escape);
    let Some(first) = words.first() else { return Ok(Arguments::None) };
    if !first.contains('=') {
        let (name, value) =
            rest.split_once(char::is_whitespace).ok_or(ParseErrorKind::TwoArguments(key))?;
        let pairs = vec![(name.to_owned(), value.trim_start().to_owned())];
        return Ok(Arguments::Pairs { pairs, legacy: true });
    }
    let split = |word: String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(ParseErrorKind::NoEquals(word)),
    };
    let pairs = words.into_iter().map(split).collect::<Result<_, _>>()?;
    Ok(Arguments::Pairs { pairs, legacy: false })
}

fn health(rest: &str) -> Result<Arguments, ParseErrorKind> {
    if rest.is_empty() {
        return Ok(Arguments::None);
    }
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = Box::new(command(rest.trim())?);
    Ok(Arguments::Health { kind: kind.to_owned(), command })
}
