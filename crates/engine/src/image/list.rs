//! List, inspect, history and tag.

use indexmap::IndexMap;
use model::{
    Digest, Reference,
    event::EventType,
    filter::Filters,
    image::{Descriptor, Platform, media_type},
};
use store::{Image, ImageSummary};

use super::{HistoryLine, Images, Inspection, ListRequest, Summary, resolve::not_found};
use crate::{
    Engine, Error, Result, blocking, container::list::labels_chosen, records::stored,
    volume::dangling,
};

const KEYS: [&str; 8] =
    ["before", "dangling", "label", "label!", "reference", "since", "until", "id"];

impl Images<'_> {
    /// Lists them, newest first.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<Summary>> {
        let filters = request.filters.clone();
        filters.check_keys(&KEYS).map_err(|error| Error::Invalid(error.to_string()))?;
        let engine = self.engine.clone();
        blocking::spawn(move || {
            let store = engine.records().store();
            let all = store.images().map_err(stored("list", "images"))?;
            let keep = chosen(&engine, &filters)?;
            let used = in_use(&engine);
            let chosen = all.into_iter().filter(|summary| keep(&summary.image));
            Ok(chosen.map(|summary| line(summary, request.shared_size, &used)).collect())
        })
        .await
    }

    /// One by name, id or unique prefix of an id.
    pub async fn inspect(&self, image: &str, platform: Option<Platform>) -> Result<Inspection> {
        let (engine, text) = (self.engine.clone(), image.to_owned());
        blocking::spawn(move || {
            let store = engine.records().store();
            let image = store.image_find(&text).map_err(|error| not_found(&text, error))?;
            let own = platform_of(&image);
            if let Some(wanted) = platform
                && (wanted.os != own.os || wanted.architecture != own.architecture)
            {
                return Err(Error::NotFound(format!(
                    "image with reference {text} was found but does not provide the specified platform ({wanted})"
                )));
            }
            let lower_dirs = image.layers.iter().map(|layer| store.layer_path(layer)).collect();
            Ok(Inspection {
                descriptor: descriptor(&image),
                platform: own,
                lower_dirs,
                size: image.size,
                last_tagged_ns: Some(image.stored_ns),
                tags: image.tags,
                digests: image.digests,
                config: image.config,
                id: image.id,
            })
        })
        .await
    }

    /// Where it comes from, newest step first.
    pub async fn history(
        &self,
        image: &str,
        _platform: Option<Platform>,
    ) -> Result<Vec<HistoryLine>> {
        let (engine, text) = (self.engine.clone(), image.to_owned());
        blocking::spawn(move || {
            let store = engine.records().store();
            let image = store.image_find(&text).map_err(|error| not_found(&text, error))?;
            history(store, &image)
        })
        .await
    }

    /// Gives it one more name.
    pub async fn tag(&self, image: &str, name: &Reference) -> Result<()> {
        let (engine, text) = (self.engine.clone(), image.to_owned());
        let name = name.clone().or_latest();
        let shown = name.familiar();
        let id = blocking::spawn(move || {
            let store = engine.records().store();
            let image = store.image_find(&text).map_err(|error| not_found(&text, error))?;
            if name.digest().is_some() {
                return Err(Error::Invalid(
                    "refusing to create a tag with a digest reference".to_owned(),
                ));
            }
            store.tag(&name, &image.id).map_err(stored("tag", &text))?;
            Ok(image.id)
        })
        .await?;
        self.engine.events().other(EventType::Image, "tag", &id.to_string(), &[("name", &shown)]);
        Ok(())
    }
}

/// Image ids and how many containers each has.
fn in_use(engine: &Engine) -> IndexMap<Digest, usize> {
    let mut used: IndexMap<Digest, usize> = IndexMap::new();
    for handle in engine.registry().all() {
        if let Some(id) = &handle.snapshot().record.image_id {
            *used.entry(id.clone()).or_default() += 1;
        }
    }
    used
}

fn line(summary: ImageSummary, shared: bool, used: &IndexMap<Digest, usize>) -> Summary {
    let ImageSummary { image, shared_size } = summary;
    let labels = image.config.config.as_ref().map(|config| config.labels.clone());
    Summary {
        descriptor: descriptor(&image),
        created_ns: created_ns(&image),
        size: image.size,
        shared_size: shared.then_some(shared_size),
        labels: labels.unwrap_or_default(),
        containers: used.get(&image.id).copied().unwrap_or(0),
        tags: image.tags,
        digests: image.digests,
        id: image.id,
    }
}

fn created_ns(image: &Image) -> i64 {
    i64::try_from(image.created().as_nanosecond()).unwrap_or(0)
}

fn platform_of(image: &Image) -> Platform {
    Platform {
        architecture: image.config.architecture.clone(),
        os: image.config.os.clone(),
        os_version: image.config.os_version.clone(),
        os_features: Vec::new(),
        variant: image.config.variant.clone(),
    }
}

fn descriptor(image: &Image) -> Descriptor {
    match image.manifests.first() {
        Some(manifest) => manifest.clone(),
        // An image always has one; its id stands in for a damaged record.
        None => Descriptor::new(media_type::OCI_MANIFEST, image.id.clone(), 0),
    }
}

/// The filters of list and prune as one test.
pub(super) fn chosen(
    engine: &Engine,
    filters: &Filters,
) -> Result<impl Fn(&Image) -> bool + use<>> {
    let store = engine.records().store();
    let bound = |key: &str| -> Result<Option<i64>> {
        match filters.values(key).next() {
            Some(text) => {
                let image = store.image_find(text).map_err(|error| not_found(text, error))?;
                Ok(Some(created_ns(&image)))
            }
            None => Ok(None),
        }
    };
    let (before, since) = (bound("before")?, bound("since")?);
    let until = crate::container::list::until(filters)?;
    let dangling = dangling(filters)?;
    let filters = filters.clone();
    Ok(move |image: &Image| {
        let created = created_ns(image);
        let none = indexmap::IndexMap::new();
        let labels = image.config.config.as_ref().map_or(&none, |config| &config.labels);
        before.is_none_or(|before| created < before)
            && since.is_none_or(|since| created > since)
            && until.is_none_or(|until| created < until)
            && dangling.is_none_or(|wanted| image.tags.is_empty() == wanted)
            && labels_chosen(&filters, labels)
            && filters.any("id", |text| {
                image.id.hex().starts_with(text.strip_prefix("sha256:").unwrap_or(text))
            })
            && filters.any("reference", |pattern| {
                image.tags.iter().chain(&image.digests).any(|name| fits(pattern, name))
            })
    })
}

/// `debian`, `debian:1*`, `*/app`: shell patterns on the familiar name, with and without tag.
fn fits(pattern: &str, name: &Reference) -> bool {
    let candidates = [name.familiar(), name.familiar_repository(), name.to_string()];
    candidates.iter().any(|candidate| glob(pattern.as_bytes(), candidate.as_bytes()))
}

/// `*` within a component, `?` one character (path.Match without classes).
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text)
                || text
                    .split_first()
                    .is_some_and(|(head, tail)| *head != b'/' && glob(pattern, tail))
        }
        (Some((b'?', rest)), Some((head, tail))) => *head != b'/' && glob(rest, tail),
        (Some((want, rest)), Some((head, tail))) => want == head && glob(rest, tail),
        _ => false,
    }
}

fn history(store: &store::Store, image: &Image) -> Result<Vec<HistoryLine>> {
    let mut layers = image.layers.iter();
    let mut lines = Vec::new();
    for step in &image.config.history {
        let layer = if step.empty_layer { None } else { layers.next() };
        let size = match layer {
            Some(id) => store.layer(id).map_err(stored("look up layer", id))?.map_or(0, |l| l.size),
            None => 0,
        };
        let created = step.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        lines.push(HistoryLine {
            id: None,
            created_ns: created
                .and_then(|time| i64::try_from(time.as_nanosecond()).ok())
                .unwrap_or(0),
            created_by: step.created_by.clone().unwrap_or_default(),
            size,
            comment: step.comment.clone().unwrap_or_default(),
            tags: Vec::new(),
        });
    }
    // Some tools write no history; the layers are shown all the same.
    for id in layers {
        let size = store.layer(id).map_err(stored("look up layer", id))?.map_or(0, |l| l.size);
        lines.push(HistoryLine {
            id: None,
            created_ns: created_ns(image),
            created_by: String::new(),
            size,
            comment: String::new(),
            tags: Vec::new(),
        });
    }
    lines.reverse();
    if let Some(newest) = lines.first_mut() {
        newest.id = Some(image.id.clone());
        newest.tags.clone_from(&image.tags);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        let name: Reference = "debian:12".parse().unwrap();
        for good in ["debian", "debian:12", "deb*", "debian:1?", "docker.io/library/debian:12"] {
            assert!(fits(good, &name), "{good}");
        }
        for bad in ["deb", "debian:13", "*/debian"] {
            assert!(!fits(bad, &name), "{bad}");
        }
    }
}
