//! Volumes.

use api::{
    convert::rfc3339_nano,
    wire::{UsageData, Volume, map_or_null},
};
use engine::volume::Inspection;

/// A volume.
pub fn document(one: &Inspection) -> Volume {
    let record = &one.record;
    let usage = one.size.map(|size| UsageData {
        ref_count: i64::try_from(one.containers).unwrap_or(i64::MAX),
        size: i64::try_from(size).unwrap_or(i64::MAX),
    });
    Volume {
        // Seconds only, as dockerd writes it.
        created_at: rfc3339_nano(Some(
            record.created_ns - record.created_ns.rem_euclid(1_000_000_000),
        )),
        driver: record.driver.clone(),
        labels: map_or_null(&record.labels),
        mountpoint: one.mountpoint.display().to_string(),
        name: record.name.to_string(),
        options: map_or_null(&record.options),
        scope: "local".to_owned(),
        status: Default::default(),
        usage_data: usage,
    }
}
