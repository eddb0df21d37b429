//! The distribution specification 1.1, clause by clause, against our registry and Docker's.
//!
//! Each clause is a function over a [`Peer`]; what Docker's 2.8 registry doesn't have (referrers, …)
//! is named in one place and not asked of it. Requests are written by hand, so that wrong ones can
//! be sent, too.

#[path = "registry_conformance/content.rs"]
mod content;
#[path = "registry_conformance/http.rs"]
mod http;
#[path = "registry_conformance/peer.rs"]
mod peer;

#[path = "registry_conformance/discovery.rs"]
mod discovery;
#[path = "registry_conformance/management.rs"]
mod management;
#[path = "registry_conformance/pull.rs"]
mod pull;
#[path = "registry_conformance/push.rs"]
mod push;

use peer::Peer;

type Clause = (&'static str, fn(&Peer));

fn clauses() -> Vec<Clause> {
    [pull::CLAUSES, push::CLAUSES, discovery::CLAUSES, management::CLAUSES].concat()
}

fn run(peer: &Peer) {
    let mut failed = Vec::new();
    let clauses = clauses();
    for (name, clause) in &clauses {
        if peer.lacks(name) {
            continue;
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| clause(peer)));
        if outcome.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "{} of {} clauses failed: {failed:?}", failed.len(), clauses.len());
}

#[test]
fn our_registry_keeps_every_clause() {
    run(&Peer::ours());
}

#[test]
fn dockers_registry_keeps_the_clauses_that_it_knows() {
    run(&Peer::dockers());
}
