//! What is refused by its headers alone: wrong keys, bodies that are too long, and web pages that reach for the gateway
//! through a browser (by a foreign origin, or by a name that was rebound to this machine).

use std::net::IpAddr;

use http::header::{self, HeaderMap};

use super::Config;
use crate::error::{Error, Fault};

/// The client's configured name, where keys are in use; or why it may not come in.
pub fn admit(config: &Config, headers: &HeaderMap) -> Result<Option<String>, Error> {
    approach(config, headers)?;
    length(config, headers)?;
    client(config, headers)
}

/// Whether a request may come near at all, whoever sends it: its host and its origin are in order. This holds for the open
/// paths, too; how long their bodies may be is for whoever reads them to say.
pub fn approach(config: &Config, headers: &HeaderMap) -> Result<(), Error> {
    host(config, headers)?;
    origin(config, headers)
}

fn length(config: &Config, headers: &HeaderMap) -> Result<(), Error> {
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > config.body_bytes_max) {
        return Err(too_long(config));
    }
    Ok(())
}

fn client(config: &Config, headers: &HeaderMap) -> Result<Option<String>, Error> {
    if config.keys.is_empty() {
        return Ok(None);
    }
    let client = key(headers).and_then(|key| config.keys.client(key)).map(str::to_owned);
    let refused = || {
        let message = "this gateway asks for an API key and this one is not known; keys stand under [keys] in pointsman.toml";
        Error::new(Fault::Client, 401, "invalid_api_key", message)
    };
    client.map(Some).ok_or_else(refused)
}

/// A body that is longer than may be.
pub fn too_long(config: &Config) -> Error {
    let message = format!(
        "the request body is longer than {} bytes; `limits.body_bytes_max` raises that",
        config.body_bytes_max
    );
    Error::new(Fault::Client, 413, "body_too_long", message)
}

/// The key a client sent, in either of the two usual headers.
pub fn key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    bearer.or_else(|| text("x-api-key"))
}

/// A name that points at this machine by someone else's DNS is how a web page gets past a loopback address.
fn host(config: &Config, headers: &HeaderMap) -> Result<(), Error> {
    for host in headers.get_all(header::HOST) {
        let name = host.to_str().map(name).ok();
        // An address cannot be rebound, so any of them will do here.
        if !name.is_some_and(|name| is_ours(config, name) || name.parse::<IpAddr>().is_ok()) {
            let message = format!(
                "the host {host:?} is not this gateway's; `allowed_hosts` in pointsman.toml names more"
            );
            return Err(Error::new(Fault::Client, 403, "host_not_allowed", message));
        }
    }
    Ok(())
}

/// Pages of other sites are refused, and pages that hide where they are from (`null`); programs send no origin, or one
/// whose scheme is not the web's.
fn origin(config: &Config, headers: &HeaderMap) -> Result<(), Error> {
    for origin in headers.get_all(header::ORIGIN) {
        if !origin.to_str().is_ok_and(|origin| may_call(config, headers, origin)) {
            let message = format!(
                "pages of {origin:?} may not use this gateway; `allowed_hosts` in pointsman.toml names more"
            );
            return Err(Error::new(Fault::Client, 403, "origin_not_allowed", message));
        }
    }
    Ok(())
}

/// Addresses count only where they are this machine's, or the very one that the page was served from: any other belongs
/// to whoever has a server there.
fn may_call(config: &Config, headers: &HeaderMap, origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    if !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
        return true;
    }
    let page = name(host);
    let itself = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(name);
    is_ours(config, page)
        || page.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
        || itself.is_some_and(|host| host.eq_ignore_ascii_case(page))
}

/// The name or the address in `name:port` or `[address]:port`.
fn name(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

fn is_ours(config: &Config, name: &str) -> bool {
    let local = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    local || config.allowed_hosts.iter().any(|it| it.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::keys::Keys;

    fn check(config: &Config, headers: &[(&'static str, &str)]) -> Result<Option<String>, u16> {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        admit(config, &headers).map_err(|error| error.status)
    }

    #[test]
    fn pages_are_kept_out_and_programs_let_in() {
        let config = Config { allowed_hosts: vec!["box.lan".to_owned()], ..Config::default() };
        for host in
            ["127.0.0.1:8484", "localhost:8484", "[::1]:8484", "192.168.1.7", "box.lan:8484", "app.localhost"]
        {
            assert_eq!(check(&config, &[("host", host)]), Ok(None), "{host}");
        }
        assert_eq!(check(&config, &[("host", "evil.example:8484")]), Err(403));
        for origin in ["http://localhost:3000", "http://[::1]:1", "app://obsidian.md", "https://box.lan"] {
            assert_eq!(check(&config, &[("origin", origin)]), Ok(None), "{origin}");
        }
    }

    #[test]
    fn pages_from_elsewhere_are_refused() {
        let config = Config::default();
        let ours = ("host", "192.168.1.7:8484");
        for origin in [
            "https://evil.example",
            "HTTPS://evil.example",
            "null",
            "evil.example",
            "http://203.0.113.9",
            "http://192.168.1.8:8484",
            "http://[2001:db8::1]",
            "https://localhost.evil.example",
        ] {
            assert_eq!(check(&config, &[ours, ("origin", origin)]), Err(403), "{origin}");
        }
        for origin in ["http://192.168.1.7:8484", "http://127.0.0.1:3000", "http://[::ffff:127.0.0.1]"] {
            assert_eq!(check(&config, &[ours, ("origin", origin)]), Ok(None), "{origin}");
        }
    }

    #[test]
    fn a_path_without_a_key_is_guarded_all_the_same() {
        let keys = Keys::new([("laptop".to_owned(), "secret".to_owned())]);
        let config = Config { keys, body_bytes_max: 10, ..Config::default() };
        let approach = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            super::approach(&config, &headers).map_err(|error| error.status)
        };
        assert_eq!(approach("host", "localhost"), Ok(()));
        assert_eq!(approach("host", "evil.example"), Err(403));
        assert_eq!(approach("origin", "https://evil.example"), Err(403));
        // It is read by others, who have a limit of their own.
        assert_eq!(approach("content-length", "11"), Ok(()));
    }

    #[test]
    fn keys_name_their_client() {
        let keys = Keys::new([("laptop".to_owned(), "secret".to_owned())]);
        let config = Config { keys, ..Config::default() };
        assert_eq!(check(&config, &[]), Err(401));
        assert_eq!(check(&config, &[("authorization", "Bearer wrong")]), Err(401));
        assert_eq!(check(&config, &[("authorization", "bearer secret")]), Ok(Some("laptop".to_owned())));
        assert_eq!(check(&config, &[("x-api-key", "secret")]), Ok(Some("laptop".to_owned())));
    }

    #[test]
    fn a_body_that_says_it_is_too_long_is_refused_unread() {
        let config = Config { body_bytes_max: 10, ..Config::default() };
        assert_eq!(check(&config, &[("content-length", "10")]), Ok(None));
        assert_eq!(check(&config, &[("content-length", "11")]), Err(413));
    }
}
