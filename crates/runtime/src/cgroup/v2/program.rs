//! Device rules as an eBPF program of type `BPF_PROG_TYPE_CGROUP_DEVICE`. Pure.
//!
//! The kernel runs it for each open(2) and mknod(2) of a device node, with
//! `struct bpf_cgroup_dev_ctx`, and allows what it answers 1 to. Later rules win, so the
//! program asks them from the last to the first; a rule for everything ends it. Without
//! such a rule the answer is no.

use sys::bpf::Instruction;

use super::super::device_rules::{Kind, MKNOD, READ, Rule, WRITE};

// linux/bpf.h and linux/bpf_common.h: class, size or operation, source.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// Registers: the answer, the context (then scratch), and what is read from it.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// The program for `rules`.
pub(super) fn device_program(rules: &[Rule]) -> Vec<Instruction> {
    let mut code = vec![
        // Word 0 is access << 16 | type.
        load(KIND, 0),
        load(ACCESS, 0),
        load(MAJOR, 4),
        load(MINOR, 8),
        operation(AND, KIND, 0xffff),
        operation(SHIFT_RIGHT, ACCESS, 16),
    ];
    for rule in rules.iter().rev() {
        let mut checks = conditions(rule);
        let length = checks.len();
        for (at, check) in checks.iter_mut().enumerate() {
            if matches!(check.code, JUMP_EQUAL | JUMP_NOT_EQUAL) {
                // Past the other checks, the answer and the exit.
                check.offset = (length - at - 1 + 2) as i16;
            }
        }
        code.append(&mut checks);
        answer(&mut code, rule.allow);
        if rule.is_total() {
            return code;
        }
    }
    answer(&mut code, false);
    code
}

/// Instructions that jump (to the next rule) if the rule doesn't apply.
fn conditions(rule: &Rule) -> Vec<Instruction> {
    let mut checks = Vec::new();
    if let Some(kind) = rule.kind {
        // BPF_DEVCG_DEV_BLOCK and BPF_DEVCG_DEV_CHAR.
        let number = match kind {
            Kind::Block => 1,
            Kind::Character => 2,
        };
        checks.push(jump(JUMP_NOT_EQUAL, KIND, number));
    }
    let all = MKNOD | READ | WRITE;
    if rule.access != all {
        checks.push(Instruction {
            code: MOVE_REGISTER,
            registers: ACCESS << 4 | CONTEXT,
            ..Instruction::default()
        });
        if rule.allow {
            // Allowed only if nothing beyond the rule is wanted.
            checks.push(operation(AND, CONTEXT, i32::from(all & !rule.access)));
            checks.push(jump(JUMP_NOT_EQUAL, CONTEXT, 0));
        } else {
            // Denied if anything of the rule is wanted.
            checks.push(operation(AND, CONTEXT, i32::from(rule.access)));
            checks.push(jump(JUMP_EQUAL, CONTEXT, 0));
        }
    }
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        if let Some(number) = number {
            // Numbers have 12 and 20 bits, far from the immediate's sign.
            checks.push(jump(JUMP_NOT_EQUAL, register, number as i32));
        }
    }
    checks
}

fn answer(code: &mut Vec<Instruction>, allow: bool) {
    code.push(operation(MOVE, ANSWER, i32::from(allow)));
    code.push(Instruction { code: EXIT, ..Instruction::default() });
}

fn load(register: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, registers: CONTEXT << 4 | register, offset, immediate: 0 }
}

fn operation(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate }
}

fn jump(code: u8, register: u8, immediate: i32) -> Instruction {
    operation(code, register, immediate)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a program on (kind, access, major, minor).
    fn run(code: &[Instruction], kind: u8, access: u8, major: u32, minor: u32) -> bool {
        let context = [u32::from(access) << 16 | u32::from(kind), major, minor];
        let mut registers = [0u64; 11];
        let mut at = 0;
        loop {
            let Instruction { code, registers: names, offset, immediate } = code[at];
            let (to, from) = (usize::from(names & 15), usize::from(names >> 4));
            at += 1;
            match code {
                LOAD_WORD => registers[to] = context[offset as usize / 4].into(),
                MOVE => registers[to] = immediate as u64,
                MOVE_REGISTER => registers[to] = registers[from],
                AND => registers[to] &= immediate as u64,
                SHIFT_RIGHT => registers[to] >>= immediate,
                JUMP_EQUAL if registers[to] == immediate as u64 => at += offset as usize,
                JUMP_NOT_EQUAL if registers[to] != immediate as u64 => at += offset as usize,
                JUMP_EQUAL | JUMP_NOT_EQUAL => {}
                EXIT => return registers[0] == 1,
                _ => panic!("operation {code:#x}"),
            }
        }
    }

    fn literal(rules: &[Rule], kind: u8, access: u8, major: u32, minor: u32) -> bool {
        let applies = |rule: &&Rule| {
            let number = rule.kind.map(|kind| if kind == Kind::Block { 1 } else { 2 });
            let accessed = match rule.allow {
                true => access & !rule.access == 0,
                false => access & rule.access != 0,
            };
            number.is_none_or(|number| number == kind)
                && rule.major.is_none_or(|number| number == major)
                && rule.minor.is_none_or(|number| number == minor)
                && accessed
        };
        rules.iter().rev().find(applies).is_some_and(|rule| rule.allow)
    }

    prop_compose! {
        fn rule()(
            allow: bool,
            kind in prop::option::of(prop::sample::select(vec![Kind::Block, Kind::Character])),
            major in prop::option::of(0..3u32),
            minor in prop::option::of(0..3u32),
            access in 1..8u8,
        ) -> Rule {
            match kind {
                Some(_) => Rule { allow, kind, major, minor, access },
                None => Rule { allow, kind, major: None, minor: None, access: 7 },
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_reading_the_rules(rules in prop::collection::vec(rule(), 0..12)) {
            let code = device_program(&rules);
            for kind in 1..3 {
                for access in 1..8 {
                    for (major, minor) in [(0, 0), (0, 1), (1, 2), (2, 0), (9, 9)] {
                        prop_assert_eq!(
                            run(&code, kind, access, major, minor),
                            literal(&rules, kind, access, major, minor)
                        );
                    }
                }
            }
        }
    }
}
