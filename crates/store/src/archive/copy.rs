//! Copying a tree by way of its archive: one thread writes it, the other extracts it.

use sys::dir::Dir;

use super::{ArchiveError, ExtractOptions, Limits, TreeOptions, Writer, extract, write_tree};
use crate::pipe::pipe;

/// Copies everything in `from` into `to`: owners, modes, whole-second times, attributes, hard
/// links, and with overlay whiteouts those too. The directory `to` itself is left as it is.
///
/// # Errors
/// [`ArchiveError`].
pub fn copy_tree(from: &Dir, to: Dir, options: TreeOptions) -> Result<(), ArchiveError> {
    let (sink, source) = pipe();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || -> Result<(), ArchiveError> {
            let mut writer = Writer::new(sink);
            write_tree(&mut writer, from, options)?;
            writer.finish()?.finish().map_err(ArchiveError::Write)
        });
        // The tree is on this machine already: its size is what it is.
        let limits = Limits { entries: u64::MAX, unpacked_bytes: u64::MAX, ratio: u64::MAX };
        let extract_options =
            ExtractOptions { whiteouts: options.whiteouts, owner: None, keep_kinds: false, limits };
        let extracted = extract(to, source, extract_options);
        let written = writing
            .join()
            .unwrap_or_else(|_| Err(ArchiveError::Write(std::io::Error::other("it panicked"))));
        match (written, extracted) {
            // The side that lost its partner says less than the other.
            (Err(ArchiveError::Write(_)), Err(cause)) | (Ok(()), Err(cause)) => Err(cause),
            (Err(cause), _) => Err(cause),
            (Ok(()), Ok(_)) => Ok(()),
        }
    })
}
