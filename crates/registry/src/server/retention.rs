//! Which tags go: the rules and their meaning. Pure.

use std::time::Duration;

use super::{pattern::Pattern, route::Tag};

/// One rule; a repository follows the first that fits its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whose tags.
    pub repositories: Pattern,
    /// Only tags that fit.
    pub tags: Pattern,
    /// Tags that never go.
    pub protect: Vec<Pattern>,
    /// The newest so many stay.
    pub keep_last: usize,
    /// Younger ones stay, too.
    pub keep_for: Duration,
}

/// The tags that the rule lets go, of tags with the time since each was set.
pub fn expired(rule: &Rule, mut tags: Vec<(Tag, Duration)>) -> Vec<Tag> {
    tags.retain(|(tag, _)| {
        rule.tags.matches(tag.as_str())
            && !rule.protect.iter().any(|pattern| pattern.matches(tag.as_str()))
    });
    tags.sort_by(|(a, old_a), (b, old_b)| old_a.cmp(old_b).then_with(|| a.cmp(b)));
    let surplus = tags.into_iter().skip(rule.keep_last);
    surplus.filter(|(_, age)| *age > rule.keep_for).map(|(tag, _)| tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_the_young_and_the_protected_stay() {
        let rule = Rule {
            repositories: Pattern::new("**"),
            tags: Pattern::new("v*"),
            protect: vec![Pattern::new("v1")],
            keep_last: 1,
            keep_for: Duration::from_secs(100),
        };
        let tags = [("v1", 900), ("v2", 500), ("v3", 50), ("v4", 5), ("main", 999)];
        let tags = tags.map(|(tag, age)| (Tag::new(tag).unwrap(), Duration::from_secs(age)));
        assert_eq!(expired(&rule, tags.to_vec()), [Tag::new("v2").unwrap()]);
    }
}
