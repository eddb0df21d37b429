//! The format's version: forward migration in one transaction after a copy of the file, and a
//! plain refusal of what a newer Cale wrote.

use std::path::Path;

use super::{Table, Tx};
use crate::error::{Error, Result};

/// What one migration does.
pub(crate) type Step = fn(&Tx<'_>) -> Result<()>;

/// The migrations, the first from version 1 to 2. A format once released is never changed, only
/// migrated from.
pub(crate) const STEPS: [Step; 0] = [];

const KEY: &str = "format";

/// Brings the database to version `1 + steps.len()`, or refuses.
pub(crate) fn bring_up(
    database: &redb::Database,
    path: &Path,
    root: &Path,
    steps: &[Step],
) -> Result<()> {
    let known = 1 + steps.len() as u32;
    let found = version(database)?;
    match found {
        Some(found) if found > known => {
            return Err(Error::NewerFormat { root: root.display().to_string(), found, known });
        }
        Some(found) if found == known => return Ok(()),
        Some(found) => {
            let copy = path.with_extension(format!("redb.v{found}"));
            std::fs::copy(path, &copy)
                .and_then(|_| std::fs::File::open(&copy)?.sync_all())
                .map_err(Error::file("copy the metadata database to", copy.display()))?;
            tracing::info!(from = found, to = known, backup = %copy.display(), "migrating the store");
        }
        None => {}
    }
    let transaction = database.begin_write().map_err(Error::database("migrate"))?;
    {
        let tx = Tx::new(&transaction);
        let done = found.map_or(steps.len(), |found| found as usize - 1);
        for step in &steps[done..] {
            step(&tx)?;
        }
        tx.put_bytes(Table::Meta, KEY, known.to_string().as_bytes())?;
    }
    transaction.commit().map_err(Error::database("migrate"))
}

fn version(database: &redb::Database) -> Result<Option<u32>> {
    use redb::ReadableDatabase;
    let transaction = database.begin_read().map_err(Error::database("read"))?;
    let bytes = super::Snapshot::new(transaction).get_bytes(Table::Meta, KEY)?;
    // Text that is no number comes from no Cale there ever was: treat it as the newest.
    Ok(bytes.map(|b| std::str::from_utf8(&b).ok().and_then(|t| t.parse().ok()).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::open_file;

    fn rename(tx: &Tx<'_>) -> Result<()> {
        let old = tx.get_bytes(Table::Objects, "old")?.unwrap_or_default();
        tx.put_bytes(Table::Objects, "new", &old)?;
        tx.delete(Table::Objects, "old").map(drop)
    }

    fn fail(_: &Tx<'_>) -> Result<()> {
        Err(Error::Failpoint("migration"))
    }

    #[test]
    fn migration_copies_first_and_is_all_or_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("cale.redb");
        let database = open_file(&path).unwrap();
        bring_up(&database, &path, temp.path(), &[]).unwrap();
        let transaction = database.begin_write().unwrap();
        Tx::new(&transaction).put_bytes(Table::Objects, "old", b"x").unwrap();
        transaction.commit().unwrap();

        assert!(bring_up(&database, &path, temp.path(), &[rename, fail]).is_err());
        assert_eq!(version(&database).unwrap(), Some(1));
        bring_up(&database, &path, temp.path(), &[rename]).unwrap();
        assert_eq!(version(&database).unwrap(), Some(2));
        assert!(temp.path().join("cale.redb.v1").exists());

        let refusal = bring_up(&database, &path, temp.path(), &[]).unwrap_err();
        assert!(refusal.to_string().contains("has format 2"), "{refusal}");
    }
}
