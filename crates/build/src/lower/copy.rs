//! `COPY` and `ADD`.

use dockerfile::Span;
use dockerfile::expand;
use dockerfile::heredoc::Heredoc;
use dockerfile::instruction::{Add, Copy, CopyOptions, Instruction, Source};

use super::{Cursor, Lowering, cannot_expand, state::State};
use crate::{
    Error, Result,
    graph::{CopySource, CopyStep, Op, Origin, Vertex},
    mode::ModeChange,
};

/// The whole of a named context, as the root of a stage.
pub(super) fn whole_tree(name: &str) -> CopyStep {
    CopyStep {
        sources: vec![CopySource::Files {
            from: Origin::Context(name.to_owned()),
            pattern: "/".to_owned(),
            unpack: false,
        }],
        destination: "/".to_owned(),
        owner: None,
        mode: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
    }
}

impl Lowering<'_> {
    pub(super) fn copy(
        &mut self,
        copy: &Copy,
        instruction: &Instruction,
        state: &mut State,
        cursor: &mut Cursor,
    ) -> Result<()> {
        let span = instruction.span;
        let from = match &copy.from {
            Some(name) => self.origin(cursor.stage, name, span)?,
            None => Origin::Context(String::new()),
        };
        let mut sources = Vec::new();
        for source in &copy.sources {
            sources.push(match source {
                Source::Path(path) => CopySource::Files {
                    from: from.clone(),
                    pattern: self.expand(path, state, span)?,
                    unpack: false,
                },
                Source::Inline(heredoc) => self.inline(heredoc, state, span)?,
            });
        }
        let mut step = self.step(sources, &copy.destination, &copy.options, state, span)?;
        step.parents = copy.parents;
        self.copied("COPY", step, instruction, state, cursor)
    }

    pub(super) fn add(
        &mut self,
        add: &Add,
        instruction: &Instruction,
        state: &mut State,
        cursor: &mut Cursor,
    ) -> Result<()> {
        let span = instruction.span;
        let checksum = match &add.checksum {
            Some(text) => Some(self.expand(text, state, span)?),
            None => None,
        };
        let mut sources = Vec::new();
        for source in &add.sources {
            let path = match source {
                Source::Inline(heredoc) => {
                    sources.push(self.inline(heredoc, state, span)?);
                    continue;
                }
                Source::Path(path) => self.expand(path, state, span)?,
            };
            sources.push(if is_git(&path) {
                let (checksum, keep_git_dir) = (checksum.clone(), add.keep_git_dir);
                CopySource::Git { url: path, checksum, keep_git_dir }
            } else if path.starts_with("http://") || path.starts_with("https://") {
                let unpack = add.unpack.unwrap_or(false);
                CopySource::Url { url: path, checksum: checksum.clone(), unpack }
            } else {
                CopySource::Files {
                    from: Origin::Context(String::new()),
                    pattern: path,
                    unpack: add.unpack.unwrap_or(true),
                }
            });
        }
        let remote = sources
            .iter()
            .filter(|s| matches!(s, CopySource::Url { .. } | CopySource::Git { .. }))
            .count();
        if checksum.is_some() && (remote != 1 || sources.len() != 1) {
            let message = "checksum can only be specified for a single HTTP(S) or Git source";
            return Err(Error::Instruction { span, message: message.to_owned() });
        }
        let step = self.step(sources, &add.destination, &add.options, state, span)?;
        self.copied("ADD", step, instruction, state, cursor)
    }

    fn inline(&self, heredoc: &Heredoc, state: &State, span: Span) -> Result<CopySource> {
        let text = heredoc.text();
        let lookup = |name: &str| state.variable(name);
        let content = match heredoc.expand {
            true => expand::variables(&text, self.escape, &lookup)
                .map_err(|error| cannot_expand(&heredoc.name, &error, span))?,
            false => text,
        };
        Ok(CopySource::Inline { name: heredoc.name.clone(), content })
    }

    fn step(
        &self,
        sources: Vec<CopySource>,
        destination: &str,
        options: &CopyOptions,
        state: &State,
        span: Span,
    ) -> Result<CopyStep> {
        let written = self.expand(destination, state, span)?;
        let destination = state.absolute(&written);
        if sources.len() > 1 && !destination.ends_with('/') {
            return Err(Error::Instruction {
                span,
                message: "When using COPY with more than one source file, the destination must be a directory and end with a /".to_owned(),
            });
        }
        let expanded = |text: &Option<String>| {
            text.as_ref().map(|text| self.expand(text, state, span)).transpose()
        };
        let mode = match expanded(&options.chmod)? {
            Some(text) => Some(
                ModeChange::parse(&text).map_err(|message| Error::Instruction { span, message })?,
            ),
            None => None,
        };
        let exclude = options.exclude.iter().map(|text| self.expand(text, state, span));
        let exclude = exclude.collect::<Result<Vec<_>>>()?;
        dockerfile::ignore::Patterns::new(exclude.iter().map(String::as_str))
            .map_err(|error| Error::Instruction { span, message: error.to_string() })?;
        Ok(CopyStep {
            sources,
            destination,
            owner: expanded(&options.chown)?.filter(|owner| !owner.is_empty()),
            mode,
            link: options.link,
            parents: false,
            exclude,
        })
    }

    fn copied(
        &mut self,
        keyword: &str,
        step: CopyStep,
        instruction: &Instruction,
        state: &mut State,
        cursor: &mut Cursor,
    ) -> Result<()> {
        let created_by = history(keyword, &step, instruction);
        let vertex = self.push(Vertex {
            name: cursor.name(&instruction.text),
            text: instruction.text.clone(),
            span: instruction.span,
            parent: state.root,
            op: Op::Copy(step),
            no_cache: cursor.no_cache,
        });
        state.root = Some(vertex);
        state.record(created_by, Some(vertex));
        Ok(())
    }
}

fn is_git(url: &str) -> bool {
    let path = url.split('#').next().unwrap_or(url);
    let http = url.starts_with("http://") || url.starts_with("https://");
    url.starts_with("git@")
        || url.starts_with("git://")
        || url.starts_with("ssh://")
        || http && path.ends_with(".git")
}

/// `COPY --chown=a b c # buildkit`
fn history(keyword: &str, step: &CopyStep, instruction: &Instruction) -> String {
    let mut text = keyword.to_owned();
    // Flags as written; `--from` names a stage that the image knows nothing of.
    for word in instruction.text.split_whitespace().skip(1) {
        if !word.starts_with("--") {
            break;
        }
        if ["--chown=", "--chmod=", "--link", "--parents"].iter().any(|f| word.starts_with(f)) {
            text.push(' ');
            text.push_str(word);
        }
    }
    for source in &step.sources {
        text.push(' ');
        text.push_str(&match source {
            CopySource::Files { pattern, .. } => pattern.clone(),
            CopySource::Inline { name, .. } => format!("<<{name}"),
            CopySource::Url { url, .. } | CopySource::Git { url, .. } => without_secrets(url),
        });
    }
    format!("{text} {} # buildkit", step.destination)
}

/// A URL without the user part: credentials must not stay in an image (security rule E7).
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{}", &rest[end..]),
        None => url.to_owned(),
    }
}
