//! A Dockerfile's stages: global arguments, base of each, references between them.

use std::collections::BTreeMap;

use dockerfile::{
    Span,
    error::nearest,
    expand,
    instruction::{self, Instruction, Kind},
};
use model::image::Platform;

use super::{arguments, cannot_expand, context};
use crate::{Error, Request, Result, request::NamedContext};

/// What a stage begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Scratch,
    Stage(usize),
    Image(String),
    /// A named context that is a tree of files.
    Tree(String),
}

/// Where files of another place come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Stage(usize),
    Image(String),
    Tree(String),
}

#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// Lower case.
    pub(super) name: Option<String>,
    /// As written, variables expanded.
    pub(super) image: String,
    pub(super) base: Base,
    pub(super) platform: Platform,
    pub(super) span: Span,
    pub(super) from_text: String,
    pub(super) instructions: Vec<Instruction>,
}

/// Arguments before the first stage, and the predefined ones: they hold in `FROM` lines, and in
/// stages that declare them again without a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Globals(pub(super) BTreeMap<String, String>);

pub(super) struct Split {
    pub(super) stages: Vec<Stage>,
    pub(super) globals: Globals,
}

pub(super) fn split(all: Vec<Instruction>, request: &Request, escape: char) -> Result<Split> {
    let mut globals = Globals(arguments::predefined(request));
    let mut stages: Vec<Stage> = Vec::new();
    for instruction in all {
        let span = instruction.span;
        match (&instruction.kind, stages.last_mut()) {
            (Kind::From(from), _) => {
                let stage = begin(from, &instruction, &stages, &globals, request, escape)?;
                stages.push(stage);
            }
            (_, Some(stage)) => stage.instructions.push(instruction),
            (Kind::Arg(pairs), None) => {
                for (name, default) in pairs {
                    let value = match (request.build_args.get(name), default) {
                        (Some(given), _) => Some(given.clone()),
                        (None, Some(default)) => {
                            let lookup = |name: &str| globals.0.get(name).cloned();
                            let value = expand::word(default, escape, &lookup)
                                .map_err(|error| cannot_expand(default, &error, span))?;
                            Some(value)
                        }
                        (None, None) => None,
                    };
                    if let Some(value) = value {
                        globals.0.insert(name.clone(), value);
                    }
                }
            }
            (_, None) => {
                return Err(Error::Instruction {
                    span,
                    message: "no build stage in current context".to_owned(),
                });
            }
        }
    }
    if stages.is_empty() {
        return Err(Error::Invalid("dockerfile contains no stages to build".to_owned()));
    }
    Ok(Split { stages, globals })
}

fn begin(
    from: &instruction::From,
    instruction: &Instruction,
    stages: &[Stage],
    globals: &Globals,
    request: &Request,
    escape: char,
) -> Result<Stage> {
    let span = instruction.span;
    let fault = |message: String| Error::Instruction { span, message };
    let expand = |text: &str| {
        let lookup = |name: &str| globals.0.get(name).cloned();
        expand::word(text, escape, &lookup).map_err(|error| cannot_expand(text, &error, span))
    };
    let image = expand(&from.image)?;
    if image.is_empty() {
        return Err(fault(format!("base name ({}) should not be blank", from.image)));
    }
    let platform = match &from.platform {
        None => None,
        Some(text) => {
            let text = expand(text)?;
            if text.is_empty() {
                let written = from.platform.clone().unwrap_or_default();
                return Err(fault(format!("empty platform value from expression {written}")));
            }
            Some(arguments::platform(&text).map_err(fault)?)
        }
    };
    let lower = image.to_ascii_lowercase();
    let earlier = stages.iter().rposition(|stage| stage.name.as_deref() == Some(&lower));
    let base = match (context(request, &image), earlier) {
        (Some(NamedContext::Image(name)), _) => Base::Image(name.clone()),
        (Some(NamedContext::Tree(name)), _) => Base::Tree(name.clone()),
        (None, Some(stage)) => Base::Stage(stage),
        (None, None) if image == "scratch" => Base::Scratch,
        (None, None) => Base::Image(image.clone()),
    };
    let inherited = match &base {
        Base::Stage(stage) => Some(stages[*stage].platform.clone()),
        _ => None,
    };
    Ok(Stage {
        name: from.name.clone(),
        image,
        base,
        platform: platform.or(inherited).unwrap_or_else(|| request.platform.clone()),
        span,
        from_text: instruction.text.clone(),
        instructions: Vec::new(),
    })
}

/// The stage to build.
pub(super) fn target(stages: &[Stage], wanted: Option<&str>) -> Result<usize> {
    let Some(wanted) = wanted.filter(|text| !text.is_empty()) else {
        return Ok(stages.len() - 1);
    };
    let lower = wanted.to_ascii_lowercase();
    let named = stages.iter().rposition(|stage| stage.name.as_deref() == Some(&lower));
    let numbered = || wanted.parse::<usize>().ok().filter(|at| *at < stages.len());
    named.or_else(numbered).ok_or_else(|| {
        let names = stages.iter().filter_map(|stage| stage.name.as_deref());
        let hint = match nearest(wanted, names) {
            Some(near) => format!(" (did you mean {near}?)"),
            None => String::new(),
        };
        Error::Invalid(format!("target stage {wanted:?} could not be found{hint}"))
    })
}

/// Puts a base image's triggers before the stage's own instructions.
pub(super) fn add_triggers(stage: &mut Stage, triggers: &[String], escape: char) -> Result<()> {
    let mut all = Vec::new();
    for trigger in triggers {
        let text = match escape {
            '\\' => trigger.clone(),
            other => format!("# escape={other}\n{trigger}"),
        };
        let file = dockerfile::parse(&text).map_err(Error::Parse)?;
        let [node] = file.nodes.as_slice() else {
            return Err(Error::Instruction {
                span: stage.span,
                message: "onbuild trigger should be a single expression".to_owned(),
            });
        };
        let mut instruction = instruction::read(node).map_err(Error::Parse)?;
        instruction.span = stage.span;
        all.push(instruction);
    }
    all.append(&mut stage.instructions);
    stage.instructions = all;
    Ok(())
}

/// The `--from` and `from=` names of a stage.
pub(super) fn references(stage: &Stage) -> Vec<(String, Span)> {
    let mut names = Vec::new();
    for instruction in &stage.instructions {
        let span = instruction.span;
        match &instruction.kind {
            Kind::Copy(copy) => names.extend(copy.from.iter().map(|name| (name.clone(), span))),
            Kind::Run(run) => {
                let from = |text: &String| {
                    let field = text.split(',').find_map(|field| field.strip_prefix("from="))?;
                    Some((field.to_owned(), span))
                };
                names.extend(run.mounts.iter().filter_map(from));
            }
            _ => {}
        }
    }
    names
}

/// What the name after `from=` means in stage `at`.
pub(super) fn place(
    stages: &[Stage],
    at: usize,
    name: &str,
    request: &Request,
) -> std::result::Result<Place, String> {
    if name.is_empty() {
        return Err("from: name should not be blank".to_owned());
    }
    match context(request, name) {
        Some(NamedContext::Image(image)) => return Ok(Place::Image(image.clone())),
        Some(NamedContext::Tree(tree)) => return Ok(Place::Tree(tree.clone())),
        None => {}
    }
    let lower = name.to_ascii_lowercase();
    let named = |stage: &Stage| stage.name.as_deref() == Some(lower.as_str());
    if let Some(stage) = stages[..at].iter().rposition(named) {
        return Ok(Place::Stage(stage));
    }
    if stages[at..].iter().any(named) {
        return Err(format!(
            "cannot copy from stage {name:?}, it needs to be defined before current stage"
        ));
    }
    match name.parse::<usize>() {
        Ok(stage) if stage < at => Ok(Place::Stage(stage)),
        Ok(_) => Err(format!("invalid stage index {name}")),
        Err(_) if name == "scratch" => Err("scratch holds no files to copy from".to_owned()),
        Err(_) => Ok(Place::Image(name.to_owned())),
    }
}
