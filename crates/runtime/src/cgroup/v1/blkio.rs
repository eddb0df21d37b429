//! v1 `blkio`: weights of the I/O scheduler, and throttling of the block layer.

use crate::spec::{LinuxBlockIo, LinuxThrottleDevice};

use super::super::Result;
use super::super::convert::check_weight;
use super::V1;

impl V1 {
    pub(super) fn apply_block_io(&self, io: &LinuxBlockIo) -> Result<()> {
        if *io == LinuxBlockIo::default() {
            return Ok(());
        }
        let dir = self.dir("blkio", "blockIO")?;
        // Kernels up to 4.20 have CFQ's files, later ones BFQ's if it is built in.
        let (weight_file, device_file) = match dir.has("blkio.weight") {
            true => ("blkio.weight", "blkio.weight_device"),
            false => ("blkio.bfq.weight", "blkio.bfq.weight_device"),
        };
        if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
            check_weight("blockIO.weight", weight)?;
            dir.set("blockIO.weight", weight_file, &weight.to_string())?;
        }
        if let Some(weight) = io.leaf_weight.filter(|weight| *weight != 0) {
            dir.set("blockIO.leafWeight", "blkio.leaf_weight", &weight.to_string())?;
        }
        for device in &io.weight_device {
            let id = format!("{}:{}", device.major, device.minor);
            if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
                check_weight("blockIO.weightDevice", weight)?;
                dir.set("blockIO.weightDevice", device_file, &format!("{id} {weight}"))?;
            }
            if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
                let value = format!("{id} {weight}");
                dir.set("blockIO.weightDevice", "blkio.leaf_weight_device", &value)?;
            }
        }
        let rates: [(&str, &str, &[LinuxThrottleDevice]); 4] = [
            (
                "blockIO.throttleReadBpsDevice",
                "blkio.throttle.read_bps_device",
                &io.throttle_read_bps_device,
            ),
            (
                "blockIO.throttleWriteBpsDevice",
                "blkio.throttle.write_bps_device",
                &io.throttle_write_bps_device,
            ),
            (
                "blockIO.throttleReadIOPSDevice",
                "blkio.throttle.read_iops_device",
                &io.throttle_read_iops_device,
            ),
            (
                "blockIO.throttleWriteIOPSDevice",
                "blkio.throttle.write_iops_device",
                &io.throttle_write_iops_device,
            ),
        ];
        for (setting, file, devices) in rates {
            for device in devices {
                let value = format!("{}:{} {}", device.major, device.minor, device.rate);
                dir.set(setting, file, &value)?;
            }
        }
        Ok(())
    }
}
