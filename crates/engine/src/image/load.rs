//! Load and save: archives of images, Docker's and OCI's.

use std::io::Write;

use model::{Digest, event::EventType, image::Platform};
use tokio_util::io::SyncIoBridge;

use super::{Images, Progress, ProgressSink, resolve::not_found};
use crate::{ByteReader, Result, blocking, records::stored};

/// Bytes on the way between the thread that writes an archive and the client.
const PIPE: usize = 256 * 1024;

impl Images<'_> {
    /// Reads docker and OCI archives.
    pub async fn load(
        &self,
        archive: ByteReader,
        _platform: Option<Platform>,
        progress: ProgressSink,
    ) -> Result<Vec<Digest>> {
        let engine = self.engine.clone();
        let source = SyncIoBridge::new(archive);
        let sink = progress.clone();
        let loaded = blocking::spawn(move || {
            let tell = |step: store::LoadProgress| {
                if let Some(step) = convert(step) {
                    // A slow client misses steps, not the result.
                    let _ = sink.try_send(step);
                }
            };
            let store = engine.records().store();
            store.image_load(source, tell).map_err(stored("load", "the image archive"))
        })
        .await?;
        let mut ids = Vec::new();
        for image in loaded {
            let lines = match image.references.is_empty() {
                true => vec![format!("Loaded image ID: {}", image.image)],
                false => image
                    .references
                    .iter()
                    .map(|name| format!("Loaded image: {}", name.familiar()))
                    .collect(),
            };
            for line in lines {
                let text = format!("{line}\n");
                // A client that went away doesn't care.
                let _ = progress.send(Progress::Status { id: String::new(), text }).await;
            }
            let text = image.image.to_string();
            self.engine.events().other(EventType::Image, "load", &text, &[("name", &text)]);
            ids.push(image.image);
        }
        Ok(ids)
    }

    /// Writes an archive that is both docker's and OCI's. No names: every one.
    pub async fn save(&self, images: &[String], _platform: Option<Platform>) -> Result<ByteReader> {
        let names = images.to_vec();
        let engine = self.engine.clone();
        // What doesn't exist is told before the first byte.
        let names = blocking::spawn(move || {
            let store = engine.records().store();
            for name in &names {
                store.image_find(name).map_err(|error| not_found(name, error))?;
            }
            match names.is_empty() {
                false => Ok(names),
                true => {
                    let all = store.images().map_err(stored("list", "images"))?;
                    Ok(all.into_iter().map(|summary| summary.image.id.to_string()).collect())
                }
            }
        })
        .await?;
        let (reader, writer) = tokio::io::duplex(PIPE);
        let engine = self.engine.clone();
        let mut writer = SyncIoBridge::new(writer);
        self.engine.tasks().spawn_blocking(move || {
            let texts: Vec<&str> = names.iter().map(String::as_str).collect();
            let saved = engine.records().store().image_save(&texts, &mut writer);
            // Dropped without its end, the archive is visibly cut.
            match saved {
                Ok(()) => drop(writer.flush()),
                Err(error) => tracing::warn!(%error, "image archive cut"),
            }
        });
        Ok(Box::pin(reader))
    }
}

fn convert(step: store::LoadProgress) -> Option<Progress> {
    match step {
        store::LoadProgress::Layer { diff_id, size } => Some(Progress::Bytes {
            id: diff_id.short().to_owned(),
            text: "Loading layer".to_owned(),
            current: size,
            total: size,
        }),
        store::LoadProgress::Read { .. } => None,
    }
}
