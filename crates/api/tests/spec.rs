//! The wire types against the specification: no field is missing, none has another type.
//!
//! A document with every field set is read and written again; whatever doesn't come out as it went
//! in is a field that we lack or spell otherwise. What we leave out on purpose is listed.

use api::wire;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Fields that are left out on purpose: swarm, Windows, signatures.
const LEFT_OUT: &[&str] = &[
    ".ClusterVolume",
    ".ClusterVolumeSpec",
    ".Cluster",
    ".Identity",
    ".Peers",
    ".Services",
    ".NRI",
    ".endpoint_id",
    ".instance_id",
    ".commitbytes",
    ".commitpeakbytes",
    ".privateworkingset",
    ".read_count_normalized",
    ".read_size_bytes",
    ".write_count_normalized",
    ".write_size_bytes",
    // Free, so the sample has nothing in it and it is omitted.
    ".Details",
];

/// Paths of `given` that `got` doesn't have with the same value.
fn lost(given: &Value, got: &Value, place: &str, out: &mut Vec<String>) {
    match (given, got) {
        (Value::Object(given), Value::Object(got)) => {
            for (key, value) in given {
                let place = format!("{place}.{key}");
                match got.get(key) {
                    Some(got) => lost(value, got, &place, out),
                    None => out.push(place),
                }
            }
        }
        (Value::Array(given), Value::Array(got)) if given.len() == got.len() => {
            for (given, got) in given.iter().zip(got) {
                lost(given, got, &format!("{place}[]"), out);
            }
        }
        (given, got) if given == got => {}
        (given, got) => out.push(format!("{place}: {given} became {got}")),
    }
}

fn check<T: DeserializeOwned + Serialize>(name: &str) -> Vec<String> {
    let given = testkit::spec::sample(name);
    let text = serde_json::to_vec(&given).expect("samples are JSON");
    let document: T = match api::go::from_slice(&text) {
        Ok(document) => document,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let got = serde_json::to_value(document).expect("documents have text keys");
    let mut out = Vec::new();
    lost(&given, &got, name, &mut out);
    out.retain(|place| !LEFT_OUT.iter().any(|field| place.ends_with(field)));
    out.extend(testkit::spec::check_definition(name, &got));
    out
}

#[test]
fn every_field_of_the_specification_survives() {
    let mut faults = Vec::new();
    macro_rules! each {
        ($($name:literal => $type:ty),* $(,)?) => {
            $(faults.extend(check::<$type>($name));)*
        };
    }
    each! {
        "ContainerSummary" => wire::ContainerSummary,
        "ContainerInspectResponse" => wire::ContainerInspect,
        "ContainerConfig" => wire::Config,
        "HostConfig" => wire::HostConfig,
        "ContainerCreateResponse" => wire::CreateResponse,
        "ContainerUpdateResponse" => wire::UpdateResponse,
        "ContainerWaitResponse" => wire::WaitResponse,
        "ContainerTopResponse" => wire::TopResponse,
        "ContainerStatsResponse" => wire::Stats,
        "FilesystemChange" => wire::FilesystemChange,
        "EndpointSettings" => wire::EndpointSettings,
        "NetworkInspect" => wire::Network,
        "NetworkCreateResponse" => wire::NetworkCreateResponse,
        "NetworkConnectRequest" => wire::NetworkConnectRequest,
        "NetworkDisconnectRequest" => wire::NetworkDisconnectRequest,
        "Volume" => wire::Volume,
        "VolumeCreateRequest" => wire::VolumeCreateRequest,
        "VolumeListResponse" => wire::VolumeList,
        "ImageSummary" => wire::ImageSummary,
        "ImageInspect" => wire::ImageInspect,
        "ImageHistoryResponseItem" => wire::ImageHistory,
        "ImageDeleteResponseItem" => wire::ImageDeleted,
        "EventMessage" => wire::EventMessage,
        "SystemInfo" => wire::SystemInfo,
        "SystemVersion" => wire::SystemVersion,
        "AuthConfig" => wire::AuthConfig,
        "AuthResponse" => wire::AuthResponse,
        "DistributionInspect" => wire::DistributionInspect,
        "BuildCache" => wire::BuildCache,
        "ErrorResponse" => wire::ErrorResponse,
        "IDResponse" => wire::IdResponse,
        "ProcessConfig" => wire::ProcessConfig,
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
