//! Instructions that change the configuration, and `WORKDIR`.

use dockerfile::instruction::{Command, Healthcheck, Instruction, Kind};
use dockerfile::{Span, expand};
use model::{container::HealthCheck, image::Empty, port::ContainerPort};

use super::{Cursor, Lowering, cannot_expand, state::State, state::clean};
use crate::{
    Error, Result, duration,
    graph::{MakeDir, Op, Vertex},
};

const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];
/// signal(7), as names without `SIG`.
const SIGNALS: [&str; 34] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

impl Lowering<'_> {
    pub(super) fn instruction(
        &mut self,
        instruction: &Instruction,
        state: &mut State,
        cursor: &mut Cursor,
    ) -> Result<()> {
        let span = instruction.span;
        match &instruction.kind {
            Kind::Run(run) => self.run(run, instruction, state, cursor)?,
            Kind::Copy(copy) => self.copy(copy, instruction, state, cursor)?,
            Kind::Add(add) => self.add(add, instruction, state, cursor)?,
            Kind::Workdir(path) => self.workdir(path, instruction, state, cursor)?,
            Kind::Arg(pairs) => self.arg(pairs, state, span)?,
            Kind::Env(pairs) => {
                let pairs = self.pairs(pairs, state, span)?;
                state.record(format!("ENV {}", shown(&pairs)), None);
                pairs.iter().for_each(|(name, value)| state.set_env(name, value));
            }
            Kind::Label(pairs) => {
                let pairs = self.pairs(pairs, state, span)?;
                state.record(format!("LABEL {}", shown(&pairs)), None);
                state.process.labels.extend(pairs);
            }
            Kind::Cmd(command) => {
                let words = with_shell(command, state);
                state.record(format!("CMD {}", quoted(&words)), None);
                state.process.cmd = Some(words);
                state.cmd_set = true;
            }
            Kind::Entrypoint(command) => {
                let words = with_shell(command, state);
                state.record(format!("ENTRYPOINT {}", quoted(&words)), None);
                state.process.entrypoint = Some(words);
                if !state.cmd_set {
                    state.process.cmd = None;
                }
            }
            Kind::Shell(words) => {
                state.record(format!("SHELL [{}]", words.join(" ")), None);
                state.process.shell = Some(words.clone());
            }
            Kind::User(text) => {
                let user = self.expand(text, state, span)?;
                state.record(format!("USER {user}"), None);
                state.process.user = user;
            }
            Kind::Volume(paths) => self.volume(paths, state, span)?,
            Kind::Expose(ports) => self.expose(ports, state, span)?,
            Kind::StopSignal(text) => {
                let signal = self.expand(text, state, span)?;
                check_signal(&signal).map_err(|message| Error::Instruction { span, message })?;
                state.record(format!("STOPSIGNAL {signal}"), None);
                state.process.stop_signal = Some(signal);
            }
            Kind::Healthcheck(check) => {
                let check =
                    health(check).map_err(|message| Error::Instruction { span, message })?;
                state.record(shown_health(&check), None);
                state.process.healthcheck = Some(check);
            }
            Kind::Onbuild(onbuild) => state.process.on_build.push(onbuild.text.clone()),
            Kind::Maintainer(text) => {
                state.record(format!("MAINTAINER {text}"), None);
                state.author = Some(text.clone());
            }
            Kind::From(_) => {
                let message = "FROM isn't allowed here".to_owned();
                return Err(Error::Instruction { span, message });
            }
        }
        Ok(())
    }

    fn workdir(
        &mut self,
        path: &str,
        instruction: &Instruction,
        state: &mut State,
        cursor: &mut Cursor,
    ) -> Result<()> {
        let path = self.expand(path, state, instruction.span)?;
        let path = clean(&if path.starts_with('/') {
            path
        } else {
            format!("{}/{path}", state.process.working_dir)
        });
        state.process.working_dir.clone_from(&path);
        let name = cursor.name(&instruction.text);
        let vertex = (path != "/").then(|| {
            self.push(Vertex {
                name,
                text: instruction.text.clone(),
                span: instruction.span,
                parent: state.root,
                op: Op::MakeDir(MakeDir { path: path.clone(), owner: state.process.user.clone() }),
                no_cache: cursor.no_cache,
            })
        });
        state.root = vertex.or(state.root);
        state.record(format!("WORKDIR {path}"), vertex);
        Ok(())
    }

    fn arg(&self, pairs: &[(String, Option<String>)], state: &mut State, span: Span) -> Result<()> {
        let mut shown = Vec::new();
        for (name, default) in pairs {
            let value = match (self.request.build_args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(default, state, span)?),
                (None, None) => self.globals.0.get(name).cloned(),
            };
            match &value {
                Some(value) => {
                    state.set_variable(name, value);
                    shown.push(format!("{name}={value}"));
                }
                None => shown.push(name.clone()),
            }
            state.args.push((name.clone(), value));
        }
        state.record(format!("ARG {}", shown.join(" ")), None);
        Ok(())
    }

    /// All values of one instruction see the environment before it.
    fn pairs(
        &self,
        pairs: &[(String, String)],
        state: &State,
        span: Span,
    ) -> Result<Vec<(String, String)>> {
        let expand = |(name, value): &(String, String)| {
            Ok((self.expand(name, state, span)?, self.expand(value, state, span)?))
        };
        pairs.iter().map(expand).collect()
    }

    fn volume(&self, paths: &[String], state: &mut State, span: Span) -> Result<()> {
        let expand = |path: &String| self.expand(path, state, span);
        let paths = paths.iter().map(expand).collect::<Result<Vec<_>>>()?;
        if paths.iter().any(String::is_empty) {
            let message = "VOLUME specified can not be an empty string".to_owned();
            return Err(Error::Instruction { span, message });
        }
        state.record(format!("VOLUME [{}]", paths.join(" ")), None);
        state.process.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        Ok(())
    }

    fn expose(&self, ports: &[String], state: &mut State, span: Span) -> Result<()> {
        let lookup = |name: &str| state.variable(name);
        let mut words = Vec::new();
        for text in ports {
            let expanded = expand::words(text, self.escape, &lookup, expand::Quotes::Remove)
                .map_err(|error| cannot_expand(text, &error, span))?;
            words.extend(expanded);
        }
        let mut all = Vec::new();
        for word in &words {
            all.extend(self::ports(word).map_err(|message| Error::Instruction { span, message })?);
        }
        let shown: Vec<String> = all.iter().map(|port| format!("{port}:{{}}")).collect();
        state.record(format!("EXPOSE map[{}]", shown.join(" ")), None);
        let exposed = &mut state.process.exposed_ports;
        exposed.extend(all.into_iter().map(|port| (port, Empty {})));
        Ok(())
    }
}

/// `8000-8002/udp` → each of them. A host part (`80:8080`) is passed over, as BuildKit does.
fn ports(word: &str) -> std::result::Result<Vec<String>, String> {
    let fault = || format!("invalid containerPort: {word}");
    let last = word.rsplit(':').next().unwrap_or(word);
    let (range, protocol) = last.split_once('/').unwrap_or((last, "tcp"));
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let low: u16 = low.parse().map_err(|_| fault())?;
    let high: u16 = high.parse().map_err(|_| fault())?;
    if low == 0 || high < low {
        return Err(fault());
    }
    let port = |number: u16| {
        let port: ContainerPort = format!("{number}/{protocol}").parse().map_err(|_| fault())?;
        Ok(port.to_string())
    };
    (low..=high).map(port).collect()
}

/// A command's words; shell form gets the stage's shell in front.
pub(super) fn with_shell(command: &Command, state: &State) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => {
            let shell = state.process.shell.clone().filter(|shell| !shell.is_empty());
            let mut words = shell.unwrap_or_else(|| DEFAULT_SHELL.map(str::to_owned).to_vec());
            words.push(text.clone());
            words
        }
    }
}

fn shown(pairs: &[(String, String)]) -> String {
    let all: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.join(" ")
}

/// As Go's `%q` prints a list of strings.
fn quoted(words: &[String]) -> String {
    let all: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", all.join(" "))
}

fn check_signal(text: &str) -> std::result::Result<(), String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let realtime = || {
        let rest = name.strip_prefix("RTMIN").map(|rest| rest.strip_prefix('+').unwrap_or(rest));
        let rest = rest.or_else(|| {
            name.strip_prefix("RTMAX").map(|rest| rest.strip_prefix('-').unwrap_or(rest))
        });
        rest.is_some_and(|rest| rest.is_empty() || rest.parse::<u8>().is_ok_and(|n| n <= 15))
    };
    let number = name.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    match number || SIGNALS.contains(&name) || realtime() {
        true => Ok(()),
        false => Err(format!("invalid signal: {text}")),
    }
}

fn health(check: &Healthcheck) -> std::result::Result<HealthCheck, String> {
    let (command, times, retries) = match check {
        Healthcheck::None => {
            return Ok(HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() });
        }
        Healthcheck::Command {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } => (command, [interval, timeout, start_period, start_interval], retries),
    };
    let mut nanoseconds = [0; 4];
    for (slot, (name, text)) in nanoseconds
        .iter_mut()
        .zip(["interval", "timeout", "start-period", "start-interval"].into_iter().zip(times))
    {
        let Some(text) = text else { continue };
        let value = duration::parse(text)
            .ok_or_else(|| format!("invalid duration {text:?} for flag --{name}"))?;
        // Docker: an interval is 0 (the default) or at least a millisecond.
        if value != 0 && value < 1_000_000 {
            return Err(format!("Interval {name:?} cannot be less than 1ms"));
        }
        *slot = value;
    }
    let [interval, timeout, start_period, start_interval] = nanoseconds;
    let mut test = match command {
        Command::Exec(_) => vec!["CMD".to_owned()],
        Command::Shell(_) => vec!["CMD-SHELL".to_owned()],
    };
    match command {
        Command::Exec(words) => test.extend(words.iter().cloned()),
        Command::Shell(text) => test.push(text.clone()),
    }
    let retries = i64::from(retries.unwrap_or(0));
    Ok(HealthCheck { test, interval, timeout, start_period, start_interval, retries })
}

fn shown_health(check: &HealthCheck) -> String {
    format!(
        "HEALTHCHECK {{Test:[{}] Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        check.test.join(" "),
        duration::show(check.interval),
        duration::show(check.timeout),
        duration::show(check.start_period),
        duration::show(check.start_interval),
        check.retries
    )
}
