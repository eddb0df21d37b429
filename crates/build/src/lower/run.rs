//! `RUN` and its mounts.

use dockerfile::Span;
use dockerfile::heredoc;
use dockerfile::instruction::{Command, Instruction, Run, RunMount, RunMountKind};

use super::{Cursor, Lowering, arguments, configure::with_shell, state::State, state::clean};
use crate::{
    Error, Result,
    graph::{Mount, MountKind, Network, Op, Origin, RunStep, Vertex},
};

/// Where a here-document with a `#!` line is mounted, as BuildKit does.
const PIPES: &str = "/dev/pipes";

impl Lowering<'_> {
    pub(super) fn run(
        &mut self,
        run: &Run,
        instruction: &Instruction,
        state: &mut State,
        cursor: &mut Cursor,
    ) -> Result<()> {
        let span = instruction.span;
        let mut mounts = Vec::new();
        for text in &run.mounts {
            let text = self.expand(text, state, span)?;
            let mount =
                RunMount::parse(&text).map_err(|message| Error::Instruction { span, message })?;
            mounts.push(self.mount(mount, state, cursor.stage, span)?);
        }
        let command = self.command(run, state, &mut mounts);
        if command.is_empty() {
            let message = "RUN requires a command".to_owned();
            return Err(Error::Instruction { span, message });
        }
        let created_by = format!("RUN {} # buildkit", shown(&command, state));
        let step = RunStep {
            env: state.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            proxy_env: self.proxies(state),
            command,
            working_dir: state.process.working_dir.clone(),
            user: state.process.user.clone(),
            mounts,
            network: self.network(run, state, span)?,
            insecure: self.insecure(run, state, span)?,
        };
        if let Some(device) = run.devices.first() {
            let message = format!("no device {device:?}: this engine knows no CDI devices");
            return Err(Error::Instruction { span, message });
        }
        let vertex = self.push(Vertex {
            name: cursor.name(&instruction.text),
            text: instruction.text.clone(),
            span,
            parent: state.root,
            op: Op::Run(step),
            no_cache: cursor.no_cache,
        });
        state.root = Some(vertex);
        state.record(created_by, Some(vertex));
        Ok(())
    }

    /// Proxy settings that no `ARG` or `ENV` declares.
    fn proxies(&self, state: &State) -> Vec<String> {
        let mut all = arguments::proxy(self.request);
        all.retain(|entry| {
            let name = entry.split('=').next().unwrap_or_default();
            arguments::is_proxy(name) && state.variable(name).is_none()
        });
        all
    }

    /// The command line, with here-documents put where the shell finds them.
    fn command(&self, run: &Run, state: &State, mounts: &mut Vec<Mount>) -> Vec<String> {
        let Command::Shell(text) = &run.command else { return with_shell(&run.command, state) };
        let whole = match run.heredocs.as_slice() {
            [only] if heredoc::of_word(text.trim(), self.escape).is_ok_and(|h| h.is_some()) => {
                let script = only.text();
                if script.starts_with("#!") {
                    let target = format!("{PIPES}/{}", only.name);
                    let kind = MountKind::Inline { content: script };
                    mounts.push(Mount { target: target.clone(), readonly: true, kind });
                    return vec![target];
                }
                script
            }
            heredocs => heredocs.iter().fold(text.clone(), |text, heredoc| {
                format!("{text}\n{}{}", heredoc.content, heredoc.name)
            }),
        };
        with_shell(&Command::Shell(whole), state)
    }

    fn network(&self, run: &Run, state: &State, span: Span) -> Result<Network> {
        let Some(text) = &run.network else { return Ok(Network::Default) };
        let message = match self.expand(text, state, span)?.as_str() {
            "default" => return Ok(Network::Default),
            "none" => return Ok(Network::None),
            "host" if self.request.allow_host_network => return Ok(Network::Host),
            "host" => "network.host is not allowed: grant it with --allow network.host".to_owned(),
            other => format!("unsupported network mode {other:?}"),
        };
        Err(Error::Instruction { span, message })
    }

    /// Only the exact word with an explicit grant makes a step insecure (security rule E3).
    fn insecure(&self, run: &Run, state: &State, span: Span) -> Result<bool> {
        let Some(text) = &run.security else { return Ok(false) };
        let message = match self.expand(text, state, span)?.as_str() {
            "sandbox" => return Ok(false),
            "insecure" if self.request.allow_insecure => return Ok(true),
            "insecure" => {
                "security.insecure is not allowed: grant it with --allow security.insecure"
                    .to_owned()
            }
            other => format!("unsupported security mode {other:?}"),
        };
        Err(Error::Instruction { span, message })
    }

    fn mount(&mut self, mount: RunMount, state: &State, stage: usize, span: Span) -> Result<Mount> {
        let fault = |message: &str| Error::Instruction { span, message: message.to_owned() };
        let absolute = |path: &str| clean(&state.absolute(path));
        let target = mount.target.as_deref().map(absolute);
        if target.as_deref() == Some("/") {
            return Err(fault("invalid mount target \"/\""));
        }
        let of = |target: &Option<String>| target.clone().unwrap_or_default();
        let (target, kind) = match mount.kind {
            RunMountKind::Bind { from, source } => {
                let from = match from {
                    Some(name) => self.origin(stage, &name, span)?,
                    None => Origin::Context(String::new()),
                };
                (of(&target), MountKind::Bind { from, source: clean(&source) })
            }
            RunMountKind::Cache { id, from, source, sharing, mode, uid, gid } => {
                let from = match from {
                    Some(name) => Some(self.origin(stage, &name, span)?),
                    None => None,
                };
                let target = of(&target);
                let id = id.unwrap_or_else(|| target.clone());
                let source = clean(&source);
                (target, MountKind::Cache { id, from, source, sharing, mode, uid, gid })
            }
            RunMountKind::Tmpfs { size } => (of(&target), MountKind::Tmpfs { size }),
            RunMountKind::Secret { id, env, required, mode, uid, gid } => {
                let last = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
                let id = id.or_else(|| target.as_ref().map(last)).or_else(|| env.clone());
                let id = id
                    .filter(|id| !id.is_empty())
                    .ok_or_else(|| fault("one of source, target required"))?;
                let target = match (target, &env) {
                    (Some(target), _) => target,
                    (None, Some(_)) => String::new(),
                    (None, None) => format!("/run/secrets/{}", last(&id)),
                };
                (target, MountKind::Secret { id, env, required, mode, uid, gid })
            }
            RunMountKind::Ssh { id, required, mode, uid, gid } => {
                let agents = self.vertices.len();
                let target = target.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{agents}"));
                (target, MountKind::Ssh { id, required, mode, uid, gid })
            }
        };
        Ok(Mount { target, readonly: mount.readonly, kind })
    }
}

/// `|1 A=x /bin/sh -c …`: declared arguments with their values at this place.
fn shown(command: &[String], state: &State) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in &state.args {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut words = Vec::new();
    if !names.is_empty() {
        words.push(format!("|{}", names.len()));
    }
    for name in names {
        words.push(format!("{name}={}", state.variable(name).unwrap_or_default()));
    }
    words.extend(command.iter().cloned());
    words.join(" ")
}
