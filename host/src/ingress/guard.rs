//! What is refused by its headers alone: wrong keys, bodies that are too long, and web pages that reach for the gateway
//! through a browser (by a foreign origin, or by a name that was rebound to this machine).

use std::net::IpAddr;

use http::header::{self, HeaderMap};

use super::Config;
use crate::error::{Error, Fault};

/// The client's configured name, where keys are in use; or why it may not come in.
pub fn admit(config: &Config, headers: &HeaderMap) -> Result<Option<String>, Error> {
    host(config, headers)?;
    origin(config, headers)?;
    let length =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > config.body_bytes_max) {
        return Err(too_long(config));
    }
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
    let Some(host) = headers.get(header::HOST).and_then(|value| value.to_str().ok()) else { return Ok(()) };
    if is_ours(config, host) {
        return Ok(());
    }
    let message =
        format!("the host {host:?} is not this gateway's; `allowed_hosts` in pointsman.toml names more");
    Err(Error::new(Fault::Client, 403, "host_not_allowed", message))
}

/// Pages of other sites are refused; programs send no origin, or one that is not of the web.
fn origin(config: &Config, headers: &HeaderMap) -> Result<(), Error> {
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let Some(host) = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) else {
        return Ok(());
    };
    if is_ours(config, host) {
        return Ok(());
    }
    let message =
        format!("pages of {origin} may not use this gateway; `allowed_hosts` in pointsman.toml names more");
    Err(Error::new(Fault::Client, 403, "origin_not_allowed", message))
}

fn is_ours(config: &Config, host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let local = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    local
        || name.parse::<IpAddr>().is_ok()
        || config.allowed_hosts.iter().any(|it| it.eq_ignore_ascii_case(name))
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
        assert_eq!(check(&config, &[("origin", "https://evil.example")]), Err(403));
        for origin in ["http://localhost:3000", "null", "app://obsidian.md", "https://box.lan"] {
            assert_eq!(check(&config, &[("origin", origin)]), Ok(None), "{origin}");
        }
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
