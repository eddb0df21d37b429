//! What a container is made from: the image that a request names, and its defaults.

use model::{
    Digest,
    container::ContainerSpec,
    image::{Platform, ProcessDefaults},
};

use super::{Images, hello};
use crate::{Error, Result, blocking, error::Cause, records::stored};

/// An image, as far as a new container needs it.
#[derive(Clone, Debug)]
pub struct ResolvedImage {
    /// Configuration digest.
    pub id: Digest,
    /// The manifest that the name stands for.
    pub manifest: Option<Digest>,
    /// For which it was made.
    pub platform: Platform,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
    /// Defaults for the process.
    pub defaults: ProcessDefaults,
}

impl Images<'_> {
    /// The image of a request. `hello` is built in: it is made when it isn't there.
    pub(crate) async fn resolve(&self, spec: &ContainerSpec) -> Result<ResolvedImage> {
        let (engine, text) = (self.engine.clone(), spec.image.clone());
        let wanted = spec.platform.clone();
        blocking::spawn(move || {
            let store = engine.records().store();
            let image = match store.image_find(&text) {
                Ok(image) => image,
                Err(store::Error::NoImage(_)) if hello::is_meant(&text) => hello::make(store)?,
                Err(error) => return Err(not_found(&text, error)),
            };
            let platform = Platform {
                architecture: image.config.architecture.clone(),
                os: image.config.os.clone(),
                os_version: image.config.os_version.clone(),
                os_features: Vec::new(),
                variant: image.config.variant.clone(),
            };
            if let Some(wanted) = wanted.filter(|text| !text.is_empty())
                && !fits(&wanted, &platform)
            {
                return Err(Error::NotFound(format!(
                    "image with reference {text} was found but its platform ({platform}) does not match the specified platform ({wanted})"
                )));
            }
            if platform.os != "linux" && !platform.os.is_empty() {
                return Err(Error::Invalid(format!(
                    "image operating system \"{}\" cannot be used on this platform",
                    platform.os
                )));
            }
            store.image_touch(&image.id).map_err(stored("touch", &image.id))?;
            Ok(ResolvedImage {
                manifest: image.manifests.first().map(|manifest| manifest.digest.clone()),
                platform,
                layers: image.layers.clone(),
                defaults: image.config.config.clone().unwrap_or_default(),
                id: image.id,
            })
        })
        .await
    }
}

/// `linux/amd64`, `amd64`, `linux/arm64/v8`: what is said must agree.
fn fits(wanted: &str, have: &Platform) -> bool {
    let parts: Vec<&str> = wanted.split('/').collect();
    match parts.as_slice() {
        [one] => *one == have.os || normal(one) == have.architecture,
        [os, architecture] => *os == have.os && normal(architecture) == have.architecture,
        [os, architecture, variant, ..] => {
            *os == have.os
                && normal(architecture) == have.architecture
                && have.variant.as_deref().is_none_or(|own| own == *variant)
        }
        [] => true,
    }
}

fn normal(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The store's refusal of a name, in the engine's words.
pub(super) fn not_found(text: &str, error: store::Error) -> Error {
    match error {
        store::Error::NoImage(name) => Error::NoSuchImage(name),
        store::Error::AmbiguousImage(_) => Error::Ambiguous(text.to_owned()),
        other => Error::Failed {
            action: "look up image",
            subject: text.to_owned(),
            source: Cause::new(other.kind(), other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_fit_as_written() {
        let have = Platform {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        };
        for good in ["linux", "amd64", "linux/amd64", "linux/x86_64"] {
            assert!(fits(good, &have), "{good}");
        }
        for bad in ["windows", "linux/arm64", "arm64"] {
            assert!(!fits(bad, &have), "{bad}");
        }
    }
}
