//! v2 block I/O: `io.max`, and weights of BFQ or of the cost model.

use crate::spec::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice};

use super::super::CgroupError;
use super::super::Result;
use super::super::convert::{check_weight, io_weight_of_blkio};
use super::V2;

impl V2 {
    pub(super) fn apply_block_io(&self, io: &LinuxBlockIo) -> Result<()> {
        let leaf = io.leaf_weight.unwrap_or(0) != 0
            || io.weight_device.iter().any(|device| device.leaf_weight.unwrap_or(0) != 0);
        if leaf {
            return Err(CgroupError::Unavailable {
                setting: "blockIO.leafWeight".into(),
                missing: "it exists with control groups v1 only".into(),
            });
        }
        // BFQ takes the specification's range as it is; io.weight has its own.
        let bfq = self.dir.has("io.bfq.weight");
        let (file, scale): (_, fn(u16) -> u64) = match bfq {
            true => ("io.bfq.weight", u64::from),
            false => ("io.weight", io_weight_of_blkio),
        };
        if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
            check_weight("blockIO.weight", weight)?;
            self.set("io", "blockIO.weight", file, &scale(weight).to_string())?;
        }
        for LinuxWeightDevice { major, minor, weight, .. } in &io.weight_device {
            if let Some(weight) = weight.filter(|weight| *weight != 0) {
                check_weight("blockIO.weightDevice", weight)?;
                let line = format!("{major}:{minor} {}", scale(weight));
                self.set("io", "blockIO.weightDevice", file, &line)?;
            }
        }
        let rates: [(&str, &str, &[LinuxThrottleDevice]); 4] = [
            ("blockIO.throttleReadBpsDevice", "rbps", &io.throttle_read_bps_device),
            ("blockIO.throttleWriteBpsDevice", "wbps", &io.throttle_write_bps_device),
            ("blockIO.throttleReadIOPSDevice", "riops", &io.throttle_read_iops_device),
            ("blockIO.throttleWriteIOPSDevice", "wiops", &io.throttle_write_iops_device),
        ];
        for (setting, key, devices) in rates {
            for device in devices {
                self.set("io", setting, "io.max", &max_line(key, device))?;
            }
        }
        Ok(())
    }
}

/// A line of `io.max`; v1's 0 for "unlimited" is `max` here.
fn max_line(key: &str, device: &LinuxThrottleDevice) -> String {
    let LinuxThrottleDevice { major, minor, rate } = device;
    match rate {
        0 => format!("{major}:{minor} {key}=max"),
        rate => format!("{major}:{minor} {key}={rate}"),
    }
}
