//! Specifications of typical requests, whole.

use model::{container::*, image::Platform, mount::*, resources::*};

use super::*;
use crate::container::merge;

fn record(change: impl FnOnce(&mut ContainerSpec)) -> Record {
    let mut spec = ContainerSpec { image: "busybox".to_owned(), ..ContainerSpec::default() };
    spec.process.cmd = Some(vec!["sh".to_owned()]);
    change(&mut spec);
    merge::merge(&mut spec, &model::image::ProcessDefaults::default()).unwrap();
    Record {
        id: model::ContainerId::from_bytes([7; 32]),
        name: "web".parse().unwrap(),
        created_ns: 0,
        spec,
        image_id: None,
        manifest: None,
        platform: Platform {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        },
        layers: Vec::new(),
        mounts: Vec::new(),
        networks: indexmap::IndexMap::new(),
        restart_count: 0,
        stopped_by_hand: false,
        started_once: false,
    }
}

fn inputs() -> Inputs {
    Inputs {
        resolv_conf: Some("/c/resolv.conf".into()),
        hosts: Some("/c/hosts".into()),
        hostname: Some("/c/hostname".into()),
        shm: Shm::Own(DEFAULT_SHM_SIZE),
        host_name: "070707070707".to_owned(),
        host_capabilities: capabilities::ALL.iter().map(|name| (*name).to_owned()).collect(),
        cgroup_path: "/cale/070707".to_owned(),
        ..Inputs::default()
    }
}

fn text(spec: &Spec) -> String {
    serde_json::to_string_pretty(spec).unwrap()
}

#[test]
fn a_plain_request() {
    let spec = build(&record(|_| {}), &inputs()).unwrap();
    insta::assert_snapshot!("plain", text(&spec));
}

#[test]
fn a_request_with_everything() {
    let record = record(|spec| {
        spec.process.tty = true;
        spec.process.env = vec!["TERM=dumb".to_owned(), "GONE".to_owned()];
        spec.process.working_dir = Some("/srv".to_owned());
        spec.host.readonly_rootfs = true;
        spec.host.cap_drop = vec!["ALL".to_owned()];
        spec.host.cap_add = vec!["NET_ADMIN".to_owned()];
        spec.host.security_opt = vec!["no-new-privileges".to_owned()];
        spec.host.tmpfs.insert("/run".to_owned(), "exec,size=1m".to_owned());
        spec.host.ulimits = vec![Ulimit { name: "nofile".to_owned(), soft: 1024, hard: -1 }];
        spec.host.sysctls.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned());
        spec.host.oom_score_adj = 500;
    });
    let mut inputs = inputs();
    inputs.user = User { uid: 1000, gid: 100, additional_gids: vec![10], ..User::default() };
    inputs.mounts = vec![HostMount {
        mount: model::mount::Mount {
            target: "/srv/data".to_owned(),
            readonly: true,
            source: MountSource::Bind {
                path: "/home/me".to_owned(),
                create: false,
                propagation: Propagation::Rslave,
                recursive: true,
                readonly_recursion: ReadonlyRecursion::IfPossible,
                relabel: Relabel::No,
            },
            origin: MountOrigin::Mount,
        },
        source: "/home/me".into(),
        layers: Vec::new(),
    }];
    inputs.resources =
        resources::convert(&Resources { memory: Some(64 << 20), ..Resources::default() }, |_| {
            Ok((0, 0))
        })
        .unwrap();
    let spec = build(&record, &inputs).unwrap();
    insta::assert_snapshot!("everything", text(&spec));
}

#[test]
fn privileged_on_the_host_network() {
    let record = record(|spec| {
        spec.host.privileged = true;
        spec.host.network_mode = model::network::NetworkMode::Host;
        spec.host.namespaces.pid = NamespaceMode::Host;
        spec.host.namespaces.ipc = IpcMode::Host;
    });
    let mut inputs = inputs();
    inputs.shm = Shm::Bind("/dev/shm".into());
    inputs.unified = true;
    let spec = build(&record, &inputs).unwrap();
    insta::assert_snapshot!("privileged", text(&spec));
}

#[test]
fn a_users_mount_replaces_the_engines() {
    let record = record(|spec| {
        spec.host.tmpfs.insert("/etc/hosts".to_owned(), String::new());
    });
    let spec = build(&record, &inputs()).unwrap();
    let hosts: Vec<_> = spec.mounts.iter().filter(|m| m.destination == "/etc/hosts").collect();
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].kind, "tmpfs");
}
