//! A classic BPF machine with the checks of the kernel's (net/core/filter.c,
//! `bpf_check_classic`, and kernel/seccomp.c, `seccomp_check_filter`).

use sys::seccomp::Instruction;

/// `struct seccomp_data` without the instruction pointer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub arch: u32,
    pub number: u32,
    pub args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            // The instruction pointer.
            8 | 12 => 0,
            16..64 => {
                let arg = self.args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
            _ => panic!("load beyond seccomp_data at {offset}"),
        }
    }
}

/// Panics on what the kernel would refuse.
pub fn check(program: &[Instruction]) {
    assert!((1..=4096).contains(&program.len()));
    for (at, instruction) in program.iter().enumerate() {
        let reach = |jump: usize| assert!(at + 1 + jump < program.len(), "jump out at {at}");
        match instruction.code {
            0x20 => assert!(instruction.operand < 64 && instruction.operand.is_multiple_of(4)),
            0x05 => reach(instruction.operand as usize),
            0x15 | 0x25 | 0x35 => {
                reach(instruction.jump_true.into());
                reach(instruction.jump_false.into());
            }
            0x54 | 0x06 => {}
            other => panic!("operation {other:#x}"),
        }
    }
    assert_eq!(program.last().unwrap().code, 0x06, "must end in a return");
}

pub fn run(program: &[Instruction], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let Instruction { code, jump_true, jump_false, operand } = program[at];
        at += 1;
        let holds = match code {
            0x20 => {
                accumulator = call.word(operand);
                continue;
            }
            0x54 => {
                accumulator &= operand;
                continue;
            }
            0x05 => {
                at += operand as usize;
                continue;
            }
            0x06 => return operand,
            0x15 => accumulator == operand,
            0x25 => accumulator > operand,
            0x35 => accumulator >= operand,
            _ => panic!("operation {code:#x}"),
        };
        at += usize::from(if holds { jump_true } else { jump_false });
    }
}
