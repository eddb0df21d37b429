//! Decisions → classic BPF. Pure.
//!
//! Instructions are made from the last to the first, so that every jump's target exists
//! when the jump is made. Conditional jumps reach 255 instructions; returns are shared
//! within that reach, and a farther target gets a `ja` in between. Every number is found
//! by a binary search over ranges: it is the program's length, not its depth, that the
//! kernel charges for at load.

use std::collections::HashMap;

use sys::seccomp::Instruction;

use crate::spec::{LinuxSeccompArg, SeccompOperator};

use super::arch::{Abi, X32_BIT};
use super::policy::{Decision, KILL_PROCESS, Ranges, Verdict};

// linux/bpf_common.h: class | size or operation | mode or source.
const LD_ABS: u16 = 0x20;
const AND: u16 = 0x54;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const RET: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// One audit architecture of a filter.
pub(super) struct Section {
    pub abi: Abi,
    pub x32: bool,
    pub ranges: Ranges,
}

/// The program for `sections`; other architectures are killed.
pub(super) fn assemble(sections: &[Section]) -> Vec<Instruction> {
    let mut code = Assembler::default();
    let mut next = code.verdict(KILL_PROCESS);
    for section in sections.iter().rev() {
        let mut start = code.search(section.abi, &section.ranges);
        if section.x32 {
            start = code.push_falling(AND, !X32_BIT, start);
        }
        start = code.push_falling(LD_ABS, NUMBER, start);
        // Without this the foreign architecture's return may be out of reach.
        next = code.jump(JEQ, section.abi.audit(), start, next);
    }
    code.push_falling(LD_ABS, ARCH, next);
    code.reversed.reverse();
    code.reversed
}

/// Position in the reversed program.
type Label = usize;

#[derive(Default)]
struct Assembler {
    reversed: Vec<Instruction>,
    verdicts: HashMap<Verdict, Label>,
    decisions: HashMap<(bool, Decision), Label>,
}

impl Assembler {
    fn push(&mut self, code: u16, jump_true: u8, jump_false: u8, operand: u32) -> Label {
        self.reversed.push(Instruction { code, jump_true, jump_false, operand });
        self.reversed.len() - 1
    }

    /// Instructions between the one made next and `target`.
    fn distance(&self, target: Label) -> usize {
        self.reversed.len() - target - 1
    }

    /// An instruction that goes on to `target`.
    fn push_falling(&mut self, code: u16, operand: u32, target: Label) -> Label {
        if self.distance(target) != 0 {
            let distance = self.distance(target) as u32;
            self.push(JA, 0, 0, distance);
        }
        self.push(code, 0, 0, operand)
    }

    fn jump(&mut self, code: u16, operand: u32, yes: Label, no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let (mut yes, mut no) = (yes, no);
        // Bringing one nearer moves the other one away by an instruction.
        loop {
            if self.distance(yes) > 255 {
                yes = self.nearer(yes);
            } else if self.distance(no) > 255 {
                no = self.nearer(no);
            } else {
                break;
            }
        }
        let (to_yes, to_no) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(code, to_yes, to_no, operand)
    }

    /// A new label that does the same as the far `target`.
    fn nearer(&mut self, target: Label) -> Label {
        let there = self.reversed[target];
        if there.code == RET {
            let label = self.push(RET, 0, 0, there.operand);
            self.verdicts.insert(there.operand, label);
            label
        } else {
            let distance = self.distance(target) as u32;
            self.push(JA, 0, 0, distance)
        }
    }

    fn verdict(&mut self, verdict: Verdict) -> Label {
        match self.verdicts.get(&verdict) {
            // A little less than the reach, for the jumps that are still to come.
            Some(&label) if self.distance(label) < 240 => label,
            _ => {
                let label = self.push(RET, 0, 0, verdict);
                self.verdicts.insert(verdict, label);
                label
            }
        }
    }

    /// Binary search for the accumulator, which holds the call's number.
    fn search(&mut self, abi: Abi, ranges: &[(u32, Decision)]) -> Label {
        match ranges {
            [(_, only)] => self.decision(abi, only),
            // One number that is different from those around it.
            [(_, around), (number, single), (end, after)]
                if around == after && *end == number + 1 =>
            {
                let no = self.decision(abi, around);
                let yes = self.decision(abi, single);
                self.jump(JEQ, *number, yes, no)
            }
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let yes = self.search(abi, high);
                let no = self.search(abi, low);
                self.jump(JGE, high[0].0, yes, no)
            }
        }
    }

    fn decision(&mut self, abi: Abi, decision: &Decision) -> Label {
        if decision.rules.is_empty() {
            return self.verdict(decision.otherwise);
        }
        let key = (abi.is_64_bit(), decision.clone());
        if let Some(&label) = self.decisions.get(&key) {
            return label;
        }
        let mut label = self.verdict(decision.otherwise);
        for (conditions, verdict) in decision.rules.iter().rev() {
            let fails = label;
            label = self.verdict(*verdict);
            for condition in conditions.iter().rev() {
                label = self.condition(abi, condition, label, fails);
            }
        }
        self.decisions.insert(key, label);
        label
    }

    fn condition(&mut self, abi: Abi, arg: &LinuxSeccompArg, yes: Label, no: Label) -> Label {
        let (low, high) = abi.argument_halves(arg.index);
        let words = Words { low, high, wide: abi.is_64_bit() };
        match arg.op {
            SeccompOperator::Equal => self.equal(words, arg.value, yes, no),
            SeccompOperator::NotEqual => self.equal(words, arg.value, no, yes),
            SeccompOperator::Greater => self.above(words, JGT, arg.value, yes, no),
            SeccompOperator::LessOrEqual => self.above(words, JGT, arg.value, no, yes),
            SeccompOperator::GreaterOrEqual => self.above(words, JGE, arg.value, yes, no),
            SeccompOperator::Less => self.above(words, JGE, arg.value, no, yes),
            SeccompOperator::MaskedEqual => self.masked(words, arg.value, arg.value_two, yes, no),
        }
    }

    fn equal(&mut self, words: Words, value: u64, yes: Label, no: Label) -> Label {
        self.masked(words, u64::MAX, value, yes, no)
    }

    /// `arg & mask == value`, unsigned.
    fn masked(&mut self, words: Words, mask: u64, value: u64, yes: Label, no: Label) -> Label {
        let low = self.masked_word(words.low, mask as u32, value as u32, yes, no);
        if !words.wide {
            return low;
        }
        self.masked_word(words.high, (mask >> 32) as u32, (value >> 32) as u32, low, no)
    }

    fn masked_word(&mut self, offset: u32, mask: u32, value: u32, yes: Label, no: Label) -> Label {
        if value & !mask != 0 {
            return no;
        }
        if mask == 0 {
            return yes;
        }
        let compare = self.jump(JEQ, value, yes, no);
        let masked = match mask {
            u32::MAX => compare,
            _ => self.push_falling(AND, mask, compare),
        };
        self.push_falling(LD_ABS, offset, masked)
    }

    /// `arg > value` or `arg >= value` (by `operation`), unsigned.
    fn above(&mut self, words: Words, operation: u16, value: u64, yes: Label, no: Label) -> Label {
        let compare = self.jump(operation, value as u32, yes, no);
        let low = self.push_falling(LD_ABS, words.low, compare);
        if !words.wide {
            return low;
        }
        let high_value = (value >> 32) as u32;
        let same = self.jump(JEQ, high_value, low, no);
        let high = self.jump(JGT, high_value, yes, same);
        self.push_falling(LD_ABS, words.high, high)
    }
}

/// Where an argument's halves lie, and whether the high one counts.
#[derive(Clone, Copy)]
struct Words {
    low: u32,
    high: u32,
    wide: bool,
}
