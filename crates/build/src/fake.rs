//! A worker without a machine: images from a table, layers that are texts.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use model::{
    Digest, ErrorKind,
    image::{ImageConfig, Platform, ProcessDefaults, RootFs},
};

use crate::{
    error::WorkerError,
    graph::{CopyStep, MakeDir, RunStep},
    progress::{Log, Stream},
    request::RunLimits,
    worker::{BaseImage, Fingerprint, Known, MountTree, Ran, Ready, Tree, Worker},
};

/// What was done, and what is known.
#[derive(Debug, Default)]
pub(crate) struct Fake {
    images: BTreeMap<String, ImageConfig>,
    pub(crate) files: Mutex<BTreeMap<String, String>>,
    known: Mutex<HashMap<Digest, Known>>,
    pub(crate) done: Mutex<Vec<String>>,
    pub(crate) together: Mutex<(usize, usize)>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self::default().with_image("busybox", ProcessDefaults::default())
    }

    pub(crate) fn with_image(mut self, name: &str, process: ProcessDefaults) -> Self {
        let config = ImageConfig {
            created: Some("2024-01-02T03:04:05Z".to_owned()),
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            config: Some(process),
            rootfs: RootFs { diff_ids: vec![Digest::sha256(name.as_bytes())], ..RootFs::default() },
            ..ImageConfig::default()
        };
        self.images.insert(name.to_owned(), config);
        self
    }

    pub(crate) fn with_file(self, path: &str, content: &str) -> Self {
        self.files.lock().unwrap().insert(path.to_owned(), content.to_owned());
        self
    }

    fn note(&self, text: String) -> Option<Digest> {
        let digest = Digest::sha256(text.as_bytes());
        self.done.lock().unwrap().push(text);
        Some(digest)
    }
}

impl Worker for Fake {
    async fn image(
        &self,
        name: &str,
        _platform: &Platform,
        _pull: bool,
    ) -> Result<BaseImage, WorkerError> {
        let config = self
            .images
            .get(name)
            .ok_or_else(|| WorkerError::new(ErrorKind::NotFound, format!("{name}: not found")))?;
        let id = Digest::sha256(&serde_json::to_vec(config).unwrap());
        Ok(BaseImage { id, config: config.clone() })
    }

    async fn known(&self, key: &Digest) -> Result<Option<Known>, WorkerError> {
        Ok(self.known.lock().unwrap().get(key).cloned())
    }

    async fn remember(&self, key: &Digest, _: &str, known: &Known) -> Result<(), WorkerError> {
        self.known.lock().unwrap().insert(key.clone(), known.clone());
        Ok(())
    }

    async fn fingerprint(&self, _: &CopyStep, source: &Ready) -> Result<Fingerprint, WorkerError> {
        let text = match source {
            Ready::Files { tree: Tree::Context(_), pattern, .. } => {
                self.files.lock().unwrap().get(pattern).cloned().ok_or_else(|| {
                    WorkerError::new(ErrorKind::NotFound, format!("{pattern:?}: not found"))
                })?
            }
            other => format!("{other:?}"),
        };
        Ok(Fingerprint { digest: Digest::sha256(text.as_bytes()), files: Vec::new() })
    }

    async fn fingerprint_tree(&self, tree: &Tree, path: &str) -> Result<Digest, WorkerError> {
        Ok(Digest::sha256(format!("{tree:?} {path}").as_bytes()))
    }

    async fn copy(
        &self,
        _base: &[Digest],
        step: &CopyStep,
        _sources: &[Ready],
        _epoch: i64,
    ) -> Result<Option<Digest>, WorkerError> {
        Ok(self.note(format!("copy to {}", step.destination)))
    }

    async fn make_dir(
        &self,
        _base: &[Digest],
        step: &MakeDir,
        _epoch: i64,
    ) -> Result<Option<Digest>, WorkerError> {
        match step.path.as_str() {
            "/there" => Ok(None),
            path => Ok(self.note(format!("directory {path}"))),
        }
    }

    async fn run(
        &self,
        base: &[Digest],
        step: &RunStep,
        _mounts: &[MountTree],
        _limits: &RunLimits,
        log: Log,
        _epoch: i64,
    ) -> Result<Ran, WorkerError> {
        let text = step.command.last().cloned().unwrap_or_default();
        log.write(Stream::Stdout, text.as_bytes()).await;
        {
            let mut together = self.together.lock().unwrap();
            together.0 += 1;
            together.1 = together.1.max(together.0);
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.together.lock().unwrap().0 -= 1;
        match text.strip_prefix("exit ") {
            Some(code) => Ok(Ran::Failed(code.parse().unwrap())),
            None => Ok(Ran::Done(self.note(format!("run {text} on {}", base.len())))),
        }
    }
}
