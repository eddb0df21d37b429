//! Create requests of older clients: what their version did not know is undone, and defaults that
//! changed since are filled in.
//!
//! Source: the version history of the Engine API, and moby's `postContainersCreate` (read for the
//! rules).

use super::Version;
use crate::{
    convert::Refusal,
    wire::{CreateRequest, EndpointSettings, PortBinding},
};

/// What an older version implies beyond the document itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateDefaults {
    /// Read-only binds leave the mounts below writable (before 1.44).
    pub shallow_readonly: bool,
    /// `platform` in the query counts (from 1.41).
    pub platform: bool,
}

/// Brings a create request of `version` into the newest shape; returns warnings for the client.
pub fn create_request(
    request: &mut CreateRequest,
    version: Version,
) -> Result<(CreateDefaults, Vec<String>), Refusal> {
    let mut warnings = Vec::new();
    rename_default_network(request);
    forget_what_came_later(request, version);
    check_what_came_later(request, version)?;
    if !version.before(48) && uses_ignored_volume_driver(request) {
        warnings.push(
            "WARNING: the container-wide volume-driver configuration is ignored for volumes \
             specified via 'mount'. Use '--mount type=volume,volume-driver=...' instead"
                .to_owned(),
        );
    }
    warnings.extend(move_mac_address(request, version)?);
    warnings.extend(fill_empty_port_bindings(request, version));
    if request.host_config.pids_limit.is_some_and(|limit| limit <= 0) {
        request.host_config.pids_limit = None;
    }
    let defaults =
        CreateDefaults { shallow_readonly: version.before(44), platform: !version.before(41) };
    Ok((defaults, warnings))
}

/// `default` means the default bridge, also as the key of an endpoint.
fn rename_default_network(request: &mut CreateRequest) {
    if !matches!(request.host_config.network_mode.as_str(), "" | "default") {
        return;
    }
    "bridge".clone_into(&mut request.host_config.network_mode);
    if let Some(endpoints) = &mut request.networking_config.endpoints_config
        && let Some(endpoint) = endpoints.shift_remove("default")
    {
        endpoints.insert("bridge".to_owned(), endpoint);
    }
}

fn forget_what_came_later(request: &mut CreateRequest, version: Version) {
    let host = &mut request.host_config;
    if version.before(25) {
        // The client removed the container itself.
        host.auto_remove = false;
    }
    if version.before(40) {
        host.kernel_memory_tcp = 0;
        if host.ipc_mode.is_empty() {
            "shareable".clone_into(&mut host.ipc_mode);
        }
    }
    if version.before(41) && host.cgroupns_mode.is_empty() {
        "host".clone_into(&mut host.cgroupns_mode);
    }
    for mount in host.mounts.iter_mut().flatten() {
        if let Some(options) = &mut mount.bind_options {
            options.non_recursive &= !version.before(40);
            options.create_mountpoint &= !version.before(42);
        }
        if version.before(42) {
            if mount.kind != "volume" {
                mount.volume_options = None;
            }
            if mount.kind != "tmpfs" {
                mount.tmpfs_options = None;
            }
        }
    }
    if version.before(42) {
        host.console_size = crate::go::Pair(0, 0);
    }
    if version.before(43) {
        host.annotations = None;
    }
    if version.before(44)
        && let Some(check) = &mut request.config.healthcheck
    {
        check.start_interval = 0;
    }
    if version.before(48) {
        let endpoints = request.networking_config.endpoints_config.iter_mut().flatten();
        for endpoint in endpoints.filter_map(|(_, endpoint)| endpoint.as_mut()) {
            endpoint.gw_priority = None;
        }
    }
}

fn check_what_came_later(request: &CreateRequest, version: Version) -> Result<(), Refusal> {
    for mount in request.host_config.mounts.iter().flatten() {
        let forced = mount.bind_options.as_ref().is_some_and(|o| o.read_only_force_recursive);
        if version.before(44) && mount.kind == "bind" && forced {
            return Err(Refusal::new(
                "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer",
            ));
        }
        let subpath = mount.volume_options.as_ref().is_some_and(|o| !o.subpath.is_empty());
        if version.before(45) && subpath {
            return Err(Refusal::new("VolumeOptions.Subpath needs API v1.45 or newer"));
        }
        if version.before(48) && mount.kind == "image" {
            return Err(Refusal::new(r#"Mount type "Image" needs API v1.48 or newer"#));
        }
    }
    if version.before(44)
        && let Some(endpoints) = &request.networking_config.endpoints_config
        && endpoints.len() > 1
    {
        let names: Vec<&str> = endpoints.keys().map(String::as_str).collect();
        return Err(Refusal::new(format!(
            "Container cannot be created with multiple network endpoints: {}",
            names.join(", ")
        )));
    }
    Ok(())
}

fn uses_ignored_volume_driver(request: &CreateRequest) -> bool {
    let host = &request.host_config;
    !host.volume_driver.is_empty()
        && host.mounts.iter().flatten().any(|mount| {
            let named = mount
                .volume_options
                .as_ref()
                .and_then(|options| options.driver_config.as_ref())
                .is_some_and(|driver| !driver.name.is_empty());
            mount.kind == "volume" && !named
        })
}

/// Before 1.44 the MAC address stood in the configuration, later in the main endpoint.
fn move_mac_address(
    request: &mut CreateRequest,
    version: Version,
) -> Result<Option<String>, Refusal> {
    let address = std::mem::take(&mut request.config.mac_address);
    let mode = request.host_config.network_mode.clone();
    let bridged = !matches!(mode.as_str(), "host" | "none") && !mode.starts_with("container:");
    let endpoints = request.networking_config.endpoints_config.get_or_insert_default();
    if address.is_empty() {
        if version.before(44) {
            for endpoint in endpoints.values_mut().flatten() {
                endpoint.mac_address.clear();
            }
        }
        return Ok(None);
    }
    if version.before(44) && !bridged {
        return Err(Refusal::new("conflicting options: mac-address and the network mode"));
    }
    if bridged {
        let endpoint = endpoints
            .entry(mode)
            .or_insert_with(|| Some(EndpointSettings::default()))
            .get_or_insert_default();
        if version.before(44) || endpoint.mac_address.is_empty() {
            endpoint.mac_address = address;
        } else if endpoint.mac_address != address {
            return Err(Refusal::new(
                "the container-wide MAC address must match the endpoint-specific MAC address for \
                 the main network, or be left empty",
            ));
        }
    }
    Ok((!version.before(44)).then(|| {
        "The container-wide MacAddress field is now deprecated. It should be specified in \
         EndpointsConfig instead."
            .to_owned()
    }))
}

/// Before 1.53 a port with an empty list of bindings was published at random.
fn fill_empty_port_bindings(request: &mut CreateRequest, version: Version) -> Option<String> {
    let bindings = request.host_config.port_bindings.as_mut()?;
    if !version.before(53) {
        bindings.retain(|_, list| list.as_ref().is_some_and(|list| !list.is_empty()));
        return None;
    }
    let mut filled = Vec::new();
    for (port, list) in bindings {
        if list.as_ref().is_none_or(Vec::is_empty) {
            *list = Some(vec![PortBinding::default()]);
            filled.push(port.clone());
        }
    }
    (version == Version::new(52) && !filled.is_empty()).then(|| {
        format!(
            "Following container port(s) have an empty list of port-bindings: {}. Such bindings \
             will be discarded in a future version of the API.",
            filled.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> CreateRequest {
        CreateRequest::from_slice(text.as_bytes()).unwrap()
    }

    fn bring(text: &str, minor: u16) -> Result<CreateRequest, String> {
        let mut request = request(text);
        create_request(&mut request, Version::new(minor)).map_err(|e| e.to_string())?;
        Ok(request)
    }

    #[test]
    fn older_defaults_are_kept() {
        let old = bring("{}", 39).unwrap();
        assert_eq!(old.host_config.ipc_mode, "shareable");
        assert_eq!(old.host_config.cgroupns_mode, "host");
        assert_eq!(old.host_config.network_mode, "bridge");
        let new = bring("{}", 56).unwrap();
        assert_eq!(new.host_config.ipc_mode, "");
    }

    #[test]
    fn mac_addresses_move_to_the_endpoint() {
        let text = r#"{"MacAddress":"02:42:00:00:00:01","HostConfig":{"NetworkMode":"mine"}}"#;
        for minor in [43, 50] {
            let endpoints = bring(text, minor).unwrap().networking_config.endpoints_config.unwrap();
            assert_eq!(endpoints["mine"].as_ref().unwrap().mac_address, "02:42:00:00:00:01");
        }
        let host = r#"{"MacAddress":"02:42:00:00:00:01","HostConfig":{"NetworkMode":"host"}}"#;
        assert!(bring(host, 43).unwrap_err().contains("conflicting options"));
    }

    #[test]
    fn newer_mounts_are_refused_to_older_clients() {
        let image = r#"{"HostConfig":{"Mounts":[{"Type":"image","Source":"a","Target":"/a"}]}}"#;
        assert!(bring(image, 47).unwrap_err().contains("needs API v1.48"));
        assert!(bring(image, 48).is_ok());
    }

    #[test]
    fn empty_port_bindings_depend_on_the_version() {
        let text = r#"{"HostConfig":{"PortBindings":{"80/tcp":[]}}}"#;
        let list = |minor| bring(text, minor).unwrap().host_config.port_bindings.unwrap();
        assert_eq!(list(51)["80/tcp"].as_ref().unwrap().len(), 1);
        assert!(list(53).is_empty());
    }
}
