//! `pointsman skill sign`: vouch for a component. It is looked at as installing it would, in a sandbox with nothing behind
//! it, because what is signed is also what it says of itself; no gateway is asked and no data folder touched.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;

use super::print;
use super::source::{self, Source};
use crate::cli::args::{Global, Sign};
use crate::cli::configuration;
use crate::cli::output::{Output, patiently};
use crate::id::SkillName;
use crate::shelf::sign::{KeyError, Signature, SigningKey, Subject};
use crate::skill::{Config, Delegates, Looked, Offer, Skills};

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Signed {
    /// The name it is signed for.
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
    /// Of its bytes.
    pub(super) digest: String,
    /// Where the signature is.
    pub(super) signature: PathBuf,
    /// Where the key is.
    pub(super) key_file: PathBuf,
    /// The key is new.
    pub(super) key_is_new: bool,
    /// What others need to check the signature.
    pub(super) public_key: String,
}

/// Signs.
pub(super) async fn run(global: &Global, order: &Sign, output: &mut Output) -> anyhow::Result<()> {
    let name = order.name.clone().unwrap_or_else(|| Source::File(order.file.clone()).stem());
    let wasm = source::component(&order.file).await?;
    let waiting = format!("looking at {}", order.file.display());
    let looked = patiently(output, waiting, look(global, SkillName::new(name), wasm)).await?;
    let (key, key_is_new) = key(order)?;
    let imports: Vec<String> = looked.imports.iter().map(ToString::to_string).collect();
    let (name, version, digest) = (looked.name.as_str(), looked.version.as_str(), looked.digest);
    let signature = Signature::make(&key, &Subject { name, version, digest, imports: &imports })?;
    let path = Signature::path(&order.file);
    signature.write(&path)?;
    let signed = Signed {
        name: name.to_owned(),
        version: version.to_owned(),
        digest: digest.to_string(),
        signature: path,
        key_file: order.key.clone(),
        key_is_new,
        public_key: key.public().to_string(),
    };
    output.value(&signed, || print::signed(&signed));
    Ok(())
}

async fn look(global: &Global, name: SkillName, wasm: Vec<u8>) -> anyhow::Result<Looked> {
    // The user's settings and limits, for skills that take no others; nothing of what is installed.
    let config = Config { folder: None, store: None, ..configuration(global, None, None)?.skills };
    let (skills, _housekeeping) = Skills::start(config, Delegates::nowhere(), &[]).await.context("skills")?;
    let offer = Offer {
        name,
        wasm: wasm.into(),
        source: String::new(),
        signature: None,
        grants: Vec::new(),
        force: false,
        approve: false,
    };
    Ok(skills.look(offer).await?)
}

/// The key, made where there is none; whether it was.
fn key(order: &Sign) -> Result<(SigningKey, bool), KeyError> {
    match SigningKey::read(&order.key) {
        Ok(key) => Ok((key, false)),
        Err(KeyError::Missing(_)) => Ok((SigningKey::make(&order.key)?, true)),
        Err(error) => Err(error),
    }
}
