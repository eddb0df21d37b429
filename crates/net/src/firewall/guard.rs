//! Watches the rule set and puts our table back when somebody changes or removes it; keeps a
//! pass for our packets in other firewalls' chains that drop what they don't know.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
    sync::Arc,
    time::Duration,
};

use sys::netlink::{Netlink, Protocol};
use tokio::{io::unix::AsyncFd, runtime::Handle, task::JoinHandle};

use super::{ACCEPTED_MARK, Firewall};
use crate::{
    error::{Error, Result},
    netns::lock,
    nft::{
        events::{self, Change, ForwardChain},
        expr::{Cmp, Expr, Meta, Register, Verdict},
        transaction::{INET, Transaction},
    },
    nl::{Connection, parse::Messages},
};

/// `NFTNL_UDATA_RULE_COMMENT`, length, text and NUL: how `nft` stores a rule's comment.
const PASS_TAG: &[u8] = b"\x00\x0dcale: accept\0";
/// Room for a burst of events: somebody loading thousands of rules.
const EVENT_BUFFER: usize = 4 << 20;
/// Events of one reload come together; looking at other firewalls once is enough.
const SETTLE: Duration = Duration::from_millis(20);

/// The watch; dropping it ends it.
#[derive(Debug)]
pub struct Guard {
    task: JoinHandle<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Events(Netlink);

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Guard {
    /// Starts watching, in the namespace of the calling thread. `passes`: insert a rule that
    /// accepts our packets at the head of foreign chains that drop by policy.
    pub fn start(firewall: &Arc<Firewall>, runtime: &Handle, passes: bool) -> Result<Self> {
        let failed = |source| Error::Firewall {
            action: "watch",
            table: firewall.table().to_owned(),
            source,
        };
        let socket = Netlink::open(Protocol::Netfilter, events::GROUPS).map_err(failed)?;
        socket.reserve(EVENT_BUFFER).map_err(failed)?;
        let own_port = lock(&firewall.state).conn.port_id().map_err(failed)?;
        let foreign = if passes {
            let conn = Connection::open(Protocol::Netfilter).map_err(failed)?;
            let mut foreign = Passes { conn, table: firewall.table().to_owned() };
            foreign.keep().map_err(failed)?;
            Some(foreign)
        } else {
            None
        };
        let entered = runtime.enter();
        // Deprecated because a wrong `AsRawFd` could name another's fd; `Events` owns its own.
        #[allow(deprecated)]
        let socket = AsyncFd::new(Events(socket)).map_err(failed)?;
        drop(entered);
        let task = runtime.spawn(watch(Arc::clone(firewall), socket, own_port, foreign));
        Ok(Self { task })
    }
}

async fn watch(
    firewall: Arc<Firewall>,
    socket: AsyncFd<Events>,
    own_port: u32,
    mut passes: Option<Passes>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        let (ours, others) = drain(&socket.get_ref().0, &mut buffer, firewall.table(), own_port);
        ready.clear_ready();
        if ours {
            // A few milliseconds of netlink; blocking here delays nobody but this task's worker.
            if let Err(error) = firewall.reassert() {
                tracing::error!(error = &error as &dyn std::error::Error, "firewall table lost");
                tokio::time::sleep(SETTLE).await;
                continue;
            }
            tracing::warn!(
                table = firewall.table(),
                "firewall table was changed by others and put back"
            );
        }
        if let Some(passes) = passes.as_mut().filter(|_| others || ours) {
            tokio::time::sleep(SETTLE).await;
            if let Err(error) = passes.keep() {
                tracing::warn!(%error, "cannot look at other firewalls' chains");
            }
        }
    }
}

/// Reads all waiting events: was our table touched, were chains of others?
fn drain(socket: &Netlink, buffer: &mut [u8], table: &str, own_port: u32) -> (bool, bool) {
    let (mut ours, mut others) = (false, false);
    loop {
        match socket.try_receive(buffer) {
            Ok(Some(length)) => {
                for event in Messages::new(&buffer[..length]) {
                    match events::classify(&event, INET, table, &[own_port]) {
                        Change::OurTable => ours = true,
                        Change::OthersChains => others = true,
                        Change::Irrelevant => {}
                    }
                }
            }
            Ok(None) => return (ours, others),
            // Events were lost: assume the worst.
            Err(error) if is_overrun(&error) => (ours, others) = (true, true),
            Err(_) => return (ours, others),
        }
    }
}

fn is_overrun(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::EMSGSIZE))
}

/// The rule that lets our packets pass chains of others.
#[derive(Debug)]
struct Passes {
    conn: Connection,
    table: String,
}

impl Passes {
    /// Makes sure that each foreign forward chain which drops by policy begins with our pass.
    fn keep(&mut self) -> io::Result<()> {
        for chain in events::forward_chains(&mut self.conn)? {
            let is_ours = chain.family == INET && chain.table == self.table;
            if is_ours || !chain.drops {
                continue;
            }
            let (handles, is_first) = events::tagged_rules(&mut self.conn, &chain, PASS_TAG)?;
            if handles.is_empty() || !is_first {
                self.put(&chain, &handles)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, chain: &ForwardChain, old: &[u64]) -> io::Result<()> {
        let mut transaction = Transaction::on(chain.family, &chain.table);
        for handle in old {
            transaction.delete_rule(&chain.name, *handle);
        }
        transaction.insert_rule(&chain.name, &pass(), PASS_TAG);
        match transaction.commit(&mut self.conn) {
            // The chain went away or belongs to somebody's owned table: nothing to do about it.
            Err(refused)
                if matches!(refused.source.raw_os_error(), Some(libc::ENOENT | libc::EPERM)) =>
            {
                tracing::warn!(
                    table = chain.table,
                    chain = chain.name,
                    "a firewall drops forwarded packets and can't be passed"
                );
                Ok(())
            }
            Err(refused) => Err(refused.source),
            Ok(()) => Ok(()),
        }
    }
}

/// `meta mark & ACCEPTED_MARK == ACCEPTED_MARK accept`.
fn pass() -> [Expr; 5] {
    let mark = ACCEPTED_MARK.to_ne_bytes().to_vec();
    let register = Register(0);
    [
        Expr::Meta(Meta::Mark, register),
        Expr::Bits(register, mark.clone(), vec![0; 4]),
        Expr::Compare(register, Cmp::Equal, mark),
        Expr::Counter,
        Expr::Verdict(Verdict::Accept),
    ]
}
