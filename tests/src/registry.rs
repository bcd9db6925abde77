//! A real OCI registry for the tests: the CNCF's distribution, built by Go on first use below `target/registry`.
//!
//! Each test has a process of its own, on a port that the system gives it, with what it keeps in files of its own. It ends
//! with the value. What is pushed here is pushed by plain requests, so that a test can push what no tool would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::log::Log;
use crate::tools::{self, is_text, lock, told};

/// By this name `POINTSMAN_SKIP` switches off what needs the registry.
pub const NAME: &str = "registry";

/// What is built.
const PACKAGE: &str = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2";

/// What an artifact for WebAssembly says it is.
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// What a component is in one.
pub const WASM_LAYER: &str = "application/wasm";

/// A manifest of one thing.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest of several.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Who may come in where only one may.
pub const USER: (&str, &str) = ("otter", "pond");

/// The line for that user as `htpasswd -B` writes it.
const HTPASSWD: &str = "otter:$2a$04$pNWwetf3XiTHcJM9eMbEbOO35l4lNmJ/fKqz0Z5cTYlzyoKnV01R2\n";

/// What anything may take before the test is lost: it tells a hang from a machine under load.
const DEADLINE: Duration = Duration::from_secs(120);

/// Who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// Everybody.
    Open,
    /// The one [`USER`], by name and password.
    Password,
    /// Whoever has a token from the server at this address; what the token is does not matter.
    Token(String),
}

/// A registry that runs.
pub struct Registry {
    process: Child,
    address: String,
    log: Log,
    http: reqwest::Client,
    folder: TempDir,
}

/// The registry's tests are switched off.
pub fn is_skipped() -> bool {
    tools::is_skipped(NAME)
}

/// The digest of these bytes, as registries write it.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// A manifest's entry for these bytes.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

/// A manifest of this config and these layers.
pub fn manifest(config: Value, layers: &[Value], annotations: &BTreeMap<&str, String>) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, "annotations": annotations,
    })
}

// === impl Registry ===

impl Registry {
    /// One for everybody, which keeps nothing yet.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn start() -> Self {
        Self::behind(&Door::Open).await
    }

    /// One with such a door.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn behind(door: &Door) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("config.json");
        // What is JSON is YAML.
        std::fs::write(&config, configuration(folder.path(), door).to_string()).unwrap();
        std::fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let mut command = Command::new(program());
        command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let (log, address) = Log::follow(process.stderr.take().unwrap());
        let address = tokio::time::timeout(DEADLINE, address).await;
        let Ok(Ok(address)) = address else {
            let _ = process.kill();
            panic!("the registry does not listen: {}", log.text())
        };
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { process, address, log, http, folder }
    }

    /// Its host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it keeps under this digest, as a file.
    pub fn file(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.folder
            .path()
            .join("storage/docker/registry/v2/blobs/sha256")
            .join(&hex[..2])
            .join(hex)
            .join("data")
    }

    /// Pushes a component as the standard artifact under this repository and tag, with these annotations; its manifest's
    /// digest.
    ///
    /// # Panics
    /// Where the registry refuses.
    pub async fn push_component(
        &self,
        repository: &str,
        tag: &str,
        wasm: &[u8],
        annotations: &BTreeMap<&str, String>,
    ) -> String {
        let config =
            json!({"architecture": "wasm", "os": "wasip2", "layerDigests": [digest(wasm)]}).to_string();
        self.push_blob(repository, config.as_bytes()).await;
        self.push_blob(repository, wasm).await;
        let config = descriptor(WASM_CONFIG, config.as_bytes());
        self.push(repository, tag, &manifest(config, &[descriptor(WASM_LAYER, wasm)], annotations)).await
    }

    /// Pushes a manifest under this repository and tag, or digest; its digest.
    ///
    /// # Panics
    /// Where the registry refuses.
    pub async fn push(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        let (body, media_type) = (manifest.to_string(), manifest["mediaType"].as_str().unwrap());
        let put = self.request(Method::PUT, &format!("/v2/{repository}/manifests/{tag}"));
        self.done(put.header("content-type", media_type).body(body.clone())).await;
        digest(body.as_bytes())
    }

    /// Pushes what a manifest names.
    ///
    /// # Panics
    /// Where the registry refuses.
    pub async fn push_blob(&self, repository: &str, bytes: &[u8]) {
        let begun = self.done(self.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/"))).await;
        let place = begun.headers()["location"].to_str().unwrap().to_owned();
        let put = self.authorised(self.http.put(place).query(&[("digest", digest(bytes))]));
        self.done(put.header("content-type", "application/octet-stream").body(bytes.to_vec())).await;
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.authorised(self.http.request(method, format!("http://{}{path}", self.address)))
    }

    /// Whoever needs no name may bring one.
    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(USER.0, Some(USER.1))
    }

    async fn done(&self, request: RequestBuilder) -> Response {
        let answer = request.send().await.unwrap();
        let (status, url) = (answer.status(), answer.url().clone());
        if status.is_success() {
            return answer;
        }
        panic!("{url} answers {status}: {}\n{}", answer.text().await.unwrap(), self.log.text())
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(folder: &Path, door: &Door) -> Value {
    let auth = match door {
        Door::Open => json!({}),
        Door::Password => json!({"htpasswd": {"realm": "pond", "path": folder.join("htpasswd")}}),
        Door::Token(server) => json!({"silly": {"realm": server, "service": "pond"}}),
    };
    json!({
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": true}},
        "storage": {"filesystem": {"rootdirectory": folder.join("storage")}},
        "http": {"addr": "127.0.0.1:0"},
        "auth": auth,
    })
}

/// The program. The first call builds it, which takes some minutes.
fn program() -> PathBuf {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(|| build(&tools::target(NAME))) {
        Ok(program) => program.clone(),
        Err(message) => panic!("{message}; or switch its tests off with POINTSMAN_SKIP={NAME}"),
    }
}

/// The program in this folder, which is complete when the stamp says what it was built from.
fn build(folder: &Path) -> Result<PathBuf, String> {
    std::fs::create_dir_all(folder).map_err(told(folder))?;
    let folder = &folder.canonicalize().map_err(told(folder))?;
    let _alone = lock(&folder.join("lock"))?;
    let (bin, stamp) = (folder.join("bin"), folder.join("stamp"));
    let program = bin.join("registry");
    if program.is_file() && is_text(&stamp, PACKAGE) {
        return Ok(program);
    }
    let mut install = Command::new("go");
    install
        .args(["install", "-trimpath", "-ldflags=-s -w", PACKAGE])
        .env("GOBIN", &bin)
        .env_remove("GOFLAGS");
    // Outside of any module, so that none of its own here is looked for.
    install.current_dir(folder);
    tools::run(&mut install).map_err(|error| {
        format!("the registry cannot be built; `apt-get install golang-go` brings what it needs: {error}")
    })?;
    std::fs::write(&stamp, PACKAGE).map_err(told(&stamp))?;
    Ok(program)
}
