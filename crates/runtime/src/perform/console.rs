//! The container's terminal: opened in its own devpts, by descriptor on both sides (`TIOCGPTPEER`), its master sent to the
//! launcher.
//!
//! Not by path: `/dev/pts/N` and `/dev/console` belong to the container (CVE-2025-52565).

use std::os::fd::AsFd;

use sys::{mount, rooted, tty};

use super::child::{About, Child, Failure, message};
use super::error::Detail;

const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
const O_RDWR: i32 = 2;
const O_NOCTTY: i32 = 0o400;

impl Child<'_> {
    pub(super) fn console(&mut self, columns: u16, rows: u16, bind: bool) -> Result<(), Failure> {
        let root = self.root()?;
        let flags = O_RDWR | O_NOCTTY;
        let master = rooted::open(root, c"/dev/pts/ptmx", flags)
            .or_else(|_| rooted::open(root, c"/dev/ptmx", flags))
            .about(Detail::Terminal)?;
        let terminal = tty::open_peer(&master).about(Detail::Terminal)?;
        if mount::filesystem(&terminal)? != DEVPTS_SUPER_MAGIC {
            return Err(sys::Errno::NODEV).about(Detail::Terminal);
        }
        if columns != 0 || rows != 0 {
            tty::set_size(&master, columns, rows).about(Detail::Terminal)?;
        }
        if bind {
            let tree = mount::clone_tree(terminal.as_fd(), c"", false).about(Detail::Console)?;
            let target = rooted::make_file(root, c"/dev/console", 0o666).about(Detail::Console)?;
            mount::attach(&tree, &target).about(Detail::Console)?;
        }
        sys::channel::send(&self.channel, &[message::TERMINAL], Some(master.as_fd()))
            .about(Detail::Channel)?;
        self.terminal = Some(terminal);
        Ok(())
    }
}
