//! A real Debian: a shell, and packages from its network.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use testkit::engine::Engine;

#[test]
fn packages_install_over_the_network() {
    let engine = Engine::start().with_debian();
    let script =
        "apt-get update -qq && apt-get install -y -qq jq >/dev/null && echo '{\"a\":5}' | jq .a";
    let said = engine.cale(&["run", "--rm", "debian", "bash", "-c", script]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.ends_with("5\n"), "{}", said.out);
    let said = engine.docker(&[
        "run",
        "--rm",
        "debian",
        "bash",
        "-c",
        "echo $0; cat /etc/debian_version | cut -d. -f1",
    ]);
    assert_eq!(said.ok(), "bash\n12\n");
}
