//! Import: one archive of files becomes an image.

use model::{
    Digest,
    event::EventType,
    image::{ImageConfig, Platform, ProcessDefaults},
};
use tokio_util::io::SyncIoBridge;

use super::{Images, ImportRequest, Progress, ProgressSink, changes};
use crate::{ByteReader, Result, blocking, records::stored};

impl Images<'_> {
    /// Makes an image of one archive of files.
    pub async fn import(
        &self,
        archive: ByteReader,
        request: ImportRequest,
        progress: ProgressSink,
    ) -> Result<Digest> {
        let mut defaults = ProcessDefaults::default();
        for change in &request.changes {
            changes::apply(&mut defaults, change)?;
        }
        let platform = request.platform.clone().unwrap_or_else(Platform::host);
        let config = ImageConfig {
            created: Some(jiff::Timestamp::now().to_string()),
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            config: Some(defaults),
            ..ImageConfig::default()
        };
        let engine = self.engine.clone();
        let source = SyncIoBridge::new(archive);
        let names = request.reference.clone().map(|name| name.or_latest());
        let comment = match request.comment.is_empty() {
            true => "Imported from -".to_owned(),
            false => request.comment.clone(),
        };
        let id = blocking::spawn(move || {
            let store = engine.records().store();
            let lease = store.lease();
            let references = names.into_iter().collect();
            let image = store
                .image_import(&lease, source, config, &comment, references)
                .map_err(stored("import", "the archive"))?;
            Ok(image.id)
        })
        .await?;
        let text = id.to_string();
        self.engine.events().other(EventType::Image, "import", &text, &[("name", &text)]);
        // A client that went away doesn't care.
        let _ = progress.send(Progress::Status { id: String::new(), text }).await;
        Ok(id)
    }
}
