//! Who the user is to a registry, as Docker's and oras's `login` wrote it down: in the file that is theirs, or with the helper
//! program that it names.
//!
//! Nothing is written, and nothing asked of the user. What cannot be used is no error yet: many registries give to
//! everybody; where one does not, what was wrong is said along with its refusal.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError as Trouble, DockerCredential};
use oci_client::secrets::RegistryAuth;

use crate::config::env;

/// Who to be to a registry.
pub(super) struct Credentials {
    /// What is sent to it.
    pub(super) auth: RegistryAuth,
    /// Why it is asked as a stranger although something is written down.
    trouble: Option<String>,
    /// Where it was looked for; none where this machine has no such place.
    file: Option<PathBuf>,
}

/// Bytes of the file: some hundred registries.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The name under which Docker Hub is written down, for historical reasons of its own.
const DOCKER_HUB: (&str, &str) = ("index.docker.io", "https://index.docker.io/v1/");

/// What helper programs say where they have nothing: Docker goes by these words, too.
const NOT_FOUND: &str = "credentials not found";

// === impl Credentials ===

impl Credentials {
    /// Those for this registry. A helper program may take its time, so it is run off the runtime's threads.
    pub(super) async fn of(registry: &str) -> Self {
        let file = env::docker_config_file();
        let (known, registry) = (file.clone(), registry.to_owned());
        let found = tokio::task::spawn_blocking(move || known.map(|file| find(&file, &registry))).await;
        let (auth, trouble) = match found {
            Ok(Some(Ok(auth))) => (auth, None),
            Ok(Some(Err(trouble))) => (RegistryAuth::Anonymous, Some(trouble)),
            Ok(None) => (RegistryAuth::Anonymous, None),
            Err(_) => (RegistryAuth::Anonymous, Some("reading the credentials crashed".to_owned())),
        };
        Self { auth, trouble, file }
    }

    /// What mends that the registry of this name refuses.
    pub(super) fn mend(&self, registry: &str) -> String {
        let file = self.file.as_ref().map(|file| format!(" ({})", file.display())).unwrap_or_default();
        match (&self.trouble, &self.auth) {
            (Some(trouble), _) => {
                format!("{trouble}{file}; `docker login {registry}` or `oras login {registry}`")
            }
            (None, RegistryAuth::Anonymous) => {
                format!("`docker login {registry}` or `oras login {registry}` says who you are{file}")
            }
            (None, _) => format!(
                "it does not take the credentials that are written down for it{file}; `docker login {registry}` or \
                 `oras login {registry}` again, as somebody who may"
            ),
        }
    }
}

/// What the file says of the registry; a stranger where it says nothing.
fn find(file: &Path, registry: &str) -> Result<RegistryAuth, String> {
    let unread = |error: io::Error| format!("the credentials cannot be read: {error}");
    let text = match std::fs::File::open(file) {
        Ok(file) => file.take(FILE_BYTES_MAX),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(RegistryAuth::Anonymous),
        Err(error) => return Err(unread(error)),
    };
    let server = if registry == DOCKER_HUB.0 { DOCKER_HUB.1 } else { registry };
    match docker_credential::get_credential_from_reader(io::BufReader::new(text), server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            Err("the credentials are an identity token, and only a name with a password is taken".to_owned())
        }
        Err(Trouble::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        Err(Trouble::HelperFailure { stdout, stderr, .. })
            if stdout.contains(NOT_FOUND) || stderr.contains(NOT_FOUND) =>
        {
            Ok(RegistryAuth::Anonymous)
        }
        Err(trouble) => Err(said(&trouble)),
    }
}

fn said(trouble: &Trouble) -> String {
    match trouble {
        Trouble::HelperFailure { helper, .. } => {
            format!("the program {helper}, which keeps the credentials, failed")
        }
        Trouble::HelperCommunicationError => {
            "the program that keeps the credentials (`credsStore`, `credHelpers`) cannot be run".to_owned()
        }
        Trouble::MalformedHelperResponse => {
            "the program that keeps the credentials (`credsStore`, `credHelpers`) is not understood"
                .to_owned()
        }
        Trouble::CredentialDecodingError | Trouble::CredentialMismatchError => {
            "the credentials written down for it are garbled".to_owned()
        }
        _ => "the file of credentials is not understood".to_owned(),
    }
}

#[cfg(test)]
mod tests;
