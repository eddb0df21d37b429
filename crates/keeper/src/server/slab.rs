//! A table whose rows are named by numbers that don't come back: an event for a removed row finds nothing.

/// Number of a row: position in the low 32 bits, generation in the 24 above them. The top byte is free for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key(u64);

const POSITION: u64 = 0xffff_ffff;
const GENERATION: u64 = 0xff_ffff;

impl Key {
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The key in the low 56 bits.
    pub fn from_bits(bits: u64) -> Key {
        Key(bits & (POSITION | GENERATION << 32))
    }

    fn position(self) -> usize {
        (self.0 & POSITION) as usize
    }
}

#[derive(Debug)]
struct Row<T> {
    generation: u64,
    value: Option<T>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    rows: Vec<Row<T>>,
    free: Vec<usize>,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Slab { rows: Vec::new(), free: Vec::new() }
    }

    pub fn insert(&mut self, value: T) -> Key {
        let position = self.free.pop().unwrap_or_else(|| {
            self.rows.push(Row { generation: 0, value: None });
            self.rows.len() - 1
        });
        let row = &mut self.rows[position];
        row.value = Some(value);
        Key(row.generation << 32 | position as u64)
    }

    fn row(&self, key: Key) -> Option<&Row<T>> {
        self.rows.get(key.position()).filter(|row| row.generation == key.0 >> 32)
    }

    pub fn get(&self, key: Key) -> Option<&T> {
        self.row(key)?.value.as_ref()
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let row = self.rows.get_mut(key.position())?;
        if row.generation == key.0 >> 32 { row.value.as_mut() } else { None }
    }

    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.row(key)?;
        let row = &mut self.rows[key.position()];
        let value = row.value.take()?;
        row.generation = (row.generation + 1) & GENERATION;
        self.free.push(key.position());
        Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.rows.iter().enumerate().filter_map(|(position, row)| {
            Some((Key(row.generation << 32 | position as u64), row.value.as_ref()?))
        })
    }

    pub fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }

    pub fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_dies_with_its_row() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_eq!((slab.get(a), slab.get(b), slab.len()), (Some(&"a"), Some(&"b"), 2));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.remove(a), None);
        let c = slab.insert("c");
        assert_ne!(a, c);
        assert_eq!((slab.get(a), slab.get(c), slab.len()), (None, Some(&"c"), 2));
        assert_eq!(Key::from_bits(c.to_bits() | 7 << 56), c);
    }
}
