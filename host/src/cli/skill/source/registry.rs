//! A component in an OCI registry: `oci://HOST[:PORT]/REPOSITORY[:TAG][@sha256:…]`, pulled by the protocol that container
//! tools speak.
//!
//! A tag is resolved to a digest, which is what is written down: the same address gives the same bytes from then on. The
//! component is checked against the digest that its manifest names. Registries on this machine are asked in plain HTTP,
//! all others in HTTPS; who the user is to them says `credentials`, what is under a name says `manifest`.
//!
//! Bounded by [`MANIFEST_TIMEOUT`], by `MANIFEST_BYTES_MAX`, which the client can look at only when a manifest is there, and
//! for the component by what the source's door allows. Redirects are the client's business; a component counts by its digest
//! wherever it came from. Nothing is tried twice.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures_util::TryStreamExt as _;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::{Client, Reference};

use super::credentials::Credentials;
use super::manifest::{ACCEPTED, Component, Manifest};
use super::{CONNECT_TIMEOUT, Fetched, READ_TIMEOUT, USER_AGENT, announce, gather};
use crate::cli::client::root_cause;
use crate::cli::output::Output;
use crate::shelf::COMPONENT_BYTES_MAX;

/// A name in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact(Reference);

/// A text that is no name in a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseArtifactError {
    /// It is not of that form.
    #[error(
        "oci://{0} is no address in a registry ({1}); write oci://HOST/REPOSITORY:TAG or …@sha256:…, in lower case"
    )]
    Form(String, String),
    /// Its first part could be a host or a folder.
    #[error("oci://{0} names no registry: a host without a dot needs its port, as in oci://{1}:443/…")]
    Host(String, String),
    /// It says who the user is.
    #[error(
        "names and passwords do not belong in an address; `docker login {0}` or `oras login {0}` keeps them"
    )]
    Credentials(String),
}

/// How long a registry may take for a manifest, with whatever it asks before.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(120);

/// Docker Hub's other name, which the client writes as `docker.io`.
const DOCKER_HUB_HOST: &str = "index.docker.io";

// === impl Artifact ===

impl FromStr for Artifact {
    type Err = ParseArtifactError;

    fn from_str(text: &str) -> Result<Self, ParseArtifactError> {
        let form = |why: &str| ParseArtifactError::Form(text.to_owned(), why.to_owned());
        let (host, _) = text.split_once('/').ok_or_else(|| form("it has no repository"))?;
        if let Some((_, host)) = host.rsplit_once('@') {
            return Err(ParseArtifactError::Credentials(host.to_owned()));
        }
        let reference: Reference = text.parse().map_err(|error| form(&format!("{error}")))?;
        // A first part that could be a folder would be looked for at Docker Hub, which nobody named.
        if reference.registry() != host && host != DOCKER_HUB_HOST {
            return Err(ParseArtifactError::Host(text.to_owned(), host.to_owned()));
        }
        Ok(Self(reference))
    }
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oci://{}", self.0)
    }
}

impl Artifact {
    /// The last part of its repository.
    pub(super) fn name(&self) -> &str {
        let repository = self.0.repository();
        repository.rsplit_once('/').map_or(repository, |(_, name)| name)
    }

    fn protocol(&self) -> ClientProtocol {
        if is_loopback(self.0.registry()) { ClientProtocol::Http } else { ClientProtocol::Https }
    }

    /// The same, as it is now: whatever its tag means later.
    fn pinned(&self, digest: String) -> Self {
        let (registry, repository) = (self.0.registry().to_owned(), self.0.repository().to_owned());
        Self(match self.0.tag() {
            Some(tag) => Reference::with_tag_and_digest(registry, repository, tag.to_owned(), digest),
            None => Reference::with_digest(registry, repository, digest),
        })
    }
}

/// The registry is on this machine.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host).to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// The component under this name.
pub(super) async fn pull(artifact: &Artifact, output: &mut Output) -> anyhow::Result<Fetched> {
    let registry = Registry::open(artifact).await?;
    let (component, from) = registry.component().await?;
    let progress = announce(output, &from.to_string(), Some(component.bytes));
    let wasm = registry.bytes(&component, &progress).await;
    progress.finish_and_clear();
    Ok(Fetched { wasm: wasm?, signature: component.signature, from: from.to_string() })
}

/// A registry that is asked about one name.
struct Registry<'a> {
    artifact: &'a Artifact,
    /// The name, for people.
    shown: String,
    client: Client,
    credentials: Credentials,
}

// === impl Registry ===

impl<'a> Registry<'a> {
    async fn open(artifact: &'a Artifact) -> anyhow::Result<Self> {
        let config = ClientConfig {
            protocol: artifact.protocol(),
            // An index is looked through here, for WebAssembly.
            platform_resolver: None,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).context("the registry's client")?;
        let credentials = Credentials::of(artifact.0.resolve_registry()).await;
        Ok(Self { artifact, shown: artifact.to_string(), client, credentials })
    }

    /// What is to be fetched, and the name with the digest that it had.
    async fn component(&self) -> anyhow::Result<(Component, Artifact)> {
        let (manifest, digest) = self.manifest(&self.artifact.0).await?;
        let from = self.artifact.pinned(digest);
        let manifest = match manifest {
            Manifest::Index(entry) => self.manifest(&self.artifact.0.clone_with_digest(entry)).await?.0,
            component => component,
        };
        match manifest {
            Manifest::Component(component) => Ok((*component, from)),
            Manifest::Index(_) => {
                bail!("{} is an index of an index; name the component's own tag", self.shown)
            }
        }
    }

    async fn manifest(&self, reference: &Reference) -> anyhow::Result<(Manifest, String)> {
        let asked = self.client.pull_manifest_raw(reference, &self.credentials.auth, &ACCEPTED);
        let answered = tokio::time::timeout(MANIFEST_TIMEOUT, asked).await;
        let seconds = MANIFEST_TIMEOUT.as_secs();
        let answered = answered.map_err(|_| anyhow!("{} gave nothing within {seconds} s", self.shown))?;
        let (bytes, digest) = answered.map_err(|error| self.refused(&error))?;
        let manifest = Manifest::read(&bytes).map_err(|unfit| anyhow!("{} {unfit}", self.shown))?;
        Ok((manifest, digest))
    }

    async fn bytes(
        &self,
        component: &Component,
        progress: &indicatif::ProgressBar,
    ) -> anyhow::Result<Vec<u8>> {
        let asked = self.client.pull_blob_stream(&self.artifact.0, &component.layer).await;
        let stream = asked.map_err(|error| self.refused(&error))?;
        let length = stream.content_length;
        let broken = |error: std::io::Error| match error.get_ref() {
            Some(cause) if cause.is::<DigestError>() => self.tampered(),
            _ => anyhow!("{} broke off: {}", self.shown, root_cause(&error)),
        };
        let stream = stream.map_err(broken);
        gather(stream, length, &self.shown, COMPONENT_BYTES_MAX, progress).await
    }

    /// What the registry's answer means to the user.
    fn refused(&self, error: &OciDistributionError) -> anyhow::Error {
        let shown = &self.shown;
        match error {
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => self.unauthorised(),
            OciDistributionError::RegistryError { envelope, .. } => {
                match envelope.errors.first().map(|error| &error.code) {
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => self.unauthorised(),
                    Some(
                        OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::NotFound
                        | OciErrorCode::BlobUnknown,
                    ) => self.missing(),
                    Some(code) => anyhow!("{shown} cannot be fetched: the registry says {code:?}"),
                    None => anyhow!("{shown} cannot be fetched: the registry does not say why"),
                }
            }
            OciDistributionError::ServerError { code: 404, .. } => self.missing(),
            OciDistributionError::ServerError { code: 403, .. } => self.unauthorised(),
            OciDistributionError::ServerError { code, .. } => {
                anyhow!("{shown} cannot be fetched: the registry answers with status {code}")
            }
            OciDistributionError::DigestError(_) => self.tampered(),
            OciDistributionError::RequestError(error) => anyhow!(
                "{shown} cannot be fetched: {}; is the registry {} there?",
                root_cause(error),
                self.artifact.0.registry()
            ),
            other => anyhow!("{shown} cannot be fetched: {other}"),
        }
    }

    fn unauthorised(&self) -> anyhow::Error {
        let registry = self.artifact.0.registry();
        anyhow!("{} is not for everybody: {}", self.shown, self.credentials.mend(registry))
    }

    fn missing(&self) -> anyhow::Error {
        anyhow!("the registry has no {}: are the repository and the tag right?", self.shown)
    }

    fn tampered(&self) -> anyhow::Error {
        anyhow!(
            "{} is not what its digest says: it broke on the way, or was changed in the registry; push it again",
            self.shown
        )
    }
}

#[cfg(test)]
mod tests;
