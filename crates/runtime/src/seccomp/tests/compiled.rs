//! Random profiles and calls: the compiled program and the literal reading agree.

use proptest::prelude::*;

use crate::spec::{
    LinuxSeccomp, LinuxSeccompArg, LinuxSyscall, SeccompAction, SeccompArch, SeccompOperator,
};

use super::super::arch::Abi;
use super::super::numbers::NUMBERS;
use super::super::{Filter, compile};
use super::interpret::{Call, check, run};
use super::naive;

fn action() -> impl Strategy<Value = (SeccompAction, Option<u32>)> {
    prop_oneof![
        4 => Just((SeccompAction::Allow, None)),
        2 => Just((SeccompAction::Errno, None)),
        2 => (0..4096u32).prop_map(|errno| (SeccompAction::Errno, Some(errno))),
        1 => Just((SeccompAction::KillProcess, None)),
        1 => Just((SeccompAction::Kill, None)),
        1 => Just((SeccompAction::Trap, None)),
        1 => Just((SeccompAction::Log, None)),
        1 => (0..0x1_0000u32).prop_map(|datum| (SeccompAction::Trace, Some(datum))),
    ]
}

/// Values that are near each other, near the 32-bit border, or anything.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..8u64,
        2 => (0..4u64).prop_map(|low| (1 << 32) + low),
        1 => (0..4u64).prop_map(|below| u64::from(u32::MAX) - below),
        1 => (0..4u64).prop_map(|below| u64::MAX - below),
        1 => any::<u64>(),
    ]
}

fn operator() -> impl Strategy<Value = SeccompOperator> {
    prop::sample::select(vec![
        SeccompOperator::NotEqual,
        SeccompOperator::Less,
        SeccompOperator::LessOrEqual,
        SeccompOperator::Equal,
        SeccompOperator::GreaterOrEqual,
        SeccompOperator::Greater,
        SeccompOperator::MaskedEqual,
    ])
}

fn argument() -> impl Strategy<Value = LinuxSeccompArg> {
    (0..6u32, value(), value(), operator())
        .prop_map(|(index, value, value_two, op)| LinuxSeccompArg { index, value, value_two, op })
}

/// A few names come up again and again, so that rules meet.
fn name() -> impl Strategy<Value = String> {
    let frequent = ["socket", "clone", "personality", "read", "shmget", "socketcall", "nonsense"];
    prop_oneof![
        1 => prop::sample::select(frequent.to_vec()).prop_map(str::to_owned),
        2 => (0..NUMBERS.len()).prop_map(|row| NUMBERS[row].0.to_owned()),
    ]
}

fn rule() -> impl Strategy<Value = LinuxSyscall> {
    (
        prop::collection::vec(name(), 1..30),
        action(),
        prop_oneof![2 => Just(vec![]), 3 => prop::collection::vec(argument(), 0..4)],
    )
        .prop_map(|(names, (action, errno_ret), args)| LinuxSyscall {
            names,
            action,
            errno_ret,
            args,
        })
}

fn profile() -> impl Strategy<Value = LinuxSeccomp> {
    let arches = prop::sample::subsequence(
        vec![
            SeccompArch::X86_64,
            SeccompArch::X86,
            SeccompArch::X32,
            SeccompArch::Aarch64,
            SeccompArch::Arm,
            SeccompArch::Mips,
        ],
        0..6,
    );
    (action(), arches, prop::collection::vec(rule(), 0..25)).prop_map(
        |((default_action, default_errno_ret), architectures, syscalls)| LinuxSeccomp {
            default_action,
            default_errno_ret,
            architectures,
            flags: vec![],
            listener_path: String::new(),
            listener_metadata: String::new(),
            syscalls,
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    let arch = prop::sample::select(vec![0xc000_003e, 0x4000_0003, 0xc000_00b7, 0x4000_0028, 7]);
    let number = prop_oneof![
        10 => 0..560u32,
        4 => (0..560u32).prop_map(|number| number | 0x4000_0000),
        1 => 983_039..983_050u32,
        1 => any::<u32>(),
        1 => Just(u32::MAX),
    ];
    (arch, number, prop::array::uniform6(value())).prop_map(|(arch, number, args)| Call {
        arch,
        number,
        args,
    })
}

fn abis(profile: &LinuxSeccomp) -> Vec<Abi> {
    let named = profile.architectures.iter().filter_map(|arch| Abi::of_spec(*arch, Abi::X86_64));
    named.chain([Abi::X86_64]).collect()
}

/// Each name's number on each architecture, and its neighbours: the ranges' borders.
fn borders(profile: &LinuxSeccomp) -> Vec<Call> {
    let args = [1, 1 << 32, 3, u64::MAX, 5, 0];
    let mut calls = Vec::new();
    for abi in abis(profile) {
        let bit = if abi == Abi::X32 { 0x4000_0000 } else { 0 };
        for number in
            profile.syscalls.iter().flat_map(|rule| &rule.names).filter_map(|name| abi.number(name))
        {
            for number in [number.wrapping_sub(1), number, number + 1] {
                calls.push(Call { arch: abi.audit(), number: number | bit, args });
            }
        }
    }
    calls
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn agrees_with_the_literal_reading(profile in profile(), calls in prop::collection::vec(call(), 60)) {
        let filter = compile(&profile, Abi::X86_64).unwrap();
        check(filter.instructions());
        let abis = abis(&profile);
        // The literal reading is slow: a part of the borders for each profile.
        for call in calls.iter().chain(borders(&profile).iter().skip(calls[0].args[0] as usize % 23).step_by(23)) {
            prop_assert_eq!(
                run(filter.instructions(), call),
                naive::decide(&profile, &abis, call),
                "{:x?}", call
            );
        }
        prop_assert_eq!(Filter::from_bytes(&filter.to_bytes()), Some(filter));
    }
}

#[test]
fn long_programs_jump_far() {
    // Alternating actions make a range of every call and conditions make them long:
    // targets get out of a conditional jump's reach.
    let syscalls = NUMBERS.iter().enumerate().map(|(row, (name, _))| LinuxSyscall {
        names: vec![(*name).to_owned()],
        action: SeccompAction::Errno,
        errno_ret: Some(row as u32 % 4000),
        args: match row % 7 {
            0 => vec![LinuxSeccompArg {
                index: 2,
                value: row as u64,
                value_two: 0,
                op: SeccompOperator::Less,
            }],
            _ => vec![],
        },
    });
    let profile = LinuxSeccomp {
        default_action: SeccompAction::Allow,
        default_errno_ret: None,
        architectures: vec![SeccompArch::X86, SeccompArch::X32],
        flags: vec![],
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls: syscalls.collect(),
    };
    let filter = compile(&profile, Abi::X86_64).unwrap();
    check(filter.instructions());
    assert!(filter.instructions().len() > 1000);
    let abis = abis(&profile);
    for call in borders(&profile) {
        assert_eq!(
            run(filter.instructions(), &call),
            naive::decide(&profile, &abis, &call),
            "{call:x?}"
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let rule = |names: &[&str], action, errno_ret, index| LinuxSyscall {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action,
        errno_ret,
        args: vec![LinuxSeccompArg { index, value: 0, value_two: 0, op: SeccompOperator::Equal }],
    };
    let compile = |default_action, rule| {
        let profile = LinuxSeccomp {
            default_action,
            default_errno_ret: None,
            architectures: vec![],
            flags: vec![],
            listener_path: String::new(),
            listener_metadata: String::new(),
            syscalls: vec![rule],
        };
        compile(&profile, Abi::X86_64).map(|filter| filter.notifies())
    };
    use SeccompAction::{Allow, Errno, Notify};
    let text = |result: Result<bool, _>| {
        result.map_err(|error: super::super::SeccompError| error.to_string())
    };
    assert!(text(compile(Allow, rule(&["read"], Allow, None, 6))).unwrap_err().contains("index 6"));
    assert!(
        text(compile(Allow, rule(&["read"], Errno, Some(4096), 0))).unwrap_err().contains("4096")
    );
    assert!(
        text(compile(Errno, rule(&["read"], Allow, Some(1), 0))).unwrap_err().contains("Allow")
    );
    assert!(
        text(compile(Notify, rule(&["read"], Allow, None, 0))).unwrap_err().contains("default")
    );
    assert!(text(compile(Allow, rule(&["write"], Notify, None, 0))).unwrap_err().contains("write"));
    assert_eq!(text(compile(Allow, rule(&["mount"], Notify, None, 0))), Ok(true));
}
