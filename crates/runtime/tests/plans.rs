//! Plans of representative specifications as text: the order of a launch can be read and reviewed without running it.

use runtime::plan::{
    CgroupView, FdRole, HostFacts, LegacyHierarchy, NamespaceKind, Overlay, PlanContext,
    RootSource, plan,
};
use runtime::spec::Spec;
use serde_json::{Value, json};

fn context() -> PlanContext {
    PlanContext {
        id: "c1".into(),
        bundle: "/bundle".into(),
        host: HostFacts { capabilities: u64::MAX, ..HostFacts::default() },
        cgroups: CgroupView {
            legacy: vec![
                LegacyHierarchy {
                    name: "cpu,cpuacct".into(),
                    option: "cpu,cpuacct".into(),
                    path: c"/sys/fs/cgroup/cpu,cpuacct/c1".into(),
                },
                LegacyHierarchy {
                    name: "systemd".into(),
                    option: "name=systemd".into(),
                    path: c"/sys/fs/cgroup/systemd/c1".into(),
                },
            ],
            unified: Some(c"/sys/fs/cgroup/unified/c1".into()),
        },
        ..PlanContext::default()
    }
}

fn base() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 33, "gid": 33, "additionalGids": [4]}, "args": ["sh"], "cwd": "/srv",
            "env": ["PATH=/usr/bin:/bin"],
            "capabilities": {"bounding": ["CAP_CHOWN", "CAP_NOPE"], "permitted": ["CAP_CHOWN"]},
            "rlimits": [{"type": "RLIMIT_CORE", "hard": 0, "soft": 0}],
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "h",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "mode=755"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]},
            {"destination": "/data", "source": "/srv/data", "options": ["rbind", "rro", "rshared", "uid=3"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "network"}, {"type": "cgroup"}],
            "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
            "sysctl": {"net.ipv4.ip_forward": "1"},
        },
    })
}

fn text(spec: Value, context: &PlanContext) -> String {
    let spec: Spec = serde_json::from_value(spec).expect("is a specification");
    format!("{:#?}", plan(&spec, context).expect("plans"))
}

#[test]
fn an_ordinary_container() {
    insta::assert_snapshot!(text(base(), &context()));
}

#[test]
fn an_overlay_root_with_everything_from_the_engine() {
    let mut context = context();
    context.fds = vec![
        FdRole::Stdin,
        FdRole::Stdout,
        FdRole::Stderr,
        FdRole::CgroupTasks,
        FdRole::CgroupTasks,
        FdRole::CgroupInto,
        FdRole::Namespace(NamespaceKind::Net),
    ];
    context.root = Some(RootSource::Overlay(Overlay {
        lowers: vec![c"/l/2".into(), c"/l/1".into()],
        upper: Some(c"/u".into()),
        work: Some(c"/w".into()),
        volatile: true,
        options: Vec::new(),
    }));
    context.init = true;
    let mut spec = base();
    spec["process"]["terminal"] = json!(true);
    spec["process"]["noNewPrivileges"] = json!(true);
    spec["mounts"] = json!([]);
    insta::assert_snapshot!(text(spec, &context));
}

#[test]
fn a_user_namespace_with_hooks_and_a_gate() {
    let mut context = context();
    context.fds = vec![FdRole::Gate];
    context.hook_state = ("{\"pid\":".into(), "}".into());
    let mut spec = base();
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    spec["linux"]["uidMappings"] = map.clone();
    spec["linux"]["gidMappings"] = map;
    spec["linux"]["namespaces"] = json!([
        {"type": "user"}, {"type": "mount"}, {"type": "pid"}, {"type": "network", "path": "/run/netns/n"}, {"type": "time"},
    ]);
    spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 5}});
    spec["hostname"] = json!("");
    let hook = json!([{"path": "/bin/hook", "args": ["hook", "a"], "timeout": 2}]);
    spec["hooks"] = json!({"createRuntime": hook, "createContainer": hook, "startContainer": hook});
    insta::assert_snapshot!(text(spec, &context));
}

#[test]
fn nonsense_is_refused() {
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut spec = base();
        change(&mut spec);
        let spec: Spec = serde_json::from_value(spec).expect("is a specification");
        plan(&spec, &context()).expect_err("is refused").to_string()
    };
    let texts = [
        refused(&|spec| spec["process"]["args"] = json!([])),
        refused(&|spec| spec["process"]["cwd"] = json!("relative")),
        refused(&|spec| spec["linux"]["namespaces"][0]["type"] = json!("nope")),
        refused(&|spec| spec["linux"]["namespaces"][0] = json!({"type": "mount"})),
        refused(&|spec| spec["linux"]["sysctl"] = json!({"kernel.core_pattern": "|/x"})),
        refused(&|spec| spec["linux"]["rootfsPropagation"] = json!("odd")),
        refused(&|spec| spec["process"]["rlimits"][0]["type"] = json!("RLIMIT_NOPE")),
        refused(&|spec| spec["process"]["apparmorProfile"] = json!("some")),
        refused(&|spec| spec["mounts"][3]["destination"] = json!("/proc/self/attr")),
        refused(&|spec| {
            spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 1, "size": 1}])
        }),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}
