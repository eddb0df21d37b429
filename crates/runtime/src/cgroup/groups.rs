//! From hierarchies to groups: making them, and finding them again.

use super::hybrid::Hybrid;
use super::v1::V1;
use super::v2::V2;
use super::{Cgroup, CgroupError, GroupPath, Hierarchies, Result};

impl Hierarchies {
    /// Makes the group in every hierarchy, with its parents. A group that exists already
    /// is taken over with its settings; use ids that are unique.
    ///
    /// # Errors
    /// [`CgroupError::Create`]; parts that were made stay and are removed by
    /// [`Cgroup::remove`] on [`Self::open`].
    pub fn create(&self, path: &GroupPath) -> Result<Box<dyn Cgroup>> {
        Ok(match (self.v1.is_empty(), &self.v2) {
            (true, None) => return Err(CgroupError::NoHierarchy),
            (true, Some(tree)) => Box::new(V2::create(tree, path)?),
            (false, None) => Box::new(V1::create(&self.v1, path)?),
            (false, Some(tree)) => {
                let (v1, v2) = (V1::create(&self.v1, path)?, V2::create(tree, path)?);
                Box::new(Hybrid { v1, v2 })
            }
        })
    }

    /// A group that was made before.
    ///
    /// # Errors
    /// [`CgroupError::NotFound`] if no hierarchy has it.
    pub fn open(&self, path: &GroupPath) -> Result<Box<dyn Cgroup>> {
        let v1 = V1::at(&self.v1, path);
        let v2 = self.v2.as_ref().map(|tree| V2::at(tree, path));
        if !v1.exists() && !v2.as_ref().is_some_and(V2::exists) {
            return Err(CgroupError::NotFound { path: path.to_string() });
        }
        Ok(match v2 {
            None => Box::new(v1),
            Some(v2) if self.v1.is_empty() => Box::new(v2),
            Some(v2) => Box::new(Hybrid { v1, v2 }),
        })
    }
}
