//! What a registry holds under a name, read from its manifest: a component as the standard artifact for WebAssembly has it,
//! or why it is none. Pure: bytes in, a descriptor out.
//!
//! The artifact is an image manifest whose config says that it is WebAssembly and whose one layer is the component. An index
//! is looked through for one such manifest. A signature is an annotation of the manifest, so that the artifact stays what
//! others expect: its text, as `pointsman skill sign` writes it.

use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageIndex, OciImageManifest, OciManifest,
};

use crate::shelf::sign::{SIGNATURE_BYTES_MAX, Signature};
use crate::shelf::{COMPONENT_BYTES_MAX, Digest};

/// What is under a name.
#[derive(Debug)]
pub(super) enum Manifest {
    /// A component.
    Component(Box<Component>),
    /// An index, and the one component's manifest in it, by its digest.
    Index(String),
}

/// A component that can be fetched.
#[derive(Debug)]
pub(super) struct Component {
    /// The layer that it is.
    pub(super) layer: OciDescriptor,
    /// Its bytes, no more than a component may have.
    pub(super) bytes: u64,
    /// Who vouches for it.
    pub(super) signature: Option<Signature>,
}

/// Why it is no component that could be fetched: fragments that follow its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// It is nothing that a registry should give.
    #[error("has a manifest that is not understood: {0}")]
    Garbled(String),
    /// It is an index of other things.
    #[error("is an index without a WebAssembly component; name the component's own tag")]
    NoneInIndex,
    /// It is an index of several.
    #[error("is an index of {0} WebAssembly components; name one by its digest (@sha256:…)")]
    SeveralInIndex(usize),
    /// It is something else: a container, a chart.
    #[error("is no WebAssembly component: its config is {0:?}, not {WASM_CONFIG}; {PUSH}")]
    Config(String),
    /// It is more than a component, or less.
    #[error("has {0} layers, and a component is one; {PUSH}")]
    Layers(usize),
    /// Its layer is something else.
    #[error("has a layer of type {0:?}, not {WASM_LAYER}; {PUSH}")]
    Layer(String),
    /// It is too big.
    #[error("has {0} bytes, more than {COMPONENT_BYTES_MAX}, which is not taken")]
    Large(i64),
    /// What should be a signature is none.
    #[error(
        "has an annotation {SIGNATURE_ANNOTATION} that is no signature: {0}; sign the component and push it again"
    )]
    Signature(String),
}

/// What a registry is asked for: images too, so that one is called by its name rather than missing.
pub(super) const ACCEPTED: [&str; 4] = [
    OCI_IMAGE_MEDIA_TYPE,
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
];

/// Bytes of a manifest; registries take no bigger one.
pub(super) const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// The annotation that is a signature.
pub(super) const SIGNATURE_ANNOTATION: &str = "pointsman.skill.signature";

/// What the config of an artifact for WebAssembly is.
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// What the layer of an artifact for WebAssembly is.
const WASM_LAYER: &str = "application/wasm";

/// The architecture of WebAssembly in an index.
const WASM_ARCHITECTURE: &str = "wasm";

/// How it is pushed right.
const PUSH: &str = "push it with `oras push --config config.json:application/vnd.wasm.config.v0+json … FILE:application/wasm`";

// === impl Manifest ===

impl Manifest {
    /// What these bytes are the manifest of.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unfit> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(Unfit::Garbled(format!("it has more than {MANIFEST_BYTES_MAX} bytes")));
        }
        match serde_json::from_slice(bytes).map_err(|error| Unfit::Garbled(error.to_string()))? {
            OciManifest::Image(manifest) => component(manifest).map(|it| Self::Component(Box::new(it))),
            OciManifest::ImageIndex(index) => only_component(&index).map(Self::Index),
        }
    }
}

fn component(manifest: OciImageManifest) -> Result<Component, Unfit> {
    if manifest.config.media_type != WASM_CONFIG {
        return Err(Unfit::Config(manifest.config.media_type));
    }
    let [layer] = <[OciDescriptor; 1]>::try_from(manifest.layers).map_err(|all| Unfit::Layers(all.len()))?;
    if layer.media_type != WASM_LAYER {
        return Err(Unfit::Layer(layer.media_type));
    }
    let bytes = u64::try_from(layer.size).ok().filter(|bytes| *bytes <= COMPONENT_BYTES_MAX);
    let bytes = bytes.ok_or(Unfit::Large(layer.size))?;
    let signed = manifest.annotations.as_ref().and_then(|all| all.get(SIGNATURE_ANNOTATION));
    let signature = signed.map(|text| signature(text)).transpose()?;
    // A layer may name other places to fetch it from, which nobody who named this registry has in mind.
    let layer = OciDescriptor { urls: None, digest: sha256(&layer.digest)?, ..layer };
    Ok(Component { layer, bytes, signature })
}

fn signature(text: &str) -> Result<Signature, Unfit> {
    if text.len() as u64 > SIGNATURE_BYTES_MAX {
        return Err(Unfit::Signature(format!("it has more than {SIGNATURE_BYTES_MAX} bytes")));
    }
    text.parse().map_err(Unfit::Signature)
}

/// The digest of the one manifest of an index that is for WebAssembly.
fn only_component(index: &OciImageIndex) -> Result<String, Unfit> {
    let mut components = index.manifests.iter().filter(|entry| is_component(entry));
    match (components.next(), components.count()) {
        (None, _) => Err(Unfit::NoneInIndex),
        (Some(only), 0) => sha256(&only.digest),
        (Some(_), others) => Err(Unfit::SeveralInIndex(others + 1)),
    }
}

/// A digest of the one kind that is used here. It becomes a part of an address, so it is looked at before.
fn sha256(digest: &str) -> Result<String, Unfit> {
    let parsed: Result<Digest, _> = digest.parse();
    parsed.map(|digest| digest.to_string()).map_err(|error| Unfit::Garbled(error.to_string()))
}

fn is_component(entry: &ImageIndexEntry) -> bool {
    let is_typed = entry.artifact_type.as_deref() == Some(WASM_CONFIG);
    let platform = entry.platform.as_ref();
    is_typed || platform.is_some_and(|it| it.architecture.to_string() == WASM_ARCHITECTURE)
}

#[cfg(test)]
mod tests;
