//! What a profile says about one call, looked up by reading it from the top: no
//! ranges, no trees, no sharing with the compiler but the number table.

use crate::spec::{LinuxSeccomp, LinuxSeccompArg, SeccompAction, SeccompOperator};

use super::super::arch::{Abi, multiplexed};
use super::super::policy::verdict;
use super::interpret::Call;

const X32: u32 = 0x4000_0000;

pub fn decide(profile: &LinuxSeccomp, abis: &[Abi], call: &Call) -> u32 {
    let default = verdict(profile.default_action, profile.default_errno_ret).unwrap();
    let x86_64 = call.arch == 0xc000_003e;
    let marked = x86_64 && call.number >= X32;
    if marked && !abis.contains(&Abi::X32) && call.number != u32::MAX {
        return 0x8000_0000;
    }
    let Some(abi) = abis.iter().copied().find(|abi| abi.audit() == call.arch && *abi != Abi::X32)
    else {
        return 0x8000_0000;
    };
    let number = match abis.contains(&Abi::X32) && x86_64 {
        true => call.number & !X32,
        false => call.number,
    };
    // Calls from 512 on are x32's when it is there.
    let table = if x86_64 && number >= 512 { Abi::X32 } else { abi };
    if table == Abi::X32 && !abis.contains(&Abi::X32) {
        return beyond(profile, abi, number, default);
    }
    let (mut unconditional, mut conditional, mut named) = (None, None, false);
    for rule in &profile.syscalls {
        let says = verdict(rule.action, rule.errno_ret).unwrap();
        for name in &rule.names {
            let mut hit = |matches: bool, plain: bool| {
                named = true;
                if says == default {
                } else if plain {
                    unconditional.get_or_insert(says);
                } else if matches {
                    conditional.get_or_insert(says);
                }
            };
            if table.number(name) == Some(number) {
                hit(matches(&rule.args, table, &call.args), rule.args.is_empty());
            }
            let seen = rule.args.is_empty() || lets_through(profile);
            if let Some((multiplexer, code)) = multiplexed(name).filter(|_| seen)
                && table.number(multiplexer) == Some(number)
            {
                let first =
                    if table.is_64_bit() { call.args[0] } else { call.args[0] as u32 as u64 };
                hit(first == code, false);
            }
        }
    }
    match unconditional.or(conditional) {
        Some(says) => says,
        None if named => default,
        None => beyond(profile, abi, number, default),
    }
}

fn lets_through(profile: &LinuxSeccomp) -> bool {
    matches!(
        profile.default_action,
        SeccompAction::Allow | SeccompAction::Log | SeccompAction::Trace
    )
}

fn beyond(profile: &LinuxSeccomp, abi: Abi, number: u32, default: u32) -> u32 {
    let numbers = profile.syscalls.iter().flat_map(|rule| {
        let seen = rule.args.is_empty() || lets_through(profile);
        rule.names.iter().flat_map(move |name| {
            let through = multiplexed(name).filter(|_| seen);
            [abi.number(name), through.and_then(|(name, _)| abi.number(name))]
        })
    });
    let newest = numbers.flatten().filter(|number| *number < 0xf_0000).max();
    match newest {
        Some(newest) if number > newest && !lets_through(profile) => 0x0005_0026,
        _ => default,
    }
}

fn matches(args: &[LinuxSeccompArg], abi: Abi, values: &[u64; 6]) -> bool {
    let width = |value: u64| if abi.is_64_bit() { value } else { value & 0xffff_ffff };
    let holds = |arg: &LinuxSeccompArg| {
        let (have, value) = (width(values[arg.index as usize]), width(arg.value));
        match arg.op {
            SeccompOperator::NotEqual => have != value,
            SeccompOperator::Less => have < value,
            SeccompOperator::LessOrEqual => have <= value,
            SeccompOperator::Equal => have == value,
            SeccompOperator::GreaterOrEqual => have >= value,
            SeccompOperator::Greater => have > value,
            SeccompOperator::MaskedEqual => have & value == width(arg.value_two),
        }
    };
    let mut seen = [0; 6];
    args.iter().for_each(|arg| seen[arg.index as usize] += 1);
    if seen.iter().any(|count| *count > 1) {
        args.iter().any(holds)
    } else {
        args.iter().all(holds)
    }
}
