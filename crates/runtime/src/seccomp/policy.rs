//! What a profile means for one architecture: call number → decision. Pure.
//!
//! Where the specification is silent this does as runc and libseccomp do, because
//! profiles are written against them:
//! - names that the architecture lacks are ignored;
//! - an unconditional rule beats every conditional rule of the same call, and the first
//!   of several wins; among conditional rules the first that matches wins;
//! - two conditions on the *same* argument in one rule are alternatives, those on
//!   different arguments must all hold (runc `seccomp_linux.go`, crun `seccomp.c`);
//! - rules for `socket`, `shmget` and their like also govern `socketcall` and `ipc`;
//! - a rule with the default action changes nothing;
//! - calls newer than any that the profile names fail with `ENOSYS` when the default is
//!   to refuse, so that a libc falls back (runc `patchbpf/enosys_linux.go`).

use std::collections::BTreeMap;

use crate::spec::{LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction, SeccompOperator};

use super::SeccompError;
use super::arch::{Abi, X32_BIT, multiplexed};

/// `SECCOMP_RET_*` with its data, as the program returns it.
pub(super) type Verdict = u32;

/// `SECCOMP_RET_KILL_PROCESS`: for architectures that the profile doesn't name.
pub(super) const KILL_PROCESS: Verdict = 0x8000_0000;
/// `__ARM_NR_BASE`: calls from here on aren't numbered by age.
const ARM_PRIVATE: u32 = 0xf_0000;
const EPERM: u32 = 1;
const ENOSYS: Verdict = 0x0005_0000 | 38;

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Decision {
    /// Alternatives in order: all conditions of one must hold.
    pub rules: Vec<(Vec<LinuxSeccompArg>, Verdict)>,
    /// If none does.
    pub otherwise: Verdict,
}

impl Decision {
    pub(super) fn always(verdict: Verdict) -> Self {
        Self { rules: Vec::new(), otherwise: verdict }
    }
}

/// All decisions of one audit architecture: `(first number, decision)`, ascending from
/// 0, neighbours differ. Each holds up to the next one's first number.
pub(super) type Ranges = Vec<(u32, Decision)>;

/// The ranges for `abi`; with `x32`, also for calls that carry [`X32_BIT`], which the
/// program strips first. Numbers below 512 are the same calls in both; a call that only
/// x86_64 has is decided alike with the bit (the kernel knows none there).
pub(super) fn ranges(
    profile: &LinuxSeccomp,
    first: &[LinuxSyscall],
    abi: Abi,
    x32: bool,
) -> Result<Ranges, SeccompError> {
    let default = verdict(profile.default_action, profile.default_errno_ret)?;
    let mut calls: BTreeMap<u32, Call> = BTreeMap::new();
    collect(&mut calls, profile, first, abi, default)?;
    // Above it lie 32-bit Arm's private calls and x32's own ones (from 512 on); what is
    // between is unassigned.
    let newest = calls.range(..ARM_PRIVATE).next_back().map(|(number, _)| *number);
    let unknown = if lets_through(profile.default_action) { default } else { ENOSYS };
    if x32 {
        let mut own = BTreeMap::new();
        collect(&mut own, profile, first, Abi::X32, default)?;
        calls.extend(own.into_iter().filter(|(number, _)| *number >= 512));
    }
    let rest = if newest.is_some() { unknown } else { default };
    let known_end = newest.map_or(0, |newest| newest + 1);
    let mut list = RangeList::default();
    for (number, call) in calls {
        list.fill(number.min(known_end), default);
        list.fill(number, rest);
        list.push(number, call.decide(default));
        list.next = number + 1;
    }
    list.push(list.next, Decision::always(rest));
    if abi == Abi::X86_64 && !x32 {
        // A profile without x32 treats it as a foreign architecture, but -1 is what a
        // tracer writes to skip a call and what callers probe with: not x32.
        list.push(X32_BIT, Decision::always(KILL_PROCESS));
        list.push(u32::MAX, Decision::always(rest));
    }
    Ok(list.ranges)
}

#[derive(Default)]
struct RangeList {
    ranges: Ranges,
    next: u32,
}

impl RangeList {
    /// `verdict` for the numbers from the last one on, up to `end`.
    fn fill(&mut self, end: u32, verdict: Verdict) {
        if self.next < end {
            self.push(self.next, Decision::always(verdict));
            self.next = end;
        }
    }

    fn push(&mut self, start: u32, decision: Decision) {
        if self.ranges.last().is_none_or(|(_, last)| *last != decision) {
            self.ranges.push((start, decision));
        }
    }
}

/// The rules of one call while they are gathered.
#[derive(Debug, Default)]
struct Call {
    always: Option<Verdict>,
    rules: Vec<(Vec<LinuxSeccompArg>, Verdict)>,
    /// From the engine's own rules, which come before the profile's, even unconditional ones.
    first: Vec<(Vec<LinuxSeccompArg>, Verdict)>,
}

impl Call {
    fn decide(self, default: Verdict) -> Decision {
        let (mut rules, otherwise) = match self.always {
            Some(verdict) => (Vec::new(), verdict),
            None => (self.rules, default),
        };
        rules.splice(0..0, self.first);
        // Trailing rules that say what happens anyway.
        while rules.last().is_some_and(|(_, verdict)| *verdict == otherwise) {
            rules.pop();
        }
        Decision { rules, otherwise }
    }
}

fn collect(
    calls: &mut BTreeMap<u32, Call>,
    profile: &LinuxSeccomp,
    first: &[LinuxSyscall],
    abi: Abi,
    default: Verdict,
) -> Result<(), SeccompError> {
    for rule in first {
        let verdict = verdict(rule.action, rule.errno_ret)?;
        for number in rule.names.iter().filter_map(|name| abi.number(name)) {
            calls.entry(number).or_default().first.extend(alternatives(rule, abi, verdict)?);
        }
    }
    for rule in &profile.syscalls {
        let verdict = verdict(rule.action, rule.errno_ret)?;
        let alternatives = alternatives(rule, abi, verdict)?;
        for name in &rule.names {
            if let Some(number) = abi.number(name) {
                // Named, hence known, even if the rule itself says nothing new.
                add(calls.entry(number).or_default(), &alternatives, verdict, default);
            }
            // A multiplexer's other arguments lie behind a pointer, out of a filter's sight:
            // a condition on them can't be kept. Dropping it may refuse more, never less.
            // (libseccomp also widens permissions so, and compares the pointer.)
            if !(rule.args.is_empty() || lets_through(profile.default_action)) {
                continue;
            }
            if let Some((multiplexer, code)) = multiplexed(name)
                && let Some(number) = abi.number(multiplexer)
            {
                let selects = vec![equal(0, code)];
                add(calls.entry(number).or_default(), &[(selects, verdict)], verdict, default);
            }
        }
    }
    Ok(())
}

fn add(
    call: &mut Call,
    alternatives: &[(Vec<LinuxSeccompArg>, Verdict)],
    verdict: Verdict,
    default: Verdict,
) {
    if verdict == default {
        return;
    }
    for (conditions, verdict) in alternatives {
        if conditions.is_empty() {
            call.always.get_or_insert(*verdict);
        } else {
            call.rules.push((conditions.clone(), *verdict));
        }
    }
}

/// A rule as alternatives of conditions that must hold together.
fn alternatives(
    rule: &LinuxSyscall,
    abi: Abi,
    verdict: Verdict,
) -> Result<Vec<(Vec<LinuxSeccompArg>, Verdict)>, SeccompError> {
    if let Some(bad) = rule.args.iter().find(|arg| arg.index > 5) {
        return Err(invalid(format!("argument index {} of {:?}", bad.index, rule.names)));
    }
    let conditions: Vec<_> = rule.args.iter().map(|arg| narrowed(*arg, abi)).collect();
    let repeated = (0..6)
        .any(|index| conditions.iter().filter(|condition| condition.index == index).count() > 1);
    Ok(if repeated {
        conditions.into_iter().map(|condition| (vec![condition], verdict)).collect()
    } else {
        vec![(conditions, verdict)]
    })
}

/// Arguments of 32-bit architectures are compared in 32 bits, so that a `-1` written in
/// 64 bits matches (libseccomp `db.c`, 32-bit rules).
fn narrowed(arg: LinuxSeccompArg, abi: Abi) -> LinuxSeccompArg {
    if abi.is_64_bit() {
        return arg;
    }
    let low = u64::from(u32::MAX);
    LinuxSeccompArg { value: arg.value & low, value_two: arg.value_two & low, ..arg }
}

fn equal(index: u32, value: u64) -> LinuxSeccompArg {
    LinuxSeccompArg { index, value, value_two: 0, op: SeccompOperator::Equal }
}

/// Whether the profile is a list of what is refused. An unknown call doesn't get
/// `ENOSYS` then: the action handles new ones by itself.
fn lets_through(default: SeccompAction) -> bool {
    matches!(default, SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace)
}

/// An action as the kernel's return value, linux/seccomp.h.
pub(super) fn verdict(action: SeccompAction, errno: Option<u32>) -> Result<Verdict, SeccompError> {
    let data = errno.unwrap_or(EPERM);
    let base = match action {
        SeccompAction::Errno if data > 4095 => {
            return Err(invalid(format!("errnoRet {data} is above 4095")));
        }
        SeccompAction::Trace if data > 0xffff => {
            return Err(invalid(format!("errnoRet {data} is above 65535")));
        }
        SeccompAction::Errno => return Ok(0x0005_0000 | data),
        SeccompAction::Trace => return Ok(0x7ff0_0000 | data),
        SeccompAction::Kill | SeccompAction::KillThread => 0,
        SeccompAction::KillProcess => KILL_PROCESS,
        SeccompAction::Trap => 0x0003_0000,
        SeccompAction::Notify => 0x7fc0_0000,
        SeccompAction::Log => 0x7ffc_0000,
        SeccompAction::Allow => 0x7fff_0000,
    };
    match errno {
        // The specification demands the refusal.
        Some(_) => Err(invalid(format!("errnoRet with {action:?}, which returns no errno"))),
        None => Ok(base),
    }
}

pub(super) fn invalid(reason: String) -> SeccompError {
    SeccompError::Invalid { reason }
}
