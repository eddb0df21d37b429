//! The image's configuration once every layer is known.

use model::{Digest, image::ImageConfig};

use crate::graph::{Graph, VertexId};

/// Fills layers and history in. `layer` tells what a vertex made, `None` for nothing.
pub fn finish(graph: &Graph, layer: impl Fn(VertexId) -> Option<Digest>) -> ImageConfig {
    let mut config = graph.config.clone();
    for line in &graph.history {
        let mut entry = line.entry.clone();
        match line.vertex.and_then(&layer) {
            Some(diff_id) => {
                entry.empty_layer = false;
                config.rootfs.diff_ids.push(diff_id);
            }
            None => entry.empty_layer = true,
        }
        config.history.push(entry);
    }
    config
}
