//! Skills installed from an address that is encrypted: whom the program trusts, and where it lets itself be sent.
//!
//! The server's certificate is made by an authority of the test's own, which the program trusts when `SSL_CERT_FILE` names it.

#![cfg(test)]

use std::net::SocketAddr;
use std::sync::Arc;

use pointsman_tests::guests::guest;
use pointsman_tests::world::beside;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::manage::Desk;

/// Nothing listens there: no gateway runs.
const NOWHERE: (&str, &str) = ("POINTSMAN_LISTEN", "127.0.0.1:1");

/// Two servers, one of them encrypted, which give the same component and send whoever asks to each other.
struct Servers {
    plain: SocketAddr,
    encrypted: SocketAddr,
    /// The authority's certificate, in PEM.
    authority: String,
    serving: [JoinHandle<()>; 2],
}

impl Servers {
    async fn start() -> Self {
        let (authority, tls) = certified();
        let listeners = [
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let [plain, encrypted] = listeners.each_ref().map(|it| it.local_addr().unwrap());
        let [over_tcp, over_tls] = listeners;
        let wasm = Arc::new(guest("policy-1"));
        let answers = move |path: &str| answer(path, plain, &wasm);
        let same = answers.clone();
        let serving = [
            beside(async move {
                loop {
                    let (stream, _) = over_tcp.accept().await.unwrap();
                    serve(stream, &answers).await;
                }
            }),
            beside(async move {
                loop {
                    let (stream, _) = over_tls.accept().await.unwrap();
                    // Whoever does not trust it hangs up.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, &same).await;
                    }
                }
            }),
        ];
        Self { plain, encrypted, authority, serving }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

/// An authority in PEM, and a server that it vouches for.
fn certified() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    (authority.pem(), TlsAcceptor::from(Arc::new(config)))
}

/// What is under a path: a component, or a way elsewhere.
fn answer(path: &str, plain: SocketAddr, wasm: &[u8]) -> Vec<u8> {
    let head = match path {
        "/policy.wasm" => format!("200 OK\r\ncontent-length: {}", wasm.len()),
        "/within.wasm" => "302 Found\r\nlocation: /policy.wasm\r\ncontent-length: 0".to_owned(),
        "/out.wasm" => format!("302 Found\r\nlocation: http://{plain}/policy.wasm\r\ncontent-length: 0"),
        _ => "404 Not Found\r\ncontent-length: 0".to_owned(),
    };
    let body = if path == "/policy.wasm" { wasm } else { b"" };
    [format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").as_bytes(), body].concat()
}

/// Answers one request.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, answers: &impl Fn(&str) -> Vec<u8>) {
    let mut stream = BufReader::new(stream);
    let (mut first, mut line) = (String::new(), String::new());
    let _ = stream.read_line(&mut first).await;
    while stream.read_line(&mut line).await.is_ok_and(|length| length > 2) {
        line.clear();
    }
    let path = first.split_whitespace().nth(1).unwrap_or_default();
    // Whoever has heard enough hangs up.
    let _ = stream.write_all(&answers(path)).await;
    let _ = stream.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_began_encrypted_stays_so() {
    let (servers, desk) = (Servers::start().await, Desk::without_gateway());
    let authority = desk.place.write("authority.pem", &servers.authority);
    let install = async |address: String, variables: &[(&str, &str)]| {
        let arguments = ["skill", "install", &address, "--name", "policy", "--json"];
        desk.place.run("pointsman", &arguments, &[&[NOWHERE], variables].concat()).await
    };
    let (https, http) = (format!("https://{}", servers.encrypted), format!("http://{}", servers.plain));
    let trusting = [("SSL_CERT_FILE", authority.as_str())];

    let stranger = install(format!("{https}/policy.wasm"), &[]).await;
    assert!(stranger.code == Some(1) && stranger.err.contains("certificate"), "{stranger:?}");
    let out = install(format!("{https}/out.wasm"), &trusting).await;
    assert!(
        out.code == Some(1) && out.err.contains("from https to an address without encryption"),
        "{out:?}"
    );
    for address in
        [format!("{https}/policy.wasm"), format!("{https}/within.wasm"), format!("{http}/out.wasm")]
    {
        let taken = install(address.clone(), &trusting).await;
        assert_eq!(taken.code, Some(0), "{address}: {taken:?}");
        assert_eq!(taken.json()["look"]["signed_by"], json!(null), "{address}: {taken:?}");
    }
}
