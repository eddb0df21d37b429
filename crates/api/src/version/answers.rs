//! Answers in the shape of older versions.
//!
//! Source: the version history of the Engine API, and moby's compatibility code in
//! `daemon/server/router` (read for the rules).

use super::{Shape, Version};
use crate::wire::{
    BuildCache, Config, ContainerInspect, ContainerSummary, DiskUsage, DriverData,
    EndpointSettings, EventMessage, ImageInspect, ImageSummary, Network, NetworkSettings,
    ShownDefaults, Stats, StreamMessage, SystemInfo, ZERO_TIME,
};

impl Shape for ContainerSummary {
    fn shape(&mut self, version: Version) {
        if version.before(46) {
            self.host_config.annotations = None;
        }
        if version.before(48) {
            self.image_manifest_descriptor = None;
        }
        if version.before(52) {
            self.health = None;
        }
        let networks = self.network_settings.as_mut().and_then(|n| n.networks.as_mut());
        for endpoint in networks.into_iter().flat_map(|map| map.values_mut()) {
            endpoint.shape(version);
        }
    }
}

impl Shape for EndpointSettings {
    fn shape(&mut self, version: Version) {
        if version.before(48) {
            self.gw_priority = None;
        }
    }
}

impl Shape for Config {
    fn shape(&mut self, version: Version) {
        if version.before(52) {
            // Go's slice without omitempty.
            self.on_build.get_or_insert(None);
        }
    }
}

impl Shape for ContainerInspect {
    fn shape(&mut self, version: Version) {
        self.config.shape(version);
        self.network_settings.shape(version);
        if version.before(45) {
            // The short id and hostname were shown as aliases on user-defined networks.
            let short: String = self.id.chars().take(12).collect();
            let names = [short, self.config.hostname.clone()];
            let networks = self.network_settings.networks.iter_mut().flatten();
            for (network, endpoint) in networks {
                if is_user_defined(network) {
                    let aliases = endpoint.aliases.get_or_insert_default();
                    for name in &names {
                        if !aliases.contains(name) {
                            aliases.push(name.clone());
                        }
                    }
                }
            }
        }
        if version.before(48) {
            self.image_manifest_descriptor = None;
        }
        if version.before(52) {
            // The MAC address asked for stood in the configuration, from the main network.
            let main = match self.host_config.network_mode.as_str() {
                "default" | "" => "bridge",
                mode => mode,
            };
            let networks = self.network_settings.networks.as_ref();
            let running = self.state.running;
            if let Some(endpoint) = networks.and_then(|map| map.get(main))
                && running
                && self.config.mac_address.is_empty()
                && version.before(44)
            {
                self.config.mac_address = endpoint.mac_address.clone();
            }
            if let (None, Some(storage)) = (&self.graph_driver, &self.storage) {
                let snapshot = storage.root_fs.as_ref().and_then(|fs| fs.snapshot.as_ref());
                self.graph_driver =
                    snapshot.map(|snapshot| DriverData { name: snapshot.name.clone(), data: None });
            }
            self.storage = None;
        }
    }
}

fn is_user_defined(network: &str) -> bool {
    !matches!(network, "bridge" | "host" | "none" | "default") && !network.starts_with("container:")
}

impl Shape for NetworkSettings {
    fn shape(&mut self, version: Version) {
        for endpoint in self.networks.iter_mut().flat_map(|map| map.values_mut()) {
            endpoint.shape(version);
        }
        if !version.before(52) {
            return;
        }
        self.bridge = Some(String::new());
        self.hairpin_mode = Some(false);
        self.link_local_ipv6_address = Some(String::new());
        self.link_local_ipv6_prefix_len = Some(0);
        self.secondary_ip_addresses = Some(None);
        self.secondary_ipv6_addresses = Some(None);
        let bridge = self.networks.as_ref().and_then(|map| map.get("bridge")).cloned();
        let bridge = bridge.unwrap_or_default();
        self.endpoint_id = Some(bridge.endpoint_id);
        self.gateway = Some(bridge.gateway);
        self.global_ipv6_address = Some(bridge.global_ipv6_address);
        self.global_ipv6_prefix_len = Some(bridge.global_ipv6_prefix_len);
        self.ip_address = Some(bridge.ip_address);
        self.ip_prefix_len = Some(bridge.ip_prefix_len);
        self.ipv6_gateway = Some(bridge.ipv6_gateway);
        self.mac_address = Some(bridge.mac_address);
    }
}

impl Shape for ImageSummary {
    fn shape(&mut self, version: Version) {
        if version.before(43) {
            // Untagged images had a placeholder instead of empty lists.
            if self.repo_tags.as_ref().is_none_or(Vec::is_empty)
                && self.repo_digests.as_ref().is_none_or(Vec::is_empty)
            {
                self.repo_tags = Some(vec!["<none>:<none>".to_owned()]);
                self.repo_digests = Some(vec!["<none>@<none>".to_owned()]);
            }
        }
        if version.before(44) {
            self.virtual_size = Some(self.size);
        }
        if version.before(47) {
            self.manifests = None;
        }
        if version.before(48) {
            self.descriptor = None;
        }
    }
}

impl Shape for ImageInspect {
    fn shape(&mut self, version: Version) {
        if version.before(44) {
            self.virtual_size = Some(self.size);
            self.created.get_or_insert_with(|| ZERO_TIME.to_owned());
        }
        if version.before(45) {
            self.container.get_or_insert_default();
            let mut config = Config::default();
            config.shape(version);
            self.container_config = Some(config);
        }
        if version.before(48) {
            self.descriptor = None;
            self.manifests = None;
        }
        if version.before(52) {
            for field in
                [&mut self.parent, &mut self.comment, &mut self.docker_version, &mut self.author]
            {
                field.get_or_insert_default();
            }
            let shown =
                if version.before(50) { ShownDefaults::Container } else { ShownDefaults::Image };
            self.config.get_or_insert_default().shown = shown;
        } else {
            // Before 1.52 the storage driver was shown.
            self.graph_driver = None;
        }
        if version.before(53) {
            self.identity = None;
        }
    }
}

impl Shape for Network {
    fn shape(&mut self, version: Version) {
        if version.before(52) {
            self.containers.get_or_insert_default();
            self.status = None;
        }
    }
}

impl Shape for EventMessage {
    fn shape(&mut self, version: Version) {
        if !version.before(52) {
            return;
        }
        let image = self.kind == "image";
        if self.kind == "container" || image {
            self.legacy_status = Some(self.action.clone());
            self.legacy_id = Some(self.actor.id.clone());
        }
        if !image && self.kind == "container" {
            self.legacy_from =
                Some(self.actor.attributes.get("image").cloned().unwrap_or_default());
        }
    }
}

impl Shape for Stats {
    fn shape(&mut self, version: Version) {
        if version.before(52) {
            self.os_type.clear();
        }
    }
}

impl Shape for StreamMessage {
    fn shape(&mut self, version: Version) {
        if version.before(52)
            && let Some(detail) = &self.error_detail
        {
            self.error = detail.message.clone();
        }
    }
}

impl Shape for SystemInfo {
    fn shape(&mut self, version: Version) {
        if version.before(44) {
            for runtime in self.runtimes.values_mut() {
                runtime.status.clear();
            }
        }
        if version.before(46) {
            self.containerd = None;
        }
        if version.before(47)
            && let Some(registry) = &mut self.registry_config
        {
            registry.nondistributable_cidrs = Some(None);
            registry.nondistributable_hostnames = Some(None);
        }
        if version.before(49) {
            self.firewall_backend = None;
            for commit in
                [&mut self.containerd_commit, &mut self.runc_commit, &mut self.init_commit]
            {
                commit.expected = Some(commit.id.clone());
            }
        }
        if version.before(50) {
            self.discovered_devices = None;
            self.bridge_nf_iptables = Some(false);
            self.bridge_nf_ip6tables = Some(false);
        }
    }
}

impl Shape for BuildCache {
    fn shape(&mut self, version: Version) {
        if version.before(42) {
            let parents = self.parents.take().unwrap_or_default();
            self.parent = Some(parents.first().cloned().unwrap_or_default());
        }
    }
}

impl Shape for DiskUsage {
    fn shape(&mut self, version: Version) {
        if version.before(52) {
            self.image_usage = None;
            self.container_usage = None;
            self.volume_usage = None;
            self.build_cache_usage = None;
        }
        if version.before(42) {
            let cached = self.build_cache.iter().flatten().map(|record| record.size).sum();
            self.builder_size = Some(cached);
        }
        self.images.iter_mut().for_each(|list| list.shape(version));
        self.containers.iter_mut().for_each(|list| list.shape(version));
        self.build_cache.iter_mut().for_each(|list| list.shape(version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{EventActor, ImageConfig};

    fn keys<T: serde::Serialize + Shape>(mut value: T, minor: u16) -> Vec<String> {
        value.shape(Version::new(minor));
        match serde_json::to_value(value).unwrap() {
            serde_json::Value::Object(map) => map.keys().cloned().collect(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn older_events_have_the_flat_fields() {
        let event = EventMessage {
            kind: "container".into(),
            action: "start".into(),
            actor: EventActor {
                id: "abc".into(),
                attributes: [("image".to_owned(), "debian".to_owned())].into(),
            },
            ..Default::default()
        };
        assert!(!keys(event.clone(), 52).contains(&"status".to_owned()));
        let mut old = event;
        old.shape(Version::new(51));
        assert_eq!(old.legacy_status.as_deref(), Some("start"));
        assert_eq!(old.legacy_from.as_deref(), Some("debian"));
    }

    #[test]
    fn image_configs_grow_with_age() {
        let count = |minor| {
            let mut image =
                ImageInspect { config: Some(ImageConfig::default()), ..Default::default() };
            image.shape(Version::new(minor));
            serde_json::to_value(image.config).unwrap().as_object().unwrap().len()
        };
        assert_eq!(count(56), 0);
        assert_eq!(count(51), 8);
        assert_eq!(count(49), 17);
    }

    #[test]
    fn virtual_size_and_aliases_come_back() {
        assert!(keys(ImageSummary::default(), 43).contains(&"VirtualSize".to_owned()));
        assert!(!keys(ImageSummary::default(), 44).contains(&"VirtualSize".to_owned()));
        let mut inspect = ContainerInspect { id: "0123456789abcdef".into(), ..Default::default() };
        inspect.config.hostname = "0123456789ab".into();
        inspect.network_settings.networks =
            Some([("mine".to_owned(), EndpointSettings::default())].into());
        inspect.shape(Version::new(44));
        let networks = inspect.network_settings.networks.unwrap();
        assert_eq!(networks["mine"].aliases.as_deref(), Some(&["0123456789ab".to_owned()][..]));
    }

    #[test]
    fn network_settings_show_the_bridge_at_the_top_until_1_51() {
        let mut settings = NetworkSettings::default();
        let endpoint =
            EndpointSettings { ip_address: "172.17.0.2".into(), ..EndpointSettings::default() };
        settings.networks = Some([("bridge".to_owned(), endpoint)].into());
        let newest = keys(settings.clone(), 52);
        assert_eq!(newest, ["SandboxID", "SandboxKey", "Ports", "Networks"]);
        settings.shape(Version::new(51));
        assert_eq!(settings.ip_address.as_deref(), Some("172.17.0.2"));
    }
}
