//! Names for containers that were given none, and reading those that were.

use model::name::ContainerName;

use crate::{Error, Result};

const FIRST: [&str; 64] = [
    "amber", "brave", "brisk", "calm", "candid", "clever", "coral", "crisp", "daring", "deft",
    "eager", "early", "fair", "fleet", "fond", "frank", "fresh", "gentle", "giddy", "glad",
    "golden", "grand", "happy", "hardy", "hasty", "humble", "idle", "ivory", "jolly", "keen",
    "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mild", "modest", "neat",
    "nimble", "noble", "patient", "placid", "plucky", "polite", "proud", "quick", "quiet", "rapid",
    "ready", "robust", "sage", "sober", "spry", "steady", "stout", "sunny", "swift", "tidy",
    "trusty", "vivid", "warm", "witty",
];

const SECOND: [&str; 64] = [
    "anchor",
    "barge",
    "beacon",
    "boatswain",
    "bollard",
    "boom",
    "bow",
    "brig",
    "buoy",
    "cabin",
    "canal",
    "capstan",
    "captain",
    "clipper",
    "coast",
    "compass",
    "cove",
    "crane",
    "current",
    "cutter",
    "deck",
    "derrick",
    "dinghy",
    "dock",
    "estuary",
    "ferry",
    "fjord",
    "frigate",
    "galleon",
    "galley",
    "gangway",
    "gull",
    "harbour",
    "haven",
    "helm",
    "hold",
    "hull",
    "island",
    "jetty",
    "keel",
    "ketch",
    "lagoon",
    "lantern",
    "lighthouse",
    "lock",
    "mast",
    "mooring",
    "oar",
    "pelican",
    "pier",
    "pilot",
    "quay",
    "reef",
    "rudder",
    "sail",
    "schooner",
    "sextant",
    "skiff",
    "sloop",
    "spar",
    "tide",
    "tiller",
    "trawler",
    "yard",
];

/// A name from random bits; later attempts get a number so that they don't run out.
pub fn from_random(bits: u64, attempt: u32) -> ContainerName {
    let first = FIRST[usize::try_from(bits % 64).unwrap_or(0)];
    let second = SECOND[usize::try_from((bits >> 6) % 64).unwrap_or(0)];
    let text = if attempt == 0 {
        format!("{first}_{second}")
    } else {
        format!("{first}_{second}{}", (bits >> 12) % 10_u64.pow(attempt.min(9)))
    };
    text.parse().expect("both lists hold only lower-case words")
}

/// Reads a name as typed, with or without a leading slash.
pub fn parse(text: &str) -> Result<ContainerName> {
    let bare = text.strip_prefix('/').unwrap_or(text);
    bare.parse().map_err(|_| {
        Error::Invalid(format!(
            "Invalid container name ({bare}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_a_name() {
        for bits in 0..4096 {
            from_random(bits, 0);
        }
        assert_ne!(from_random(u64::MAX, 3), from_random(u64::MAX, 0));
        assert_eq!(parse("/web").unwrap().as_str(), "web");
        assert!(parse("a b").unwrap_err().text().starts_with("Invalid container name (a b)"));
    }
}
