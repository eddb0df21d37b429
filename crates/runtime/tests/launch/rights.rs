//! User, capabilities, no-new-privileges, filter, limits, user namespace.

use runtime::plan::SeccompProgram;
use runtime::seccomp::{Abi, compile};
use runtime::spec::LinuxSeccomp;
use serde_json::json;

use crate::fixture::Bundle;

const STATUS: &str = "cat /proc/self/status";

#[test]
fn capabilities_are_exactly_those() {
    let outcome = Bundle::new(STATUS).run();
    // CHOWN, KILL, SETGID, SETUID, NET_BIND_SERVICE
    let mask = "00000000000004e1";
    assert_eq!(outcome.field("CapBnd:"), mask);
    assert_eq!(outcome.field("CapPrm:"), mask);
    assert_eq!(outcome.field("CapEff:"), mask);
    assert_eq!(outcome.field("CapInh:"), "0000000000000000");
    assert_eq!(outcome.field("CapAmb:"), "0000000000000000");
    assert_eq!(outcome.field("NoNewPrivs:"), "0");
    assert_eq!(outcome.field("Seccomp:"), "0");
}

#[test]
fn a_user_has_no_capabilities_but_ambient_ones() {
    let mut bundle = Bundle::new(&format!("id; echo $HOME; umask; {STATUS}"));
    bundle.spec["process"]["user"] =
        json!({"uid": 33, "gid": 34, "additionalGids": [5, 6], "umask": 0o027});
    let outcome = bundle.run();
    assert!(outcome.output.contains("uid=33(web) gid=34 groups=5,6"), "{outcome:?}");
    assert!(outcome.output.contains("/home/web\n0027\n"), "{outcome:?}");
    assert_eq!(outcome.field("CapEff:"), "0000000000000000");
    assert_eq!(outcome.field("CapPrm:"), "0000000000000000");
    let caps = json!(["CAP_NET_BIND_SERVICE"]);
    bundle.spec["process"]["capabilities"] = json!({"bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": caps});
    let outcome = bundle.run();
    assert_eq!(outcome.field("CapEff:"), "0000000000000400");
    assert_eq!(outcome.field("CapAmb:"), "0000000000000400");
}

fn filter() -> (serde_json::Value, SeccompProgram) {
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 7}]});
    let parsed: LinuxSeccomp = serde_json::from_value(profile.clone()).expect("parses");
    let filter = compile(&parsed, Abi::native()).expect("compiles");
    (profile, SeccompProgram(filter.to_bytes()))
}

#[test]
fn a_filter_is_loaded_with_and_without_new_privileges() {
    for (nnp, uid) in [(false, 0), (true, 0), (false, 33), (true, 33)] {
        let mut bundle = Bundle::new(&format!("{STATUS}; mkdir /tmp/x 2>&1"));
        let (profile, program) = filter();
        bundle.spec["linux"]["seccomp"] = profile;
        bundle.context.seccomp = Some(program);
        bundle.spec["process"]["noNewPrivileges"] = json!(nnp);
        bundle.spec["process"]["user"]["uid"] = json!(uid);
        let outcome = bundle.run();
        assert_eq!(outcome.field("Seccomp:"), "2");
        assert_eq!(outcome.field("NoNewPrivs:"), if nnp { "1" } else { "0" });
        assert!(outcome.output.contains("rgument list too long"), "{outcome:?}");
        let expected = if uid == 0 { "00000000000004e1" } else { "0000000000000000" };
        assert_eq!(outcome.field("CapEff:"), expected);
    }
}

#[test]
fn limits_are_set() {
    let mut bundle = Bundle::new("ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj");
    bundle.spec["process"]["rlimits"] =
        json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    bundle.spec["process"]["oomScoreAdj"] = json!(500);
    assert_eq!(bundle.run().output, "100\n200\n500\n");
}

#[test]
fn a_user_namespace_maps_ids() {
    let mut bundle = Bundle::new(&format!(
        "cat /proc/self/uid_map; id -u; ls -ln /etc/passwd; cat /proc/self/oom_score_adj; {STATUS}; ls -l /dev/null; echo > /dev/null && echo wrote"
    ));
    bundle.spec["linux"]["namespaces"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"type": "user"}));
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.spec["linux"]["uidMappings"] = map.clone();
    bundle.spec["linux"]["gidMappings"] = map;
    bundle.spec["process"]["oomScoreAdj"] = json!(300);
    // As mapped root the child must reach its root.
    let mut place = bundle.path();
    while place != std::path::Path::new("/tmp") && place != std::path::Path::new("/") {
        std::fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("opens up");
        place = place.parent().expect("has a parent");
    }
    let outcome = bundle.run();
    let map: Vec<&str> =
        outcome.output.lines().next().expect("a line").split_whitespace().collect();
    assert_eq!(map, ["0", "100000", "65536"]);
    assert!(outcome.output.contains("wrote"), "{outcome:?}");
    assert!(outcome.output.contains("\n300\n"), "{outcome:?}");
    assert_eq!(outcome.field("CapEff:"), "00000000000004e1");
}
