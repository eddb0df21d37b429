//! Tables and typed access to them.

use redb::{ReadableTable, TableDefinition, TableError};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

type Rows = TableDefinition<'static, &'static str, &'static [u8]>;
const EVENTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("events");

/// The tables with text keys; values are JSON unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// `format` → version, as decimal text.
    Meta,
    /// Whole reference → image.
    References,
    /// Image id → image.
    Images,
    /// Diff id → layer.
    Layers,
    /// Digest → blob.
    Blobs,
    /// Owner → resources kept for it.
    Pins,
    /// Container id → its writable root.
    Rootfs,
    /// `kind/id` → the engine's bytes.
    Objects,
}

impl Table {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::References => "references",
            Self::Images => "images",
            Self::Layers => "layers",
            Self::Blobs => "blobs",
            Self::Pins => "pins",
            Self::Rootfs => "rootfs",
            Self::Objects => "objects",
        }
    }

    fn rows(self) -> Rows {
        TableDefinition::new(self.name())
    }
}

fn decode<T: DeserializeOwned>(table: Table, key: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Record {
        what: table.name(),
        key: key.to_owned(),
        source,
    })
}

fn encode<T: Serialize>(table: Table, key: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|source| Error::Record {
        what: table.name(),
        key: key.to_owned(),
        source,
    })
}

/// The keys from `prefix` on that begin with it.
fn scan(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    prefix: &str,
    mut visit: impl FnMut(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    for row in table.range(prefix..).map_err(Error::database("read"))? {
        let (key, value) = row.map_err(Error::database("read"))?;
        if !key.value().starts_with(prefix) {
            break;
        }
        visit(key.value(), value.value())?;
    }
    Ok(())
}

/// A consistent view for reading.
pub(crate) struct Snapshot(redb::ReadTransaction);

impl Snapshot {
    pub(crate) fn new(transaction: redb::ReadTransaction) -> Self {
        Self(transaction)
    }

    pub(crate) fn get_bytes(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>> {
        match self.0.open_table(table.rows()) {
            Ok(rows) => {
                let value = rows.get(key).map_err(Error::database("read"))?;
                Ok(value.map(|v| v.value().to_vec()))
            }
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(Error::database("read")(error)),
        }
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, table: Table, key: &str) -> Result<Option<T>> {
        self.get_bytes(table, key)?.map(|bytes| decode(table, key, &bytes)).transpose()
    }

    pub(crate) fn scan(
        &self,
        table: Table,
        prefix: &str,
        visit: impl FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<()> {
        match self.0.open_table(table.rows()) {
            Ok(rows) => scan(&rows, prefix, visit),
            Err(TableError::TableDoesNotExist(_)) => Ok(()),
            Err(error) => Err(Error::database("read")(error)),
        }
    }

    pub(crate) fn all<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<(String, T)>> {
        let mut found = Vec::new();
        self.scan(table, "", |key, bytes| {
            found.push((key.to_owned(), decode(table, key, bytes)?));
            Ok(())
        })?;
        Ok(found)
    }

    pub(crate) fn events_after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let rows = match self.0.open_table(EVENTS) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(Error::database("read")(error)),
        };
        let mut found = Vec::new();
        let from = cursor.saturating_add(1);
        for row in rows.range(from..).map_err(Error::database("read"))?.take(limit) {
            let (key, value) = row.map_err(Error::database("read"))?;
            found.push((key.value(), value.value().to_vec()));
        }
        Ok(found)
    }

    pub(crate) fn event_bounds(&self) -> Result<Option<(u64, u64)>> {
        let rows = match self.0.open_table(EVENTS) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(Error::database("read")(error)),
        };
        let first = rows.first().map_err(Error::database("read"))?.map(|(k, _)| k.value());
        let last = rows.last().map_err(Error::database("read"))?.map(|(k, _)| k.value());
        Ok(first.zip(last))
    }
}

/// A write in progress.
pub(crate) struct Tx<'a>(&'a redb::WriteTransaction);

impl<'a> Tx<'a> {
    pub(crate) fn new(transaction: &'a redb::WriteTransaction) -> Self {
        Self(transaction)
    }

    fn rows(&self, table: Table) -> Result<redb::Table<'_, &'static str, &'static [u8]>> {
        self.0.open_table(table.rows()).map_err(Error::database("write"))
    }

    pub(crate) fn get_bytes(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>> {
        let rows = self.rows(table)?;
        let value = rows.get(key).map_err(Error::database("read"))?;
        Ok(value.map(|v| v.value().to_vec()))
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, table: Table, key: &str) -> Result<Option<T>> {
        self.get_bytes(table, key)?.map(|bytes| decode(table, key, &bytes)).transpose()
    }

    pub(crate) fn all<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<(String, T)>> {
        let mut found = Vec::new();
        scan(&self.rows(table)?, "", |key, bytes| {
            found.push((key.to_owned(), decode(table, key, bytes)?));
            Ok(())
        })?;
        Ok(found)
    }

    pub(crate) fn put_bytes(&self, table: Table, key: &str, value: &[u8]) -> Result<()> {
        self.rows(table)?.insert(key, value).map_err(Error::database("write"))?;
        Ok(())
    }

    pub(crate) fn put<T: Serialize>(&self, table: Table, key: &str, value: &T) -> Result<()> {
        self.put_bytes(table, key, &encode(table, key, value)?)
    }

    /// Removes a row; true if it was there.
    pub(crate) fn delete(&self, table: Table, key: &str) -> Result<bool> {
        let mut rows = self.rows(table)?;
        let old = rows.remove(key).map_err(Error::database("write"))?;
        Ok(old.is_some())
    }

    /// Appends events with the next sequence numbers, which `stamp` writes into the bytes, and
    /// drops the oldest beyond `kept`.
    pub(crate) fn append_event(
        &self,
        kept: u64,
        stamp: impl FnOnce(u64) -> Result<Vec<u8>>,
    ) -> Result<u64> {
        let mut rows = self.0.open_table(EVENTS).map_err(Error::database("write"))?;
        let last = rows.last().map_err(Error::database("read"))?.map_or(0, |(k, _)| k.value());
        let sequence = last + 1;
        let bytes = stamp(sequence)?;
        rows.insert(sequence, &bytes[..]).map_err(Error::database("write"))?;
        // In batches: one range removal now and then costs less than one row a time.
        if sequence.is_multiple_of(TRIM_EVERY) && sequence > kept {
            let oldest = sequence - kept;
            rows.retain_in(..oldest, |_, _| false).map_err(Error::database("write"))?;
        }
        Ok(sequence)
    }
}

const TRIM_EVERY: u64 = 256;
