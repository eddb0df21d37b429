//! Uploads: bytes that come in one piece or many, and become a blob when their digest is right.
//!
//! The bytes already received are the file's length, so an upload goes on after the registry was
//! killed; only the running hash is lost then, and made again from the file.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use model::{Digest, digest::Algorithm};
use sha2::{Digest as _, Sha256, Sha512};

use super::{Result, Storage, listing, lock, random_id, read_gate};
use crate::server::{
    refusal::{Code, Refusal},
    route::{Name, SessionId},
};

const READ_BUFFER: usize = 1 << 20;

/// One upload's state while the registry runs. Held by the request that works on it.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    file: File,
    received: u64,
    /// The hash of all received bytes; `None` when it isn't known.
    running: Option<Sha256>,
}

/// A session shared between requests.
pub type Upload = Arc<tokio::sync::Mutex<Session>>;

impl Session {
    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Appends.
    ///
    /// # Errors
    /// The disk's; nothing of `bytes` counts as received then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // What was half written is cut off again, so that the length stays the truth.
            if self.file.set_len(self.received).is_err() {
                self.running = None;
            }
            return Err(Refusal::disk("write the upload", error));
        }
        self.received += bytes.len() as u64;
        if let Some(running) = &mut self.running {
            running.update(bytes);
        }
        Ok(())
    }

    fn digest(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        match (algorithm, self.running.take()) {
            (Algorithm::Sha256, Some(running)) => {
                let digest = Digest::from_sha256(running.clone().finalize().into());
                self.running = Some(running);
                Ok(digest)
            }
            (Algorithm::Sha256, None) => {
                let mut hasher = Sha256::new();
                each_piece(&self.path, |bytes| hasher.update(bytes))?;
                self.running = Some(hasher.clone());
                Ok(Digest::from_sha256(hasher.finalize().into()))
            }
            (Algorithm::Sha512, running) => {
                self.running = running;
                let mut hasher = Sha512::new();
                each_piece(&self.path, |bytes| hasher.update(bytes))?;
                Ok(Digest::from_sha512(hasher.finalize().into()))
            }
        }
    }
}

fn each_piece(path: &std::path::Path, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; READ_BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => take(&buffer[..count]),
        }
    }
}

impl Storage {
    fn session_path(&self, name: &Name, id: &SessionId) -> PathBuf {
        self.repository(name).join("_uploads").join(id.as_str())
    }

    /// Begins an upload into a repository.
    ///
    /// # Errors
    /// The disk's.
    pub fn upload_begin(&self, name: &Name) -> Result<(SessionId, Upload)> {
        let fault = |error| Refusal::disk("begin an upload", error);
        let id = random_id().map_err(fault)?;
        let id = SessionId::new(&id)
            .ok_or_else(|| Refusal::new(Code::Internal, "a random id of the wrong form"))?;
        let path = self.session_path(name, &id);
        self.make_dirs(path.parent().unwrap_or(&self.root)).map_err(fault)?;
        let file = File::options().append(true).create_new(true).open(&path).map_err(fault)?;
        let session = Session { path, file, received: 0, running: Some(Sha256::new()) };
        let upload = Arc::new(tokio::sync::Mutex::new(session));
        lock(&self.uploads).insert((name.clone(), id.as_str().to_owned()), upload.clone());
        Ok((id, upload))
    }

    /// An upload that was begun in this repository, perhaps before the registry was started.
    ///
    /// # Errors
    /// `BLOB_UPLOAD_UNKNOWN`; the disk's.
    pub fn upload(&self, name: &Name, id: &SessionId) -> Result<Upload> {
        let mut uploads = lock(&self.uploads);
        let key = (name.clone(), id.as_str().to_owned());
        if let Some(upload) = uploads.get(&key) {
            return Ok(upload.clone());
        }
        let path = self.session_path(name, id);
        let file = match File::options().append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(unknown_upload(id));
            }
            Err(error) => return Err(Refusal::disk("open an upload", error)),
        };
        let received =
            file.metadata().map_err(|error| Refusal::disk("open an upload", error))?.len();
        let session = Session { path, file, received, running: None };
        let upload = Arc::new(tokio::sync::Mutex::new(session));
        uploads.insert(key, upload.clone());
        Ok(upload)
    }

    /// Makes a blob of what was received. With a wrong digest the upload is over.
    ///
    /// # Errors
    /// `DIGEST_INVALID`; the disk's (the upload can be tried again then).
    pub fn upload_finish(
        &self,
        name: &Name,
        id: &SessionId,
        session: &mut Session,
        wanted: &Digest,
    ) -> Result<()> {
        let fault = |error| Refusal::disk("store the blob", error);
        let found = session.digest(wanted.algorithm()).map_err(fault)?;
        if &found != wanted {
            self.upload_forget(name, id);
            // It is over either way; the sweep takes what stays.
            let _ = fs::remove_file(&session.path);
            return Err(Refusal::new(
                Code::DigestInvalid,
                "provided digest did not match uploaded content",
            )
            .with_detail(serde_json::json!({
                "wanted": wanted.to_string(), "found": found.to_string(),
            })));
        }
        session.file.sync_all().map_err(fault)?;
        let gate = read_gate(&self.gate);
        // Also where the blob is there already: the new bytes are known to be good.
        self.publish(&session.path, &self.blob_path(wanted)).map_err(fault)?;
        self.mark(&gate, name, wanted).map_err(fault)?;
        drop(gate);
        self.upload_forget(name, id);
        Ok(())
    }

    /// Ends an upload without a blob.
    ///
    /// # Errors
    /// `BLOB_UPLOAD_UNKNOWN`; the disk's.
    pub fn upload_cancel(&self, name: &Name, id: &SessionId) -> Result<()> {
        self.upload_forget(name, id);
        match fs::remove_file(self.session_path(name, id)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown_upload(id)),
            Err(error) => Err(Refusal::disk("cancel an upload", error)),
        }
    }

    fn upload_forget(&self, name: &Name, id: &SessionId) {
        lock(&self.uploads).remove(&(name.clone(), id.as_str().to_owned()));
    }

    /// Ends the uploads that nothing was written to for `age`; gives their number.
    ///
    /// # Errors
    /// The disk's.
    pub fn upload_expire(&self, name: &Name, age: Duration) -> Result<u64> {
        let fault = |error| Refusal::disk("expire uploads", error);
        let mut ended = 0;
        for entry in listing(&self.repository(name).join("_uploads")).map_err(fault)? {
            let Ok(found) = entry.metadata() else { continue };
            let old = found.modified().is_ok_and(|written| {
                SystemTime::now().duration_since(written).is_ok_and(|since| since > age)
            });
            let id = entry.file_name().to_str().and_then(SessionId::new);
            if let (true, Some(id)) = (old, id) {
                self.upload_cancel(name, &id)?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Stores bytes that are here as a whole.
    pub(super) fn blob_put(&self, name: &Name, digest: &Digest, bytes: &[u8]) -> io::Result<()> {
        let gate = read_gate(&self.gate);
        self.replace(&self.blob_path(digest), bytes)?;
        lock(&gate).insert(digest.clone());
        lock(&self.sizes).remove(name);
        Ok(())
    }
}

fn unknown_upload(id: &SessionId) -> Refusal {
    Refusal::new(Code::BlobUploadUnknown, "blob upload unknown to registry")
        .with_detail(serde_json::json!({"upload": id.as_str()}))
}
