//! Reading a body: whole, within its limit and its time, decompressed.

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use bytes::Bytes;
use http::header::{self, HeaderMap};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Config, guard};
use crate::error::{Error, Fault};

/// The body, as the client meant it.
pub async fn body(config: &Config, headers: &HeaderMap, body: Incoming) -> Result<Bytes, Error> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.starts_with("multipart/") {
        let message = "multipart bodies are not taken: send JSON, with files as data URLs";
        return Err(Error::new(Fault::Client, 415, "unsupported_media_type", message));
    }
    let encoding =
        headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("identity");
    let collected = Limited::new(body, config.body_bytes_max).collect();
    let bytes = match tokio::time::timeout(config.body_timeout, collected).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(guard::too_long(config)),
        Ok(Err(error)) => return Err(Error::bad_request(format!("the request body broke off: {error}"))),
        Err(_) => {
            let message = format!("the request body took longer than {} s", config.body_timeout.as_secs());
            return Err(Error::new(Fault::Client, 408, "body_timeout", message));
        }
    };
    match encoding.trim().to_ascii_lowercase().as_str() {
        "identity" | "" => Ok(bytes),
        "gzip" | "x-gzip" => inflate(config, GzipDecoder::new(&*bytes)).await,
        "zstd" => inflate(config, ZstdDecoder::new(&*bytes)).await,
        "br" => inflate(config, BrotliDecoder::new(&*bytes)).await,
        "deflate" => match inflate(config, ZlibDecoder::new(&*bytes)).await {
            Ok(inflated) => Ok(inflated),
            Err(_) => inflate(config, DeflateDecoder::new(&*bytes)).await,
        },
        other => {
            let message =
                format!("the content encoding {other:?} is not taken: send gzip, deflate, br, zstd or none");
            Err(Error::new(Fault::Client, 415, "unsupported_encoding", message))
        }
    }
}

/// Decompresses up to the limit: a small body may hold a huge one.
async fn inflate(config: &Config, decoder: impl AsyncRead + Unpin) -> Result<Bytes, Error> {
    let limit = config.body_bytes_max;
    let mut inflated = Vec::new();
    let mut limited = decoder.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1));
    let read = limited.read_to_end(&mut inflated).await;
    read.map_err(|error| Error::bad_request(format!("the request body cannot be decompressed: {error}")))?;
    if inflated.len() > limit { Err(guard::too_long(config)) } else { Ok(Bytes::from(inflated)) }
}
